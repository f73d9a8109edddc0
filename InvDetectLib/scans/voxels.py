"""From a file or a DICOM folder to voxels, in this very process; `reader` does it in another one. Nothing is ever written here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from ..common import InvDetectError
from .dicom_kinds import is_dicom
from .finding import PICTURES, SEGMENTATION, VOLUMES, ending
from .geometry import Geometry
from .itk import SHEARED, SQUARE, check_name, load_image, more_than_a_volume, open_image, unreadable
from .metaimage import check_metaimage, load_metaimage, unit_of
from .nrrd import check_nrrd, check_nrrd_header, units_of
from .units import in_mm

if TYPE_CHECKING:
    from .dicom import Pixels  # loads pydicom

_NIFTI = (".nii.gz", ".nii", ".hdr", ".img")
_META = (".mha", ".mhd")
_TIFF = (".tif", ".tiff")


def read_voxels(path: Path, series: str | None, vectors: bool = False) -> Pixels:
    """Voxels with all their channels but transparency, geometry and warnings of any supported input; vectors  see `read_nifti`"""
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

            return read_nifti(path, vectors)
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
    check_name(path)
    (check_metaimage if end in _META else check_nrrd_header)(path)
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
