"""What of a scan is patient: found by itself, everything, or given by the user."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ..common import InvDetectError, WrongUse

_SAMPLE = 1_000_000  # voxels from which the threshold is read
_SPECK = 0.01  # of the largest piece: smaller ones are noise, or the edge of a table
_FAINT = 0.04  # of the range: below it lie blocks of JPEG compression and ringing of resampled zeros
_AIR, _SKIN = -1000.0, -500.0  # Hounsfield units of air, and halfway between it and soft tissue
_CLOSED = 0.012  # of a slice's shorter side: half the width of a gap in the outline that does not let the outside in
THIN = 16  # with fewer slices they are no volume, and what lies across them says nothing


def find_foreground(array: np.ndarray, rule: str) -> np.ndarray:
    """Foreground of a scan whose slices are known, (slice, row, column) bool.

    array  (slice, row, column[, channel]), any real dtype; NaN and infinite values count as background
    rule   "none": everything that is finite. "auto": what stands out from the air, dark surround or constant around it, with what it
           encloses in any of the three directions, and without specks; for whole heads, extracted brains, fundus photographs and CT.
    Raises `InvDetectError` for constant values or when nothing stands out, `WrongUse` for another rule.
    """
    if rule not in ("auto", "none"):
        raise WrongUse(f"There is no foreground rule {rule!r} that finds the foreground in a scan; use auto or none, or give masks.")
    values = (array if array.ndim == 3 else array.max(axis=3)).astype(np.float32)
    finite = np.isfinite(values)
    if not finite.any():
        raise InvDetectError("The scan holds no finite value at all; check the file.")
    lowest, highest = values[finite].min(), values[finite].max()
    if not highest > lowest:
        raise InvDetectError(f"The scan is constant (every value is {lowest:g}); there is nothing to see in it. Check the file.")
    if rule == "none":
        return finite
    values[~finite] = lowest
    if is_hounsfield(values):
        threshold, exact = _SKIN, False
    else:
        surround = _surround(values)
        if surround is not None and surround > lowest:
            # Standardised brains (mean 0) have tissue on both sides of what surrounds them.
            values = np.abs(values - surround)
        threshold, exact = _threshold(values)
    inside = _filled(values > threshold, gaps=not exact)
    inside = _box(_box(inside, 1, np.minimum), 1, np.maximum)
    pieces, count = ndimage.label(inside)
    if not count:
        raise InvDetectError("No foreground stands out in this scan; use the foreground rule none, or give a mask.")
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return np.asarray((sizes >= _SPECK * sizes.max())[pieces])


def is_hounsfield(values: np.ndarray) -> bool:
    """Raw CT: it reaches down to air (or below, where the scanner saw nothing), and its tissue stays below metal."""
    low, high = np.percentile(_sample(values), [0.5, 99])
    return bool(low <= 0.9 * _AIR and high < -4 * _AIR)


def _sample(values: np.ndarray) -> np.ndarray:
    """Every so many-th value; an odd step, lest all come from a few columns of an image whose width is a power of two."""
    return values.ravel()[:: values.size // _SAMPLE | 1]


def _surround(values: np.ndarray) -> float | None:
    """The one value that most of the in-plane border of all slices has, if there is one."""
    border = np.concatenate([values[:, (0, -1), :].ravel(), values[:, :, (0, -1)].ravel()])
    level = float(np.median(border))
    return level if (border == level).mean() > 0.5 else None


def _threshold(values: np.ndarray) -> tuple[float, bool]:
    """A value between background and tissue, and whether the background is so even that its edge is exact.

    Nearer to the background: tissue may be dark, and holes are filled later. Background is what lies below Otsu's threshold and below
    a fifth of the range. Four fifths of a scanner's (Rician) noise lie within 1.5 sigma of the lowest value; 2.7 times that keeps clear
    of it. The highest fifth is not looked at: where the coil sees little, as in the neck, it is tissue.
    """
    sample = _sample(values)
    low, high = np.percentile(sample, [2, 99])
    if not high > low:
        return float(low), True
    counts, edges = np.histogram(np.clip(sample, low, high), bins=256)
    centres = (edges[1:] + edges[:-1]) / 2
    below, weighted = np.cumsum(counts).astype(np.float64), np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (weighted[-1] * below / below[-1] - weighted) ** 2 / (below * (below[-1] - below))
    otsu = centres[int(np.nanargmax(between[:-1]))]
    ceiling = min(otsu, low + 0.2 * (high - low))
    spread = 2.7 * (np.percentile(sample[sample <= ceiling], 80) - low)
    faint = _FAINT * (high - low)
    return float(min(ceiling, low + max(spread, faint))), bool(spread < faint)


def _filled(inside: np.ndarray, gaps: bool) -> np.ndarray:
    """With everything that is enclosed within a plane of the array, whichever way the scan is stored; `gaps`: although small gaps
    let the outside in, as the dark skull is open to the air at ears, nose and neck."""
    radius = max(1, round(_CLOSED * min(inside.shape[1:]))) if gaps else 0
    closed = _closed(inside, radius) if gaps else inside
    filled = closed.copy()
    for axis in range(3):
        if axis == 0 or inside.shape[0] >= THIN:
            filled |= np.moveaxis(_pieces(~np.moveaxis(closed, axis, 0), at_border=False), 0, axis)
    if not gaps:
        return filled
    # Closing also rounds the outline; the outside takes that back, but gets no further through a gap than this.
    outside = ~filled
    reached = _box(outside, 2 * radius, np.maximum) & ~inside
    return np.asarray(~(outside | _pieces(reached, touching=outside)))


def _pieces(places: np.ndarray, at_border: bool | None = None, touching: np.ndarray | None = None) -> np.ndarray:
    """Those connected pieces of `places`, slice by slice, that reach the border of their slice or do not, or that overlap `touching`.

    Labelled in one go: slice by slice takes ten times as long.
    """
    within = np.zeros((3, 3, 3), bool)
    within[1] = ndimage.generate_binary_structure(2, 1)
    pieces, count = ndimage.label(places, within)
    chosen = np.zeros(count + 1, bool)
    if touching is not None:
        chosen[pieces[touching]] = True
    else:
        for border in (pieces[:, 0], pieces[:, -1], pieces[:, :, 0], pieces[:, :, -1]):
            chosen[border] = True
        if not at_border:
            chosen = ~chosen
    chosen[0] = False
    return np.asarray(chosen[pieces])


def _closed(inside: np.ndarray, radius: int) -> np.ndarray:
    padded = np.pad(inside, ((0, 0), (radius, radius), (radius, radius)))
    closed = _box(_box(padded, radius, np.maximum), radius, np.minimum)
    return closed[:, radius:-radius, radius:-radius]


def _box(inside: np.ndarray, radius: int, spread: np.ufunc) -> np.ndarray:
    """Maximum or minimum over (2 radius + 1)-sided squares in every slice; twice as fast as the filters of `ndimage`."""
    for axis in (1, 2):
        turned = np.moveaxis(inside, axis, 0)
        reach, wanted = 0, min(radius, len(turned) - 1)
        while reach < wanted:  # windows that overlap are joined, so that a wide one takes few steps
            step = min(max(reach, 1), wanted - reach)
            wider = turned.copy(order="K")
            spread(wider[step:], turned[:-step], out=wider[step:])
            spread(wider[:-step], turned[step:], out=wider[:-step])
            turned, reach = wider, reach + step
        inside = np.moveaxis(turned, 0, axis)
    return inside
