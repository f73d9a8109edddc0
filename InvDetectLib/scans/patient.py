"""Which voxels of a scan are patient: the foreground by the name of its rule, whichever way the scan is stored."""

from __future__ import annotations

from itertools import permutations

import numpy as np

from .brain import find_brain
from .foreground import THIN, find_foreground
from .geometry import Geometry

_THICK = 2.0  # times the next largest spacing: a scan was acquired in such slices


def foreground_of(array: np.ndarray, geometry: Geometry, rule: str) -> np.ndarray:
    """The foreground of a scan that lies in space, (slice, row, column) bool: the same voxels however its axes are stored.

    array  (slice, row, column[, channel]), any real dtype
    rule   "auto" or "none" (see `find_foreground`), or "brain" (see `find_brain`); errors as there

    What a rule takes for slices lies across the axis with few voxels, else across the one with thick ones, else across the body.
    """
    order, flipped = _upright(geometry)
    turned = np.flip(array.transpose(*order, *range(3, array.ndim)), flipped)
    if rule == "brain":
        across, down, along = (geometry.spacing[2 - axis] for axis in order)
        found = find_brain(turned, (across, down, along) if geometry.unit == "mm" else None)
    else:
        found = find_foreground(turned, rule)
    found = np.flip(found, flipped)
    return np.ascontiguousarray(found.transpose(np.argsort(order)))


def _upright(geometry: Geometry) -> tuple[tuple[int, int, int], tuple[int, ...]]:
    """Which axes of the array are slices, rows and columns for the rule, and which of these run other than up, back and to the left."""
    if geometry.dimension == 2:
        return (0, 1, 2), ()
    towards = np.reshape(geometry.direction, (3, 3))[:, ::-1]  # how far each axis of the array runs to the left, back and up
    body = max(permutations(range(3)), key=lambda axes: sum(abs(towards[way, axes[2 - way]]) for way in range(3)))  # up, back, left
    few, more = sorted(body, key=lambda axis: geometry.shape[axis])[:2]
    fine, thick = sorted(body, key=lambda axis: geometry.spacing[2 - axis])[1:]
    slices = body[0]
    if geometry.shape[few] < min(THIN, geometry.shape[more]):
        slices = few
    elif geometry.spacing[2 - thick] > _THICK * geometry.spacing[2 - fine]:
        slices = thick
    rows, columns = (axis for axis in body if axis != slices)
    order = slices, rows, columns
    ways = {axis: 2 - place for place, axis in enumerate(body)}
    return order, tuple(place for place, axis in enumerate(order) if towards[ways[axis], axis] < 0)
