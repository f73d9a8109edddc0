"""What patients add up to in a metric, its interval by resampling patients, and the paired comparison of two methods.

Patients, never slices or voxels, are resampled: a patient with two scans is drawn as one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

LEVELS = 2**14  # to which pooled scores are quantised for resampling: 2e7 voxels of 40 patients, 1000 draws, in about 2 s
_CELLS = 2**24  # patients x levels stay below this, so that many patients do not fill the memory
_BLOCK = 16  # draws that are looked at together


@dataclass(frozen=True)
class Averaged:
    """A metric that is a sum over patients divided by a count over patients.

    patients        the n patients with a count above 0, sorted
    totals, counts  (n,) float64: slice Dice summed over a patient's slices and the number of these, for example
    """

    patients: tuple[str, ...]
    totals: np.ndarray
    counts: np.ndarray

    @classmethod
    def collect(cls, rows: Iterable[tuple[str, float, float]]) -> Averaged:
        """From (patient, total, count), any number of rows a patient."""
        sums: dict[str, np.ndarray] = {}
        for patient, total, count in rows:
            sums[patient] = sums.get(patient, np.zeros(2)) + (total, count)
        kept = sorted(patient for patient, (_, count) in sums.items() if count > 0)
        table = np.array([sums[patient] for patient in kept]).reshape(-1, 2)
        return cls(tuple(kept), table[:, 0], table[:, 1])

    @property
    def value(self) -> float:
        """The metric over all patients; NaN when there are none."""
        return float(self.totals.sum() / self.counts.sum()) if self.patients else math.nan

    def resampled(self, weights: np.ndarray) -> np.ndarray:
        """(repeats, n) how often each patient was drawn -> (repeats,) float64, the metric."""
        return np.asarray((weights @ self.totals) / (weights @ self.counts))


@dataclass(frozen=True)
class Pooled:
    """A metric of the ranking of all voxels of all scans together.

    kind                  "ap" (average precision) or "auroc"
    value                 the metric, exact; NaN where it is undefined (no lesion; for AUROC also: nothing but lesion)
    patients              the n patients, sorted
    positives, negatives  (n, levels) float32: voxels with and without lesion at each level of the quantised score, highest first

    Quantising serves resampling only. At most 2^14 different scores are a level each, and resampled values are exact too. More are joined,
    half of the levels at quantiles of the lesions' scores and half at quantiles of the others', and what shares a level counts as tied.
    With more than 1024 patients the levels are fewer (2^24 / patients).
    """

    kind: str
    value: float
    patients: tuple[str, ...]
    positives: np.ndarray
    negatives: np.ndarray

    @classmethod
    def collect(cls, rows: Sequence[tuple[str, np.ndarray, np.ndarray]], levels: int = LEVELS) -> dict[str, Pooled]:
        """Both kinds, from one sorting of (patient, scores (voxels,) float, truth (voxels,) bool), any number of rows a patient."""
        patients = tuple(sorted({patient for patient, _, _ in rows}))
        if not rows:
            empty = np.zeros((0, 1), np.float32)
            return {kind: cls(kind, math.nan, (), empty, empty) for kind in _METRICS}
        scores, truth = (np.concatenate([row[part] for row in rows]) for part in (1, 2))
        owner = np.repeat([patients.index(row[0]) for row in rows], [len(row[1]) for row in rows])
        order = np.argsort(scores)[::-1]
        scores, truth, owner = scores[order], truth[order], owner[order]
        last = np.flatnonzero(np.append(scores[1:] != scores[:-1], True))  # of each run of equal scores
        hits = np.cumsum(truth)[last]
        positives, negatives = np.diff(hits, prepend=0), np.diff(last + 1 - hits, prepend=0)

        levels = min(levels, max(_CELLS // len(patients), 2))
        if len(last) <= levels:
            level = np.arange(len(last))
        else:
            level = sum(((np.cumsum(part) - part) * (levels // 2) // max(part.sum(), 1) for part in (positives, negatives)), np.array(0))
        width = int(level[-1]) + 1
        cell = owner * width + np.repeat(level, positives + negatives)
        tables = [np.bincount(cell[truth == wanted], minlength=len(patients) * width) for wanted in (True, False)]
        known, other = (table.reshape(-1, width).astype(np.float32) for table in tables)
        values_of = {kind: float(metric(positives[None], negatives[None])[0]) for kind, metric in _METRICS.items()}
        return {kind: cls(kind, value, patients, known, other) for kind, value in values_of.items()}

    def resampled(self, weights: np.ndarray) -> np.ndarray:
        """(repeats, n) how often each patient was drawn -> (repeats,) float64, the metric; NaN for draws where it is undefined."""
        blocks = np.array_split(weights.astype(np.float32), math.ceil(len(weights) / _BLOCK))
        return np.concatenate([_METRICS[self.kind](block @ self.positives, block @ self.negatives) for block in blocks])


def _average_precision(positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    """Counts (draws, levels), highest level first -> (draws,): the sum over levels of precision times the gain in recall."""
    hit = np.cumsum(positives, axis=1, dtype=np.float64)
    found = hit + np.cumsum(negatives, axis=1, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        return np.asarray((positives * (hit / np.maximum(found, 1))).sum(axis=1) / hit[:, -1])


def _auroc(positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    """Counts as above -> (draws,): the share of pairs of one positive and one negative in which the positive is higher; ties count half."""
    hit = np.cumsum(positives, axis=1, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        return np.asarray((negatives * (hit - positives / 2)).sum(axis=1) / (hit[:, -1] * negatives.sum(axis=1, dtype=np.float64)))


_METRICS = {"ap": _average_precision, "auroc": _auroc}


def patient_bootstrap(metric: Averaged | Pooled, repeats: int = 1000, seed: int = 0) -> dict[str, float]:
    """{"mean": the metric on all patients, "low", "high": its 95 % interval over `repeats` draws of the patients with replacement}.

    Fewer than two patients give no interval: low and high are NaN.
    """
    number = len(metric.patients)
    low, high = _interval(metric.resampled(_draws(number, repeats, seed)) if number > 1 else np.empty(0))
    return {"mean": metric.value, "low": low, "high": high}


def paired_difference(
    first: Averaged | Pooled, second: Averaged | Pooled, repeats: int = 1000, seed: int = 0
) -> dict[str, float | int | bool]:
    """How far `first` is above `second`: the same metric of two methods on the same patients, each draw of patients shared by both.

    Returns {"mean", "low", "high"} of the difference (95 %), "n" the patients it rests on, and "ahead": the interval lies above 0.
    Raises ValueError when the patients differ.
    """
    if first.patients != second.patients:
        raise ValueError("a paired difference needs the same patients on both sides")
    number = len(first.patients)
    draws = _draws(number, repeats, seed)
    low, high = _interval(first.resampled(draws) - second.resampled(draws) if number > 1 else np.empty(0))
    return {"mean": first.value - second.value, "low": low, "high": high, "n": number, "ahead": low > 0}


def _draws(patients: int, repeats: int, seed: int) -> np.ndarray:
    """(repeats, patients) int: how often each patient is drawn, `patients` draws with replacement."""
    return np.random.default_rng(seed).multinomial(patients, np.full(patients, 1 / max(patients, 1)), size=repeats)


def _interval(values: np.ndarray) -> tuple[float, float]:
    known = values[~np.isnan(values)]
    low, high = np.percentile(known, (2.5, 97.5)) if known.size else (math.nan, math.nan)
    return float(low), float(high)
