"""From the file of a mask, or of an anomaly map, to the scan's voxels: what counts as labelled, and where it lies. Nothing is resampled."""

from __future__ import annotations

import os
from itertools import permutations
from pathlib import Path
from typing import NoReturn

import numpy as np

from ..common import InvDetectError, WrongUse
from .finding import SEGMENTATION, ending
from .geometry import Geometry
from .itk import unreadable
from .reader import read_voxels

_JPEG = (".jpg", ".jpeg")
_SAME_PLACE = 0.1  # voxels
_WHOLE = 1e-4  # how far from a whole number a label may be: labels that went through a stored slope are not quite whole


def read_mask(path: str | os.PathLike[str], geometry: Geometry) -> np.ndarray:
    """A mask for a scan with `geometry`: (slice, row, column) bool, True where any channel or layer of the file is above 0.

    Labels are whole numbers from 0, which is outside. A mask of the same place that is stored in another order of axes or turned round is
    brought over voxel by voxel, and so is a segmentation (.seg.nrrd) that was cropped to what is labelled; other masks must have all of
    the scan's voxels, for what they lack may have got lost.
    Raises InvDetectError for other numbers, for another size, and for what lies elsewhere, with how far that is.
    """
    return _read(Path(path), geometry, None, "Save it as whole numbers, with 0 outside")


def read_truth(path: str | os.PathLike[str], geometry: Geometry, at: float | None = None) -> np.ndarray:
    """Like `read_mask`, for a mask of lesions, which cannot be everything.

    at  lesion is what is at least this, whole or not (of probabilities 0.5, say); None: what is above 0, and fractions are refused
    """
    path = Path(path)
    if at is not None and not at > 0:
        raise WrongUse(f"A mask cannot be cut at {at:g}, for 0 is no lesion; give --truth-at a number above 0, such as 0.5.")
    truth = _read(path, geometry, at, "Save it as whole numbers, with 0 outside lesions, or cut it with --truth-at 0.5")
    if truth.all():
        raise InvDetectError(f"{path} calls every voxel of its scan a lesion. Give a mask that is 0 where there is none.")
    return truth


def read_map(path: str | os.PathLike[str], geometry: Geometry) -> np.ndarray:
    """An anomaly map that any tool made of a scan with `geometry`: (slice, row, column) float64, the higher the less normal.

    One that is stored in another order of axes or turned round is brought over as masks are. Raises InvDetectError for another size or
    place, for several values a voxel, and for voxels without a finite number.
    """
    path = Path(path)
    array, place, _ = read_voxels(path, None)
    if array.ndim == 4:
        raise InvDetectError(f"{path} is no anomaly map: it holds {array.shape[3]} values a voxel. Save one value a voxel.")
    if not np.isfinite(array).all():
        raise InvDetectError(f"{path} holds NaN (no number) or infinite values. Save the lowest score where nothing was scored.")
    return _brought(path, array.astype(np.float64), place, geometry, "map")


def _read(path: Path, geometry: Geometry, at: float | None, remedy: str) -> np.ndarray:
    if ending(path) in _JPEG:
        raise unreadable(path, "JPEG blurs the labels of a mask", "Save the mask as .png")
    array, place, _ = read_voxels(path, None)
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise InvDetectError(f"{path} is no mask: it holds NaN (no number). {remedy}.")
    if at is None:
        _check_labels(path, array, remedy)
    labelled = np.asarray(array > 0.5 if at is None else array >= at)
    return _brought(path, np.asarray(labelled.any(axis=3)) if labelled.ndim == 4 else labelled, place, geometry, "mask")


def _check_labels(path: Path, array: np.ndarray, remedy: str) -> None:
    if array.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            broken = ~(np.abs(array - np.rint(array)) <= _WHOLE)  # also infinite ones
        if broken.any():
            example = f"{array[broken].flat[0]:g}"
            raise InvDetectError(f"{path} is no mask: it holds numbers such as {example}, and labels are whole. {remedy}.")
    if array.dtype.kind in "if" and array.min() < -_WHOLE:
        raise InvDetectError(f"{path} is no mask: it holds numbers below 0, down to {array.min():g}. {remedy}.")


def _brought(path: Path, values: np.ndarray, place: Geometry, geometry: Geometry, what: str) -> np.ndarray:
    """The values of a file of a certain place, on the scan's voxels; of a cropped mask with False around; what  "mask" or "map"."""
    same_size = place.shape == geometry.shape
    has_place = not place.is_plain and place.dimension == 3
    if same_size and not has_place:
        return values
    where = _Placing(place, geometry, what)
    turned = where.turned(values)
    may_be_cropped = has_place and ending(path) == SEGMENTATION
    if where.between <= _SAME_PLACE and (not any(where.start) if turned.shape == geometry.shape else may_be_cropped):
        inside = where.pasted(turned)
        if np.count_nonzero(inside) == np.count_nonzero(turned):
            return inside
    if same_size and (geometry.is_plain or geometry.dimension == 2):  # the scan says no place that could be another
        return values
    if not same_size and turned.shape != geometry.shape and not may_be_cropped:
        raise InvDetectError(f"{path} does not fit its scan: {_sizes(what, place, geometry)}. Draw or save it on the scan's grid.")
    where.complain(path, turned)


class _Placing:
    """How the voxels of a mask or a map lie on those of a scan: the nearest way of putting its axes on the scan's, and how well it fits.

    start    of the turned mask's first voxel, in whole voxels of the scan
    between  how far the mask's voxels lie from those of the scan that they would be put on, at most, in voxels of the scan
    """

    def __init__(self, place: Geometry, geometry: Geometry, what: str) -> None:
        self._place, self._geometry, self._what = place, geometry, what
        along = [np.reshape(one.direction, (3, 3))[:, ::-1] for one in (geometry, place)]
        cosines = along[0].T @ along[1]  # (axis of the scan, axis of the mask)
        self._order = max(permutations(range(3)), key=lambda axes: sum(abs(cosines[i, axes[i]]) for i in range(3)))
        self._flipped = [bool(cosines[i, axis] < 0) for i, axis in enumerate(self._order)]
        self._size = tuple(place.shape[axis] for axis in self._order)
        self._corners = np.stack(np.meshgrid(*((0, n - 1) for n in self._size), indexing="ij"), axis=-1).reshape(-1, 3)
        found = geometry.index_from_ras(place.ras_from_index(self._stored(self._corners)))
        self.start = tuple(int(n) for n in np.rint(found[0]))
        self._found = found
        self.between = float(np.abs(found - (self._corners + self.start)).max())

    def turned(self, values: np.ndarray) -> np.ndarray:
        """The values with their axes in the scan's order and sense."""
        turned = values.transpose(self._order)
        return np.flip(turned, tuple(i for i in range(3) if self._flipped[i]))

    def pasted(self, turned: np.ndarray) -> np.ndarray:
        """What of the turned values lies inside the scan, on the scan's voxels."""
        whole = np.zeros(self._geometry.shape, turned.dtype)
        ends = [min(s + n, limit) for s, n, limit in zip(self.start, self._size, whole.shape)]
        firsts = [max(s, 0) for s in self.start]
        there = tuple(slice(a, max(a, b)) for a, b in zip(firsts, ends))
        here = tuple(slice(a - s, max(a, b) - s) for a, b, s in zip(firsts, ends, self.start))
        whole[there] = turned[here]
        return whole

    def complain(self, path: Path, turned: np.ndarray) -> NoReturn:
        """Say why the mask cannot be brought over, and how far that is."""
        remedy = "Resample it to the scan's grid"
        if self._size == self._geometry.shape:
            reason = f"it lies elsewhere in space (up to {self._far(self._found - self._corners)})"
            if self._place.is_at_zero:  # of some programs that save the voxel sizes alone; to resample it would make noise of it
                reason += ", at the origin and unturned, as if its place had not been saved"
                remedy = "If its voxels are those of the scan, save it with the scan's header; else resample it to the scan's grid"
        elif self.between > _SAME_PLACE:
            off = self._far(self._found - (self._corners + self.start))
            reason = f"{_sizes(self._what, self._place, self._geometry)}, and its voxels lie elsewhere, up to {off} from those of the scan"
        else:
            places = np.argwhere(turned) + self.start
            beyond = np.maximum(np.maximum(-places, places - (np.array(self._geometry.shape) - 1)), 0)
            out = beyond[beyond.any(axis=1)]
            reason = f"it lies elsewhere in space: {len(out)} of its {len(places)} labelled voxels are outside, up to {self._far(out)}"
        raise InvDetectError(f"{path} does not fit its scan: {reason}. {remedy}.")

    def _far(self, steps: np.ndarray) -> str:
        """(n, 3) steps in the scan's voxels -> the longest in words."""
        voxels = float(np.abs(steps).max())
        if self._geometry.unit != "mm":
            return f"{voxels:.1f} voxels"
        mm = np.linalg.norm(np.asarray(steps) * self._geometry.spacing[::-1], axis=1).max()
        return f"{voxels:.1f} voxels, {mm:.1f} mm"

    def _stored(self, corners: np.ndarray) -> np.ndarray:
        """Indices of the turned mask as indices of the mask as it is stored."""
        stored = np.empty_like(corners)
        for i, axis in enumerate(self._order):
            stored[:, axis] = self._size[i] - 1 - corners[:, i] if self._flipped[i] else corners[:, i]
        return stored


def _sizes(what: str, place: Geometry, geometry: Geometry) -> str:
    return f"the {what} has {_size(place)} voxels, the scan {_size(geometry)}"


def _size(geometry: Geometry) -> str:
    """Columns x rows (x slices), the order in which users know sizes."""
    sizes = geometry.shape[::-1] if geometry.dimension == 3 else geometry.shape[:0:-1]
    return " x ".join(str(n) for n in sizes)
