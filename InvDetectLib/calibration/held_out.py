"""Held-out normal scans, scored: how much of them a cut flags, and the calibration that follows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..common import InvDetectError, Progress
from ..methods import Method, Scores, Slices, score_slices
from ..metrics import intensity_score, threshold_at_rate
from ..models import Refinement
from ..refinement import Cuts
from ..scans import SliceGrid
from .calibration import CONTIGUITIES, RATES, Calibration, peaks_of, score_unit, smallest_contiguity, threshold_table, with_others
from .masses import heaviest, mass_unit

_InUnit = Callable[[np.ndarray], np.ndarray]  # made where it is needed: maps of all scans at once are as large as what was scored
_MOST_SLICES = 128  # slices on which cuts are measured: 1 % of their foreground are still tens of thousands of pixels


def calibrate(
    scans: Sequence[Scores],
    grids: Sequence[SliceGrid],
    contiguous: bool,
    refinement: Refinement,
    progress: Progress,
    tuned: Callable[[float, float, float], float] | None = None,
) -> Calibration:
    """Unit, lambda, thresholds, peaks, masses and floor from held-out normal scans.

    scans       one `Scores` each;  grids  those they lie on, which say how large their voxels are
    contiguous  whether each is a gapless volume: then a p-value counts scans, else slices
    tuned       from offset, scale and lambda to the default threshold, where annotated scans choose it
    Raises `InvDetectError` when nothing in them was scored.
    """
    pooled = np.concatenate([scan.raw[scan.scored] for scan in scans])
    if not len(pooled):
        raise InvDetectError("The held-out normal scans hold nothing to score; check the foreground rule and the grid.")
    offset, scale = score_unit(pooled, refinement.unit)

    def in_unit(raw: np.ndarray) -> np.ndarray:
        return np.asarray((raw - np.float32(offset)) / np.float32(scale))

    low, high = ((float(end(pooled)) - offset) / scale for end in (np.min, np.max))
    areas = _Areas(scans, in_unit, progress)
    contiguity = refinement.contiguity
    if contiguity is None:
        contiguity = smallest_contiguity(lambda value: areas.share(0.0, value), refinement.rate)
    thresholds = threshold_table(lambda t, factor: areas.share(t, factor * contiguity), low, high)
    # The rule of the paper needs no threshold: its lambda alone keeps the area below the rate.
    at_one = thresholds[CONTIGUITIES.index(1.0)]
    default = 0.0 if refinement.contiguity is None else float(np.interp(np.log(refinement.rate), np.log(RATES), at_one))
    if tuned is not None:
        default = tuned(offset, scale, float(contiguity))
    calibration = Calibration(
        unit=refinement.unit,
        offset=offset,
        scale=scale,
        contiguity=float(contiguity),
        default_threshold=default,
        contiguities=CONTIGUITIES,
        rates=RATES,
        thresholds=thresholds,
        peaks=peaks_of((in_unit(scan.raw) for scan in scans), [scan.scored for scan in scans], contiguous),
        peak_unit="scan" if contiguous else "slice",
        floor=low,
        normal_area=areas.share(default, float(contiguity)),
        raw_quantiles=tuple(float(q) for q in np.quantile(pooled, [0.01, 0.5, 0.9, 0.99])),
    )
    return _with_masses(calibration, scans, in_unit, grids, progress)


def _with_masses(
    calibration: Calibration, scans: Sequence[Scores], in_unit: _InUnit, grids: Sequence[SliceGrid], progress: Progress
) -> Calibration:
    """With the largest mass of a finding in each unit, at the calibration's own operating point; `in_unit` is of the raw scores."""
    per_scan = calibration.peak_unit == "scan"
    unit = mass_unit(grids, per_scan)
    if not unit:
        return calibration
    masses: list[float] = []
    for scan, grid in zip(scans, grids):
        progress.report("weighing held-out normal scans")
        values = in_unit(scan.raw)
        with Cuts() as cuts:
            for k in np.flatnonzero(scan.scored.any(axis=(1, 2))):
                edges = scan.down[k], scan.right[k]
                cuts.add(int(k), values[k], *edges, calibration.contiguity, calibration.default_threshold, scan.scored[k])
            mask = cuts.mask(scan.scored.shape)
        masses += heaviest(values, mask, scan.scored, calibration.forming_level, grid, per_scan)
    return replace(calibration, masses=tuple(sorted(masses)), mass_unit=unit)


def calibrate_method(
    method: Method,
    held_out: Sequence[Slices],
    grids: Sequence[SliceGrid],
    mean_distance: float,
    contiguous: bool,
    refinement: Refinement,
    progress: Progress,
    tuned: Callable[[float, float, float], float] | None = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Score held-out normal scans with a settled method, and `calibrate` it for every direction that it knows.

    mean_distance  m of `edge_weights`; the others as for `calibrate`. The method keeps its own direction.
    Returns what a model stores (see `with_others`), and facts for its card.
    """
    brightness = [intensity_score(scan.values, scan.foreground) for scan in held_out]
    plain = threshold_at_rate(brightness, [scan.foreground for scan in held_out], refinement.rate)
    del brightness  # as large as the scans; the scores to come are more than twice as large
    own, found = method.direction, {}
    for direction in method.directions or (own,):
        method.direction = direction
        scores = []
        for scan in held_out:
            one = score_slices(method, scan, mean_distance, refinement.edges, progress, stage="scoring held-out normal scans")
            scores.append(replace(one, pseudo_normal=None))  # calibration looks at scores alone
        found[direction] = calibrate(scores, grids, contiguous, refinement, progress, tuned)
    method.direction = own
    facts = {
        "direction": own,
        "directions": list(method.directions),
        "mean_neighbour_distance": mean_distance,
        "contiguity": found[own].contiguity,
        "default_threshold": found[own].default_threshold,
        "score_unit": found[own].unit,
        "normal_area": found[own].normal_area,
        "intensity_threshold": plain,
    }
    return with_others(found, own), facts


class _Areas:
    """Share of held-out foreground that a cut flags, on slices spread evenly over all scans."""

    def __init__(self, scans: Sequence[Scores], in_unit: _InUnit, progress: Progress) -> None:
        places = [(s, k) for s, scan in enumerate(scans) for k in range(len(scan.raw)) if scan.scored[k].any()]
        chosen = places[:: max(1, -(-len(places) // _MOST_SLICES))]
        self._slices = [(in_unit(scans[s].raw[k]), scans[s].down[k], scans[s].right[k], scans[s].scored[k]) for s, k in chosen]
        self._pixels = sum(int(scored.sum()) for *_, scored in self._slices)
        self._progress = progress

    def share(self, threshold: float, contiguity: float) -> float:
        """Flagged share (0 to 1) of the foreground for the cut on A - threshold with lambda = contiguity."""
        self._progress.report("calibrating on held-out normal scans")
        with Cuts() as cuts:
            for number, (values, down, right, scored) in enumerate(self._slices):
                cuts.add(number, values, down, right, contiguity, threshold, scored)
            flagged = sum(int(mask.sum()) for _, mask in cuts.masks())
        return flagged / self._pixels
