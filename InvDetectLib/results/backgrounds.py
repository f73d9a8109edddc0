"""What a picture shows of a scan and of a map: which values are black and white, and where the colours begin and end."""

from __future__ import annotations

import numpy as np

from ..calibration import Calibration
from ..scans import SliceGrid, is_invertible, stretched

TOP = 3.0  # upper end of the colours, in units of held-out normals above the value that 10 % of their tissue exceeds


def display_range(calibration: Calibration) -> tuple[float, float]:
    """(low, high) of the colours, on the map's own scale, the same for every scan of a model.

    low is the value that 10 % of held-out normal tissue exceeds, high lies `TOP` times (q99 - q50) of that tissue above it: 0 and
    `TOP` in calibrated units, and the same colours for the same rarity in raw ones.
    """
    _, q50, q90, q99 = ((q - calibration.offset) / calibration.scale for q in calibration.raw_quantiles)
    return q90, q90 + TOP * max(q99 - q50, 1e-6)


def background_of(
    array: np.ndarray, foreground: np.ndarray, grid: SliceGrid, greys: tuple[float, float] | None = None
) -> np.ndarray:
    """(slice, row, column[, channel]) float32 from 0 to 1 on the model's grid, to draw on.

    array       the scan's own, or another image of its shape
    foreground  (slice, row, column) bool in the scan's array
    greys       the values that become 0 and 1; None: `greys_of` the array
    """
    low, high = greys_of(array, foreground) if greys is None else greys
    finite = np.nan_to_num(array, nan=low) if np.issubdtype(array.dtype, np.floating) else array
    return stretched(grid.to_grid(finite), low, high)


def greys_of(array: np.ndarray, foreground: np.ndarray) -> tuple[float, float]:
    """The values of a scan that are drawn black and white: the 0.5th and 99.5th percentile of its foreground; of colours, all channels
    alike, their least and their greatest possible value (8 bits) or the greatest there is."""
    if array.ndim == 4:
        return 0.0, 255.0 if array.dtype == np.uint8 else float(np.nanmax(array))
    low, high = np.percentile(array[foreground] if foreground.any() else array, (0.5, 99.5))
    return float(low), float(high)


def backgrounds_of(
    array: np.ndarray, pseudo_normal: np.ndarray | None, foreground: np.ndarray, grid: SliceGrid, rule: str
) -> tuple[np.ndarray, np.ndarray | None]:
    """`background_of` a scan and of its pseudo-normal image (None without one), in the same greys where both have the same unit.

    rule  of the model's intensities
    """
    greys = greys_of(array, foreground)
    background = background_of(array, foreground, grid, greys)
    if pseudo_normal is None:
        return background, None
    return background, background_of(pseudo_normal, foreground, grid, greys if is_invertible(rule) else (-1.0, 1.0))


def unit_range(background: np.ndarray) -> np.ndarray:
    """A (row, column[, channel]) background as floats from 0 to 1; uint8 counts to 255; a single channel loses its axis."""
    values = np.asarray(background, np.float32) / (255 if background.dtype == np.uint8 else 1)
    return np.clip(values[..., 0] if values.ndim == 3 and values.shape[-1] == 1 else values, 0, 1)
