"""Made lesions in real T1 volumes of extracted brains, where no annotated ones exist: of known place, the same for the same scan's name.

Each adult gets `COUNT` blobs whose centres lie in white or grey matter, at least 6 mm from the brain's edge and not in fluid, apart from
each other. Radii run evenly from 2 to 7.5 mm (4 to 15 mm across); kinds take turns:

bright   the 99.5th percentile of the brain, as fresh blood or contrast medium
dark     0.4 times the sum of its 10th and 75th percentile, between fluid and grey matter, as most chronic lesions in T1
rough    the tissue with noise of about 1 mm grain added, as strong as 0.4 of the range between those percentiles
mass     the brain's median, and the tissue around pushed outwards by up to 0.4 radii, fading over 6 mm

Blobs are balls with three waves on their surface; the edge is smooth over about 1.5 mm. The mask is where more than half is lesion.
They are made by `InvDetectLib.rehearsal`; which there are, where, how strong and from which seeds is the study's own.
Such lesions are no substitute for real ones: they tell what is seen at all, at equal rate of false alarms.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from InvDetectLib.rehearsal import around, blob, grain, pushed

from . import volumes

COUNT = 12
_KINDS = ("bright", "dark", "rough", "mass")
_RADII = (2.0, 7.5)  # mm
_EDGE, _GRAIN = 0.4, 0.7  # mm


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
        box, points = around(mask.shape, centre, 2 * radius + 8, spacing)
        share = blob(points, radius, rng, _EDGE)
        kind = _KINDS[number % len(_KINDS)]
        tissue = values[box]
        if kind == "mass":
            distance = np.sqrt((points**2).sum(axis=0)) + 1e-6
            tissue = pushed(tissue, points, 0.4 * radius * np.exp(-np.maximum(distance - radius, 0) / 6), spacing)
        fine = grain(tissue.shape, spacing, rng, _GRAIN)
        level = {"bright": top, "dark": 0.4 * (low + high), "mass": middle}.get(kind)
        lesion = tissue + 0.4 * (high - low) * fine if level is None else level + 0.05 * (high - low) * fine
        values[box] = np.where(inside[box], np.maximum(tissue + share * (lesion - tissue), 0), values[box])
        mask[box] |= (share > 0.5) & inside[box]
        taken = np.sqrt((points**2).sum(axis=0)) < radius + 10
        fits[box] &= ~taken
    return values, mask
