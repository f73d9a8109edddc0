"""From a file or a DICOM folder to a `Scan`. Nothing is ever written here."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .finding import stem
from .geometry import Geometry
from .itk import unreadable
from .reader import read_voxels


@dataclass(frozen=True)
class Scan:
    """One image or volume, as its file gives it.

    array     (slice, row, column), or (slice, row, column, 3) for red, green, blue; the file's dtype (after a stored slope and offset)
    geometry  where the voxels lie
    name      safe as a file name: the file's name without its ending, or the DICOM folder's name
    digest    sha256 over voxels (C order, little endian), dtype and geometry; no file names
    warnings  what the file left unsaid, for the user and the result
    """

    array: np.ndarray
    geometry: Geometry
    name: str
    digest: str
    warnings: tuple[str, ...] = ()

    @classmethod
    def from_array(cls, array: np.ndarray, geometry: Geometry, name: str, warnings: tuple[str, ...] = ()) -> Scan:
        """A scan from voxels in memory; the digest is computed here. A shape other than the geometry's raises ValueError."""
        if array.shape[:3] != geometry.shape or array.shape[3:] not in ((), (3,)):
            raise ValueError(f"the array has shape {array.shape}, the geometry {geometry.shape}")
        return cls(array, geometry, name, _digest(array, geometry), warnings)

    @property
    def channels(self) -> int:
        """1 for grey, 3 for colour."""
        return 3 if self.array.ndim == 4 else 1


def read_scan(path: str | os.PathLike[str], series: str | None = None) -> Scan:
    """Read a NIfTI, NRRD, MetaImage, DICOM, PNG, JPEG, TIFF or BMP file, or the folder of a DICOM series.

    series  SeriesInstanceUID, which picks one of several series in a DICOM folder, with "#" and a number for one of several volumes in
            multi-frame files; for other inputs it says nothing

    Transparency is dropped; colours that are all grey are grey; pictures stand upright, as their tags say; a TIFF of several pages is a
    volume; a volume of one slice stays a volume, and a 2-D NIfTI is one. The unit is "pixel" for pictures, for DICOM without PixelSpacing,
    and for NIfTI that names no unit and has a spacing of exactly 1.
    Raises InvDetectError for everything that cannot be read as one image or volume, and for what its reader breaks on or never ends with.
    """
    path = Path(path)
    array, geometry, warnings = read_voxels(path, series)
    if array.ndim == 4 and array.shape[3] == 3 and (array == array[..., :1]).all():
        array = np.ascontiguousarray(array[..., 0])
    if array.ndim == 4 and array.shape[3] != 3:
        raise unreadable(path, f"it has {array.shape[3]} values a voxel, neither grey (1) nor colour (3)", "Save one channel of it")
    return Scan.from_array(array, geometry, stem(path), warnings)


def _digest(array: np.ndarray, geometry: Geometry) -> str:
    values = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    place = dataclasses.replace(geometry, forms=None).as_dict()
    head = json.dumps({"dtype": values.dtype.str, "shape": array.shape, "geometry": place}, sort_keys=True)
    digest = hashlib.sha256(head.encode())
    digest.update(values.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
