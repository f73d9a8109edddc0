"""Between a scan's array and the model's slices, both ways: canonical orientation, one pixel size, nothing across slices."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ..common import InvDetectError
from ..models import PLANES, Preparation
from .geometry import Geometry

# For each plane, along which LPS axis (0 left, 1 posterior, 2 superior) and in which sense slices, rows and columns run: axial slices
# upwards, coronal ones forwards, sagittal ones from right to left. Axial and coronal slices have the patient's right at their left side,
# as radiologists look at them; sagittal ones the front.
_CANONICAL = {
    "axial": ((2, 1), (1, 1), (0, 1)),
    "coronal": ((1, -1), (2, -1), (0, 1)),
    "sagittal": ((0, 1), (2, -1), (1, 1)),
}
_FLAT_RATIO = 3.0  # in-plane spacings that differ by more than this deserve a warning
_MOST = 2**24  # pixels of a slice: sixteen times those of the largest detectors, in pixels that a model has chosen by their size in mm
_SLACK = 1e-3  # pixels over a whole side: spacings are stored rounded, and such differences must not blur a scan


@dataclass(frozen=True)
class SliceGrid:
    """How one scan meets one model's grid.

    axes         which axis of the scan's array becomes slice, row and column of the model;  flipped  which of them run the other way
    native       (slices, rows, columns) of the scan after turning, before resampling
    shape        (slices, rows, columns) on the model's grid
    step         rows and columns: one pixel of the grid in pixels of the scan
    pixel, unit  side of a grid pixel, in mm or in pixels of the scan
    anisotropy   larger over smaller in-plane spacing of the scan
    thickness    distance between slices in mm; 1 for a 2-D image and without physical spacing
    warnings     sentences for the user
    """

    axes: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]
    native: tuple[int, int, int]
    shape: tuple[int, int, int]
    step: tuple[float, float]
    pixel: float
    unit: str
    anisotropy: float
    thickness: float
    warnings: tuple[str, ...] = ()

    @classmethod
    def for_scan(cls, geometry: Geometry, preparation: Preparation, minimum: int = 0) -> SliceGrid:
        """The grid for a scan; slices follow the array axis nearest the plane's normal.

        minimum  patch size in pixels: an image or a grid smaller than that in a direction raises `InvDetectError`, as does a pixel size
                 in mm for a scan without physical spacing, or for one whose header says that it is as large as a house
        """
        if preparation.plane not in PLANES:
            raise InvDetectError(f"There is no plane {preparation.plane!r}; choose one of {', '.join(PLANES)}.")
        axes, flipped = _orientation(geometry, preparation.plane)
        native = tuple(geometry.shape[axis] for axis in axes)
        spacing = [geometry.spacing[2 - axis] for axis in axes]
        rows, columns = native[1:]
        kind = "The image has" if geometry.dimension == 2 else f"The {preparation.plane} slices have"
        size = f"{rows} x {columns} pixels"
        if min(rows, columns) < minimum:
            raise InvDetectError(
                f"{kind} {size}, and the model's patches {minimum} x {minimum}; use a larger image, or a model with smaller patches."
            )
        extent = rows * spacing[1], columns * spacing[2]
        if preparation.spacing_mm is not None:
            if geometry.unit != "mm":
                raise InvDetectError(
                    f"The model wants pixels of {preparation.spacing_mm:g} mm, but the scan has no physical spacing; use another model."
                )
            pixel = preparation.spacing_mm
        elif preparation.grid is not None:
            pixel = max(extent) / preparation.grid
        else:
            raise InvDetectError("The preparation names neither a grid nor a spacing; give one of them.")
        # The slack keeps 128.0000001 pixels from becoming 129.
        grid = tuple(max(1, math.ceil(length / pixel - _SLACK)) for length in extent)
        if min(grid) < minimum:
            raise InvDetectError(
                f"{kind} {size}, on the model's grid {grid[0]} x {grid[1]}, and its patches {minimum} x {minimum}; "
                "use a scan with a larger field of view, or a model with a larger grid."
            )
        if preparation.spacing_mm is not None and math.prod(grid) > _MOST:  # a damaged header asks for any amount of memory in this way
            raise InvDetectError(
                f"{kind} {size} and are {extent[0]:g} x {extent[1]:g} mm large by the scan's header, which the model's pixels of "
                f"{pixel:g} mm cannot cover; correct the spacing in the header, or use a model with larger pixels."
            )
        anisotropy = max(spacing[1:]) / min(spacing[1:])
        warnings = []
        if anisotropy > _FLAT_RATIO:
            warnings.append(
                f"One side of the {preparation.plane} slices' pixels is {anisotropy:.1f} times as long as the other; "
                "a model of another plane may suit this scan better."
            )
        step = pixel / spacing[1], pixel / spacing[2]
        thickness = spacing[0] if geometry.unit == "mm" else 1.0
        return cls(axes, flipped, native, (native[0], *grid), step, pixel, geometry.unit, anisotropy, thickness, tuple(warnings))  # type: ignore[arg-type]

    @property
    def slice_axis(self) -> int:
        """The axis of the scan's array that the slices follow."""
        return self.axes[0]

    def first_slice_index(self, number: int) -> int:
        """Index along the scan's own axis of the model's slice `number`: they may run in opposite directions."""
        return self.native[0] - 1 - number if self.flipped[0] else number

    def to_index(self, place: np.ndarray) -> np.ndarray:
        """(..., 3) slice, row, column on the grid, fractions allowed -> (..., 3) float64 indices into the scan's own array."""
        starts, steps = np.array([0.0, *self._starts()]), np.array([1.0, *self.step])
        turned = starts + steps * np.asarray(place, np.float64)
        native = np.where(self.flipped, np.array(self.native) - 1 - turned, turned)
        return np.asarray(native[..., np.argsort(self.axes)])

    def to_grid(self, array: np.ndarray, slices: slice | None = None) -> np.ndarray:
        """(slice, row, column[, channel]) of the scan -> float32 on the grid: linear, smoothed first where pixels get larger.

        slices  which of the model's slices; None for all
        """
        turned = self._turned(array)
        return self._each(turned if slices is None else turned[slices], self._shrunk)

    def mask_to_grid(self, mask: np.ndarray, slices: slice | None = None) -> np.ndarray:
        """A mask of the scan on the grid: where at least half of what is there is inside. bool"""
        return self.to_grid(mask.astype(np.float32), slices) >= 0.5

    def from_grid(self, values: np.ndarray) -> np.ndarray:
        """(slices, rows, columns[, channel]) of the grid -> the scan's own (slice, row, column[, channel]), float32, linear.

        Of only some consecutive slices of the grid come those of the scan, in the scan's order.
        """
        if values.shape[1:3] != self.shape[1:] or values.ndim > 4 or len(values) > self.shape[0]:
            raise ValueError(f"the values have shape {values.shape}, the grid {self.shape}")
        native = self._each(values, self._grown)
        for axis, flip in enumerate(self.flipped):
            native = np.flip(native, axis) if flip else native
        return np.ascontiguousarray(native.transpose(*np.argsort(self.axes), *range(3, native.ndim)))

    def mask_from_grid(self, mask: np.ndarray) -> np.ndarray:
        """The 0.5 level of the linearly brought-back label, bool in the scan's own (slice, row, column)."""
        return self.from_grid(mask.astype(np.float32)) >= 0.5

    def _turned(self, array: np.ndarray) -> np.ndarray:
        turned = array.transpose(*self.axes, *range(3, array.ndim))
        if turned.shape[:3] != self.native:
            raise ValueError(f"the array has shape {array.shape}, which is not this scan's")
        for axis, flip in enumerate(self.flipped):
            turned = np.flip(turned, axis) if flip else turned
        return turned

    def _each(self, images: np.ndarray, resample: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Resample image by image, so that neither memory nor blur crosses slices; channels stay last."""
        if images.ndim == 4:
            return np.stack([self._each(images[..., channel], resample) for channel in range(images.shape[3])], axis=3)
        if not len(images):
            return np.zeros((0, *resample(np.zeros(images.shape[1:], np.float32)).shape), np.float32)
        first = resample(np.asarray(images[0], np.float32))
        resampled = np.empty((len(images), *first.shape), np.float32)
        resampled[0] = first
        for number in range(1, len(images)):
            resampled[number] = resample(np.asarray(images[number], np.float32))
        return resampled

    def _shrunk(self, image: np.ndarray) -> np.ndarray:
        for axis, step in enumerate(self.step):
            reach = min(step, image.shape[axis])  # a wider filter sees nothing more, and takes any amount of memory
            if reach > 1:  # an image sampled every `step` pixels can only show structures of that size
                image = ndimage.gaussian_filter1d(image, (reach - 1) / 2, axis=axis, mode="nearest")
        return _sampled(image, self.step, self._starts(), self.shape[1:])

    def _grown(self, image: np.ndarray) -> np.ndarray:
        steps = tuple(1 / step for step in self.step)
        starts = tuple(-start / step for start, step in zip(self._starts(), self.step))
        return _sampled(np.asarray(image, np.float32), steps, starts, self.native[1:])

    def _starts(self) -> tuple[float, ...]:
        """Row and column of the scan at the centre of the grid's first pixel: fields of view share their centre, and their
        corners wherever they are as large as each other."""
        overhang = (count * step - length for count, step, length in zip(self.shape[1:], self.step, self.native[1:]))
        return tuple((step - 1) / 2 - over / 2 for step, over in zip(self.step, overhang))


def _sampled(image: np.ndarray, steps: tuple[float, ...], starts: tuple[float, ...], shape: tuple[int, ...]) -> np.ndarray:
    """Linear samples at start + step * index along rows and columns; beyond the rim the rim's own values. float32

    Along one axis after the other: half the time of `ndimage.affine_transform`, for the same values.
    """
    if image.shape == shape and all(abs(start) + abs(step - 1) * length < _SLACK for start, step, length in zip(starts, steps, shape)):
        return image.copy()
    for axis in (0, 1):
        last = image.shape[axis] - 1
        places = np.clip(starts[axis] + steps[axis] * np.arange(shape[axis]), 0, last)
        before = places.astype(int)
        share = (places - before).reshape((-1, 1) if axis == 0 else (1, -1))
        image = image.take(before, axis) * (1 - share) + image.take(np.minimum(before + 1, last), axis) * share
    return image.astype(np.float32)


def _orientation(geometry: Geometry, plane: str) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
    """Which array axes become slice, row and column, and which of them must be turned round. 2-D images stay as they are."""
    if geometry.dimension == 2:
        return (0, 1, 2), (False, False, False)
    # towards[lps, axis]: how far the array axis (0 slice, 1 row, 2 column) runs along the LPS axis
    towards = np.array(geometry.direction).reshape(3, 3)[:, ::-1]
    wanted = _CANONICAL[plane]
    normal = int(np.argmax(np.abs(towards[wanted[0][0]])))
    first, second = (axis for axis in range(3) if axis != normal)

    def fit(row: int, column: int) -> float:
        return abs(towards[wanted[1][0], row]) + abs(towards[wanted[2][0], column])

    axes = (normal, first, second) if fit(first, second) >= fit(second, first) else (normal, second, first)
    flipped = [towards[lps, axis] * sense < 0 for axis, (lps, sense) in zip(axes, wanted)]
    return axes, (bool(flipped[0]), bool(flipped[1]), bool(flipped[2]))
