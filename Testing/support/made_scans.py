"""Small made scans that several tests share, in memory and as NIfTI files."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from InvDetectLib.models.settings import Preparation
from InvDetectLib.scans import Geometry, Scan

PLACE = np.array([[0, 0, -3.0, 40], [2.0, 0, 0, -50], [0, 1.5, 0, 60], [0, 0, 0, 1]])  # a RAS affine: axes permuted, one flipped


def scan_of(array: np.ndarray, name: str = "made") -> Scan:
    array = np.asarray(array)
    while array.ndim < 3:
        array = array[None]
    geometry = Geometry(array.shape[:3], dimension=2 if array.shape[0] == 1 else 3, unit="pixel")
    return Scan.from_array(array, geometry, name)


def as_it_is(array: np.ndarray, rule: str, **changes) -> Preparation:
    """A preparation with the scan's own grid and everything as foreground."""
    shape = scan_of(array).array.shape
    plain = Preparation(intensity=rule, foreground="none", grid=max(shape[1:3]), channels=3 if len(shape) == 4 else 1)
    return dataclasses.replace(plain, **changes)


def head(seed: int = 0, gain: float = 1.0) -> np.ndarray:
    """A textured disc in dark, noisy air, 4 slices."""
    rng = np.random.default_rng(seed)
    row, column = np.ogrid[-1:1:64j, -1:1:64j]
    inside = row**2 + column**2 < 0.7
    tissue = np.where(inside, 80 + 40 * np.sin(5 * row) + 30 * np.cos(7 * column), 0)
    return ((tissue + rng.normal(0, 3, (4, 64, 64)) * inside + np.abs(rng.normal(0, 1, (4, 64, 64)))) * gain).astype(np.float32)


def colours(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.clip(rng.normal((150, 90, 40), (20, 15, 8), (1, 30, 30, 3)), 0, 255)


def voxels(*shape: int, dtype: Any = np.int16) -> np.ndarray:
    """The numbers 0, 1, 2 ... in an array, so that every voxel has a value of its own."""
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def write_nifti(path: Path, array: np.ndarray, affine: np.ndarray = PLACE, unit: str | None = "mm") -> Path:
    """`array` in NIfTI's own order (x, y, z)."""
    image = nib.Nifti1Image(array, affine)
    if unit:
        image.header.set_xyzt_units(unit)
    nib.save(image, str(path))
    return path
