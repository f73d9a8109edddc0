"""Shapes in slices, in mm: depths, widened and closed shapes, pieces, and floods that meet where a way is narrowest."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

Pixel = tuple[float, float]
"""mm between rows and columns"""


def depth_of(inside: np.ndarray, pixel: Pixel) -> np.ndarray:
    """mm from each place of a slice to what is not `inside`; beyond the edge of the picture it goes on as at the edge."""
    if inside.all():
        return np.full(inside.shape, float(np.hypot(inside.shape[0] * pixel[0], inside.shape[1] * pixel[1])), np.float32)
    return np.asarray(ndimage.distance_transform_edt(np.pad(inside, 1, mode="edge"), sampling=pixel)[1:-1, 1:-1], np.float32)


def widened(inside: np.ndarray, pixel: Pixel, by: float) -> np.ndarray:
    """A slice's shape with all that lies within `by` mm of it."""
    return np.asarray(ndimage.distance_transform_edt(~inside, sampling=pixel) <= by) if inside.any() else inside


def closed(inside: np.ndarray, pixel: Pixel, by: float) -> np.ndarray:
    """A slice's shape with what no circle of the radius `by` mm reaches from outside."""
    margin = int(by / min(pixel)) + 2
    wider = widened(np.pad(inside, margin), pixel, by)
    return np.asarray(ndimage.distance_transform_edt(wider, sampling=pixel) > by)[margin:-margin, margin:-margin]


def flood(width: np.ndarray, inner: np.ndarray, outer: np.ndarray) -> np.ndarray:
    """The places that are reached from `inner` by a wider way than from `outer`; `width`: mm to the nearest dark place."""
    if not inner.any():
        return inner
    markers = np.where(outer, 1, np.where(inner, 2, 0)).astype(np.uint8)
    level, sources = sitk.GetImageFromArray(np.rint(-4 * width).astype(np.int16)), sitk.GetImageFromArray(markers)
    return np.asarray(sitk.GetArrayFromImage(sitk.MorphologicalWatershedFromMarkers(level, sources, False, True)) == 2)


def labelled(places: np.ndarray) -> tuple[np.ndarray, int]:
    """Connected pieces of each slice."""
    within = np.zeros((3, 3, 3), bool)
    within[1] = ndimage.generate_binary_structure(2, 1)
    pieces, count = ndimage.label(places, within)
    return pieces, int(count)
