"""How well maps and masks agree with known lesions: pure functions over arrays, over foreground only (METHOD.md of the study, section 9).

A function such as `slice_dice` or `auroc` looks at all scans and returns what each patient adds to the metric, an `Averaged` or a `Pooled`:
its `.value` is the metric, `resampling.patient_bootstrap` gives the interval, `paired_difference` compares two methods on the same scans.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .resampling import Averaged, Pooled

_SAME_PLACE = 0.1  # a finding is the lesion when they share at least this part of their union


@dataclass(frozen=True)
class ScoredScan:
    """One scan with what is known and what was found; all arrays (slice, row, column), of one shape, in the scan's own voxels.

    patient     scans of one patient carry one name
    anomaly     float, the higher the less normal; NaN inside the foreground raises ValueError
    mask        bool, what was detected
    truth       bool, the lesions; none in a normal scan
    foreground  bool, what counts
    axis        0, 1 or 2: the array axis that the slices follow
    """

    patient: str
    anomaly: np.ndarray
    mask: np.ndarray
    truth: np.ndarray
    foreground: np.ndarray
    axis: int = 0

    def __post_init__(self) -> None:
        shapes = {array.shape for array in (self.anomaly, self.mask, self.truth, self.foreground)}
        if len(shapes) > 1 or self.mask.ndim != 3:
            raise ValueError(f"the arrays of a scored scan need one shape (slice, row, column), not {sorted(shapes)}")
        if any(array.dtype != np.bool_ for array in (self.mask, self.truth, self.foreground)):
            raise ValueError("mask, truth and foreground are arrays of bool")
        if np.isnan(self.anomaly[self.foreground]).any():
            raise ValueError("the anomaly map holds NaN in the foreground")

    def per_slice(self, marked: np.ndarray) -> np.ndarray:
        """(slices along `axis`,) int: foreground voxels of each slice in which `marked` (bool, the scan's shape) is true."""
        in_plane = tuple(axis for axis in range(3) if axis != self.axis)
        return np.asarray(np.count_nonzero(marked & self.foreground, axis=in_plane))


# --- masks ------------------------------------------------------------------------------------------------------------------------------


def slice_dice(scans: Iterable[ScoredScan]) -> Averaged:
    """Mean over the slices with lesion of Dice = 2 |mask and truth| / (|mask| + |truth|); nothing detected counts 0."""
    return Averaged.collect(row for scan in scans for row in _slice_rows(scan, scan.mask, _dice))


def slice_precision(scans: Iterable[ScoredScan]) -> Averaged:
    """Mean over the slices with lesion of |mask and truth| / |mask|; nothing detected counts 0."""
    return Averaged.collect(row for scan in scans for row in _slice_rows(scan, scan.mask, _precision))


def volume_dice(scans: Iterable[ScoredScan]) -> Averaged:
    """Mean over the patients with lesion of the Dice of all their voxels together."""
    sums: dict[str, np.ndarray] = {}
    for scan in scans:
        parts = [scan.per_slice(marked).sum() for marked in (scan.mask & scan.truth, scan.mask, scan.truth)]
        sums[scan.patient] = sums.get(scan.patient, np.zeros(3)) + parts
    return Averaged.collect((patient, _dice(*parts), 1) for patient, parts in sums.items() if parts[2])


def normal_area(scans: Iterable[ScoredScan]) -> Averaged:
    """Detected share of the foreground (0 to 1) of scans without lesion, all voxels together."""
    return Averaged.collect((scan.patient, scan.per_slice(scan.mask).sum(), scan.foreground.sum()) for scan in scans)


def lesion_sensitivity(scans: Sequence[ScoredScan], false_findings: float) -> Averaged:
    """Share of the lesions found when as many findings are kept as bring at most `false_findings` false ones a scan, on average.

    Lesions and findings are the 26-connected pieces of truth and mask. A finding is true for a lesion when they share at least a tenth of
    their union, and false when it is true for none. Findings are kept from the highest peak of the anomaly map downwards, by one limit for
    all scans (which stays as it is when patients are resampled); of findings with equal peaks all are kept or none.
    """
    examined = [(scan.patient, *_lesions_and_false(scan)) for scan in scans]
    wrong = np.sort(np.concatenate([peaks for _, _, peaks in examined] or [np.empty(0)]))[::-1]
    allowed = math.floor(false_findings * len(examined) + 1e-9)
    limit = wrong[allowed] if allowed < len(wrong) else -math.inf
    return Averaged.collect((patient, int(np.count_nonzero(best > limit)), len(best)) for patient, best, _ in examined)


def same_place(lesion: np.ndarray, finding: np.ndarray) -> np.ndarray:
    """Which findings are true for which lesions: those that share at least a tenth of their union. (lesions, findings) bool

    lesion, finding  whole numbers of one shape: the label of each voxel's lesion and finding, from 1 on, 0 where there is none
    """
    lesions, findings = int(lesion.max(initial=0)), int(finding.max(initial=0))
    both = lesion.astype(np.int64) * (findings + 1) + finding.astype(np.int64)
    shared = np.bincount(both.ravel(), minlength=(lesions + 1) * (findings + 1)).reshape(lesions + 1, findings + 1)
    union = shared.sum(axis=1, keepdims=True) + shared.sum(axis=0) - shared
    return np.asarray((shared >= _SAME_PLACE * union)[1:, 1:])


def _dice(hit: float, found: float, lesion: float) -> float:
    return 2 * hit / (found + lesion)


def _precision(hit: float, found: float, lesion: float) -> float:
    return hit / found if found else 0.0


def _slice_rows(scan: ScoredScan, mask: np.ndarray, measure: Callable[[float, float, float], float]) -> Iterator[tuple[str, float, float]]:
    hits, found, lesions = (scan.per_slice(marked) for marked in (mask & scan.truth, mask, scan.truth))
    for index in np.flatnonzero(lesions):
        yield scan.patient, measure(hits[index], found[index], lesions[index]), 1


def _lesions_and_false(scan: ScoredScan) -> tuple[np.ndarray, np.ndarray]:
    """For each lesion the highest peak among the findings that are true for it (NaN: none), and the peaks of the false findings."""
    around = np.ones((3, 3, 3))
    lesion, _ = ndimage.label(scan.truth & scan.foreground, around)
    finding, findings = ndimage.label(scan.mask & scan.foreground, around)
    true = same_place(lesion, finding)
    peaks = np.atleast_1d(ndimage.maximum(scan.anomaly, finding, np.arange(1, findings + 1))).astype(np.float64)
    best = np.array([peaks[row].max() if row.any() else math.nan for row in true])
    return best, peaks[~true.any(axis=0)]


# --- maps -------------------------------------------------------------------------------------------------------------------------------


def ranking(scans: Iterable[ScoredScan]) -> dict[str, Pooled]:
    """{"ap": `average_precision`, "auroc": `auroc`} of the same scans in the time of one."""
    rows = [(scan.patient, scan.anomaly[scan.foreground], scan.truth[scan.foreground]) for scan in scans if scan.foreground.any()]
    return Pooled.collect(rows)


def average_precision(scans: Iterable[ScoredScan]) -> Pooled:
    """Average precision of the map over all foreground voxels of all scans together.

    That is the sum over the map's values, from the highest down, of precision times gain in recall.
    """
    return ranking(scans)["ap"]


def auroc(scans: Iterable[ScoredScan]) -> Pooled:
    """Area under the ROC curve of the map over all foreground voxels of all scans together; ties count half."""
    return ranking(scans)["auroc"]


def oracle_dice(scans: Sequence[ScoredScan]) -> Averaged:
    """`slice_dice` of the map at `oracle_threshold`: an upper bound that has seen the truth, never a result of a method.

    The threshold stays as it is when patients are resampled.
    """
    threshold = oracle_threshold(scans)
    return Averaged.collect(row for scan in scans for row in _slice_rows(scan, scan.anomaly >= threshold, _dice))


def oracle_threshold(scans: Iterable[ScoredScan]) -> float:
    """The one threshold t for all scans at which the mask "map >= t" has the highest `slice_dice`; exact. Infinite without lesions."""
    values, gains = [np.empty(0)], [np.empty(0)]
    for scan in scans:
        for index in np.flatnonzero(scan.per_slice(scan.truth)):
            inside = scan.foreground.take(index, scan.axis)
            score, truth = (array.take(index, scan.axis)[inside] for array in (scan.anomaly, scan.truth))
            order = np.argsort(score)[::-1]
            hits = np.cumsum(truth[order])
            values.append(score[order])
            gains.append(np.diff(2 * hits / (np.arange(1, len(hits) + 1) + hits[-1]), prepend=0.0))
    value, gain = np.concatenate(values), np.concatenate(gains)
    if not value.size:
        return math.inf
    order = np.argsort(value)[::-1]
    value, total = value[order], np.cumsum(gain[order])
    last = np.append(value[1:] != value[:-1], True)  # a threshold takes all of what is tied
    return float(value[last][np.argmax(total[last])])


# --- the plain baseline -----------------------------------------------------------------------------------------------------------------


def intensity_score(slices: np.ndarray, foreground: np.ndarray) -> np.ndarray:
    """The baseline every method has to beat: brightness itself, smoothed by a Gaussian of 2 pixels in the plane.

    slices      (slice, row, column[, channel]) float in [-1, 1] on the model's grid, prepared as for the model; channels are averaged
    foreground  (slice, row, column) bool
    Returns (slice, row, column) float32; -1, the lowest brightness, outside the foreground.
    """
    brightness = slices.mean(axis=3) if slices.ndim == 4 else slices
    smooth = ndimage.gaussian_filter(brightness.astype(np.float32), (0, 2, 2), mode="nearest")
    return np.where(foreground, smooth, np.float32(-1))


def threshold_at_rate(normal_maps: Iterable[np.ndarray], normal_foregrounds: Iterable[np.ndarray], rate: float) -> float:
    """The smallest threshold t for which "map > t" flags at most `rate` of the normal scans' foreground, all voxels together.

    normal_maps, normal_foregrounds  (slice, row, column) float and bool, one of each a held-out normal scan
    rate  0 or more, below 1
    Raises ValueError for another rate, or when there is no foreground.
    """
    values = np.concatenate([scores[inside] for scores, inside in zip(normal_maps, normal_foregrounds, strict=True)] or [np.empty(0)])
    if not 0 <= rate < 1 or not values.size:
        raise ValueError("a threshold needs normal foreground and a rate from 0 to below 1")
    rank = values.size - 1 - math.floor(rate * values.size + 1e-9)  # as many values as may be flagged lie above this one
    return float(np.partition(values, rank)[rank])
