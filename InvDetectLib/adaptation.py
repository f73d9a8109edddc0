"""The orchestrator of adaptation: from a model and a few normal scans of another scanner to a model for that scanner, without training."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

from .calibration import calibrate_method
from .common import Event, Progress, WrongUse, versions
from .computing import describe_device, find_device
from .methods import Slices, load_method, mean_neighbour_distance
from .models import REHEARSAL, Model, contradict, one_line, relied_on
from .rehearsal import rehearsed
from .scans import Appearance, Paths, appearance, are_gapless, at_most, counts, learn_intensity, prepare, survey_unseen

_FEWEST = 2  # scans: one says nothing of how much scans differ
_UNFAMILIAR = 0.4  # FLAIR of six institutions -0.1 to 0.3, one left out 0.43; T1, coronal, sagittal 0.2 to 0.64 (`quick`)


def adapt(
    model: Model | str | Path,
    normals: Paths,
    *,
    masks: str | Path | None = None,
    modality: str | None = None,
    device: str = "auto",
    rehearse: bool = True,
    on_progress: Callable[[Event], None] | None = None,
    progress: Progress | None = None,
) -> Model:
    """Measure anew on normal scans of another scanner what depends on it: intensities, units, thresholds, rates and p-values.

    normals   folder (nested, mixed formats), file, pattern, or a list of these: two scans or more, none of which the model was trained on
    masks     folder of foreground masks, for a model with the foreground rule "masks"
    rehearse  put made lesions into these scans, and keep in the card which are found (see `rehearse`): some minutes
    modality  what the user says the scans are, to be compared with what the model is for

    The network stays as it is. Returns a `Model` that is not saved yet; its card says on how many scans it was adapted, and from which
    model.
    Raises `WrongUse` for too few scans and for a modality other than the model's. Scans in which the network finds its way worse than on
    other scanners are told with a warning, and in the card ("strangeness"): how scans look does not tell modalities apart for certain.
    """
    progress = progress or Progress(on_progress)
    started = time.monotonic()
    model = model if isinstance(model, Model) else Model.load(model)
    settings = model.settings
    meant = settings.preparation.modality
    if contradict(modality, meant):
        said, made_for = one_line(modality, 80), one_line(meant, 80)
        raise WrongUse(f"The normal scans are said to be {said}, and the model was made for {made_for}; adapt a model for {said}.")
    known, why = relied_on(model.card).trained_on.digests, "which says nothing of others"
    candidates = survey_unseen(normals, settings.preparation, settings.least_side, masks, known, why, progress)
    if len(candidates) < _FEWEST:
        raise WrongUse(
            f"How much normal scans of this scanner differ cannot be said from {len(candidates)} that can be used; give at least "
            f"{_FEWEST} that the model was not trained on, better ten."
        )
    candidates = at_most(candidates)
    intensity = model.part("intensity")
    if settings.preparation.intensity != "landmarks":  # the scale that the network learned from lies in landmarks; a scan is brought to it
        intensity = learn_intensity(settings.preparation, [candidate.measurement for candidate in candidates])
    prepared = []
    for number, candidate in enumerate(candidates):
        progress.report("preparing scans", number, len(candidates))
        scan, mask = candidate.read()
        prepared.append(prepare(scan, settings.preparation, intensity, mask, settings.least_side))
        for text in (*scan.warnings, *prepared[-1].warnings):
            progress.warn(f"{candidate.found.relative}: {text}")
    method = load_method(model, find_device(device))
    slices = [method.look_over(Slices(one.slices, one.foreground)) for one in prepared]
    strange = method.settle(slices, progress)
    if strange > _UNFAMILIAR:
        progress.warn(
            f"What the model makes out in these scans lies {strange:.2f} above what it did in normal scans of its own kind; up to "
            f"{_UNFAMILIAR} is usual for another scanner, and more for another modality, part of the body or plane. Make sure that they "
            "are what the model is for."
        )
    mean_distance = mean_neighbour_distance(method, slices, settings.refinement.edges, progress)
    grids, gapless = [one.grid for one in prepared], are_gapless(candidates)
    calibration, calibrated = calibrate_method(method, slices, grids, mean_distance, gapless, settings.refinement, progress)
    looks = appearance([Appearance.of(one) for one in prepared])
    card = {name: value for name, value in model.card.items() if name not in ("tuned", "unseen_normals", REHEARSAL)}
    card |= {
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": versions(),
        "device": describe_device(method.device),
        "calibrated_on": counts(candidates),
        "adapted": {
            "from": model.checksum,
            "scans": len(candidates),
            "strangeness": round(strange, 3),
            "seconds": round(time.monotonic() - started, 1),
        },
        "trained_on": card["trained_on"] | {name: looks[name] for name in ("unit", "pixel", "anisotropy", "intensity")},
        **calibrated,
    }
    arrays = method.arrays() | {f"intensity/{name}": values for name, values in intensity.items()}
    arrays |= {f"gallery/{name}": values for name, values in model.part("gallery").items()}
    adapted = Model(settings, arrays, calibration, card)
    if rehearse:
        adapted.card |= rehearsed(adapted, candidates, device, 0, progress)
    progress.report("done")
    return adapted
