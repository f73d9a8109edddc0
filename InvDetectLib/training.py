"""The orchestrator of training: from a folder of normal scans to a model, the whole way through the house."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import platform
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from . import __version__
from .calibration import Calibration
from .checkpoint import Checkpoint
from .errors import WrongUse
from .held_out import calibrate
from .methods import Slices, make_method
from .metrics import intensity_score, threshold_at_rate
from .model import Model
from .progress import Event, Progress
from .scans import Prepared, learn_intensity, prepare
from .scoring import Scores, mean_neighbour_distance, score_slices
from .settings import PLANES, Preparation, Settings
from .settings import preset as find_preset
from .survey import Candidate, Survey, split, survey
from .tensors import describe_device, find_device

Folder = str | Path | Sequence[str | Path]
_NEIGHBOUR_SLICES = 16  # slices from which m of Eq. 4 is measured: some 100,000 pairs of neighbours
_MOST_CALIBRATION_SLICES = 4000  # whole scans are added up to this many slices, which bounds time and memory
_LIMITS = "Finds what differs from its training scans, not disease as such. Research use only; not a medical device."


def choose_settings(
    preset: str = "standard",
    *,
    plane: str | None = None,
    grid: int | None = None,
    spacing_mm: float | None = None,
    intensity: str | None = None,
    foreground: str | None = None,
    modality: str | None = None,
) -> Settings:
    """A preset with a user's choices for the preparation; None keeps the preset's. Grey or colour is left to the scans.

    Raises `WrongUse` for an unknown preset, plane or intensity rule, for numbers that cannot be, or for grid and spacing_mm together.
    """
    settings = find_preset(preset)
    if grid is not None and spacing_mm is not None:
        raise WrongUse("A grid and a spacing contradict each other; give one of them.")
    if plane is not None and plane not in PLANES:
        raise WrongUse(f"There is no plane {plane!r}; choose one of {', '.join(PLANES)}.")
    if spacing_mm is not None and not 0 < spacing_mm < 100:
        raise WrongUse(f"A pixel of {spacing_mm:g} mm cannot be; give its size in mm.")
    size = settings.invdetect.patches.size
    if grid is not None and not size <= grid <= 4096:
        raise WrongUse(f"A grid of {grid} pixels cannot be; give one from the patch size ({size}) to 4096.")
    changes: dict[str, Any] = {"plane": plane, "intensity": intensity, "foreground": foreground, "modality": modality}
    changes = {name: value for name, value in changes.items() if value is not None} | {"channels": 0}
    if spacing_mm is not None:
        changes |= {"grid": None, "spacing_mm": float(spacing_mm)}
    elif grid is not None:
        changes |= {"grid": grid, "spacing_mm": None}
    return dataclasses.replace(settings, preparation=dataclasses.replace(settings.preparation, **changes))


def train(
    normals: Folder,
    preset: str = "standard",
    *,
    settings: Settings | None = None,
    normals_test: Folder | None = None,
    masks: str | Path | None = None,
    seed: int = 0,
    device: str = "auto",
    licence: str = "",
    checkpoint: str | Path | None = None,
    on_progress: Callable[[Event], None] | None = None,
    progress: Progress | None = None,
) -> Model:
    """Learn what is normal from a folder of normal scans.

    normals       folder (nested, mixed formats), file, pattern, or a list of these
    preset        "paper", "standard" or "quick"; `settings` (see `choose_settings`) replace it
    normals_test  normal scans to calibrate on; without it whole scans of `normals` are held out for that
    masks         folder of foreground masks, for the foreground rule "masks"
    seed          decides the split, the weights' start and every draw; the same seed, scans and device give the same model
    checkpoint    file that a killed run resumes from, to the same result; deleted by `finish`-ing callers once the model is saved
    on_progress   called with every `Event`; or give a `progress`, which can also cancel

    Returns a `Model` that is not saved yet. Raises `InvDetectError` for what a user can fix, `Cancelled` when stopped (the checkpoint
    then holds what was done).
    """
    progress = progress or Progress(on_progress)
    settings = settings or choose_settings(preset)
    started = time.monotonic()
    torch_device = find_device(device)
    minimum = make_method(_grey(settings), torch_device).patch_size
    normal = survey(normals, settings.preparation, minimum, masks, progress)
    settings = dataclasses.replace(settings, preparation=normal.preparation)
    apart = None if normals_test is None else survey(normals_test, settings.preparation, minimum, masks, progress)
    parts = split(len(normal.candidates), settings.invdetect.training, seed, apart is not None)
    training, validation, calibration = ([normal.candidates[number] for number in part] for part in parts)
    if apart is not None:
        calibration = _without(apart, normal, progress)
    for objection in normal.left_out + (() if apart is None else apart.left_out):
        progress.warn(f"left out {objection.path}: {objection.reason}")

    intensity = learn_intensity(settings.preparation, [candidate.measurement for candidate in training])
    prepared = [_prepare(candidate, settings.preparation, intensity, minimum, progress) for candidate in training]
    slices = [_slices(scan) for scan in prepared]
    checked = [_slices(_prepare(candidate, settings.preparation, intensity, minimum, progress)) for candidate in validation]
    method = make_method(settings, torch_device)
    fingerprint = _fingerprint(settings, seed, training + validation + calibration)
    resumable = Checkpoint(None if checkpoint is None else Path(checkpoint), fingerprint)
    facts = method.fit(slices, checked, seed, resumable, progress)

    mean_distance = mean_neighbour_distance(method, slices, _NEIGHBOUR_SLICES, progress)
    found: list[Scores] = []
    brightness: list[Slices] = []
    used = 0
    for candidate in calibration:
        if used >= _MOST_CALIBRATION_SLICES:
            break
        scan = _slices(_prepare(candidate, settings.preparation, intensity, minimum, progress))
        found.append(score_slices(method, scan, mean_distance, settings.refinement.edges, progress, stage="scoring held-out normal scans"))
        brightness.append(Slices(intensity_score(scan.values, scan.foreground), scan.foreground))
        used += len(scan.foreground)
    contiguous = all(candidate.geometry.unit == "mm" and candidate.geometry.dimension == 3 for candidate in calibration)
    calibrated = calibrate(found, contiguous, settings.refinement, progress)
    arrays = method.arrays() | {f"intensity/{name}": value for name, value in intensity.items()}
    card = {
        "modality": settings.preparation.modality,
        "licence": licence,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": versions(),
        "device": describe_device(torch_device),
        "seconds": round(time.monotonic() - started, 1),
        "seed": seed,
        "trained_on": {
            "scans": len(training),
            "slices": sum(int(scan.foreground.any(axis=(1, 2)).sum()) for scan in slices),
            "digests": [candidate.digest for candidate in training],
            **_ranges(prepared),
        },
        "validated_on": {"scans": len(validation), "digests": [candidate.digest for candidate in validation]},
        "calibrated_on": {"scans": len(found), "slices": used, "digests": [candidate.digest for candidate in calibration[: len(found)]]},
        **facts,
        "mean_neighbour_distance": mean_distance,
        **_operating_point(calibrated),
        "intensity_threshold": threshold_at_rate(
            [scan.values for scan in brightness], [scan.foreground for scan in brightness], settings.refinement.rate
        ),
        "rebuilds_images": method.rebuilds_images,
        "intended_use": "Research: pointing out regions that differ from the normal scans it was trained on.",
        "limits": _LIMITS,
    }
    progress.report("done")
    return Model(settings, arrays, calibrated.as_dict(), card)


def versions() -> dict[str, str]:
    """Versions of what computes, for cards and results."""
    from importlib.metadata import version

    packages = {name: version(name) for name in ("torch", "numpy", "scikit-learn", "SimpleITK")}
    return {"InvDetect": __version__, "python": platform.python_version(), **packages}


def _grey(settings: Settings) -> Settings:
    """Settings before the scans were seen: the number of channels does not matter yet."""
    channels = settings.preparation.channels or 1
    return dataclasses.replace(settings, preparation=dataclasses.replace(settings.preparation, channels=channels))


def _without(apart: Survey, normal: Survey, progress: Progress) -> list[Candidate]:
    """The scans to calibrate on, less those that were also trained on."""
    known = {candidate.digest for candidate in normal.candidates}
    kept = [candidate for candidate in apart.candidates if candidate.digest not in known]
    if len(kept) < len(apart.candidates):
        progress.warn(f"{len(apart.candidates) - len(kept)} of the scans to calibrate on are also trained on and are left out.")
    if not kept:
        raise WrongUse("All scans to calibrate on are also trained on; give others.")
    return kept


def _prepare(
    candidate: Candidate, preparation: Preparation, intensity: dict[str, np.ndarray], minimum: int, progress: Progress
) -> Prepared:
    scan, mask = candidate.read()
    prepared = prepare(scan, preparation, intensity, mask, minimum)
    for text in (*scan.warnings, *prepared.warnings):
        progress.warn(f"{candidate.found.relative}: {text}")
    return prepared


def _slices(prepared: Prepared) -> Slices:
    return Slices(prepared.slices, prepared.foreground)


def _fingerprint(settings: Settings, seed: int, candidates: Sequence[Candidate]) -> str:
    content = json.dumps([settings.as_dict(), seed, [candidate.digest for candidate in candidates]], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def _ranges(prepared: Sequence[Prepared]) -> dict[str, Any]:
    """How the training scans look from outside, so that a scan unlike them can be recognised."""
    grids = [scan.grid for scan in prepared]
    return {
        "unit": grids[0].unit,
        "pixel": [min(grid.pixel for grid in grids), max(grid.pixel for grid in grids)],
        "anisotropy": max(grid.anisotropy for grid in grids),
        "intensity": [[float(end(values)) for end in (min, max)] for values in zip(*(scan.intensity_range for scan in prepared))],
    }


def _operating_point(calibrated: Calibration) -> dict[str, Any]:
    return {
        "contiguity": calibrated.contiguity,
        "default_threshold": calibrated.default_threshold,
        "score_unit": calibrated.unit,
        "normal_area": calibrated.normal_area,
    }
