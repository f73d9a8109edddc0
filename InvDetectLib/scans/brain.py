"""The brain in a scan of a whole head (T1, T2, FLAIR): what lies inside the skull, found without a network.

Tissue hangs together in wide places, and only narrow ways lead from the brain to scalp, eyes and muscles: where a flood from the middle of
the brain and one from the scalp meet, at the narrowest, the brain ends. It is found first in the slice that shows it best. From there on,
slice by slice, the flood starts in the middle of what was brain in the slice before, gets little further than that, and must look like it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ..common import InvDetectError
from .brain_grid import MANY, Spacing, believable, enlarged, factors_of, reduced
from .foreground import find_foreground, is_hounsfield
from .morphology import closed, depth_of, flood, labelled, widened

_REMEDY = "Use the foreground rule auto, or give masks, for instance of HD-BET or SynthStrip."
_DARK = 0.5  # of the brain's value: below are skull, air and (but for T2) fluid
_FAT = 1.5  # times the brain's value: a scalp so bright is known by it
_SCALP, _THICKEST = 5.0, 18.0  # mm below the outline: there is no brain yet; there is no scalp any more
_BRIDGE = 3.5  # mm: half the width of a bridge from the brain to something else
_MIDDLE = 12.0  # mm: what is deeper in the brain of one slice is brain in the next one, if it looks alike
_SMALL = 6.0  # mm: in smaller slices, what is deeper than this and than 0.6 of the greatest depth
_ALIKE = (0.6, 1.6)  # ratio of values that look alike, lesions included
_CLEFT, _HOLLOW = 7.0, 35.0  # mm: half the width of clefts that are closed, and of hollows in slices that are round but for these
_ROUND = 0.92  # of a slice's area with its hollows closed
_SPUR = 5.0  # mm: half the width of spurs that are taken off
_STEP = 5.0  # mm by which the brain may get wider from one thick slice to the next
_SHOWN = 0.7  # of the best slice's weight: such slices show the brain by themselves
_SAME = 0.5  # correlation of slices that are neighbours in the head
_SKULL, _WIPED = 0.22, 0.65  # see `_Head.is_brain_only`
_TRIES = 6  # slices that may be the first
_LEAST = 0.03  # of the largest slice's brain: where less is left, it ends


def find_brain(array: np.ndarray, spacing: Spacing | None) -> np.ndarray:
    """The brain with the fluid in and around it, (slice, row, column) bool; in a scan of a brain only, what the rule "auto" finds.

    array    (slice, row, column), any real dtype; values that are not finite count as background
    spacing  mm between slices, rows and columns; None: unknown, and the largest slice is taken for that of an adult's head
    Raises `InvDetectError` where no brain inside a skull is found (colour, CT, noise, other parts of the body), and as `find_foreground`.
    """
    if array.ndim != 3:
        raise InvDetectError(f"The foreground rule brain is for MRI of the head, and this is a colour image. {_REMEDY}")
    values = array.astype(np.float32, order="C")  # so that sums round alike, whichever way the scan is stored
    spacing = believable(values, spacing)
    if is_hounsfield(values[np.isfinite(values)]):
        raise InvDetectError(f"The foreground rule brain is for MRI of the head, and this is a CT (its air lies at -1000). {_REMEDY}")
    factors = factors_of(array.shape, spacing)
    head = _Head.of(reduced(values, factors), (spacing[0] * factors[0], spacing[1] * factors[1], spacing[2] * factors[2]))
    if head.is_brain_only():
        if head.is_disc():
            raise InvDetectError(f"The foreground rule brain is for MRI of the head, and what this shows is cut out as a disc. {_REMEDY}")
        return find_foreground(array, "auto")
    return enlarged(head.placed(_Search(head).run()), factors, array.shape)


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
        depth = np.stack([depth_of(one, pixel) for one in head])
        if pixel[0] < 1.3:
            values = ndimage.gaussian_filter(values, (0, 0.6, 0.6))
        return cls(values, head, depth, pixel, spacing[0], air, box, inside.shape)

    def placed(self, mask: np.ndarray) -> np.ndarray:
        """A mask of this head on the whole grid."""
        out = np.zeros(self.shape, bool)
        out[self.box] = mask
        return out

    def is_brain_only(self) -> bool:
        """What surrounds it was wiped out, and no dark skull lies below the outline: going in, nothing gets much rarer that is not dark."""
        value = np.median(self.values[self.depth > 0.5 * self.depth.max()])
        shells = [self.values[(self.depth > start) & (self.depth <= start + 2)] for start in range(2, 20, 2)]
        for dark in (_DARK, _DARK / 2):
            shares = [float((shell > dark * value).mean()) for shell in shells if shell.size]
            if len(shares) < 4 or max(shares[k] - min(shares[k:]) for k in range(3)) > _SKULL:
                return False
        return self.air > _WIPED

    def is_disc(self) -> bool:
        """Most of the outline lies on one circle, as in photographs of the fundus."""
        largest = self.inside[self.inside.sum(axis=(1, 2)).argmax()]
        rows, columns = (places * length for places, length in zip(np.nonzero(largest), self.pixel, strict=True))
        edge = largest & (depth_of(np.pad(largest, 1), self.pixel)[1:-1, 1:-1] <= 1.01 * max(self.pixel))
        at = (places * length for places, length in zip(np.nonzero(edge), self.pixel, strict=True))
        away = np.hypot(*(place - middle.mean() for place, middle in zip(at, (rows, columns), strict=True)))
        return bool((away > 0.96 * away.max()).mean() > 0.42)


class _Search:
    """The search of the brain in one head, from the slice that shows it best up and down."""

    def __init__(self, head: _Head) -> None:
        self._head = head
        self._least = _SCALP  # mm below the outline that the brain may come
        value = float(np.median(head.values[head.depth > 0.5 * head.depth.max()]))
        for _ in range(2):  # the first value may be that of a neck
            self._tissue = self._without_scalp(value)
            self._width = np.stack([depth_of(one, head.pixel) for one in self._tissue])
            self._weights, self._cores = self._weighed()
            start = int(np.argmax(self._weights))
            around = closed(self._cores[start], head.pixel, _CLEFT) & (head.depth[start] > _SCALP)
            value = float(np.percentile(head.values[start][around], 40))
        self._value = value

    def run(self) -> np.ndarray:
        """The brain, (slice, row, column) bool. Raises `InvDetectError` when what is found is none."""
        head, found = self._head, np.zeros(self._head.inside.shape, bool)
        for start in np.argsort(-self._weights)[:_TRIES].tolist():
            found[start] = self._alone(start)
            if self._plausible(start, found[start]):
                break
            found[start] = False
        else:
            raise InvDetectError(f"No brain is found in this scan: nothing in it looks like a brain inside a skull. {_REMEDY}")
        edge = found[start] & (depth_of(found[start], head.pixel) <= 1.01 * max(head.pixel))
        self._least = max(_SCALP, 0.85 * float(np.percentile(head.depth[start][edge], 10)))
        many = len(found) >= MANY
        for way in (1, -1):
            last = start
            for k in range(start + way, len(found) if way > 0 else -1, way):
                apart = not many and not self._neighbours(k, k - way)
                if not apart and abs(k - last) > (4 if many else 2):
                    continue  # it ended before
                one = np.zeros_like(found[k]) if apart else self._next(k, last, found[last], head.step + 1.5 if many else _STEP)
                if apart or (not many and self._weights[k] > _SHOWN * self._weights[start]):
                    alone = self._alone(k)
                    one |= alone & self._plausible(k, alone)
                if one.sum() > _LEAST * found[start].sum():
                    found[k], last = one, k
        return ndimage.binary_closing(np.pad(found, 3), iterations=3)[3:-3, 3:-3, 3:-3] if many else found

    def _neighbours(self, k: int, other: int) -> bool:
        """Whether two slices look so alike that they lie side by side in the head, and are not picked from here and there."""
        one, two = (self._head.values[number].ravel() for number in (k, other))
        return bool(np.corrcoef(one, two)[0, 1] > _SAME)

    def _without_scalp(self, value: float) -> np.ndarray:
        """What is not dark, without a scalp that is much brighter than the brain."""
        head = self._head
        tissue = (head.values > _DARK * value) & head.inside
        shell = head.inside & (head.depth <= _SCALP)
        if (shell & tissue).any():
            scalp = float(np.median(head.values[shell & tissue]))
            if scalp > _FAT * value:
                bright, count = labelled((head.values > (value + scalp) / 2) & (head.depth < _THICKEST))
                hangs = np.zeros(count + 1, bool)
                hangs[bright[shell]] = True
                hangs[0] = False
                tissue &= ~hangs[bright]
        return tissue

    def _weighed(self) -> tuple[np.ndarray, np.ndarray]:
        """Of each slice the weight of its largest and deepest piece of tissue, less if it touches the scalp, and these pieces, bool."""
        head = self._head
        below = _SCALP + 3
        cores, count = labelled((self._width > _BRIDGE) & (head.depth > below))
        numbers = np.arange(1, count + 1)
        slices = np.array([box[0].start for box in ndimage.find_objects(cores)])
        rim = (head.depth > below) & (head.depth <= below + 2 * max(head.pixel))
        touching = ndimage.sum_labels(rim, cores, numbers) / np.maximum(rim.sum(axis=(1, 2)), 1)[slices]
        each = ndimage.sum_labels(np.maximum(head.depth - 10, 0) ** 2, cores, numbers) * (1 - touching) ** 2
        weights, best = np.zeros(len(cores)), np.full(len(cores), -1)
        for number, k, weight in zip(numbers, slices, each, strict=True):
            if weight > weights[k]:
                weights[k], best[k] = weight, number
        if not weights.any():
            raise InvDetectError(f"No brain is found in this scan: there is no large piece of tissue deep in it. {_REMEDY}")
        return weights, np.asarray(cores == best[:, None, None])

    def _alone(self, k: int) -> np.ndarray:
        """The brain in a slice that shows it by itself, with pieces apart that look like it (hemispheres, temporal lobes)."""
        head = self._head
        width, depth, tissue = self._width[k], head.depth[k], self._tissue[k]
        middle = np.where(self._cores[k] & (depth > 12), width, 0)
        inner = flood(width, middle > 0.7 * max(float(middle.max()), 1e-3), ~head.inside[k] | (depth <= self._least)) & tissue
        pieces, _ = ndimage.label((width > _BRIDGE) & ~widened(inner, head.pixel, 2))
        apart = (pieces > 0) & ~np.isin(pieces, pieces[depth <= _SCALP + 3])
        pieces, count = ndimage.label((depth_of(inner, head.pixel) > _BRIDGE) | apart)
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
        depth = depth_of(brain, pixel)
        middle = (depth > min(_MIDDLE, max(_SMALL, 0.6 * float(depth.max())))) & (width > _BRIDGE)
        middle &= (likeness > _ALIKE[0]) & (likeness < _ALIKE[1])
        outer = ~head.inside[k] | (head.depth[k] <= self._least) | (near > reach + 4)
        inner = flood(width, middle, outer) & self._tissue[k]
        pieces, count = ndimage.label(depth_of(inner, pixel) > _BRIDGE)
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
        brain = closed(widened(pieces, pixel, _BRIDGE + 1.5) & inner, pixel, _CLEFT)
        hollows = closed(brain, pixel, _HOLLOW)
        if brain.sum() > _ROUND * hollows.sum():
            brain = hollows
        brain = ndimage.binary_fill_holes(brain) & allowed
        return brain & widened(depth_of(brain, pixel) > _SPUR, pixel, _SPUR)

    def _plausible(self, k: int, brain: np.ndarray) -> bool:
        """Whether this is a compact piece, as bright as the brain, that fills much but not all of its slice, with something dark around."""
        head = self._head
        pixel, inside = head.pixel, head.inside[k]
        if not 0.15 * inside.sum() < brain.sum() < 0.9 * inside.sum():
            return False
        if not _ALIKE[0] < head.values[k][brain].mean() / self._value < _ALIKE[1]:
            return False
        rows, columns = (places * length for places, length in zip(np.nonzero(brain), pixel, strict=True))
        circle = math.pi * float(np.hypot(rows - rows.mean(), columns - columns.mean()).max()) ** 2
        dark = ~self._tissue[k] & inside & ~brain & (head.depth[k] > 3)
        around = widened(brain, pixel, 1.5 * max(pixel)) & ~brain
        return bool(brain.sum() * math.prod(pixel) > 0.25 * circle and widened(dark, pixel, 3)[around].mean() > 0.25)
