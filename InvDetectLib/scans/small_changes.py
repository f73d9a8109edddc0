"""What a scan might as well have been: a little brighter, half a voxel further on, under other noise of its own level."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from .reading import Scan

_GAINS = (1.05, 0.95)
_SEED = 0
_MAD = 1.4826  # from the median of absolute values to a Gaussian's standard deviation


@dataclass(frozen=True)
class SmallChange:
    """name, what becomes of the voxels, and how a (slice, row, column) mask comes to the changed scan (`there`) and back from it."""

    name: str
    voxels: Callable[[np.ndarray], np.ndarray]
    there: Callable[[np.ndarray], np.ndarray] = np.asarray
    back: Callable[[np.ndarray], np.ndarray] = np.asarray

    def of(self, scan: Scan) -> Scan:
        """The changed scan, float32, under the name and in the place of `scan`."""
        return Scan.from_array(self.voxels(scan.array.astype(np.float32)), scan.geometry, scan.name)


def small_changes(inside: np.ndarray, slice_axis: int) -> list[SmallChange]:
    """Intensity 5 % up and down, half a voxel along either axis of a slice, Gaussian noise of the scan's own level; always the same.

    inside      (slice, row, column) bool: the patient, whose noise is measured and who alone gets more of it
    slice_axis  the axis of the scan's array that slices follow
    """

    def with_noise(array: np.ndarray) -> np.ndarray:
        noise = np.random.default_rng(_SEED).standard_normal(array.shape, np.float32) * np.float32(noise_level(array, inside, slice_axis))
        return np.asarray(array + noise * inside.reshape(*inside.shape, *(1,) * (array.ndim - 3)))

    rows, columns = (axis for axis in range(3) if axis != slice_axis)
    return [
        *(SmallChange(f"intensity x {gain:g}", partial(np.multiply, np.float32(gain))) for gain in _GAINS),
        _shift(inside.shape[rows], rows, "half a voxel along rows"),
        _shift(inside.shape[columns], columns, "half a voxel along columns"),
        SmallChange("noise", with_noise),
    ]


def noise_level(array: np.ndarray, inside: np.ndarray, slice_axis: int) -> float:
    """Standard deviation of a scan's noise, in its own unit, from its finest detail: the diagonal differences of neighbours in a slice.

    array  (slice, row, column[, channel]);  inside  (slice, row, column) bool: only differences within it count
    The median keeps edges out of it. 0 where no four neighbours lie inside.
    """
    values, within = (np.moveaxis(one, slice_axis, 0) for one in (array, inside))
    detail = values[:, 1:, 1:] - values[:, 1:, :-1] - values[:, :-1, 1:] + values[:, :-1, :-1]  # of noise alone twice its deviation
    whole = within[:, 1:, 1:] & within[:, 1:, :-1] & within[:, :-1, 1:] & within[:, :-1, :-1]
    return _MAD * float(np.median(np.abs(detail[whole]))) / 2 if whole.any() else 0.0


def _shift(length: int, axis: int, name: str) -> SmallChange:
    """Half a voxel further on along an axis of so many; beyond the rim the rim's own values."""
    before = np.maximum(np.arange(length) - 1, 0)
    after = np.minimum(np.arange(length) + 1, length - 1)
    # A voxel of a mask lies between two of the other grid: what is half inside is inside, both ways.
    return SmallChange(
        name,
        lambda array: (array + array.take(before, axis)) / 2,
        lambda mask: np.maximum(mask, mask.take(before, axis)),
        lambda mask: np.maximum(mask, mask.take(after, axis)),
    )
