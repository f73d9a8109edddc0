"""The brain in a scan of a whole head (T1, T2, FLAIR): what lies inside the skull, found without a network.

Tissue hangs together in wide places, and only narrow ways lead from the brain to scalp, eyes and muscles: where a flood from the brain's
middle and one from the scalp meet, at the narrowest, the brain ends. It is found first in the slice that shows it best. From there on, slice by
slice, the flood starts in the middle of what was brain in the slice before, gets no further than a little beyond it, and must look like it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from ..common import InvDetectError
from .foreground import find_foreground, is_hounsfield

Spacing = tuple[float, float, float]

_REMEDY = "Use the foreground rule auto, or give masks, for instance of HD-BET or SynthStrip."
_RADIUS = 84.0  # mm, of a circle as large as the largest slice of an adult's head
_SIZES = (30.0, 140.0)  # mm, of such circles of real heads: else the spacing is not to be believed
_PIXEL, _COARSE = 0.8, 2.1  # mm: the finest grid that is looked at, and the coarsest
_VOXELS = 2_500_000  # more than this are looked at on the coarse grid
_MANY = 64  # slices of a thin-sliced volume, or more
_DARK = 0.5  # of the brain's value: below are skull, air and (but for T2) fluid
_FAT = 1.5  # times the brain's value: a scalp so bright is known by it
_SCALP, _THICKEST = 5.0, 18.0  # mm below the outline: there is no brain yet; there is no scalp any more
_BRIDGE = 3.5  # mm: half the width of a bridge from the brain to something else
_MIDDLE = 12.0  # mm: what is deeper in the brain of one slice is brain in the next one, if it looks alike;
_SMALL = 6.0  # mm: of small ones, what is deeper than this and 0.6 of the greatest depth
_ALIKE = (0.6, 1.6)  # ratio of values that look alike, lesions included
_CLEFT, _HOLLOW = 7.0, 15.0  # mm: half the width of clefts that are closed, and of hollows in slices that are round but for these
_ROUND = 0.92  # of a slice's area with its hollows closed
_SPUR = 5.0  # mm: half the width of spurs that are taken off
_STEP = 5.0  # mm by which the brain may get wider from one thick slice to the next
_LEAST = 0.03  # of the largest slice's brain: where less is left, it ends


def find_brain(array: np.ndarray, spacing: Spacing | None) -> np.ndarray:
    """The brain with the fluid in and around it, (slice, row, column) bool; in a scan of a brain only, what the rule "auto" finds.

    array    (slice, row, column), any real dtype; values that are not finite count as background
    spacing  mm between slices, rows and columns; None: unknown, and the largest slice is taken for that of an adult's head
    Raises `InvDetectError` where no brain inside a skull is found (colour, CT, noise, other parts of the body), and as `find_foreground`.
    """
    if array.ndim != 3:
        raise InvDetectError(f"The foreground rule brain is for MRI of the head, and this is a colour image. {_REMEDY}")
    values = array.astype(np.float32)
    if is_hounsfield(values[np.isfinite(values)]):
        raise InvDetectError(f"The foreground rule brain is for MRI of the head, and this is a CT (its air lies at -1000). {_REMEDY}")
    spacing = _believable(values, spacing)
    factors = _factors(array.shape, spacing)
    head = _Head.of(_reduced(values, factors), (spacing[0] * factors[0], spacing[1] * factors[1], spacing[2] * factors[2]))
    if head.is_brain_only():
        return find_foreground(array, "auto")
    return _enlarged(head.placed(_Search(head).run()), factors, array.shape)


# --- the grid on which is looked ------------------------------------------------------------------------------------------------------


def _believable(values: np.ndarray, spacing: Spacing | None) -> Spacing:
    """The spacing in mm: as given, if it makes the largest slice as large as heads are, else such that it does."""
    steps = [max(1, round(length / 128)) for length in values.shape[1:]]
    head = find_foreground(values[:, :: steps[0], :: steps[1]], "auto")
    pixels = math.sqrt(head.sum(axis=(1, 2)).max() * steps[0] * steps[1] / math.pi)
    if spacing is not None and _SIZES[0] < pixels * math.sqrt(spacing[1] * spacing[2]) < _SIZES[1]:
        return spacing
    across, down, along = spacing or (1.0, 1.0, 1.0)
    scale = _RADIUS / (pixels * math.sqrt(down * along))
    return across * scale, down * scale, along * scale


def _factors(shape: tuple[int, ...], spacing: Spacing) -> tuple[int, int, int]:
    """How many slices, rows and columns are put together."""
    fine = [1, *(math.ceil(_PIXEL / one) for one in spacing[1:])]
    if math.prod(shape) / math.prod(fine) > _VOXELS:
        fine = [max(few, int(_COARSE / one)) for few, one in zip(fine, spacing, strict=True)]
        fine[0] = fine[0] if shape[0] >= _MANY else 1
    return fine[0], fine[1], fine[2]


def _reduced(values: np.ndarray, factors: tuple[int, int, int]) -> np.ndarray:
    """Means of blocks; what is not finite counts as the lowest value."""
    finite = np.isfinite(values)
    if not finite.all():
        values = np.where(finite, values, values[finite].min() if finite.any() else np.nan)
    if factors == (1, 1, 1):
        return values
    padded = np.pad(values, [(0, -length % factor) for length, factor in zip(values.shape, factors, strict=True)], mode="edge")
    for axis, factor in enumerate(factors):
        shape = padded.shape
        padded = padded.reshape(*shape[:axis], shape[axis] // factor, factor, *shape[axis + 1 :]).mean(axis=axis + 1)
    return padded


def _enlarged(inside: np.ndarray, factors: tuple[int, int, int], shape: tuple[int, ...]) -> np.ndarray:
    """The inverse of `_reduced` for a mask: its outline halfway between the blocks' middles."""
    if factors == (1, 1, 1):
        return inside
    image = sitk.GetImageFromArray(inside.astype(np.float32))
    image.SetSpacing([float(factor) for factor in factors[::-1]])
    image.SetOrigin([(factor - 1) / 2 for factor in factors[::-1]])
    if factors[0] > 1:
        image = sitk.DiscreteGaussian(image, 1.5)  # slices were looked at one by one
    full = sitk.Image([int(length) for length in shape[::-1]], sitk.sitkUInt8)
    return np.asarray(sitk.GetArrayFromImage(sitk.Resample(image, full, sitk.Transform(), sitk.sitkLinear, 0.0, sitk.sitkFloat32)) > 0.5)


# --- in one slice -----------------------------------------------------------------------------------------------------------------


def _depth(inside: np.ndarray, pixel: tuple[float, float]) -> np.ndarray:
    """mm from each place of a slice to what is not `inside`; beyond the edge of the picture it goes on as at the edge."""
    return np.asarray(ndimage.distance_transform_edt(np.pad(inside, 1, mode="edge"), sampling=pixel)[1:-1, 1:-1], np.float32)


def _widened(inside: np.ndarray, pixel: tuple[float, float], by: float) -> np.ndarray:
    return np.asarray(ndimage.distance_transform_edt(~inside, sampling=pixel) <= by) if inside.any() else inside


def _closed(inside: np.ndarray, pixel: tuple[float, float], by: float) -> np.ndarray:
    margin = int(by / min(pixel)) + 2
    wider = _widened(np.pad(inside, margin), pixel, by)
    return np.asarray(ndimage.distance_transform_edt(wider, sampling=pixel) > by)[margin:-margin, margin:-margin]


def _flood(width: np.ndarray, inner: np.ndarray, outer: np.ndarray) -> np.ndarray:
    """The places that are reached from `inner` by a wider way than from `outer`; `width`: mm to the nearest dark place."""
    if not inner.any():
        return inner
    markers = np.where(outer, 1, np.where(inner, 2, 0)).astype(np.uint8)
    level = sitk.GetImageFromArray(np.rint(-4 * width).astype(np.int16))
    return np.asarray(sitk.GetArrayFromImage(sitk.MorphologicalWatershedFromMarkers(level, sitk.GetImageFromArray(markers), False, True)) == 2)


# --- the whole head ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Head:
    """A scan on the grid, cut to the head.

    values   (slice, row, column) float32;  inside  bool: the head;  depth  mm from its outline, in each slice
    pixel    mm between rows and columns;  step  mm between slices
    air      the most frequent value's share of what lies outside the head
    box      where this lies on the grid, whose shape is `shape`
    """

    values: np.ndarray
    inside: np.ndarray
    depth: np.ndarray
    pixel: tuple[float, float]
    step: float
    air: float
    box: tuple[slice, ...]
    shape: tuple[int, ...]

    @classmethod
    def of(cls, values: np.ndarray, spacing: Spacing) -> _Head:
        inside = find_foreground(values, "auto")
        outside = values[~inside]
        air = float(np.unique(outside, return_counts=True)[1].max() / outside.size) if outside.size else 0.0
        whole = ndimage.find_objects(inside.astype(np.uint8))[0]
        box = (slice(None), *(slice(max(one.start - 1, 0), one.stop + 1) for one in whole[1:]))
        pixel = spacing[1:]
        values, head = values[box], inside[box]
        depth = np.stack([_depth(one, pixel) for one in head])
        if pixel[0] < 1.3:
            values = ndimage.gaussian_filter(values, (0, 0.6, 0.6))
        return cls(values, head, depth, pixel, spacing[0], air, box, inside.shape)

    def placed(self, mask: np.ndarray) -> np.ndarray:
        """A mask of this head on the whole grid."""
        out = np.zeros(self.shape, bool)
        out[self.box] = mask
        return out

    def is_brain_only(self) -> bool:
        """What surrounds it was wiped out, and no dark skull lies below the outline."""
        value = np.median(self.values[self.depth > 0.5 * self.depth.max()])
        shells = [self.values[(self.depth > start) & (self.depth <= start + 2)] for start in range(2, 20, 2)]
        shares = [float((shell > _DARK * value).mean()) for shell in shells if shell.size]
        if len(shares) < 4:
            return False
        return self.air > 0.65 and max(shares[k] - min(shares[k:]) for k in range(3)) < 0.2


class _Search:
    """The search of the brain in one head, from the slice that shows it best up and down."""

    def __init__(self, head: _Head) -> None:
        self._head = head
        self._least = _SCALP  # mm below the outline that the brain may come
        value = float(np.median(head.values[head.depth > 0.5 * head.depth.max()]))
        for _ in range(2):  # the first value may be that of a neck
            self._tissue = self._without_scalp(value)
            self._width = np.stack([_depth(one, head.pixel) for one in self._tissue])
            self._start, core = self._best()
            around = _closed(core, head.pixel, _CLEFT) & (head.depth[self._start] > _SCALP)
            value = float(np.percentile(head.values[self._start][around], 40))
        self._value, self._core = value, core

    def run(self) -> np.ndarray:
        """The brain, (slice, row, column) bool. Raises `InvDetectError` when what is found is none."""
        head, start = self._head, self._start
        found = np.zeros(head.inside.shape, bool)
        found[start] = self._first()
        self._check(found[start])
        edge = found[start] & (_depth(found[start], head.pixel) <= 1.01 * max(head.pixel))
        self._least = max(_SCALP, 0.85 * float(np.percentile(head.depth[start][edge], 10)))
        many = len(found) >= _MANY
        for way in (1, -1):
            last = start
            for k in range(start + way, len(found) if way > 0 else -1, way):
                if abs(k - last) > (4 if many else 2):
                    break
                one = self._next(k, last, found[last], head.step + 1.5 if many else _STEP)
                if one.sum() > _LEAST * found[start].sum():
                    found[k], last = one, k
        return ndimage.binary_closing(np.pad(found, 3), iterations=3)[3:-3, 3:-3, 3:-3] if many else found

    def _without_scalp(self, value: float) -> np.ndarray:
        """What is not dark, without a scalp that is much brighter than the brain."""
        head = self._head
        tissue = (head.values > _DARK * value) & head.inside
        shell = head.inside & (head.depth <= _SCALP)
        if (shell & tissue).any():
            scalp = float(np.median(head.values[shell & tissue]))
            if scalp > _FAT * value:
                bright, count = _labelled((head.values > (value + scalp) / 2) & (head.depth < _THICKEST))
                hangs = np.zeros(count + 1, bool)
                hangs[bright[shell]] = True
                hangs[0] = False
                tissue &= ~hangs[bright]
        return tissue

    def _best(self) -> tuple[int, np.ndarray]:
        """The slice with the largest and deepest piece of tissue that keeps off the scalp, and this piece, (row, column) bool."""
        head = self._head
        below = _SCALP + 3
        cores, count = _labelled((self._width > _BRIDGE) & (head.depth > below))
        if not count:
            raise InvDetectError(f"No brain is found in this scan: there is no large piece of tissue inside a skull. {_REMEDY}")
        numbers = np.arange(1, count + 1)
        slices = np.array([box[0].start for box in ndimage.find_objects(cores)])
        weights = ndimage.sum_labels(np.maximum(head.depth - 10, 0) ** 2, cores, numbers)
        rim = (head.depth > below) & (head.depth <= below + 2 * max(head.pixel))
        touching = ndimage.sum_labels(rim, cores, numbers) / np.maximum(rim.sum(axis=(1, 2)), 1)[slices]
        best = int(np.argmax(weights * (1 - touching) ** 2))
        return int(slices[best]), cores[slices[best]] == best + 1

    def _first(self) -> np.ndarray:
        """The brain in the slice that shows it best, with pieces beside that look like it (hemispheres, temporal lobes)."""
        head, k = self._head, self._start
        width, depth, tissue = self._width[k], head.depth[k], self._tissue[k]
        middle = np.where(self._core & (depth > 12), width, 0)
        inner = _flood(width, middle > 0.7 * max(float(middle.max()), 1e-3), ~head.inside[k] | (depth <= self._least)) & tissue
        apart = (width > _BRIDGE) & (depth > 10) & ~_widened(inner, head.pixel, 2)
        pieces, count = ndimage.label((_depth(inner, head.pixel) > _BRIDGE) | apart)
        chosen = np.zeros_like(inner)
        for number in range(1, count + 1):
            piece = pieces == number
            alike = 0.75 < head.values[k][piece].mean() / self._value < 1.4
            if (inner[piece].mean() > 0.5 or alike) and depth[piece].max() > 15 and piece.sum() > 0.01 * head.inside[k].sum():
                chosen |= piece
        return self._rounded(k, inner | chosen, chosen)

    def _next(self, k: int, last: int, brain: np.ndarray, reach: float) -> np.ndarray:
        """The brain in slice `k`, from that in the slice `last` beside it."""
        head, pixel = self._head, self._head.pixel
        values, width, near = head.values[k], self._width[k], ndimage.distance_transform_edt(~brain, sampling=pixel)
        likeness = values / max(float(np.median(head.values[last][brain])), 1e-6)
        depth = _depth(brain, pixel)
        middle = (depth > min(_MIDDLE, max(_SMALL, 0.6 * float(depth.max())))) & (width > _BRIDGE) & (likeness > _ALIKE[0]) & (likeness < _ALIKE[1])
        outer = ~head.inside[k] | (head.depth[k] <= self._least) | (near > reach + 4)
        inner = _flood(width, middle, outer) & self._tissue[k]
        pieces, count = ndimage.label(_depth(inner, pixel) > _BRIDGE)
        chosen = np.zeros_like(inner)
        for number in range(1, count + 1):
            piece = pieces == number
            common = piece & brain
            if common.sum() >= 0.5 * piece.sum():
                ratio = values[common].mean() / head.values[last][common].mean()
                chosen |= piece if _ALIKE[0] < ratio < _ALIKE[1] else False
        return self._rounded(k, inner, chosen) & (near <= reach)

    def _rounded(self, k: int, inner: np.ndarray, pieces: np.ndarray) -> np.ndarray:
        """The pieces with what of `inner` lies at them, clefts and holes closed, thin spurs taken off."""
        if not pieces.any():
            return pieces
        pixel, allowed = self._head.pixel, self._head.inside[k] & (self._head.depth[k] > self._least)
        brain = _closed(_widened(pieces, pixel, _BRIDGE + 1.5) & inner, pixel, _CLEFT)
        hollows = _closed(brain, pixel, _HOLLOW)
        if brain.sum() > _ROUND * hollows.sum():
            brain = hollows
        brain = ndimage.binary_fill_holes(brain) & allowed
        return brain & _widened(_depth(brain, pixel) > _SPUR, pixel, _SPUR)

    def _check(self, brain: np.ndarray) -> None:
        """Raise `InvDetectError` unless the brain fills much of its slice in one compact piece, and dark skull or fluid surrounds it."""


def _labelled(places: np.ndarray) -> tuple[np.ndarray, int]:
    """Connected pieces of each slice."""
    within = np.zeros((3, 3, 3), bool)
    within[1] = ndimage.generate_binary_structure(2, 1)
    pieces, count = ndimage.label(places, within)
    return pieces, int(count)
