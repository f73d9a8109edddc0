"""From a scan to what a method sees: slices on the model's grid with values in [-1, 1], and their foreground."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..common import InvDetectError
from ..models import Preparation
from . import intensity
from .patient import foreground_of
from .reading import Scan
from .slicing import SliceGrid

_MUCH = 0.02  # share of the foreground whose clipping is worth a warning
_CUT_ON_PURPOSE = ("median", "local")  # fat and fluid; the optic disc
_KINDS = {1: "grey", 3: "colour"}


@dataclass(frozen=True)
class Prepared:
    """A scan, ready to be scored or learned from.

    slices             (slice, row, column, channel) float32 in [-1, 1] on the model's grid
    foreground         (slice, row, column) bool on the model's grid
    grid               the way there and back
    native_foreground  (slice, row, column) bool in the scan's own array
    intensity_range    1st and 99th percentile of the raw foreground
    warnings           sentences for the user
    to_scan            from values like those of `slices`, (..., channel), to the scan's own, float32; None where the rule has no way back
    """

    slices: np.ndarray
    foreground: np.ndarray
    grid: SliceGrid
    native_foreground: np.ndarray
    intensity_range: tuple[float, float]
    warnings: tuple[str, ...]
    to_scan: Callable[[np.ndarray], np.ndarray] | None


def measure_intensity(scan: Scan, preparation: Preparation, mask: np.ndarray | None = None) -> np.ndarray:
    """What the intensity rule needs of one training scan, 1-D float64; arguments and errors as in `prepare`."""
    array, foreground, _ = _clean(scan, preparation, mask)
    return intensity.measure(preparation.intensity, array, foreground)


def learn_intensity(preparation: Preparation, measurements: list[np.ndarray]) -> intensity.Learned:
    """What the model stores of the intensity rule, from `measure_intensity` of all training scans."""
    return intensity.learn(preparation.intensity, measurements)


def prepare(
    scan: Scan, preparation: Preparation, learned: intensity.Learned, mask: np.ndarray | None = None, minimum: int = 0
) -> Prepared:
    """Bring a scan to the model's grid and intensities.

    learned  from `learn_intensity`;  minimum  patch size in pixels (see `SliceGrid.for_scan`)
    mask     the user's foreground, (slice, row, column) bool in the scan's own array; wanted when the foreground rule is "masks"
    Raises `InvDetectError` for infinite values, NaN inside the foreground, constant scans, empty foreground, grey scans for a colour
    model and the other way round, and scans too small for the patches.
    """
    try:
        grid = SliceGrid.for_scan(scan.geometry, preparation, minimum)
    except InvDetectError as error:
        raise InvDetectError(f"{scan.name}: {error}") from None
    array, native_foreground, warnings = _clean(scan, preparation, mask)
    foreground = grid.mask_to_grid(native_foreground)
    if not foreground.any():
        raise InvDetectError(f"The foreground of {scan.name} is too small for the model's grid; check the mask, or use a finer grid.")
    # Values are mapped on the grid, slice by slice: the scan's own array may be many times as large.
    to_model = intensity.mapping(preparation.intensity, learned, array, native_foreground)
    slices = grid.to_grid(array)
    changed = 0
    for number, image in enumerate(slices):
        values = to_model(image)
        if preparation.intensity == "local":
            values = intensity.less_surroundings(values, foreground[number])
        slices[number], more = intensity.clip(values, foreground[number])
        changed += more
    share = changed / (foreground.sum() * scan.channels)
    if share > _MUCH and preparation.intensity not in _CUT_ON_PURPOSE:
        warnings.append(f"{share:.0%} of the foreground lies outside the model's intensity range and was clipped.")
    low, high = (float(value) for value in np.percentile(array[native_foreground], [1, 99]))
    return Prepared(
        slices=slices if slices.ndim == 4 else slices[..., None],
        foreground=foreground,
        grid=grid,
        native_foreground=native_foreground,
        intensity_range=(low, high),
        warnings=(*grid.warnings, *warnings),
        to_scan=intensity.inverse(to_model, array) if intensity.is_invertible(preparation.intensity) else None,
    )


def _clean(scan: Scan, preparation: Preparation, mask: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Finite values, the foreground, and warnings."""
    array, warnings = scan.array, []
    if array.shape[3:] not in ((), (3,)):
        shape = " x ".join(str(count) for count in array.shape)
        raise InvDetectError(f"{scan.name} holds {shape} values, which is more than one volume; split it into single volumes.")
    if scan.channels != preparation.channels:
        kind, wanted = _KINDS[scan.channels], _KINDS[preparation.channels]
        remedy = f"choose a model for {kind} scans" + (", or save it as grey" if scan.channels == 3 else "")
        raise InvDetectError(f"{scan.name} is a {kind} scan, and the model was trained on {wanted} ones; {remedy}.")
    with np.errstate(over="ignore"):  # slices are float32, where larger numbers become infinite
        numbers = np.isfinite(array.astype(np.float32, copy=False)) if np.issubdtype(array.dtype, np.floating) else None
    if numbers is not None and not numbers.all():
        if not np.isnan(array[~numbers]).all():
            raise InvDetectError(f"{scan.name} holds infinite values, or such beyond 1e38; correct the file, they have no place in a scan.")
        broken = ~numbers if array.ndim == 3 else ~numbers.all(axis=3)
        foreground = _foreground(scan, preparation, mask)
        if (broken & foreground).any():
            place = ", ".join(str(i) for i in np.argwhere(broken & foreground)[0])
            raise InvDetectError(
                f"{scan.name} holds NaN (no number) inside its foreground, first at slice, row, column {place}; "
                "correct the file, or give a foreground mask without them."
            )
        warnings.append(f"{int(broken.sum())} voxels outside the foreground hold no number (NaN) and count as background.")
        array = np.where(numbers, array, np.nanmin(array))
    else:
        foreground = _foreground(scan, preparation, mask)
    if not foreground.any():
        raise InvDetectError(f"The foreground of {scan.name} is empty; check the mask, or use another foreground rule.")
    inside = array[foreground]
    if inside.min() == inside.max():
        raise InvDetectError(f"{scan.name} is constant inside its foreground (every value is {inside.flat[0]:g}); check the file.")
    return array, foreground, warnings


def _foreground(scan: Scan, preparation: Preparation, mask: np.ndarray | None) -> np.ndarray:
    if preparation.foreground != "masks":
        try:
            return foreground_of(scan.array, scan.geometry, preparation.foreground)
        except InvDetectError as error:
            raise type(error)(f"{scan.name}: {error}") from None
    if mask is None:
        raise InvDetectError(f"This model wants a foreground mask for each scan, and {scan.name} has none; give a folder of masks.")
    if mask.shape != scan.array.shape[:3]:
        sizes = f"{mask.shape}, the scan {scan.array.shape[:3]}"
        raise InvDetectError(f"The foreground mask of {scan.name} has shape {sizes}; give its own mask.")
    return mask > 0
