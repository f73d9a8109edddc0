"""Looking through a folder of normal scans before anything is learned: what is there, what is left out and why, who is held out."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..common import InvDetectError, Progress, WrongUse, reason
from ..models import Preparation, Training
from .cases import Case, paired_cases
from .finding import Found, LeftOut, Paths, find_masks, find_scans
from .geometry import Geometry
from .labels import as_label_map
from .masks import read_mask
from .preparing import measure_intensity
from .reading import Scan, read_scan
from .slicing import SliceGrid

_LOOK_AT = 15
_KINDS = {1: "grey", 3: "colour"}


@dataclass(frozen=True)
class Candidate:
    """A normal scan that can be used.

    found        where;  mask  the user's foreground for it, or None
    digest       of its voxels and geometry
    geometry     shape, spacing, unit
    channels     1 grey, 3 colour
    measurement  what the intensity rule needs of it
    """

    found: Found
    mask: Path | None
    digest: str
    geometry: Geometry
    channels: int
    measurement: np.ndarray

    def read(self) -> tuple[Scan, np.ndarray | None]:
        """The scan again, with the user's foreground if there is one."""
        scan = read_scan(self.found.path)
        return scan, None if self.mask is None else read_mask(self.mask, scan.geometry)


@dataclass(frozen=True)
class Survey:
    """Usable scans, those left out with reasons, and the preparation that was settled by looking at them."""

    candidates: tuple[Candidate, ...]
    left_out: tuple[LeftOut, ...]
    preparation: Preparation


@dataclass(frozen=True)
class Look:
    """How scans are looked at: what `survey` settled, and what it was told.

    show  makes of a scan what a user is to see of it; it can be pickled where it is a module's own function
    """

    preparation: Preparation
    minimum: int
    show: Callable[[Scan], Any] | None = None


@dataclass(frozen=True)
class Looked:
    """What one scan turned out to be.

    candidate  what can be used of it, or None: `why` tells, as a phrase
    digest     "" when it could not be read;  doubtful  what makes it look like a label map, as a phrase, or ""
    shown      what `Look.show` made of it, None when it could not be read
    """

    case: Case
    candidate: Candidate | None = None
    why: str = ""
    digest: str = ""
    doubtful: str = ""
    shown: Any = None


# Looks at scans and tells of each, in any order; progress is told by who asks.
Surveyor = Callable[[Sequence[Case], Look, Progress], Iterable[Looked]]


def survey(
    folder: Paths,
    preparation: Preparation,
    minimum: int,
    masks: str | Path | None,
    progress: Progress,
    *,
    show: Callable[[Scan], Any] | None = None,
    on_scan: Callable[[Found, Any, str], None] | None = None,
    surveyor: Surveyor | None = None,
) -> Survey:
    """Read every scan and keep those that a model can learn from.

    preparation  its `channels` and, for colour, its intensity rule are settled here by the majority: 0 channels mean "look"
    minimum      patch size: smaller scans are left out
    masks        the user's foreground masks, when the foreground rule is "masks"
    show         see `Look`
    on_scan      called for every file that may be a scan, in their order: where, what `show` made of it, None if it could not be read, and
                 why it is left out ("": it is not)
    surveyor     who looks at the scans; None: this process, one after the other (see `look`)
    Raises `InvDetectError` when nothing is usable.
    """
    found, left_out = find_scans(folder)
    objections = list(left_out)
    preparation = _settle(preparation, found)
    known = [] if masks is None else find_masks(masks)[0]
    cases = paired_cases(found, known) if preparation.foreground == "masks" else [Case(entry) for entry in found]
    candidates: list[Candidate] = []
    seen: dict[str, Path] = {}
    for one in _in_order(cases, (surveyor or _here)(cases, Look(preparation, minimum, show), progress), progress):
        entry, why = one.case.found, one.why
        if one.digest in seen:
            why = f"the same content as {seen[one.digest].name}"
        elif one.candidate is not None:
            candidates.append(one.candidate)
            seen[one.digest] = entry.path
            if one.doubtful:
                progress.warn(f"{entry.path}: {one.doubtful}, yet it is used as a scan; take it out of the folder if it is a label map")
        if why:
            objections.append(LeftOut(entry.path, why))
        if on_scan is not None:
            on_scan(entry, one.shown, why)
    if not candidates:
        reasons = "; ".join(f"{entry.path.name}: {entry.reason.rstrip('.')}" for entry in objections[:3])
        where = folder if isinstance(folder, (str, os.PathLike)) else ", ".join(map(str, folder))
        raise InvDetectError(f"No usable normal scan in {where} ({reasons}). Give a folder with scans that InvDetect can read.")
    return Survey(tuple(candidates), tuple(objections), preparation)


def look(case: Case, asked: Look, progress: Progress) -> Looked:
    """Look at one scan. Only `Cancelled` is raised."""
    scan, shown, doubtful = None, None, ""
    try:
        progress.check()
        scan = read_scan(case.found.path)
        shown = None if asked.show is None else asked.show(scan)
        doubtful = _doubt(scan)
        return Looked(case, _examine(case, scan, asked), "", scan.digest, doubtful, shown)
    except Exception as error:
        return Looked(case, None, reason(error, case.found.path), "" if scan is None else scan.digest, doubtful, shown)


def survey_unseen(
    folder: Paths,
    preparation: Preparation,
    minimum: int,
    masks: str | Path | None,
    known: Collection[str],
    why: str,
    progress: Progress,
    surveyor: Surveyor | None = None,
) -> list[Candidate]:
    """The usable scans of a folder, as `survey` finds them, that a model was not trained on; every one left out is told with a warning.

    known  digests of the scans that it was trained on;  why  what is wrong with these, as the end of their warning
    """
    found, seen = survey(folder, preparation, minimum, masks, progress, surveyor=surveyor), set(known)
    for objection in found.left_out:
        progress.warn(f"left out {objection.path}: {objection.reason}")
    for candidate in found.candidates:
        if candidate.digest in seen:
            progress.warn(f"left out {candidate.found.relative}: the model was trained on this very scan, {why}")
    return [candidate for candidate in found.candidates if candidate.digest not in seen]


def apart_from(apart: Survey, normal: Survey) -> Survey:
    """The scans to calibrate on, less those that are also trained on. Raises `WrongUse` when none remains."""
    known = {candidate.digest for candidate in normal.candidates}
    kept = tuple(candidate for candidate in apart.candidates if candidate.digest not in known)
    if not kept:
        raise WrongUse("All scans to calibrate on are also trained on; give others.")
    double = (LeftOut(candidate.found.path, "also trained on") for candidate in apart.candidates if candidate.digest in known)
    return Survey(kept, (*apart.left_out, *double), apart.preparation)


def split(count: int, training: Training, seed: int, calibration_apart: bool) -> tuple[list[int], list[int], list[int]]:
    """Numbers of the scans for training, validation and calibration: whole scans, drawn by the seed, at least one each.

    calibration_apart  the scans for calibration come from elsewhere, so none is held out here
    """
    validation = max(1, round(training.validation * count))
    calibration = 0 if calibration_apart else max(1, round(training.calibration * count))
    if count - validation - calibration < 1:
        needed = 2 if calibration_apart else 3
        raise InvDetectError(
            f"Only {count} usable normal scan{'s' if count != 1 else ''}, and at least {needed} are needed: whole scans are held out "
            "to validate and to calibrate. Give more scans."
        )
    order = [int(number) for number in np.random.default_rng([seed, 2]).permutation(count)]
    parts = order[validation + calibration :], order[:validation], order[validation : validation + calibration]
    return sorted(parts[0]), sorted(parts[1]), sorted(parts[2])


def _here(cases: Sequence[Case], asked: Look, progress: Progress) -> Iterator[Looked]:
    """This process, one scan after the other."""
    for case in cases:
        yield look(case, asked, progress)


def _in_order(cases: Sequence[Case], looked: Iterable[Looked], progress: Progress) -> Iterator[Looked]:
    """What was told in any order, in that of the scans, as soon as it can be."""
    waiting: dict[Case, Looked] = {}
    told = 0
    for number, one in enumerate(looked, 1):
        waiting[one.case] = one
        while told < len(cases) and cases[told] in waiting:
            yield waiting.pop(cases[told])
            told += 1
        progress.report("looking at scans", number, len(cases))


def _settle(preparation: Preparation, found: Sequence[Found]) -> Preparation:
    """Grey or colour, unless it was said: as most of a few scans spread over the folder."""
    if preparation.channels:
        return preparation
    kinds: Counter[int] = Counter()
    for entry in found[:: max(1, len(found) // _LOOK_AT)]:
        try:
            scan = read_scan(entry.path)
            _doubt(scan)
        except Exception:
            continue  # it is told with its reason when its turn comes
        kinds[scan.channels] += 1
    return for_channels(preparation, kinds.most_common(1)[0][0] if kinds else 1)


def for_channels(preparation: Preparation, channels: int) -> Preparation:
    """For grey (1) or colour (3) scans, unless it was said; for colour with an intensity rule that suits it."""
    if preparation.channels:
        return preparation
    colour = channels == 3 and preparation.intensity in ("median", "landmarks", "percentile")
    return dataclasses.replace(preparation, channels=channels, intensity="channels" if colour else preparation.intensity)


def _doubt(scan: Scan) -> str:
    """What makes a scan look like a label map, or ""; raises `InvDetectError` when it surely is one."""
    looks = as_label_map(scan)
    if looks is not None and looks.sure:
        raise InvDetectError(looks.reason)
    return "" if looks is None else looks.reason


def _examine(case: Case, scan: Scan, asked: Look) -> Candidate:
    preparation = asked.preparation
    if scan.channels != preparation.channels:
        raise InvDetectError(f"{_KINDS[scan.channels]}, and the model is to be {_KINDS[preparation.channels]}")
    SliceGrid.for_scan(scan.geometry, preparation, asked.minimum)
    path = case.wanted_mask()
    mask = None if path is None else read_mask(path, scan.geometry)
    measurement = measure_intensity(scan, preparation, mask)
    return Candidate(case.found, path, scan.digest, scan.geometry, scan.channels, measurement)
