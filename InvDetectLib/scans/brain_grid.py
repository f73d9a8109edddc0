"""The grid of 1 to 2 mm on which the brain is searched, and the way back to the scan's own voxels."""

from __future__ import annotations

import math

import numpy as np
import SimpleITK as sitk

from .foreground import find_foreground

Spacing = tuple[float, float, float]
"""mm between slices, rows and columns"""

MANY = 64  # slices of a thin-sliced volume, or more
_RADIUS = 84.0  # mm, of a circle as large as the largest slice of an adult's head
_SIZES = (30.0, 140.0)  # mm, of such circles of real heads: else the spacing is not to be believed
_PIXEL, _COARSE = 0.8, 2.1  # mm: the finest grid that is looked at, and the coarsest
_VOXELS = 2_500_000  # more than this are looked at on the coarse grid


def believable(values: np.ndarray, spacing: Spacing | None) -> Spacing:
    """The spacing in mm: as given, if it makes the largest slice as large as heads are, else such that it does."""
    steps = [max(1, round(length / 128)) for length in values.shape[1:]]
    head = find_foreground(values[:, :: steps[0], :: steps[1]], "auto")
    pixels = math.sqrt(head.sum(axis=(1, 2)).max() * steps[0] * steps[1] / math.pi)
    if spacing is not None and _SIZES[0] < pixels * math.sqrt(spacing[1] * spacing[2]) < _SIZES[1]:
        return spacing
    across, down, along = spacing or (1.0, 1.0, 1.0)
    scale = _RADIUS / (pixels * math.sqrt(down * along))
    return across * scale, down * scale, along * scale


def factors_of(shape: tuple[int, ...], spacing: Spacing) -> tuple[int, int, int]:
    """How many slices, rows and columns are put together."""
    fine = [1, *(math.ceil(_PIXEL / one) for one in spacing[1:])]
    if math.prod(shape) / math.prod(fine) > _VOXELS:
        fine = [max(few, int(_COARSE / one)) for few, one in zip(fine, spacing, strict=True)]
        fine[0] = fine[0] if shape[0] >= MANY else 1
    return fine[0], fine[1], fine[2]


def reduced(values: np.ndarray, factors: tuple[int, int, int]) -> np.ndarray:
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


def enlarged(inside: np.ndarray, factors: tuple[int, int, int], shape: tuple[int, ...]) -> np.ndarray:
    """The inverse of `reduced` for a mask: its outline halfway between the blocks' middles."""
    if factors == (1, 1, 1):
        return inside
    image = sitk.GetImageFromArray(inside.astype(np.float32))
    image.SetSpacing([float(factor) for factor in factors[::-1]])
    image.SetOrigin([(factor - 1) / 2 for factor in factors[::-1]])
    if factors[0] > 1:
        image = sitk.DiscreteGaussian(image, [1.5] * 3)  # slices were looked at one by one
    full = sitk.Image([int(length) for length in shape[::-1]], sitk.sitkUInt8)
    return np.asarray(sitk.GetArrayFromImage(sitk.Resample(image, full, sitk.Transform(), sitk.sitkLinear, 0.0, sitk.sitkFloat32)) > 0.5)
