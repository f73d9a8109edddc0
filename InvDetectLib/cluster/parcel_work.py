"""What a worker does with one parcel: what one process does with the scan that is in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..cohort import Asked, Outcome, examine
from ..common import Progress
from ..evaluation import Judged, Scored, score
from ..results import collected
from ..scans import ForegroundChoice, Look, Looked, look, stem
from .parcels import Opened, Parcel, opened

if TYPE_CHECKING:
    from ..detection import Detector


@dataclass(frozen=True)
class Examined:
    """What became of one scan, and the files of its result, contents by kind, where it was shipped."""

    outcome: Outcome
    files: Mapping[str, bytes]


def examine_parcel(parcel: Parcel, asked: Asked, detector: Detector, progress: Progress) -> Examined:
    """As `cohort.examine`."""
    with opened(parcel, progress) as one:
        if one.case.lacking:
            return Examined(Outcome(parcel.case.found, "failed", reason=one.case.lacking), {})
        asked = replace(asked, out=one.out or asked.out, foreground=_foreground(one, asked.foreground))
        outcome = examine(one.case.found, asked, detector, one.progress)
        made = one.out is not None and outcome.status == "done"
        files = collected(asked.target(one.case.found).parent, stem(one.case.found.path)) if made else {}
        return Examined(replace(outcome, found=parcel.case.found, reason=one.told(outcome.reason)), files)


def score_parcel(parcel: Parcel, judged: Judged, detector: Detector, progress: Progress) -> Scored:
    """As `evaluation.score`."""
    with opened(parcel, progress) as one:
        scored = score(one.case, judged, detector, one.progress)
        return replace(scored, case=parcel.case, why=one.told(scored.why))


def look_parcel(parcel: Parcel, asked: Look, progress: Progress) -> Looked:
    """As `scans.look`."""
    with opened(parcel, progress) as one:
        looked, known = look(one.case, asked, one.progress), parcel.case
        candidate = looked.candidate and replace(looked.candidate, found=known.found, mask=known.mask)
        return replace(looked, case=known, candidate=candidate, why=one.told(looked.why))


def _foreground(one: Opened, choice: ForegroundChoice) -> ForegroundChoice:
    mask: Path | None = one.case.mask
    return choice if mask is None else ForegroundChoice.one(mask)
