"""From the model's grid back into the scan's own voxels: the anomaly map and the pseudo-normal image."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .slicing import SliceGrid

_HALF = 0.5  # share of a voxel that must have been scored


def map_from_grid(grid: SliceGrid, values: np.ndarray, scored: np.ndarray, foreground: np.ndarray, floor: float) -> np.ndarray:
    """The map in the scan's voxels, float32: all of it, or some consecutive slices.

    values, scored  (slice, row, column) float32 and bool on the grid: A, and where it was scored
    foreground      bool in the scan's (slice, row, column), of the same slices;  floor  the value where nothing was scored
    """
    anomaly_map = np.full(foreground.shape, floor, np.float32)
    inside, found = _brought_back(grid, values[..., None], scored, foreground)
    anomaly_map[inside] = found[:, 0]
    return anomaly_map


def pseudo_normal_from_grid(
    grid: SliceGrid,
    values: np.ndarray,
    scored: np.ndarray,
    array: np.ndarray,
    foreground: np.ndarray,
    to_scan: Callable[[np.ndarray], np.ndarray] | None,
) -> np.ndarray:
    """The pseudo-normal image in the scan's voxels, (slice, row, column[, channel]); uint8 where the scan is, else float32.

    values, scored     (slice, row, column, channel) float32 in [-1, 1] and (slice, row, column) bool on the grid
    array, foreground  the scan's own (slice, row, column[, channel]), and bool
    to_scan            see `Prepared`: then it is in the scan's own intensities, and the scan itself where nothing was scored, so that one
                       fades into the other with the same window. None: in the model's own, -1 to 1, and -1 where nothing was scored
    """
    dtype = np.uint8 if array.dtype == np.uint8 and to_scan is not None else np.float32
    image = np.full(array.shape, -1, dtype) if to_scan is None else array.astype(dtype)
    inside, found = _brought_back(grid, values, scored, foreground)
    found = found if to_scan is None else to_scan(found)
    found = np.rint(found) if dtype == np.uint8 else found
    image[inside] = found[:, 0] if array.ndim == 3 else found
    return image


def _brought_back(grid: SliceGrid, values: np.ndarray, scored: np.ndarray, foreground: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where in the scan's voxels something is known, bool like `foreground`, and what: (voxel, channel) float32.

    Only scored pixels take part, or values at the rim would sink towards that of the unscored ones.
    """
    share = grid.from_grid(scored.astype(np.float32))
    inside = (share >= _HALF) & foreground
    return inside, grid.from_grid(np.where(scored[..., None], values, np.float32(0)))[inside] / share[inside][:, None]
