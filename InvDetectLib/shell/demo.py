"""A first look on any machine: made heads, a small model, lesions of known place, figures and a picture."""

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import dataclass
from pathlib import Path

from ..cohort import detect_cohort
from ..common import InvDetectError, Progress
from ..detection import Detector
from ..evaluation import evaluate
from ..models import Settings, choose_settings
from ..scans import write_phantoms
from ..training import train

_NORMALS, _SCANS = 24, 4
_FIRST_SCAN = 1000  # seeds of the scans with lesions: none of them is a training head
_PARTS = ("normals", "scans", "scans-masks", "results")


@dataclass(frozen=True)
class Outcome:
    """Mean slice Dice of the model and of the plain intensity threshold on held-out phantoms, and where the picture lies."""

    dice: float
    baseline: float
    picture: Path


def run(folder: Path, device: str, progress: Progress) -> Outcome:
    """Make phantoms, train, detect, compare; everything lands in `folder`.

    A folder of an earlier demo is replaced; one that holds anything else is refused (`InvDetectError`), so that nothing is lost.
    """
    if folder.exists() and set(path.name for path in folder.iterdir()) - {*_PARTS, "phantoms.invdetect"}:
        raise InvDetectError(f"{folder} holds files that are not the demo's; give another folder with -o.")
    for part in _PARTS:
        shutil.rmtree(folder / part, ignore_errors=True)
    progress.report("making phantoms")
    write_phantoms(folder / "normals", _NORMALS)
    scans = write_phantoms(folder / "scans", _SCANS, first_seed=_FIRST_SCAN, lesions=2)
    settings = _for_made_heads(choose_settings("quick", modality="made heads", foreground="brain"))
    model = train(folder / "normals", settings=settings, device=device, licence="Apache-2.0", progress=progress)
    model.save(folder / "phantoms.invdetect")
    detect_cohort(folder / "scans", Detector(model, device), folder / "results", progress=progress)
    table = evaluate(folder / "scans", folder / "scans-masks", model, device=device, progress=progress)
    picture = folder / "results" / f"{scans[0].name.partition('.')[0]}.preview.png"
    return Outcome(table.rows["calibrated"]["dice"]["mean"], table.rows["intensity"]["dice"]["mean"], picture)


def _for_made_heads(settings: Settings) -> Settings:
    """None of their tissue is as bright as real fat, which the rule `median` would cut off."""
    preparation = dataclasses.replace(settings.preparation, intensity="landmarks")
    return dataclasses.replace(settings, preset="custom", preparation=preparation)
