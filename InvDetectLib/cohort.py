"""Many scans, one model: outputs mirror the inputs, what is done is skipped, a failure costs one scan, one table at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from .common import InvDetectError, Progress, check_writable, longest_name, name_length, reason
from .detection import Detector
from .results import SUFFIXES, Finding, Result, check_table, check_unclaimed, fault, file_names, read_findings, recover, write_table
from .scans import Foreground, ForegroundChoice, Found, Paths, Scan, find_scans, read_scan, stem

TABLE = "findings.csv"
_NO_WISH = ("series", "stability")  # options that leave map, mask and findings as they are
_NO_CONTROL = ("series", "slices", "adapt", "stability")

# Makes further files of a result, from the scan and its path: their contents by kind (see `results.SUFFIXES`).
More = Callable[[Result, Scan, Path], Mapping[str, bytes]]


@dataclass(frozen=True)
class Outcome:
    """What became of one scan: status "done", "skipped" (results agree) or "failed" (`reason` says why).

    Of a result only the findings are kept: the arrays of a thousand scans fit into no memory.
    """

    found: Found
    status: str
    findings: list[Finding] | None = None
    reason: str = ""


@dataclass(frozen=True)
class Asked:
    """What is to be done with every scan; it can be pickled, where `more` is a module's own function. All as for `detect_cohort`."""

    out: Path
    options: dict[str, Any]
    foreground: ForegroundChoice
    overwrite: bool = False
    verify: bool = False
    more: More | None = None

    def request(self, detector: Detector, scan: Scan, foreground: Foreground) -> dict[str, Any]:
        """What was asked for, to recognise results that need not be made again."""
        mask = sha256(np.packbits(foreground).tobytes()).hexdigest() if isinstance(foreground, np.ndarray) else foreground
        wishes = {name: list(value) if isinstance(value, tuple) else value for name, value in self.options.items() if name not in _NO_WISH}
        direction = {"direction": detector.direction} if detector.direction else {}
        return {"model": detector.model.checksum, "scan": scan.digest, "options": wishes, "foreground": mask, **direction}

    def target(self, entry: Found) -> Path:
        """The file that says that a scan is done."""
        return self.out / entry.relative.parent / (stem(entry.path) + SUFFIXES["result"])

    def unwritable(self, entry: Found, method: str) -> str:
        """Why the results of a scan could not be written, whatever they are, or ""; method  that of the model"""
        names = file_names(stem(entry.path))
        kinds = names.keys() - ({"pseudo_normal"} if method != "matchgen" else set())
        length, longest = max(name_length(names[kind]) for kind in kinds), longest_name(self.out)
        if length > longest:
            return f"Its name is too long: with the ending of a result it has {length} bytes, and {longest} can be; give it a shorter one."
        return ""


# Carries out what is asked for with some scans and tells each outcome, in any order; progress on "scans" is told by who asks.
Engine = Callable[[Sequence[Found], Asked, Progress], Iterator[Outcome]]


def detect_cohort(
    scans: Paths,
    detector: Detector,
    out: str | Path,
    *,
    options: dict[str, Any] | None = None,
    foreground: str | Path | None = None,
    overwrite: bool = False,
    verify: bool = False,
    more: More | None = None,
    engine: Engine | None = None,
    begin: Callable[[], None] | None = None,
    progress: Progress | None = None,
) -> list[Outcome]:
    """Score every scan, write its results below `out`, and `findings.csv` over all results that lie there, of other runs too.

    scans       see `find_scans`; of a `BidsFolder` outputs mirror the dataset from its root on
    options     of `Detector.detect`: contiguity, rate, threshold, scr, slices, series, adapt, stability. Of many scans the stability is
                measured only where it is asked for
    foreground  "auto", "brain", "none", or a folder of masks; None: the model's own rule
    overwrite   replace results of another model or other settings; without it such a scan fails with a sentence
    verify      read the files of results that are there, not only their lengths, before they count as whole
    more        makes further files of each result, published with it; results that lack one are made anew
    engine      who examines the scans; None: this process, one after the other (see `examine`)
    begin       called once nothing speaks against the run as such, and before anything is written
    Results of the same scan, model, direction and options are skipped when all their files are whole, and made anew when not.
    Outcomes come in the order of the scans. Only `Cancelled` ends the run early. Raises `InvDetectError` when
    there is no scan at all, `out` cannot be written, or a `findings.csv` of somebody's own lies there.
    """
    progress = progress or Progress()
    found, left_out = find_scans(scans)
    options = {**({"stability": False} if len(found) > 1 else {}), **(options or {})}
    for objection in left_out:
        progress.warn(f"left out {objection.path}: {objection.reason}")
    asked = Asked(Path(out), options, ForegroundChoice(foreground).among(found), overwrite, verify, more)
    detector.controls(**{name: value for name, value in options.items() if name not in _NO_CONTROL})
    check_table(asked.out / TABLE)
    if begin is not None:
        begin()
    check_writable(asked.out, "results")
    for folder in {asked.target(entry).parent for entry in found}:
        if folder.is_dir():
            recover(folder)
    outcomes: dict[Found, Outcome] = {}

    def take(outcome: Outcome) -> None:
        outcomes[outcome.found] = outcome
        if outcome.status == "failed":
            progress.warn(f"{outcome.found.path}: {outcome.reason}")

    for entry, why in _hopeless(found, asked, detector).items():  # now, and not when hours have been spent on those before it
        take(Outcome(entry, "failed", reason=why))
    hopeful = [entry for entry in found if entry not in outcomes]
    progress.report("scans", len(outcomes), len(found))
    for outcome in (engine or _here(detector))(hopeful, asked, progress):
        take(outcome)
        progress.report("scans", len(outcomes), len(found))
    names = {asked.target(entry): str(entry.relative) for entry, outcome in outcomes.items() if outcome.findings is not None}
    write_table(asked.out / TABLE, names, progress.warn)
    return [outcomes[entry] for entry in found]


def examine(entry: Found, asked: Asked, detector: Detector, progress: Progress) -> Outcome:
    """Examine one scan and write its results, all of them or none. Only `Cancelled` is raised."""
    try:
        return _examined(entry, asked, detector, progress)
    except Exception as error:
        return Outcome(entry, "failed", reason=reason(error, entry.path))


def earlier(entry: Found, asked: Asked, detector: Detector, progress: Progress) -> tuple[Outcome | None, bool]:
    """What there is to skip, if anything; and whether what lies there is to be replaced. `InvDetectError` for results of something else."""
    target = asked.target(entry)
    if _nothing_to_skip(target, asked, entry):
        return None, asked.overwrite
    scan = read_scan(entry.path, asked.options.get("series"))
    return _done(target, asked.request(detector, scan, asked.foreground.of(scan, entry.path)), asked, entry, progress)


def _here(detector: Detector) -> Engine:
    """This process, one scan after the other."""

    def engine(found: Sequence[Found], asked: Asked, progress: Progress) -> Iterator[Outcome]:
        for entry in found:
            yield examine(entry, asked, detector, progress)

    return engine


def _hopeless(found: Sequence[Found], asked: Asked, detector: Detector) -> dict[Found, str]:
    """Scans whose results cannot be written, and why."""
    hopeless: dict[Found, str] = {}
    first: dict[Path, Found] = {}
    for entry in found:
        before = first.setdefault(asked.target(entry), entry)
        if why := asked.unwritable(entry, detector.model.settings.method):
            hopeless[entry] = why
        elif before is not entry:
            hopeless[entry] = f"It would write the same files as {before.path}; rename one of the two, or detect them apart."
    return hopeless


def _examined(entry: Found, asked: Asked, detector: Detector, progress: Progress) -> Outcome:
    scan = read_scan(entry.path, asked.options.get("series"))
    target = asked.target(entry)
    foreground = asked.foreground.of(scan, entry.path)
    request = asked.request(detector, scan, foreground)
    done, overwrite = _done(target, request, asked, entry, progress)
    if done is not None:
        return done
    wishes = {name: value for name, value in asked.options.items() if name != "series"}
    result = detector.detect(scan, **wishes, foreground=foreground, progress=progress.part(entry.path))
    result.provenance |= {"request": request, "ending": _ending(entry), **({"more": asked.more.__name__} if asked.more else {})}
    more = {} if asked.more is None else asked.more(result, scan, entry.path)
    if not overwrite:  # another run may have done the very same in the meantime
        done, overwrite = _done(target, request, asked, entry, progress)
        if done is not None:
            return done
    result.save(target.parent, overwrite=overwrite, more=more)
    return Outcome(entry, "done", result.findings)


def _done(target: Path, request: dict[str, Any], asked: Asked, entry: Found, progress: Progress) -> tuple[Outcome | None, bool]:
    """What there is to skip, if anything; and whether what lies there is to be replaced. `InvDetectError` for results of something else."""
    if _nothing_to_skip(target, asked, entry):
        return None, asked.overwrite
    try:
        stored = read_findings(target)
    except InvDetectError as error:  # which says to detect again, as is being done
        raise InvDetectError(f"{error} Add --overwrite to replace it.") from error
    if stored.provenance.get("request") != request:
        raise InvDetectError(f"{target} is of another model, scan or settings; add --overwrite to replace it, or give another folder.")
    broken = fault(target, asked.verify)
    lacking = asked.options.get("stability") and stored.findings and not stored.has_stability
    lacking = lacking or (asked.more is not None and stored.provenance.get("more") != asked.more.__name__)
    if not broken and not lacking:
        return Outcome(entry, "skipped", stored.findings), False
    if broken:
        progress.warn(f"{entry.path}: {broken}, so it is detected anew")
    return None, True


def _nothing_to_skip(target: Path, asked: Asked, entry: Found) -> bool:
    """Whether no older result matters. `InvDetectError` where files of the result's names lie there that belong to none."""
    if not asked.overwrite and not target.exists():
        check_unclaimed(target.parent, stem(entry.path))
    return asked.overwrite or not target.exists()


def _ending(entry: Found) -> str:
    """What of the scan's file name its results do not have, which tells nothing about whose it is."""
    name, start = entry.relative.name, stem(entry.path)
    return name[len(start) :] if name.startswith(start) else ""
