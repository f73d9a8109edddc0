"""From a file or a DICOM folder to a `Scan`. Nothing is ever written here."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from ..common import InvDetectError
from .dicom_kinds import is_dicom
from .finding import PICTURES, SEGMENTATION, VOLUMES, ending, stem
from .geometry import Geometry
from .itk import SHEARED, SQUARE, load_image, more_than_a_volume, open_image, unreadable
from .metaimage import load_metaimage, unit_of
from .nrrd import check_nrrd, units_of
from .units import in_mm

if TYPE_CHECKING:
    from .dicom import Pixels  # loads pydicom

_NIFTI = (".nii.gz", ".nii", ".hdr", ".img")
_META = (".mha", ".mhd")
_TIFF = (".tif", ".tiff")


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
    Raises InvDetectError for everything that cannot be read as one image or volume.
    """
    path = Path(path)
    array, geometry, warnings = read_voxels(path, series)
    if array.ndim == 4 and array.shape[3] == 3 and (array == array[..., :1]).all():
        array = np.ascontiguousarray(array[..., 0])
    if array.ndim == 4 and array.shape[3] != 3:
        raise unreadable(path, f"it has {array.shape[3]} values a voxel, neither grey (1) nor colour (3)", "Save one channel of it")
    return Scan.from_array(array, geometry, stem(path), warnings)


def read_voxels(path: Path, series: str | None) -> Pixels:
    """Voxels with all their channels but transparency, geometry and warnings of any supported input."""
    if not os.path.exists(path):
        raise InvDetectError(f"{path} does not exist. Check the path.")
    try:
        if path.is_dir():
            from .dicom import read_dicom_folder  # pydicom is loaded when there is DICOM

            return read_dicom_folder(path, series)
        if not path.is_file():
            raise unreadable(path, "it is no regular file", "Give a scan file or a folder")
        if path.stat().st_size == 0:
            raise unreadable(path, "it is empty", "Copy or download it again")
        if ending(path) in PICTURES:
            return _read_picture(path)
        if ending(path) in _NIFTI:
            from .nifti import read_nifti

            return read_nifti(path)
        if ending(path) in (*VOLUMES, SEGMENTATION):
            return _read_volume(path)
        if is_dicom(path) or ending(path):
            from .dicom import read_dicom_file

            return read_dicom_file(path, series)
    except OSError as error:
        raise unreadable(path, error.strerror or "it cannot be opened", "Check that you may read it") from error
    supported = ", ".join(("DICOM", *VOLUMES, *PICTURES))
    raise unreadable(path, "its format is not supported", f"Convert it to one of {supported}")


def _read_picture(path: Path) -> Pixels:
    end = ending(path)
    if end in _TIFF:
        from .tiff import read_tiff

        return read_tiff(path)
    from .pictures import read_picture

    return read_picture(path, end)


def _read_volume(path: Path) -> Pixels:
    """NRRD and MetaImage, as SimpleITK reads them, once every byte is known to be there."""
    end = ending(path)
    reader = open_image(path)
    size = list(reader.GetSize())
    if max(size[3:], default=1) > 1:
        raise more_than_a_volume(path, size)
    if end in (".nrrd", ".nhdr", SEGMENTATION):
        check_nrrd(path, reader)
    image = load_metaimage(path, reader) if end in _META else load_image(reader)
    while image.GetDimension() > 3:
        image = image[(*(slice(None),) * (image.GetDimension() - 1), 0)]
    array = _array(image, path)
    units, known = ([unit_of(path)] * 3, True) if end in _META else units_of(path)
    geometry, warnings = in_mm(Geometry.of_image(image), units, known)
    if not np.isfinite((*geometry.spacing, *geometry.origin, *geometry.direction)).all() or min(geometry.spacing) <= 0:
        raise unreadable(path, f"its spacing or place is impossible ({', '.join(f'{s:g}' for s in geometry.spacing)} mm)")
    axes = np.reshape(geometry.direction, (3, 3))
    if np.abs(axes.T @ axes - np.eye(3)).max() > SQUARE:  # a map of it could not be saved: NIfTI would silently straighten the axes
        raise unreadable(path, *SHEARED)
    return array, geometry, warnings


def _array(image: sitk.Image, path: Path) -> np.ndarray:
    """(slice, row, column[, channel]) of a 2-D or 3-D image; complex values raise InvDetectError."""
    array = sitk.GetArrayFromImage(image)
    if np.iscomplexobj(array):
        raise unreadable(path, "its voxels are complex numbers", "Save their magnitude")
    return array[None] if image.GetDimension() == 2 else array




def _digest(array: np.ndarray, geometry: Geometry) -> str:
    values = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    place = dataclasses.replace(geometry, forms=None).as_dict()
    head = json.dumps({"dtype": values.dtype.str, "shape": array.shape, "geometry": place}, sort_keys=True)
    digest = hashlib.sha256(head.encode())
    digest.update(values.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
