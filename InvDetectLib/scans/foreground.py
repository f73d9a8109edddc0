"""What of a scan is patient: found by itself, everything, or given by the user."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ..errors import InvDetectError

_SAMPLE = 1_000_000  # voxels from which the threshold is read
_SPECK = 0.01  # of the largest piece: smaller ones are noise, or the edge of a table


def find_foreground(array: np.ndarray, rule: str) -> np.ndarray:
    """Foreground of a scan, (slice, row, column) bool.

    array  (slice, row, column[, channel]), any real dtype; NaN counts as background
    rule   "none": everything that is finite. "auto": what stands out from the air, dark surround or zeros around it, with holes
           filled in every slice and specks removed; works on whole heads, extracted brains, fundus photographs and CT.
    Raises `InvDetectError` for constant values or when nothing stands out.
    """
    values = array.astype(np.float32) if array.ndim == 3 else array.max(axis=3).astype(np.float32)
    finite = np.isfinite(values)
    if not finite.any():
        raise InvDetectError("The scan holds no finite value at all; check the file.")
    lowest, highest = values[finite].min(), values[finite].max()
    if not highest > lowest:
        raise InvDetectError(f"The scan is constant (every value is {lowest:g}); there is nothing to see in it. Check the file.")
    if rule == "none":
        return finite
    values = np.where(finite, values, lowest)
    inside = values > _threshold(values[finite])
    for image in inside:
        ndimage.binary_fill_holes(image, output=image)
        ndimage.binary_opening(image, np.ones((3, 3), bool), output=image)
    pieces, count = ndimage.label(inside)
    if not count:
        raise InvDetectError("No foreground stands out in this scan; use the foreground rule none, or give a mask.")
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return (sizes >= _SPECK * sizes.max())[pieces] & inside


def _threshold(values: np.ndarray) -> float:
    """A value between background and tissue, nearer to the background: tissue may be dark, and holes are filled later.

    Otsu's threshold, at most a fifth of the range; then down to twice the spread of what lies below it, which is the background.
    """
    sample = values.ravel()[:: max(1, values.size // _SAMPLE)]
    low, high = np.percentile(sample, [2, 99])
    if not high > low:
        return float(low)
    counts, edges = np.histogram(np.clip(sample, low, high), bins=256)
    centres = (edges[1:] + edges[:-1]) / 2
    below, weighted = np.cumsum(counts).astype(np.float64), np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (weighted[-1] * below / below[-1] - weighted) ** 2 / (below * (below[-1] - below))
    otsu = centres[int(np.nanargmax(between[:-1]))]
    ceiling = min(otsu, low + 0.2 * (high - low))
    background = np.percentile(sample[sample <= ceiling], 90)
    return float(min(ceiling, low + 2 * (background - low)))
