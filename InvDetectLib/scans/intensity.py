"""From raw values to [-1, 1]: each rule measures single training scans, learns from all of them, and is applied the same way ever after.

Stored in a model as arrays, so that a rule means the same number for the same tissue at training and at detection.
"""

from __future__ import annotations

import numpy as np

from ..errors import WrongUse

PERCENTILES = (1.0, 5.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0)
_TOP = 99.5  # percentile of the foreground that plain scaling puts at 1
_SPREAD = 3.0  # standard deviations on each side that colour matching covers
_TINY = 1e-6

Learned = dict[str, np.ndarray]


def check_rule(rule: str) -> None:
    """Raise `WrongUse` for a rule that does not exist or a window that cannot be."""
    if rule.startswith("window:"):
        _window(rule)
    elif rule not in ("landmarks", "percentile", "full", "channels"):
        raise WrongUse(f"There is no intensity rule {rule!r}; use landmarks, percentile, window:LO,HI, full or channels.")


def measure(rule: str, array: np.ndarray, foreground: np.ndarray) -> np.ndarray:
    """What a rule needs of one training scan, 1-D float64.

    array  (slice, row, column[, channel]); foreground  (slice, row, column) bool
    landmarks: percentiles `PERCENTILES` of the foreground over its 99.5th; channels: mean and standard deviation of each channel;
    full: lowest and highest value; the others need nothing.
    """
    values = array[foreground].astype(np.float64)
    if rule == "landmarks":
        grey = values if values.ndim == 1 else values.mean(axis=1)
        base = _base(array)
        return (np.percentile(grey, PERCENTILES) - base) / max(np.percentile(grey, _TOP) - base, _TINY)
    if rule == "channels":
        channels = values.reshape(len(values), -1)
        return np.concatenate([channels.mean(axis=0), channels.std(axis=0)])
    if rule == "full":
        finite = array[np.isfinite(array)]
        return np.array([finite.min(), finite.max()], np.float64)
    check_rule(rule)
    return np.zeros(0)


def learn(rule: str, measurements: list[np.ndarray]) -> Learned:
    """What the model stores, from the measurements of all training scans.

    landmarks: their mean percentiles; channels: mean and standard deviation of each channel; full: the range of all scans.
    """
    check_rule(rule)
    if rule == "landmarks":
        return {"landmarks": np.maximum.accumulate(np.mean(measurements, axis=0))}
    if rule == "channels":
        mean, spread = np.split(np.mean(measurements, axis=0), 2)
        return {"mean": mean, "spread": spread}
    if rule == "full":
        low, high = np.min(measurements, axis=0)[0], np.max(measurements, axis=0)[1]
        return {"range": np.array([low, high])}
    return {}


def apply(rule: str, learned: Learned, array: np.ndarray, foreground: np.ndarray) -> tuple[np.ndarray, float]:
    """Values in [-1, 1], float32 of the array's shape, and the share of the foreground that clipping changed.

    landmarks   the scan's own foreground percentiles go to the learned ones, piecewise linearly; 0 to -1, 99.5th of training to 1
    percentile  0 to -1, the scan's own 99.5th foreground percentile to 1
    window:LO,HI, full   fixed values to -1 and 1
    channels    mean and standard deviation of each channel to the learned ones; the learned mean -+ 3 deviations to -1 and 1
    For landmarks and percentile 0 is the scan's lowest value if that is negative.
    """
    values = array.astype(np.float32)
    if rule in ("landmarks", "percentile"):
        base = _base(array)
        inside = values[foreground] - base
        inside = inside if inside.ndim == 1 else inside.mean(axis=1)
        if rule == "percentile":
            unit = (values - base) / max(float(np.percentile(inside, _TOP)), _TINY)
        else:
            unit = _match(values - base, np.percentile(inside, PERCENTILES), learned["landmarks"])
    elif rule == "channels":
        inside = values[foreground].reshape(int(foreground.sum()), -1)
        standard = (values - inside.mean(axis=0)) / np.maximum(inside.std(axis=0), _TINY)
        unit = 0.5 + standard / (2 * _SPREAD)
    else:
        low, high = _window(rule) if rule.startswith("window:") else learned["range"]
        unit = (values - low) / max(high - low, _TINY)
    clipped = float(((unit < 0) | (unit > 1))[foreground].mean())
    return (np.clip(unit, 0, 1) * 2 - 1).astype(np.float32), clipped


def _base(array: np.ndarray) -> float:
    """The value of "nothing": 0, or the lowest value when there are negative ones."""
    return min(0.0, float(np.nanmin(array)))


def _match(values: np.ndarray, own: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Piecewise linear from the scan's landmarks to the learned ones; below the first down to 0, above the last with the last slope."""
    own, first = np.unique(np.concatenate([[0.0], own]), return_index=True)
    targets = np.concatenate([[0.0], targets])[first]
    matched = np.interp(values, own, targets)
    if len(own) > 1:
        slope = (targets[-1] - targets[-2]) / (own[-1] - own[-2])
        matched = np.where(values > own[-1], targets[-1] + slope * (values - own[-1]), matched)
    return matched


def _window(rule: str) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in rule.partition(":")[2].split(","))
    except ValueError:
        raise WrongUse(f"The intensity rule {rule!r} is not window:LO,HI with two numbers, such as window:-100,300.") from None
    if not (np.isfinite([low, high]).all() and low < high):
        raise WrongUse(f"The window of {rule!r} is empty; LO must be below HI.")
    return low, high
