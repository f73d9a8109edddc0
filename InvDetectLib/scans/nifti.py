"""NIfTI-1, NIfTI-2 and the older Analyze, as nibabel reads their headers: that all voxels are there, and their values."""

from __future__ import annotations

import gzip
import logging
import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError

from ..common import InvDetectError
from .geometry import Geometry
from .itk import COPY, more_than_a_volume, unreadable
from .limits import check_size
from .nifti_place import find_place

_PAIR = (".hdr", ".img")
_HEADER_BYTES = (348, 540)  # of NIfTI-1 and Analyze, and of NIfTI-2: the first number in the file
_CHUNK = 1 << 22
_PACKED = 1040  # bytes that deflate packs into one, at most
_QUIET = logging.Logger("nibabel's checks", logging.CRITICAL + 1)  # what they mend is said here, in a user's words


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


def read_nifti(path: Path, vectors: bool = False) -> tuple[np.ndarray, Geometry, tuple[str, ...]]:
    """Voxels (slice, row, column[, channel]) after the stored slope and offset, geometry, and warnings; `path` may be one of a pair.

    vectors  several values a voxel may be of any type; without it only bytes are taken for colours
    A 2-D image is a volume of one slice. Raises InvDetectError for all that is no whole single volume in a possible place.
    """
    stored = _open(path, vectors)
    array = _scaled(_voxels(stored), stored)
    with np.errstate(all="ignore"):  # what is no number is refused there in words
        geometry, warnings = find_place(path, stored.raw, stored.mended, stored.sizes)
    return array, geometry, tuple(warnings)


def _open(path: Path, vectors: bool) -> _Stored:
    header_file, voxels = _pair(path) if path.suffix.lower() in _PAIR else (path, path)
    if not voxels.exists():
        raise unreadable(header_file, f"its data file {voxels.name} is missing", "Copy it beside the header")
    if not header_file.exists():
        raise unreadable(voxels, f"its header {header_file.name} is missing", "Copy it beside the data file")
    for file in (header_file, voxels):
        if not file.is_file():  # a pipe would be waited for
            raise unreadable(file, "it is no regular file", COPY)
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
    _check_sizes(header_file, sizes, vectors or dtype == np.uint8)
    check_size(header_file, sizes, dtype.itemsize)
    try:
        if isinstance(raw, nib.Nifti1Header):
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
            data = file.read(max(_HEADER_BYTES))
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
    codes: Any = nib.nifti1.data_type_codes  # Analyze's, too: programs put more into it than its makers foresaw
    try:
        dtype = np.dtype(codes.dtype[int(header["datatype"])]).newbyteorder(header.endianness)
    except KeyError:
        raise unreadable(path, f"its voxel type (code {int(header['datatype'])}) is unknown") from None
    if dtype.kind == "c":
        raise unreadable(path, "its voxels are complex numbers", "Save their magnitude")
    if dtype.itemsize > 8 or dtype.itemsize == 0:
        raise unreadable(path, f"its voxel type (code {int(header['datatype'])}) is unknown")
    return dtype


def _check_sizes(path: Path, sizes: list[int], may_be_vector: bool) -> None:
    # SimpleITK writes colour volumes as uint8 vectors along the fifth dimension.
    if math.prod(sizes[3:]) > 1 and not (may_be_vector and _is_vector(sizes)):
        raise more_than_a_volume(path, sizes)


def _is_vector(sizes: list[int]) -> bool:
    return len(sizes) == 5 and sizes[3] == 1 and sizes[4] in (3, 4)


def _voxels(stored: _Stored) -> np.ndarray:
    """(slice, row, column[, channel]) as the file has them, in this machine's byte order; colours without their transparency."""
    count, dtype = math.prod(stored.sizes), stored.dtype
    plain = _bytes(stored, count * dtype.itemsize)
    x, y, z = (*stored.sizes, 1, 1)[:3]
    if dtype.names:  # red, green, blue and perhaps transparency, voxel by voxel
        return np.ascontiguousarray(plain.reshape(z, y, x, -1)[..., :3])
    values = plain.view(dtype)
    values = values.astype(dtype.newbyteorder("="), copy=False)
    if _is_vector(stored.sizes):
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
        return np.asarray(imagecodecs.gzip_decode(packed, out=np.empty(length, np.uint8)))  # type: ignore[arg-type]  # any buffer will do
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


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _broken(path: Path) -> InvDetectError:
    return unreadable(path, "its compressed data are cut off or damaged", COPY)
