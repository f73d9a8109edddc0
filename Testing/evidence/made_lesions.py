"""Made lesions in real T1 volumes of extracted brains, where no annotated ones exist: of known place, the same for the same scan's name.

Each adult gets `COUNT` blobs whose centres lie in white or grey matter, at least 6 mm from the brain's edge and not in fluid, apart from
each other. Radii run evenly from 2 to 7.5 mm (4 to 15 mm across); kinds take turns:

bright   the 99.5th percentile of the brain, as fresh blood or contrast medium
dark     0.4 times the sum of its 10th and 75th percentile, between fluid and grey matter, as most chronic lesions in T1
rough    the tissue with noise of about 1 mm grain added, as strong as 0.4 of the range between those percentiles
mass     the brain's median, and the tissue around pushed outwards by up to 0.4 radii, fading over 6 mm

Blobs are balls with three waves on their surface; the edge is smooth over about 1.5 mm. The mask is where more than half is lesion.
Such lesions are no substitute for real ones: they tell what is seen at all, at equal rate of false alarms.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from . import volumes

COUNT = 12
_KINDS = ("bright", "dark", "rough", "mass")
_RADII = (2.0, 7.5)  # mm


def write(source: Path, folder: Path, name: str) -> tuple[Path, Path]:
    """The scan at `source` with lesions as `folder/scans/NAME.nii.gz`, and their mask; written once. Returns both paths."""
    scan, truth = folder / "scans" / f"{name}.nii.gz", folder / "masks" / f"{name}.nii.gz"
    if not (scan.exists() and truth.exists()):
        image = sitk.ReadImage(str(source))
        spacing = image.GetSpacing()[::-1]
        values, mask = insert(sitk.GetArrayFromImage(image).astype(np.float32), spacing, zlib.crc32(name.encode()))
        for array, target in ((np.clip(np.rint(values), 0, 255).astype(np.uint8), scan), (mask.astype(np.uint8), truth)):
            made = sitk.GetImageFromArray(array)
            made.CopyInformation(image)
            volumes.write(made, target)
    return scan, truth


def insert(brain: np.ndarray, spacing: tuple[float, ...], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(volume with lesions, mask) from an extracted brain.

    brain    (slice, row, column) float, 0 outside the brain;  spacing  mm along each axis
    Returns float32 and bool of the same shape.
    """
    rng = np.random.default_rng([seed, 8])
    inside = ndimage.binary_fill_holes(ndimage.binary_opening(brain > 0.1 * brain.max()))
    depth = ndimage.distance_transform_edt(inside, sampling=spacing)
    smooth = ndimage.gaussian_filter(brain, [1.5 / step for step in spacing])
    low, middle, high, top = np.percentile(brain[inside], [10, 50, 75, 99.5])
    fits = (depth > 6) & (smooth > (low + middle) / 2)
    values, mask = brain.astype(np.float32, copy=True), np.zeros(brain.shape, bool)
    for number, radius in enumerate(np.linspace(*_RADII, COUNT)):
        places = np.argwhere(fits & (depth > radius + 1))
        if not len(places):
            continue
        centre = places[rng.integers(len(places))]
        reach = [int((2 * radius + 8) / step) for step in spacing]
        box = tuple(slice(max(0, c - far), c + far + 1) for c, far in zip(centre, reach))
        points = np.indices(mask[box].shape) + np.reshape([part.start for part in box] - centre, (3, 1, 1, 1))
        points = points * np.reshape(spacing, (3, 1, 1, 1))
        share = _blob(points, radius, rng)
        kind = _KINDS[number % len(_KINDS)]
        tissue = values[box]
        if kind == "mass":
            tissue = _pushed(tissue, points, radius, spacing)
        grain = ndimage.gaussian_filter(rng.standard_normal(tissue.shape), [0.7 / s for s in spacing])
        grain /= grain.std()
        level = {"bright": top, "dark": 0.4 * (low + high), "mass": middle}.get(kind)
        lesion = tissue + 0.4 * (high - low) * grain if level is None else level + 0.05 * (high - low) * grain
        values[box] = np.where(inside[box], np.maximum(tissue + share * (lesion - tissue), 0), values[box])
        mask[box] |= (share > 0.5) & inside[box]
        taken = np.sqrt((points**2).sum(axis=0)) < radius + 10
        fits[box] &= ~taken
    return values, mask


def _blob(points: np.ndarray, radius: float, rng: np.random.Generator) -> np.ndarray:
    """Share of lesion, 0 to 1, at points (3, ...) in mm around the centre: a ball with three waves on its surface."""
    distance = np.sqrt((points**2).sum(axis=0)) + 1e-6
    surface = np.full(distance.shape, radius)
    for _ in range(3):
        direction = rng.standard_normal(3)
        direction /= np.linalg.norm(direction)
        along = np.tensordot(direction, points / distance, axes=1)
        surface += 0.08 * radius * np.sin(rng.uniform(2, 4) * along + rng.uniform(0, 2 * np.pi))
    return 1 / (1 + np.exp((distance - surface) / 0.4))


def _pushed(tissue: np.ndarray, points: np.ndarray, radius: float, spacing: tuple[float, ...]) -> np.ndarray:
    """The tissue as a growing ball leaves it: what now lies outside came from nearer the centre."""
    distance = np.sqrt((points**2).sum(axis=0)) + 1e-6
    length = 0.4 * radius * np.exp(-np.maximum(distance - radius, 0) / 6)
    shift = points / distance * np.minimum(length, 0.9 * distance)
    index = np.indices(tissue.shape) - shift / np.reshape(spacing, (3, 1, 1, 1))
    return ndimage.map_coordinates(tissue, index, order=1, mode="nearest")
