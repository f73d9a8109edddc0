"""A first look on any machine: made heads, a small model, lesions of known place, figures and a picture."""

from __future__ import annotations

import dataclasses
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from ..cohort import detect_cohort
from ..common import PREFIX, InvDetectError, Progress, check_writable
from ..detection import Detector
from ..evaluation import evaluate
from ..models import Features, Network, Normality, Patches, Settings, choose_settings
from ..scans import write_phantoms
from ..training import train

_NORMALS, _SCANS = 24, 4
_FIRST_SCAN = 1000  # seeds of the scans with lesions: none of them is a training head
_PARTS = ("normals", "scans", "scans-masks", "results")
_MODEL = "phantoms.invdetect"
_OWN = re.compile(r"head-\d{4}\.[a-z.-]+|findings\.csv")  # in a part


@dataclass(frozen=True)
class Outcome:
    """Mean slice Dice of the model and of the plain intensity threshold on held-out phantoms, and where the picture lies."""

    dice: float
    baseline: float
    picture: Path


def run(folder: Path, device: str, progress: Progress) -> Outcome:
    """Make phantoms, train, detect, compare; everything lands in `folder`.

    A folder of an earlier demo is replaced; one that holds anything else, itself or in a folder that is called like one of the demo's, is
    refused (`InvDetectError`), so that nothing is lost.
    """
    check_writable(folder, "demo")
    if (other := _not_own(folder)) is not None:
        raise InvDetectError(f"{other} is not the demo's, whose folder is replaced; move it, or give another folder with -o.")
    for part in _PARTS:
        shutil.rmtree(folder / part, ignore_errors=True)
    progress.report("making phantoms")
    write_phantoms(folder / "normals", _NORMALS)
    scans = write_phantoms(folder / "scans", _SCANS, first_seed=_FIRST_SCAN, lesions=2)
    settings = _for_made_heads(choose_settings("fine", grid=96, modality="made heads"))
    model = train(folder / "normals", settings=settings, device=device, licence="Apache-2.0", rehearse=False, progress=progress)
    model.save(folder / _MODEL)
    detect_cohort(folder / "scans", Detector(model, device), folder / "results", progress=progress)
    table = evaluate(folder / "scans", folder / "scans-masks", model, device=device, progress=progress)
    picture = folder / "results" / f"{scans[0].name.partition('.')[0]}.preview.png"
    return Outcome(table.rows["calibrated"]["dice"]["mean"], table.rows["intensity"]["dice"]["mean"], picture)


def _not_own(folder: Path) -> Path | None:
    """Something in `folder` that no demo has put there, if there is such a thing. What a killed one left half written is its own."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith(PREFIX) or path.name == _MODEL:
            continue
        if path.name not in _PARTS or path.is_symlink() or not path.is_dir():
            return path
        for inside in sorted(path.iterdir()):
            if not (_OWN.fullmatch(inside.name) or inside.name.startswith(PREFIX)):
                return inside
    return None


def _for_made_heads(settings: Settings) -> Settings:
    """What suits made heads, in minutes: some of their lesions are rough and no brighter than what surrounds them, which only the energy of
    a deep latent shows (Dice 0.66; one pass over whole slices, as `quick` takes it, 0.44, and with the energy beside it 0.50). None of
    their tissue is as bright as real fat, which `median` would cut off. On other heads than the demo's own, depths of 0.13 and 0.04 are
    level (Dice 0.535 and 0.541) and ahead of 0.28 (0.499).
    """
    method = dataclasses.replace(
        settings.invdetect,
        patches=Patches(size=48, stride=24),
        network=Network(widths=(16, 24, 32, 48)),
        training=dataclasses.replace(settings.training, steps=800, ema_decay=0.99),
        inversion=dataclasses.replace(settings.invdetect.inversion, abar=0.13),
        features=Features(kind="latent_windows", window=9, spacing=3),
        normality=Normality(max_samples=3000),
    )
    preparation = dataclasses.replace(settings.preparation, intensity="landmarks")
    refinement = dataclasses.replace(settings.refinement, contiguity=1.0)
    return dataclasses.replace(settings, preset="custom", preparation=preparation, invdetect=method, refinement=refinement)
