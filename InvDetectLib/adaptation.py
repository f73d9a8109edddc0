"""The orchestrator of adaptation: from a model and a few normal scans of another scanner to a model for that scanner, without training."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from .calibration import ScoreShift, calibrate_method, calibration_of
from .common import Event, InvDetectError, Progress, WrongUse, versions
from .computing import describe_device, find_device
from .methods import Method, Slices, make_method, mean_neighbour_distance, score_slices
from .models import Model
from .scans import appearance, are_gapless, at_most, counts, learn_intensity, prepare, survey

_FEWEST = 2  # scans: one says nothing of how much scans differ
_UNFAMILIAR = 1.0  # of the map's unit: another scanner moves the median of normal scans less, another modality more (measured)


def adapt(
    model: Model | str | Path,
    normals: str | Path | Sequence[str | Path],
    *,
    masks: str | Path | None = None,
    modality: str | None = None,
    device: str = "auto",
    on_progress: Callable[[Event], None] | None = None,
    progress: Progress | None = None,
) -> Model:
    """Measure anew on normal scans of another scanner what depends on it: intensities, units, thresholds, rates and p-values.

    normals   folder (nested, mixed formats), file, pattern, or a list of these: two scans or more, none of which the model was trained on
    masks     folder of foreground masks, for a model with the foreground rule "masks"
    modality  what the user says the scans are, to be compared with what the model is for

    The network stays as it is. Returns a `Model` that is not saved yet; its card says on how many scans it was adapted, and from which
    model.
    Raises `WrongUse` for too few scans and for a modality other than the model's, `InvDetectError` for scans in which the network finds
    its way so badly that they must be of another kind.
    """
    progress = progress or Progress(on_progress)
    started = time.monotonic()
    model = model if isinstance(model, Model) else Model.load(model)
    settings = model.settings
    meant = settings.preparation.modality
    if modality and meant != "unknown" and " ".join(modality.split()).casefold() != " ".join(meant.split()).casefold():
        raise WrongUse(f"The normal scans are said to be {modality}, and the model was made for {meant}; adapt a model for {modality}.")
    found = survey(normals, settings.preparation, settings.least_side, masks, progress)
    for objection in found.left_out:
        progress.warn(f"left out {objection.path}: {objection.reason}")
    trained = set(model.card["trained_on"]["digests"])
    candidates = [candidate for candidate in found.candidates if candidate.digest not in trained]
    for candidate in found.candidates:
        if candidate.digest in trained:
            progress.warn(f"left out {candidate.found.relative}: the model was trained on this very scan, which says nothing of others")
    if len(candidates) < _FEWEST:
        raise WrongUse(
            f"How much normal scans of this scanner differ cannot be said from {len(candidates)} that can be used; give at least "
            f"{_FEWEST} that the model was not trained on, better ten."
        )
    candidates = at_most(candidates)
    prefix = "intensity/"
    intensity = {name[len(prefix) :]: values for name, values in model.arrays.items() if name.startswith(prefix)}
    if settings.preparation.intensity != "landmarks":  # the scale that the network learned from lies in landmarks; a scan is brought to it
        intensity = learn_intensity(settings.preparation, [candidate.measurement for candidate in candidates])
    prepared = []
    for number, candidate in enumerate(candidates):
        progress.report("preparing scans", number, len(candidates))
        scan, mask = candidate.read()
        prepared.append(prepare(scan, settings.preparation, intensity, mask, settings.least_side))
        for text in (*scan.warnings, *prepared[-1].warnings):
            progress.warn(f"{candidate.found.relative}: {text}")
    slices = [Slices(one.slices, one.foreground) for one in prepared]
    method = make_method(settings, find_device(device))
    method.load_arrays(model.arrays)
    before = _shift(model, method, slices, progress)
    if before.median > _UNFAMILIAR:
        raise InvDetectError(
            f"The model finds its way in these scans so badly (the median of their scores lies {before.median:.1f} above that of normal "
            "scans of its own kind, in the map's unit) that they must be of another modality, part of the body or plane; adapt a model "
            "for such scans, or train one."
        )
    method.settle(slices, progress)
    mean_distance = mean_neighbour_distance(method, slices, settings.refinement.edges, progress)
    calibration, calibrated = calibrate_method(method, slices, mean_distance, are_gapless(candidates), settings.refinement, progress)
    looks = appearance(prepared)
    card = {name: value for name, value in model.card.items() if name not in ("tuned", "unseen_normals")}
    card |= {
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": versions(),
        "device": describe_device(method.device),
        "calibrated_on": counts(candidates),
        "adapted": {
            "from": model.checksum,
            "scans": len(candidates),
            "score_shift": before.as_dict(),
            "seconds": round(time.monotonic() - started, 1),
        },
        "trained_on": card["trained_on"] | {name: looks[name] for name in ("unit", "pixel", "anisotropy", "intensity")},
        **calibrated,
    }
    arrays = {name: values for name, values in model.arrays.items() if not name.startswith(prefix)}
    arrays |= method.arrays() | {f"{prefix}{name}": values for name, values in intensity.items()}
    progress.report("done")
    return Model(dataclasses.replace(settings), arrays, calibration, card)


def _shift(model: Model, method: Method, slices: Sequence[Slices], progress: Progress) -> ScoreShift:
    """How far the scores of these normal scans lie from those of the model's own, before anything is measured anew."""
    calibration = calibration_of(model.calibration, method.direction, method.direction)
    distance, edges = model.card["mean_neighbour_distance"], model.settings.refinement.edges
    found = [score_slices(method, one, distance, edges, progress, stage="scoring normal scans as before") for one in slices]
    return ScoreShift.of(np.concatenate([one.raw[one.scored] for one in found]), calibration)
