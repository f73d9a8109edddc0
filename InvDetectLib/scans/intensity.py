"""From raw values to [-1, 1]: each rule measures single training scans, learns from all of them, and is applied the same way ever after.

Stored in a model as arrays, so that a rule means the same number for the same tissue at training and at detection.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from ..common import InvDetectError
from ..models import check_intensity, intensity_window

PERCENTILES = (1.0, 5.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0)
_BOTTOM, _TOP = 0.5, 99.5  # percentiles of the foreground between which plain scaling works; beyond them lie artefacts
_SURROUNDINGS, _AREA = 0.025, 0.1  # "local": reach of mean and of spread, as shares of a slice's longer side
_RIM = 0.012  # "local": share of the longer side by which the foreground shrinks; there a photograph fades into its black frame
_LOCAL_SPREAD, _FLATTEST = 5.0, 0.06  # local standard deviations to -1 and to 1; below this share of the scan's own, noise is not amplified
_SPREAD = 3.0  # standard deviations on each side that colour matching covers
_AROUND = 2 / 3  # of the median, on each side of it: fat and fluid lie beyond, and are bright or dark enough to drown everything else
_TINY = 1e-5  # rounding in float32, which is no clipping
_APART = 1e-4  # between learned landmarks
_RAMP = 4096  # values on the way back, between which it is straight
_ALIKE = 20.0  # times as wide: 8-bit and 16-bit pictures in one training set are a mistake

Learned = dict[str, np.ndarray]


def measure(rule: str, array: np.ndarray, foreground: np.ndarray) -> np.ndarray:
    """What a rule needs of one training scan, 1-D float64.

    array  (slice, row, column[, channel]), finite; foreground  (slice, row, column) bool, not empty
    landmarks: percentiles `PERCENTILES` of the foreground over its 99.5th; full: the range of the scan's values, of the type itself for
    uint8 (16 bits are seldom used to the full: 12-bit values would hardly differ); the others need nothing.
    """
    check_intensity(rule)
    if rule == "landmarks":
        inside, _ = _above_base(array, foreground)
        return np.percentile(inside, PERCENTILES) / _top(inside)
    if rule == "full":
        return np.array([0, 255] if array.dtype == np.uint8 else [array.min(), array.max()], np.float64)
    return np.zeros(0)


def learn(rule: str, measurements: list[np.ndarray]) -> Learned:
    """What the model stores, from the measurements of all training scans.

    landmarks: their mean percentiles, strictly increasing; full: the range of all scans; the others nothing.
    Raises `InvDetectError` where one range cannot serve all scans.
    """
    check_intensity(rule)
    if rule == "landmarks":
        landmarks = np.mean(measurements, axis=0)
        for i in range(len(landmarks)):
            landmarks[i] = max(landmarks[i], (landmarks[i - 1] if i else 0.0) + _APART)
        return {"landmarks": landmarks}
    if rule == "full":
        low, high = np.transpose(measurements)
        widths = high - low
        if widths.max() > _ALIKE * widths.min():
            raise InvDetectError(
                f"The training scans' ranges of values differ too much for the intensity rule full (widths from {widths.min():g} to "
                f"{widths.max():g}); convert them to one type, or use the rule percentile."
            )
        return {"range": np.array([low.min(), high.max()])}
    return {}


def mapping(rule: str, learned: Learned, array: np.ndarray, foreground: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """How one scan's raw values go to the model's: a function to float32 of the same shape, increasing, not clipped yet.

    array, foreground as in `measure`: what the scan's own statistics are read from, once, in its own voxels

    landmarks   the scan's own foreground percentiles go to the learned ones, piecewise linearly; 0 to -1, 99.5th of training to 1
    median      the median of the scan's own foreground to 0, a third of it to -1, five thirds to 1: lesions, fat and fluid move high
                and low percentiles with their size, and the median hardly
    percentile  0 to -1, the scan's own 99.5th foreground percentile to 1
    local       as channels, and then each pixel less its surroundings: see `less_surroundings`, which is applied on the grid
    window:LO,HI, full   fixed values to -1 and 1
    channels    each channel's own mean to 0, 3 standard deviations on each side to -1 and 1: the same as matching it to the training
                scans' mean and spread and scaling those
    For median, landmarks and percentile 0 is the foreground's 0.5th percentile if that is negative. The last axis of a colour scan is its
    channels.
    """
    check_intensity(rule)
    if rule in ("channels", "local"):
        mean, spread = (part.astype(np.float32) for part in _colours(array, foreground))
        scale = np.where(spread > 0, _SPREAD * spread, 1).astype(np.float32)
        return lambda values: (values - mean) / scale
    if rule in ("median", "landmarks", "percentile"):
        inside, base = _above_base(array, foreground)
        if rule == "landmarks":
            own, targets = _knots(np.percentile(inside, PERCENTILES), learned["landmarks"])
            if len(own) == 1:  # nearly everything is 0: there is only a top to go by
                own, targets = np.array([0.0, _top(inside)]), np.array([0.0, 1.0])
            return lambda values: (_piecewise(values - base, own, targets) * 2 - 1).astype(np.float32)
        if rule == "median":
            tissue = float(np.median(inside)) or _top(inside)
            low, high = base + (1 - _AROUND) * tissue, base + (1 + _AROUND) * tissue
        else:
            low, high = base, base + _top(inside)
    elif rule == "full":
        low, high = (float(end) for end in learned["range"])
    else:
        low, high = intensity_window(rule)
    return lambda values: ((np.asarray(values, np.float32) - np.float32(low)) * np.float32(2 / (high - low)) - 1).astype(np.float32)


def is_invertible(rule: str) -> bool:
    """Whether a pixel's own value tells what it was in the scan; after "local" its surroundings would have to be known."""
    return rule != "local"


def inverse(to_model: Callable[[np.ndarray], np.ndarray], array: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """The way back from the values of a `mapping` to the scan's own: from (..., channel) to float32 of the same shape.

    array  the scan's own; nothing comes back brighter or darker than anything in it. Where several values went to one, it is any of them.
    """
    flat = array.reshape(-1, array.shape[3] if array.ndim == 4 else 1)
    raw = np.linspace(np.nanmin(flat, axis=0), np.nanmax(flat, axis=0), _RAMP, dtype=np.float64)
    mapped = np.asarray(to_model(raw.astype(np.float32)), np.float64)

    def back(values: np.ndarray) -> np.ndarray:
        channels = [np.interp(values[..., c], mapped[:, c], raw[:, c]) for c in range(raw.shape[1])]
        return np.stack(channels, axis=-1).astype(np.float32)

    return back


def less_surroundings(image: np.ndarray, foreground: np.ndarray) -> np.ndarray:
    """Each pixel of one slice less the mean of the foreground around it, over the standard deviation of that difference in a wider area.

    image  (row, column[, channel]) float, mapped by the rule "local";  foreground  (row, column) bool. float32; 0 outside the foreground
    and at its rim (1.2 % of the longer side), 5 local standard deviations are 1. Means and deviations are weighted by Gaussians of 2.5 %
    and 10 % of the longer side. Uneven light then hides nothing small, and places where normal tissue is lively, such as the optic disc,
    weigh no more than others.
    """
    inner = ndimage.binary_erosion(foreground, iterations=max(1, round(_RIM * max(foreground.shape))))
    inside = inner.astype(np.float32).reshape(*foreground.shape, *([1] * (image.ndim - 2)))

    def around(values: np.ndarray, share: float) -> np.ndarray:
        reach = share * max(foreground.shape)
        blurred = [ndimage.gaussian_filter(part, (reach, reach, 0)[: part.ndim]) for part in (values * inside, inside)]
        return np.asarray(blurred[0] / np.maximum(blurred[1], _TINY))

    difference = (image - around(image, _SURROUNDINGS)) * inside
    spread = np.sqrt(around(difference**2, _AREA))
    return np.asarray(difference / np.maximum(spread, _FLATTEST / _SPREAD) / _LOCAL_SPREAD, np.float32)


def clip(values: np.ndarray, foreground: np.ndarray) -> tuple[np.ndarray, int]:
    """Mapped values cut to [-1, 1], and how many numbers of the foreground that changed."""
    clipped = np.clip(values, -1, 1)
    return clipped, int((np.abs(values[foreground]) > 1 + _TINY).sum())


def _above_base(array: np.ndarray, foreground: np.ndarray) -> tuple[np.ndarray, float]:
    """The foreground's values (of colours their mean) less the value of "nothing", 1-D float64; and that value: 0, or the lowest of the
    patient's when there are negative ones. What resampling has made negative around the patient does not count."""
    values = array[foreground].astype(np.float64)
    grey = values if values.ndim == 1 else np.asarray(values.mean(axis=1))
    base = min(0.0, float(np.percentile(grey, _BOTTOM)))
    return grey - base, base


def _top(inside: np.ndarray) -> float:
    """The 99.5th percentile, or the highest value where nearly everything is 0."""
    return float(np.percentile(inside, _TOP)) or float(inside.max()) or 1.0


def _colours(array: np.ndarray, foreground: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel of the foreground."""
    values = array[foreground].astype(np.float64).reshape(int(foreground.sum()), -1)
    return values.mean(axis=0), values.std(axis=0)


def _knots(own: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Strictly increasing own landmarks with their targets, 0 to 0 first. Landmarks that coincide share the mean of their targets;
    those that coincide with 0 are background."""
    scale = float(own[-1]) or 1.0
    knots, place = np.unique(np.round(np.concatenate([[0.0], own]) / scale, 6), return_inverse=True)
    matched = np.bincount(place.ravel(), np.concatenate([[0.0], targets])) / np.bincount(place.ravel())
    matched[0] = 0.0
    return knots * scale, matched


def _piecewise(values: np.ndarray, own: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Linear between the knots; below 0 stays 0, above the last knot the last slope goes on."""
    slope = (targets[-1] - targets[-2]) / (own[-1] - own[-2])
    return np.asarray(np.interp(values, own, targets) + slope * np.maximum(values - own[-1], 0))
