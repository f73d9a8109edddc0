"""NIfTI-1, NIfTI-2 and the older Analyze, as nibabel reads their headers.

The place is decided by one rule, nibabel's: the sform if its code is above 0, else the qform if its code is, else the voxel sizes alone.
Such a file says no place, and its axes are taken as Slicer and SimpleITK take them: first to the left, second backwards, third upwards.
"""

from __future__ import annotations

import gzip
import logging
import math
import struct
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import imagecodecs
import nibabel as nib
import numpy as np
import SimpleITK as sitk
from nibabel.spatialimages import HeaderDataError

from ..common import InvDetectError
from .forms import NiftiForms
from .geometry import Geometry
from .itk import COPY, SHEARED, SQUARE, more_than_a_volume, open_image, unreadable

_PAIR = (".hdr", ".img")
_HEADER_BYTES = {348: 348, 540: 540}  # what a header says of its own size -> how much of the file it is
_CHUNK = 1 << 22
_PACKED = 1040  # bytes that deflate packs into one, at most
_MM = {1: 1000.0, 2: 1.0, 3: 0.001}  # codes of the units of length
_APART = 0.1  # voxels, from which on two ways of saying the place differ
_OTHER = 1e-3  # share by which a voxel size may be another than the affine's
_ROUNDING = 0.01  # voxels
_FLIP = np.array([-1.0, -1.0, 1.0])
_ANALYZE = "the file is in the Analyze format, which does not say where left and right are"
_PLACELESS = "the file does not say where it lies (its sform and qform have code 0), nor where left and right are"
_QUIET = logging.Logger("nibabel's checks", logging.CRITICAL + 1)  # what they mend is said here, in a user's words


@dataclass(frozen=True)
class _Place:
    """One way in which a header says where its voxels lie: its name for users, and the (4, 4) affine to RAS in the header's unit."""

    name: str
    affine: np.ndarray

    @property
    def is_possible(self) -> bool:
        return bool(np.isfinite(self.affine).all() and np.linalg.det(_unit_columns(self.affine)) != 0)


@dataclass(frozen=True)
class _Stored:
    """A header that is sound, and where the voxels are: raw as the file has it, mended as nibabel does."""

    raw: Any
    mended: Any
    voxels: Path
    offset: int
    sizes: list[int]
    dtype: np.dtype

    @property
    def is_analyze(self) -> bool:
        return not isinstance(self.raw, nib.Nifti1Header)


def read_nifti(path: Path) -> tuple[np.ndarray, Geometry, tuple[str, ...]]:
    """Voxels (slice, row, column[, channel]) after the stored slope and offset, geometry, and warnings; `path` may be one of a pair.

    A 2-D image is a volume of one slice. Raises InvDetectError for all that is no whole single volume in a possible place.
    """
    stored = _open(path)
    array = _scaled(_voxels(stored), stored)
    shape = tuple((*stored.sizes, 1, 1)[:3])[::-1]
    geometry, warnings = _geometry(path, stored, shape)
    return array, geometry, tuple(warnings)


def _open(path: Path) -> _Stored:
    header_file, voxels = _pair(path) if path.suffix.lower() in _PAIR else (path, path)
    if not voxels.exists():
        raise unreadable(header_file, f"its data file {voxels.name} is missing", "Copy it beside the header")
    if not header_file.exists():
        raise unreadable(voxels, f"its header {header_file.name} is missing", "Copy it beside the data file")
    raw = _header(header_file)
    if header_file == voxels and (not isinstance(raw, nib.Nifti1Header) or raw["magic"].item() != raw.single_magic):
        raise unreadable(path, "it holds a header without voxels", "Rename it to .hdr and put its .img beside it")
    mended = raw.copy()
    try:
        sizes = [int(n) for n in raw.get_data_shape()]
    except HeaderDataError:
        sizes = []
    if not sizes or min(sizes) < 1:
        raise unreadable(header_file, "its header is damaged", COPY)
    dtype = _dtype(header_file, raw)
    _check_sizes(header_file, sizes, dtype)
    try:
        mended.check_fix(logger=_QUIET)
        mended.get_slope_inter()
        offset = int(raw["vox_offset"])
    except (HeaderDataError, ValueError, OverflowError) as error:
        raise unreadable(header_file, f"its header is damaged ({error})", COPY) from error
    offset = offset if header_file == voxels else max(offset, 0)
    return _Stored(raw, mended, voxels, offset, sizes, dtype)


def _pair(path: Path) -> tuple[Path, Path]:
    """Header and voxels of a .hdr and .img pair, by the name of either; the other's ending may be in capitals too."""

    def beside(end: str) -> Path:
        capitals = path.with_suffix(end.upper())
        return capitals if capitals.exists() else path.with_suffix(end)

    return beside(".hdr"), beside(".img")


def _header(path: Path) -> Any:
    """The header as the file has it, unmended, of the class that its own size and magic name."""
    packed = _is_gzip(path)
    if packed and path.suffix.lower() != ".gz":
        raise unreadable(path, "it is compressed although its ending does not say so", "Add .gz to its name")
    try:
        with gzip.open(path) if packed else path.open("rb") as file:
            data = file.read(max(_HEADER_BYTES.values()))
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise _broken(path) from None
    length = next((n for order in "<>" if len(data) >= 4 for n in struct.unpack(f"{order}i", data[:4]) if n in _HEADER_BYTES), None)
    if length is None or len(data) < length:
        raise unreadable(path, "it is no NIfTI file", "Give a scan, or remove the file")
    is_nifti = length == 540 or data[344:347] in (b"n+1", b"ni1")
    kind = nib.Nifti2Header if length == 540 else nib.Nifti1Header if is_nifti else nib.AnalyzeHeader
    return kind(data[:length], check=False)


def _dtype(path: Path, header: Any) -> np.dtype:
    """The type of a voxel as the file has it, byte order included."""
    try:
        dtype = np.dtype(header.get_data_dtype())
    except HeaderDataError:
        raise unreadable(path, f"its voxel type (code {int(header['datatype'])}) is unknown") from None
    if dtype.kind == "c":
        raise unreadable(path, "its voxels are complex numbers", "Save their magnitude")
    if dtype.itemsize > 8 or dtype.itemsize == 0:
        raise unreadable(path, f"its voxel type (code {int(header['datatype'])}) is unknown")
    return dtype


def _check_sizes(path: Path, sizes: list[int], dtype: np.dtype) -> None:
    # SimpleITK writes colour volumes as uint8 vectors along the fifth dimension.
    if math.prod(sizes[3:]) > 1 and not _is_vector(sizes, dtype):
        raise more_than_a_volume(path, sizes)


def _is_vector(sizes: list[int], dtype: np.dtype) -> bool:
    return len(sizes) == 5 and sizes[3] == 1 and sizes[4] in (3, 4) and dtype == np.uint8


def _voxels(stored: _Stored) -> np.ndarray:
    """(slice, row, column[, channel]) as the file has them, in this machine's byte order; colours without their transparency."""
    count, dtype = math.prod(stored.sizes), stored.dtype
    plain = _bytes(stored, count * dtype.itemsize)
    x, y, z = (*stored.sizes, 1, 1)[:3]
    if dtype.names:  # red, green, blue and perhaps transparency, voxel by voxel
        return np.ascontiguousarray(plain.reshape(z, y, x, -1)[..., :3])
    values = plain.view(dtype)
    values = values.astype(dtype.newbyteorder("="), copy=False)
    if _is_vector(stored.sizes, dtype):
        return np.ascontiguousarray(values.reshape(-1, z, y, x)[:3].transpose(1, 2, 3, 0))
    return values.reshape(z, y, x)


def _bytes(stored: _Stored, needed: int) -> np.ndarray:
    """The bytes of the voxels. All of a gzip file is read, so that its checksum is tested."""
    path, offset = stored.voxels, stored.offset
    if not _is_gzip(path):
        present = path.stat().st_size
        if present >= offset + needed:
            _check_offset(stored)
            return np.fromfile(path, np.uint8, needed, offset=offset)
    else:
        data = _inflated_at_once(path, offset + needed)
        present = len(data)
        if present < offset + needed:
            data, present = _inflated(path, offset + needed)
        if present >= offset + needed:
            _check_offset(stored)
            return data[offset : offset + needed]
    raise unreadable(path, f"it is cut off ({present} of {offset + needed} bytes)", COPY)


def _inflated_at_once(path: Path, length: int) -> np.ndarray:
    """The content of a gzip file of one piece with exactly `length` bytes, twice as fast as by Python; of others less, or nothing."""
    packed = path.read_bytes()
    if length > _PACKED * len(packed):
        return np.empty(0, np.uint8)
    try:
        return np.asarray(imagecodecs.gzip_decode(packed, out=np.empty(length, np.uint8)))
    except imagecodecs.GzipError:
        return np.empty(0, np.uint8)


def _inflated(path: Path, length: int) -> tuple[np.ndarray, int]:
    """The first `length` bytes of a gzip file, and how many it has."""
    data, present = bytearray(), 0
    try:
        with gzip.open(path) as file:
            while chunk := file.read(_CHUNK):
                present += len(chunk)
                data += chunk[: max(length - len(data), 0)]
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise _broken(path) from None
    return np.frombuffer(data, np.uint8), present


def _check_offset(stored: _Stored) -> None:
    """Voxels of a single file begin behind its header; one that says otherwise does not say where they begin."""
    if not stored.is_analyze and stored.raw["magic"].item() == stored.raw.single_magic and stored.offset < stored.raw.single_vox_offset:
        raise unreadable(stored.voxels, f"its header does not say where its voxels begin (vox_offset {stored.offset})")


def _scaled(array: np.ndarray, stored: _Stored) -> np.ndarray:
    """With the slope and offset of the header: float64 of float64, else float32, each value rounded once."""
    slope, inter = stored.mended.get_slope_inter()
    if slope is None or array.ndim == 4 or (slope, inter) == (1.0, 0.0):
        return array
    scaled = np.empty(array.shape, np.float64 if array.dtype == np.float64 else np.float32)
    for number, values in enumerate(array):  # slice by slice, so that no second volume of float64 is needed
        scaled[number] = values.astype(scaled.dtype).astype(np.float64) * slope + (inter or 0.0)
    return scaled


def _geometry(path: Path, stored: _Stored, shape: tuple[int, ...]) -> tuple[Geometry, list[str]]:
    places = [] if stored.is_analyze else _said(stored)
    unit = 0 if stored.is_analyze else int(stored.raw["xyzt_units"]) & 7
    if not places:
        place = _Place("voxel sizes", np.diag([*(_FLIP * _sizes(stored)), 1.0]))
        warnings = [_ANALYZE if stored.is_analyze else _PLACELESS]
    else:
        place, warnings = places[0], _differences(places, shape)
    forms = None if stored.is_analyze else NiftiForms.of(stored.raw)
    affine, sides = place.affine, stored.raw["pixdim"][1:4]
    if len(stored.sizes) < 3 and not place.is_possible:  # the third axis of a flat image is often left out
        affine, forms = _with_normal(affine, float(_sizes(stored)[2])), None
    if not _Place(place.name, affine).is_possible:
        raise unreadable(path, f"its {place.name} says an impossible place", "Correct its header")
    warnings += _odd_sizes(place.name, sides, affine, min(len(stored.sizes), 3))
    axes = _unit_columns(affine)
    if np.abs(axes.T @ axes - np.eye(3)).max() > SQUARE:  # a map of it could not be saved: most viewers would straighten the axes
        raise unreadable(path, *SHEARED)
    affine = np.vstack([affine[:3] * _MM.get(unit, 1.0), affine[3:]])
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    geometry = Geometry(
        shape=shape,  # type: ignore[arg-type]  # three of them
        spacing=tuple(map(float, spacing)),  # type: ignore[arg-type]
        origin=tuple(map(float, _FLIP * affine[:3, 3] + 0.0)),  # type: ignore[arg-type]
        direction=tuple(map(float, (_FLIP[:, None] * axes + 0.0).ravel())),
        unit="mm" if unit in _MM or not np.all(spacing == 1) else "pixel",
        forms=forms,
    )
    return _in_known_digits(path, geometry), warnings


def _said(stored: _Stored) -> list[_Place]:
    """What the header says of the place, the form that counts first."""
    mended, places = stored.mended, []
    if (code := int(mended["sform_code"])) > 0:
        places.append(_Place(f"sform (code {code})", np.asarray(mended.get_sform(), np.float64)))
    if (code := int(mended["qform_code"])) > 0:
        try:
            affine = np.asarray(mended.get_qform(), np.float64)
        except (ValueError, HeaderDataError):  # no rotation
            affine = np.full((4, 4), np.nan)
        places.append(_Place(f"qform (code {code})", affine))
    return places


def _sizes(stored: _Stored) -> np.ndarray:
    """The voxel sizes as nibabel mends them: without their signs, and 1 for 0."""
    sizes = np.abs(stored.raw["pixdim"][1:4].astype(np.float64))
    return np.where(sizes == 0, 1.0, sizes)


def _differences(places: list[_Place], shape: tuple[int, ...]) -> list[str]:
    """A warning when sform and qform put the same voxel more than `_APART` voxels apart."""
    if len(places) < 2 or not places[0].is_possible:
        return []
    used, other = places
    if not other.is_possible:
        return [f"the {other.name} says an impossible place; the {used.name} counts"]
    corners = _corners(shape)
    mm = np.linalg.norm(corners @ (used.affine - other.affine).T, axis=1).max()
    voxels = np.abs(corners @ (np.linalg.inv(used.affine) @ other.affine).T - corners).max()
    if voxels <= _APART:
        return []
    return [f"the {used.name} and the {other.name} lie up to {mm:.1f} mm ({voxels:.1f} voxels) apart; the {used.name} counts"]


def _odd_sizes(name: str, sides: np.ndarray, affine: np.ndarray, dimensions: int) -> list[str]:
    """A warning when pixdim is negative, 0, or another size than that of the affine's columns."""
    real = np.linalg.norm(affine[:3, :3], axis=0)[:dimensions]
    if np.allclose(sides[:dimensions], real, rtol=_OTHER, atol=0):
        return []
    told, counted = (" x ".join(f"{side:.4g}" for side in row) for row in (sides[:dimensions], real))
    return [f"the header's voxel sizes (pixdim {told}) are not those of its {name} ({counted}), which count"]


def _with_normal(affine: np.ndarray, thickness: float) -> np.ndarray:
    """An affine whose third axis is at right angles to the others, `thickness` long."""
    whole = affine.copy()
    normal = np.cross(affine[:3, 0], affine[:3, 1])
    length = np.linalg.norm(normal)
    whole[:3, 2] = normal * (thickness / length if length > 0 else 0)
    return whole


def _in_known_digits(path: Path, geometry: Geometry) -> Geometry:
    """The same place in SimpleITK's digits, where it reads the same: the digests in models and results hold its last bits."""
    image = sitk.Image([1, 1, 1], sitk.sitkUInt8)  # an image also decides on the signs of its zeros
    try:
        reader = open_image(path)
        if reader.GetDimension() != 3:
            return geometry
        image.SetSpacing(reader.GetSpacing())
        image.SetOrigin(reader.GetOrigin())
        image.SetDirection(reader.GetDirection())
    except (InvDetectError, RuntimeError):  # it takes no such place
        return geometry
    theirs = replace(geometry, spacing=image.GetSpacing(), origin=image.GetOrigin(), direction=image.GetDirection())
    corners = _corners(geometry.shape)[:, 2::-1]
    off = geometry.index_from_ras(theirs.ras_from_index(corners)) - corners
    return theirs if np.abs(off).max() <= _ROUNDING else geometry


def _corners(shape: tuple[int, ...]) -> np.ndarray:
    """(8, 4) homogeneous voxel indices x, y, z, 1 of the corners of an array of this (slice, row, column) shape."""
    ends = np.meshgrid(*((0.0, float(n - 1)) for n in shape[::-1]), [1.0], indexing="ij")
    return np.stack(ends, axis=-1).reshape(-1, 4)


def _unit_columns(affine: np.ndarray) -> np.ndarray:
    """The (3, 3) directions of the axes; a column without length is left as it is."""
    columns = affine[:3, :3]
    lengths = np.linalg.norm(columns, axis=0)
    return np.asarray(columns / np.where(lengths > 0, lengths, 1))


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _broken(path: Path) -> InvDetectError:
    return unreadable(path, "its compressed data are cut off or damaged", COPY)
