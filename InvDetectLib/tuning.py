"""The paper's grid search: the epsilon and the threshold with the best Dice on annotated scans, which are no test of the model any more."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .errors import InvDetectError
from .methods import Slices, Tunable
from .metrics import ScoredScan, oracle_threshold, slice_dice
from .progress import Progress
from .scans import Prepared, Scan, find_masks, find_scans, match_mask, read_mask, read_scan

_MOST_SLICES = 8  # of a scan, evenly spread over those with an annotation: each is matched once for every radius


@dataclass(frozen=True)
class Annotated:
    """Slices of one scan on the model's grid that hold lesions, and where: truth (slice, row, column) bool."""

    patient: str
    slices: Slices
    truth: np.ndarray


@dataclass(frozen=True)
class Tuned:
    """What was found: the threshold on raw scores, and facts for the model's card."""

    threshold: float
    facts: dict[str, Any]


def read_annotated(
    scans: str | Path,
    masks: str | Path,
    prepared: Callable[[Scan], Prepared],
    normals: Collection[str],
    progress: Progress,
) -> list[Annotated]:
    """Annotated scans with their masks, one a scan and named like it, as for `evaluate`.

    prepared  brings a scan to the model's grid;  normals  digests of the scans that are learned from
    Raises `InvDetectError` for a scan without a mask or with one of another shape or place, for one that is also learned from, and when
    no scan has an annotation inside its foreground.
    """
    found, paths = find_scans(scans)[0], [mask.path for mask in find_masks(masks)[0]]
    annotated = []
    for done, entry in enumerate(found, 1):
        progress.report("reading annotated scans", done, len(found))
        scan = read_scan(entry.path)
        truth = read_mask(match_mask(scan.name, paths), scan.geometry)
        if scan.digest in normals:
            raise InvDetectError(f"{entry.path} is also among the normal scans; take it out of them, or of the annotated ones.")
        ready = prepared(scan)
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


def search(method: Tunable, annotated: Sequence[Annotated], progress: Progress) -> Tuned:
    """Try every radius; `method` keeps the one with the highest Dice (mean over slices, at the best threshold for all of them)."""
    radii: list[float | None] = [*method.radii()] or [method.epsilon]  # a method without a ball still has a threshold
    tried = []
    for done, radius in enumerate(radii):
        progress.report("tuning on annotated scans", done, len(radii))
        method.epsilon = radius
        scored = [_scored(method, one, progress) for one in annotated]
        threshold = oracle_threshold(scored)
        tried.append((slice_dice(replace(one, mask=one.anomaly >= threshold) for one in scored).value, threshold))
    best = int(np.argmax([dice for dice, _ in tried]))
    method.epsilon = radii[best]
    dice, threshold = tried[best]
    facts = {"epsilon": radii, "dice": [one for one, _ in tried], "scans": len(annotated), "best_dice": dice, "threshold": threshold}
    return Tuned(threshold, {"epsilon": radii[best], "tuned": facts})


def _scored(method: Tunable, one: Annotated, progress: Progress) -> ScoredScan:
    maps = np.stack([found.scores for found in method.map_and_edges(one.slices, progress)])
    return ScoredScan(one.patient, maps, np.zeros(maps.shape, bool), one.truth, one.slices.foreground)
