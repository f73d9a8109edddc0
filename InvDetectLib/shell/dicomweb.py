"""`detect --dicomweb`: series of a study are fetched and examined as files are, and with `--store` what was found goes back beside them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..common import Cancelled, InvDetectError, Progress, WrongUse, check_writable, private_folder
from ..scans import Found, stem

if TYPE_CHECKING:
    from ..cohort import Outcome
    from ..dicom.web import DicomWeb, WebSeries


@dataclass(frozen=True)
class Wanted:
    """What `detect` examines.

    scans     as `detect_cohort` takes them
    complete  makes of their outcomes what the user is told
    """

    scans: Sequence[str | Path]
    complete: Callable[[list[Outcome]], list[Outcome]] = list


@contextmanager
def wanted(options: argparse.Namespace, progress: Progress) -> Iterator[Wanted]:
    """The scans that were named, or for the block those of a DICOMweb server. Raises `WrongUse` for words that do not fit together."""
    if options.dicomweb is None:
        if options.study is not None or options.store or options.ca is not None:
            raise WrongUse("--study, --store and --ca belong to a server; give its address with --dicomweb.")
        if not options.scans:
            raise WrongUse("There is nothing to examine; give scans (files, folders or patterns), or a server with --dicomweb.")
        yield Wanted(options.scans)
        return
    if options.scans or options.study is None:
        raise WrongUse("From a server the series of a study are examined: give its UID with --study, and no files.")
    with _fetched(options, progress) as fetched:
        yield fetched


@contextmanager
def _fetched(options: argparse.Namespace, progress: Progress) -> Iterator[Wanted]:
    from ..cohort import Outcome
    from ..dicom.web import DicomWeb

    out = Path(options.output)
    server = DicomWeb(options.dicomweb, options.ca)
    found = _found(server, options.study, options.series)
    check_writable(out, "results")
    with private_folder(out) as private:
        failed: list[Outcome] = []
        for series in found:
            name = Path(series.study, series.series)
            try:
                server.fetch(series, private / "series" / name, progress)
            except Cancelled:
                raise
            except InvDetectError as error:
                failed.append(Outcome(Found(name, name), "failed", reason=str(error)))
        if len(failed) == len(found):
            raise InvDetectError(failed[0].reason)

        def complete(outcomes: list[Outcome]) -> list[Outcome]:
            stored = [_stored(outcome, out, server) if options.store else outcome for outcome in outcomes]
            named = [replace(outcome, found=Found(outcome.found.relative, outcome.found.relative)) for outcome in stored]
            return sorted([*named, *failed], key=lambda outcome: outcome.found.relative.parts)

        yield Wanted([private / "series"], complete)


def _found(server: DicomWeb, study: str, series: str | None) -> list[WebSeries]:
    filters = {"StudyInstanceUID": study} | ({} if series is None else {"SeriesInstanceUID": series.partition("#")[0]})
    found = [one for one in server.find(filters) if one.may_have_images]
    if not found:
        what = f"no images of the study {study}" if series is None else f"no images of the series {series} in the study {study}"
        raise InvDetectError(f"{server.url} has {what}. Check the UIDs.")
    return found


def _stored(outcome: Outcome, out: Path, server: DicomWeb) -> Outcome:
    """Store the objects of one outcome; also of results that were there, as it is not known what became of theirs."""
    from ..dicom.web import store_result

    if outcome.status == "failed":
        return outcome
    try:
        store_result(server, out / outcome.found.relative.parent, stem(outcome.found.path))
    except InvDetectError as error:
        return replace(outcome, status="failed", reason=f"{error} The results are in {out}.")
    return outcome
