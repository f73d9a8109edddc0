"""The paper's grid search: epsilon, then the threshold, with the best Dice on annotated scans, which are no test of the model any more."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..common import InvDetectError, Progress
from ..methods import Scores, Slices, Tunable
from ..metrics import ScoredScan, oracle_threshold, slice_dice
from ..refinement import Cuts
from ..scans import ForegroundChoice, Prepared, Scan, annotated_cases, read_scan, read_truth

_SHARES_ABOVE = np.geomspace(0.5, 1e-3, 28)  # of the annotated slices' pixels, above the thresholds that are tried
_MOST_SLICES = 8  # of a scan, evenly spread over those with an annotation: each is matched once for every radius


@dataclass(frozen=True)
class Annotated:
    """Slices of one scan on the model's grid that hold lesions, and where: truth (slice, row, column) bool."""

    patient: str
    slices: Slices
    truth: np.ndarray


def read_annotated(
    scans: str | Path,
    masks: str | Path,
    prepared: Callable[[Scan, np.ndarray | None], Prepared],
    normals: Collection[str],
    progress: Progress,
    at: float | None = None,
    foreground: str | Path | None = None,
) -> list[Annotated]:
    """Annotated scans with their masks, one a scan and named like it, as for `evaluate`.

    prepared  brings a scan to the model's grid, with the mask of its foreground where `foreground` is a folder of such
    normals   digests of the scans that are learned from;  at  see `scans.read_truth`
    Raises `InvDetectError` for a scan without a mask or with one of another shape or place, for one that is also learned from, and when
    no scan has an annotation inside its foreground.
    """
    cases = annotated_cases(scans, masks, progress.warn)
    own = ForegroundChoice(None if foreground is None else os.path.abspath(foreground)).among([case.found for case in cases])
    annotated = []
    for done, case in enumerate(cases, 1):
        progress.report("reading annotated scans", done, len(cases))
        entry, scan, mask = case.found, read_scan(case.found.path), case.wanted_mask()
        assert mask is not None  # every one of these cases wants one
        truth = read_truth(mask, scan.geometry, at)
        if scan.digest in normals:
            raise InvDetectError(f"{entry.path} is also among the normal scans; take it out of them, or of the annotated ones.")
        ready = prepared(scan, own.mask(scan, entry.path))
        if truth[ready.native_foreground].all():
            raise InvDetectError(f"{mask} calls the whole foreground of its scan a lesion. Give a mask that is 0 where there is none.")
        inside = ready.grid.mask_to_grid(truth) & ready.foreground
        numbers = np.flatnonzero(inside.any(axis=(1, 2)))
        if not len(numbers):
            progress.warn(f"{entry.path}: nothing is annotated inside the foreground; it is of no use for tuning")
            continue
        chosen = numbers[np.unique(np.linspace(0, len(numbers) - 1, _MOST_SLICES).round().astype(int))]
        annotated.append(Annotated(str(entry.path), Slices(ready.slices[chosen], ready.foreground[chosen]), inside[chosen]))
    if not annotated:
        raise InvDetectError(f"None of the scans in {scans} has an annotation inside its foreground; check the masks.")
    return annotated


def choose_radius(method: Tunable, annotated: Sequence[Annotated], progress: Progress) -> dict[str, Any]:
    """Try every radius; `method` keeps the one with the highest Dice of a threshold alone (mean over slices, the best one for all of them).

    Returns facts for the model's card.
    """
    radii: list[float | None] = [*method.radii()] or [method.epsilon]  # a method without a ball still has a threshold
    dice = []
    for done, radius in enumerate(radii):
        progress.report("tuning on annotated scans", done, len(radii))
        method.epsilon = radius
        scored = [_as_scored(one, _maps(method, one, progress)) for one in annotated]
        threshold = oracle_threshold(scored)
        dice.append(slice_dice(replace(one, mask=one.anomaly >= threshold) for one in scored).value)
    method.epsilon = radii[int(np.argmax(dice))]
    return {"epsilon": method.epsilon, "tuned": {"epsilon": radii, "dice": dice, "scans": len(annotated)}}


def choose_threshold(
    annotated: Sequence[Annotated], scores: Sequence[Scores], offset: float, scale: float, contiguity: float, progress: Progress
) -> tuple[float, float]:
    """The threshold with the highest Dice of the masks that detection will cut, mean over slices, and that Dice.

    scores  of each of `annotated`;  offset, scale, contiguity  unit and lambda of the calibration; the threshold is in that unit
    A cut with lambda 1 wants a much lower threshold than the map alone (on gliomas 0.2 instead of 0.6 for the same share of normals),
    so the one that `choose_radius` finds on its way would lose most of what is weak.
    """
    maps = [(one.raw - np.float32(offset)) / np.float32(scale) for one in scores]
    pooled = np.concatenate([values[one.scored] for values, one in zip(maps, scores)])
    alone = oracle_threshold(_as_scored(*pair) for pair in zip(annotated, maps))
    below = np.nextafter(np.float32(alone), np.float32(-np.inf))  # a cut flags what lies above a threshold, not what lies on it
    candidates = np.unique([below, *np.quantile(pooled, 1 - _SHARES_ABOVE)])
    places = [(scan, k) for scan, one in enumerate(annotated) for k in range(len(one.truth))]
    dice = []
    for done, threshold in enumerate(candidates):
        progress.report("choosing the threshold on annotated scans", done, len(candidates))
        masks = [np.zeros(one.truth.shape, bool) for one in annotated]
        with Cuts() as cuts:
            for number, (scan, k) in enumerate(places):
                one = scores[scan]
                cuts.add(number, maps[scan][k], one.down[k], one.right[k], contiguity, float(threshold), one.scored[k])
            for number, mask in cuts.masks():
                scan, k = places[number]
                masks[scan][k] = mask
        dice.append(slice_dice(replace(_as_scored(one, values), mask=mask) for one, values, mask in zip(annotated, maps, masks)).value)
    best = int(np.argmax(dice))
    return float(candidates[best]), dice[best]


def _maps(method: Tunable, one: Annotated, progress: Progress) -> np.ndarray:
    return np.stack([found.scores for found in method.map_and_edges(one.slices, progress)])


def _as_scored(one: Annotated, maps: np.ndarray) -> ScoredScan:
    return ScoredScan(one.patient, maps, np.zeros(maps.shape, bool), one.truth, one.slices.foreground)
