"""Small pictures of scans before anything is learned from them: a thumbnail, and one slice as a model would see it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..common import WrongUse
from ..models import Preparation, Settings
from .preparing import learn_intensity, measure_intensity, prepare
from .reading import Scan
from .slicing import SliceGrid
from .survey import for_channels

THUMBNAIL = 96  # pixels along the longer side
_LEAST = float(np.finfo(np.float32).tiny)  # between black and white


@dataclass(frozen=True)
class Preview:
    """One slice as a model with some settings would see it. Slices stand as the model's grid has them, volumes radiologically.

    image        (row, column) or (row, column, 3) uint8: from the lowest to the highest value that a model tells apart
    foreground   (row, column) bool
    number, slices   which slice of how many, along the model's plane
    pixel, unit  side of a pixel, in mm or in pixels of the scan
    warnings     sentences for the user
    """

    image: np.ndarray
    foreground: np.ndarray
    number: int
    slices: int
    pixel: float
    unit: str
    warnings: tuple[str, ...]


def thumbnail(scan: Scan, plane: str = "axial") -> np.ndarray:
    """The middle slice, upright and as radiologists look at it: (row, column[, 3]) uint8, at most `THUMBNAIL` pixels a side."""
    grid = SliceGrid.for_scan(scan.geometry, Preparation(plane=plane, grid=THUMBNAIL))
    middle = grid.shape[0] // 2
    image = scan.array.take(grid.first_slice_index(middle), grid.slice_axis)
    low, high = (0.0, 255.0) if scan.array.dtype == np.uint8 and scan.channels == 3 else _contrast(image[np.isfinite(image)])
    shown = np.nan_to_num(grid.to_grid(scan.array, slice(middle, middle + 1))[0], nan=low, posinf=high, neginf=low)
    return _uint8(stretched(shown, low, high))


def stretched(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Values as float32 from 0 (`low` and less) to 1 (`high` and more), whatever their unit: diffusion in m2/s is some 1e-9."""
    with np.errstate(over="ignore"):  # where nothing lies between the two, all above them is 1
        return np.asarray(np.clip((values - np.float32(low)) / np.float32(max(high - low, _LEAST)), 0, 1), np.float32)


def preview(scan: Scan, settings: Settings, mask: np.ndarray | None = None, number: int | None = None) -> Preview:
    """What `settings` make of a scan, as if it alone were trained on.

    mask    the user's foreground, for the foreground rule "masks";  number  of the slice; None: the one with most foreground
    Raises `InvDetectError` for a scan that cannot be used so, `WrongUse` for a slice that is not there.
    """
    preparation = for_channels(settings.preparation, scan.channels)
    learned = learn_intensity(preparation, [measure_intensity(scan, preparation, mask)])
    prepared = prepare(scan, preparation, learned, mask, settings.least_side)
    if number is None:
        number = int(prepared.foreground.sum(axis=(1, 2)).argmax())
    elif not 0 <= number < len(prepared.slices):
        raise WrongUse(f"There is no slice {number}; this scan has slices 0 to {len(prepared.slices) - 1} along the model's plane.")
    image = _uint8((prepared.slices[number] + 1) / 2)
    return Preview(
        image=image[..., 0] if image.shape[-1] == 1 else image,
        foreground=prepared.foreground[number],
        number=number,
        slices=len(prepared.slices),
        pixel=prepared.grid.pixel,
        unit=prepared.grid.unit,
        warnings=prepared.warnings,
    )


def _contrast(values: np.ndarray) -> tuple[float, float]:
    low, high = np.percentile(values, (0.5, 99.5)) if values.size else (0.0, 1.0)
    return float(low), float(high)


def _uint8(values: np.ndarray) -> np.ndarray:
    """0 to 1 -> 0 to 255."""
    return np.asarray(np.clip(255 * values, 0, 255).round().astype(np.uint8))
