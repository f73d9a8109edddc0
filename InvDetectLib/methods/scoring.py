"""The one path from prepared slices to scores and edge weights. Training, calibration and detection all take it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..common import Progress
from ..models import Settings
from ..refinement import edge_weights, image_distances
from .contract import Method, SliceMap, Slices, places_with_foreground

_ACROSS = 4  # patches in a row of a slice that time is measured with
_BESIDE = 0.1  # abar
_NEIGHBOUR_SLICES = 16  # evenly spread, from which m of Eq. 4 is measured: some 100,000 pairs of neighbours


@dataclass(frozen=True)
class Scores:
    """What a method found in one scan, on the model's grid.

    raw          (slice, row, column) float32 scores before the unit of the calibration, 0 where nothing was scored
    scored       (slice, row, column) bool
    down, right  (slice, row - 1, column) and (slice, row, column - 1) float16: alpha of Eq. 4
    pseudo_normal  (slice, row, column, channel) float32 in [-1, 1], -1 where nothing was scored; None from methods without one
    """

    raw: np.ndarray
    scored: np.ndarray
    down: np.ndarray
    right: np.ndarray
    pseudo_normal: np.ndarray | None = None


def score_slices(
    method: Method,
    slices: Slices,
    mean_distance: float,
    edges: str,
    progress: Progress,
    wanted: range | None = None,
    stage: str = "scoring slices",
    on_slice: Callable[[int, Scores], None] | None = None,
) -> Scores:
    """Score the `wanted` slices (all by default) of one scan.

    mean_distance, edges  m and rule of `edge_weights`;  stage  what progress calls it
    on_slice              called with each slice's number as soon as it is scored, and with what is known by then
    Memory beyond the result's own arrays does not grow with the number of slices.
    """
    count, rows, columns = slices.foreground.shape
    chosen = range(count) if wanted is None else wanted
    raw, scored = np.zeros((count, rows, columns), np.float32), np.zeros((count, rows, columns), bool)
    down, right = np.ones((count, rows - 1, columns), np.float16), np.ones((count, rows, columns - 1), np.float16)
    scores = Scores(raw, scored, down, right)
    part = method.look_over(slices).part(slice(chosen.start, chosen.stop))
    for found in method.map_and_edges(part, progress):
        number = chosen.start + found.number
        raw[number], scored[number] = np.where(found.scored, found.scores, 0), found.scored
        if found.pseudo_normal is not None:
            normal = np.full(slices.values.shape, -1, np.float32) if scores.pseudo_normal is None else scores.pseudo_normal
            normal[number] = found.pseudo_normal
            scores = replace(scores, pseudo_normal=normal)
        distances = _distances(found, slices.values[number], edges)
        down[number], right[number] = (edge_weights(distance, mean_distance, edges) for distance in distances)
        if on_slice is not None:
            on_slice(number, scores)
        progress.report(stage, found.number + 1, len(chosen))
    return scores


def other_levels(levels: tuple[float, ...]) -> list[tuple[float, ...]]:
    """What a method's `levels` might as well have been: of several the first and last alone, of one those 0.1 beside it."""
    if len(levels) > 1:
        return [levels[:1], levels[-1:]]
    return [(round(level + step, 6),) for level in levels for step in (-_BESIDE, _BESIDE) if 0 < level + step < 1]


def mean_neighbour_distance(method: Method, scans: Sequence[Slices], edges: str, progress: Progress) -> float:
    """m of `edge_weights`: the mean of |r_p - r_q|^2 over neighbouring scored pixels of training slices.

    edges  the rule, which says between what the distances are
    """
    everything = places_with_foreground(scans)
    step = max(1, -(-len(everything) // _NEIGHBOUR_SLICES))
    total, count = 0.0, 0
    chosen, scan, looked_over = everything[::step].tolist(), -1, None
    for done, (wanted, number) in enumerate(chosen, 1):
        if looked_over is None or wanted != scan:  # of many scans most are not asked for
            scan, looked_over = wanted, method.look_over(scans[wanted])
        one = looked_over.part(slice(number, number + 1))
        for found in method.map_and_edges(one, progress):
            inside = found.scored
            neighbours = inside[1:] & inside[:-1], inside[:, 1:] & inside[:, :-1]
            for distance, pairs in zip(_distances(found, one.values[0], edges), neighbours):
                total += float(distance[pairs].sum(dtype=np.float64))
                count += int(pairs.sum())
        progress.report("measuring neighbour distances", done, len(chosen))
    return total / count if count else 0.0


def _distances(found: SliceMap, image: np.ndarray, edges: str) -> tuple[np.ndarray, np.ndarray]:
    """|r_p - r_q|^2 of Eq. 4 downwards and to the right: of what is scored, or of the image."""
    return image_distances(image) if edges == "image" else found.distances()


def random_slice(settings: Settings) -> tuple[Slices, int]:
    """One slice of random noise to measure time with, and how many patches (of MatchGen: slices) it holds."""
    if settings.whole_slices:
        side, units = settings.preparation.grid or 256, 1
    else:
        patches = settings.invdetect.patches
        side, units = patches.size + (_ACROSS - 1) * patches.stride, _ACROSS**2
    values = np.random.default_rng(0).uniform(-1, 1, (1, side, side, settings.preparation.channels or 1)).astype(np.float32)
    return Slices(values, np.ones((1, side, side), bool)), units
