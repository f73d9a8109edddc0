"""From a file or a DICOM folder to a `Scan`, and from a mask's file to a mask on a scan's voxels. Nothing is ever written here."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..common import InvDetectError
from .dicom_kinds import is_dicom
from .finding import PICTURES, SEGMENTATION, VOLUMES, ending, stem
from .geometry import Geometry
from .integrity import check_bmp, check_jpeg, check_nifti, check_tiff, more_than_a_volume, png_colours, with_lost_numbers
from .itk import SHEARED, load_image, open_image, unreadable
from .metaimage import load_metaimage, unit_of
from .nrrd import check_nrrd, units_of
from .units import in_mm

_NIFTI = (".nii.gz", ".nii", ".hdr", ".img")
_META = (".mha", ".mhd")
_JPEG = (".jpg", ".jpeg")
_TIFF = (".tif", ".tiff")
_SAME_PLACE = 0.1  # voxels
_SQUARE = 3e-4  # cosine between two axes, up to which rounding explains it: about 0.1 voxels over a volume


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

    Transparency is dropped; a TIFF of several pages is a volume; a volume of one slice stays a volume. The unit is "pixel" for
    pictures, for DICOM without PixelSpacing, and for NIfTI that names no unit and has a spacing of exactly 1.
    Raises InvDetectError for everything that cannot be read as one image or volume.
    """
    path = Path(path)
    array, geometry, warnings = _read(path, series)
    if array.ndim == 4 and array.shape[3] != 3:
        raise unreadable(path, f"it has {array.shape[3]} values a voxel, neither grey (1) nor colour (3)", "Save one channel of it")
    return Scan.from_array(array, geometry, stem(path), warnings)


def read_mask(path: str | os.PathLike[str], geometry: Geometry) -> np.ndarray:
    """A mask for a scan with `geometry`: (slice, row, column) bool, True where any channel of the file is above 0.

    Raises InvDetectError when its size differs from the scan's, or, for volumes, its place (unless one of the two says no place).
    """
    path = Path(path)
    if ending(path) in _JPEG:
        raise unreadable(path, "JPEG blurs the labels of a mask", "Save the mask as .png")
    array, place, _ = _read(path, None)
    if place.shape != geometry.shape:
        sizes = f"the mask has {_size(place)} voxels, the scan {_size(geometry)}"
        raise InvDetectError(f"{path} does not fit its scan: {sizes}. Draw or save it on the scan's grid.")
    if place.dimension == geometry.dimension == 3 and not place.is_plain and not geometry.is_plain:
        last = np.array(geometry.shape) - 1
        corners = np.stack(np.meshgrid(*zip((0, 0, 0), last, strict=True), indexing="ij"), axis=-1).reshape(-1, 3)
        off = np.abs(geometry.index_from_ras(place.ras_from_index(corners)) - corners).max()
        if off > _SAME_PLACE:
            reason = f"it lies elsewhere in space (up to {off:.1f} voxels)"
            raise InvDetectError(f"{path} does not fit its scan: {reason}. Resample it to the scan's grid.")
    mask = np.asarray(array > 0)
    return np.asarray(mask.any(axis=3)) if mask.ndim == 4 else mask


def _read(path: Path, series: str | None) -> tuple[np.ndarray, Geometry, tuple[str, ...]]:
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
        if ending(path) in (*VOLUMES, SEGMENTATION):
            return _read_volume(path)
        if is_dicom(path) or ending(path):
            from .dicom import read_dicom_file

            return read_dicom_file(path, series)
    except OSError as error:
        raise unreadable(path, error.strerror or "it cannot be opened", "Check that you may read it") from error
    supported = ", ".join(("DICOM", *VOLUMES, *PICTURES))
    raise unreadable(path, "its format is not supported", f"Convert it to one of {supported}")


def _read_picture(path: Path) -> tuple[np.ndarray, Geometry, tuple[str, ...]]:
    end = ending(path)
    if end in _JPEG:
        check_jpeg(path)
        stored = 0
    elif end in _TIFF:
        stored = check_tiff(path)
    elif end == ".bmp":
        stored = 1 if check_bmp(path) <= 8 else 3
    else:
        stored = png_colours(path)
    image = load_image(open_image(path))
    array = _array(image, path)
    if array.ndim == 4:
        array = array[..., :3]
        # Palettes come back as colours; a palette of greys is a grey picture.
        if stored == 1 and (array == array[..., :1]).all():
            array = array[..., 0]
    # Resolution tags of pictures speak of printing, not of the body.
    geometry = Geometry((array.shape[0], array.shape[1], array.shape[2]), dimension=image.GetDimension(), unit="pixel")
    return np.ascontiguousarray(array), geometry, ()


def _read_volume(path: Path) -> tuple[np.ndarray, Geometry, tuple[str, ...]]:
    warnings: tuple[str, ...] = ()
    has_unit, facts = True, None
    end = ending(path)
    header, voxels = _pair(path) if end in (".hdr", ".img") else (path, path)
    if end in _NIFTI:
        facts = check_nifti(header, voxels)
        has_unit = facts.has_unit
        if facts.is_analyze:
            warnings = ("the file is in the Analyze format, which does not say where left and right are",)
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
    if facts is not None:
        array = with_lost_numbers(array, voxels, facts)
        if array.ndim == 4 and array.shape[3] == 4:
            array = np.ascontiguousarray(array[..., :3])
    is_mm = has_unit or image.GetSpacing() != (1.0,) * image.GetDimension()
    geometry = Geometry.of_image(image, "mm" if is_mm else "pixel")
    if end not in _NIFTI:
        geometry, warnings = in_mm(geometry, *(([unit_of(path)] * 3, True) if end in _META else units_of(path)))
    if not np.isfinite((*geometry.spacing, *geometry.origin, *geometry.direction)).all() or min(geometry.spacing) <= 0:
        raise unreadable(path, f"its spacing or place is impossible ({', '.join(f'{s:g}' for s in geometry.spacing)} mm)")
    axes = np.reshape(geometry.direction, (3, 3))
    if np.abs(axes.T @ axes - np.eye(3)).max() > _SQUARE:  # a map of it could not be saved: NIfTI would silently straighten the axes
        raise unreadable(path, *SHEARED)
    return array, geometry, warnings


def _array(image: sitk.Image, path: Path) -> np.ndarray:
    """(slice, row, column[, channel]) of a 2-D or 3-D image; complex values raise InvDetectError."""
    array = sitk.GetArrayFromImage(image)
    if np.iscomplexobj(array):
        raise unreadable(path, "its voxels are complex numbers", "Save their magnitude")
    return array[None] if image.GetDimension() == 2 else array


def _pair(path: Path) -> tuple[Path, Path]:
    """Header and voxels of a .hdr and .img pair, by the name of either; the other's ending may be in capitals too."""

    def beside(end: str) -> Path:
        capitals = path.with_suffix(end.upper())
        return capitals if capitals.exists() else path.with_suffix(end)

    return beside(".hdr"), beside(".img")


def _size(geometry: Geometry) -> str:
    """Columns x rows (x slices), the order in which users know sizes."""
    sizes = geometry.shape[::-1] if geometry.dimension == 3 else geometry.shape[:0:-1]
    return " x ".join(str(n) for n in sizes)


def _digest(array: np.ndarray, geometry: Geometry) -> str:
    values = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    head = json.dumps({"dtype": values.dtype.str, "shape": array.shape, "geometry": geometry.as_dict()}, sort_keys=True)
    digest = hashlib.sha256(head.encode())
    digest.update(values.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
