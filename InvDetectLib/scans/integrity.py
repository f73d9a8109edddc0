"""Files that SimpleITK would read although they are damaged or not one scan: it fills what is missing with zeros, or reads fewer pages.

Each check reads the file's own header, and raises InvDetectError with the reason and the remedy.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..common import InvDetectError
from .itk import unreadable

_COPY = "Copy or download it again"
_HEADER_BYTES = 544
_RGB, _RGBA = 128, 2304
_UINT8 = 2
# NIfTI-1 datatype code -> bytes a voxel
_VOXEL_BYTES = {
    2: 1, 4: 2, 8: 4, 16: 4, 32: 8, 64: 8, _RGB: 3, 256: 1, 512: 2, 768: 4, 1024: 8, 1280: 8, 1536: 16, 1792: 16, 2048: 32, _RGBA: 4,
}  # fmt: skip


# Datatype codes of floating-point voxels -> numpy
_FLOATS = {16: "f4", 64: "f8"}


@dataclass(frozen=True)
class NiftiFacts:
    """What SimpleITK does not tell of a NIfTI header.

    has_unit    whether it names a unit of length
    is_analyze  whether it is the older Analyze format
    floats      (numpy dtype, first byte, count) of floating-point voxels; None for others
    """

    has_unit: bool
    is_analyze: bool
    floats: tuple[str, int, int] | None


def check_nifti(header: Path, voxels: Path) -> NiftiFacts:
    """Check a NIfTI-1 or Analyze file: one volume, and all its voxels there. `header` and `voxels` are one file, or .hdr and .img."""
    if not voxels.exists():
        raise unreadable(header, f"its data file {voxels.name} is missing", "Copy it beside the header")
    if not header.exists():
        raise unreadable(voxels, f"its header {header.name} is missing", "Copy it beside the data file")
    packed = _is_gzip(header)
    if packed and header.suffix.lower() != ".gz":
        raise unreadable(header, "it is compressed although its ending does not say so", "Add .gz to its name")
    data = _first_bytes(header, packed)
    order = next((o for o in "<>" if len(data) >= 4 and struct.unpack(f"{o}i", data[:4])[0] in (348, 540)), None)
    if order is None or len(data) < 348:
        raise unreadable(header, "it is no NIfTI file", "Give a scan, or remove the file")
    if struct.unpack(f"{order}i", data[:4])[0] == 540:
        if len(data) >= 80:
            _check_shape(header, list(struct.unpack(f"{order}8q", data[16:80])), _RGB)
        raise unreadable(header, "it is in the NIfTI-2 format", "Save it as NIfTI-1 or .nrrd")
    (datatype,) = struct.unpack(f"{order}h", data[70:72])
    count = _check_shape(header, list(struct.unpack(f"{order}8h", data[40:56])), datatype)
    if datatype not in _VOXEL_BYTES:
        raise unreadable(header, f"its voxel type (code {datatype}) is unknown")
    (offset,) = struct.unpack(f"{order}f", data[108:112])
    first = int(offset) if math.isfinite(offset) else 0
    needed = first + count * _VOXEL_BYTES[datatype]
    present = _unpacked_size(voxels) if _is_gzip(voxels) else voxels.stat().st_size
    if present < needed:
        raise unreadable(voxels, f"it is cut off ({present} of {needed} bytes)", _COPY)
    floats = (order + _FLOATS[datatype], first, count) if datatype in _FLOATS else None
    return NiftiFacts(data[123] & 7 != 0, data[344:347] not in (b"n+1", b"ni1"), floats)


def with_lost_numbers(array: np.ndarray, voxels: Path, facts: NiftiFacts) -> np.ndarray:
    """The array that SimpleITK read from a NIfTI file, with NaN and infinite values where the file has them: it makes them 0 silently."""
    if facts.floats is None:
        return array
    dtype, first, count = facts.floats
    with gzip.open(voxels) if _is_gzip(voxels) else voxels.open("rb") as file:
        file.seek(first)
        stored = np.frombuffer(file.read(count * np.dtype(dtype).itemsize), dtype)
    lost = ~np.isfinite(stored)
    if lost.any():
        array.reshape(-1)[lost] = stored[lost]
    return array


def check_jpeg(path: Path) -> None:
    """A JPEG ends with its end mark; without it the lower part would be read as grey."""
    data = path.read_bytes()
    if data[:2] != b"\xff\xd8":
        raise unreadable(path, "it is no JPEG file", "Give it the ending that fits its content")
    # Neither mark can occur inside compressed pixels, and a thumbnail's marks both come before those of the picture.
    if data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda"):
        raise unreadable(path, "it is cut off", _COPY)


def check_bmp(path: Path) -> int:
    """All pixels of an uncompressed BMP are there. Returns the bits a pixel (8 or fewer: a palette)."""
    with path.open("rb") as file:
        head = file.read(54)
    if head[:2] != b"BM" or len(head) < 54:
        raise unreadable(path, "it is no BMP file", "Give it the ending that fits its content")
    (offset,) = struct.unpack("<I", head[10:14])
    width, height, _, bits, compression = struct.unpack("<iiHHI", head[18:34])
    needed = offset + (width * bits + 31) // 32 * 4 * abs(height)
    if compression in (0, 3) and path.stat().st_size < needed:
        raise unreadable(path, f"it is cut off ({path.stat().st_size} of {needed} bytes)", _COPY)
    return int(bits)


def check_tiff(path: Path) -> int:
    """All pages of a TIFF are there and of one size. Returns the samples a pixel (1: grey, black and white, or a palette)."""
    pages: list[tuple[int, int, int]] = []
    with path.open("rb") as file:
        try:
            pages = _tiff_pages(file)
        except struct.error:
            raise unreadable(path, "it is cut off or damaged", _COPY) from None
    if not pages:
        raise unreadable(path, "it is no TIFF file", "Give it the ending that fits its content")
    if len(set(pages)) > 1:
        sizes = ", ".join(sorted({f"{width}x{height}x{samples}" for width, height, samples in pages}))
        raise unreadable(path, f"its pages differ in size ({sizes})", "Save pages of one size, or one file for each")
    return pages[0][2]


def png_colours(path: Path) -> int:
    """Samples a pixel that a PNG stores: 1 for grey and for a palette."""
    with path.open("rb") as file:
        head = file.read(26)
    return {0: 1, 3: 1, 4: 2, 6: 4}.get(head[25], 3) if len(head) == 26 else 3


def _check_shape(path: Path, dims: list[int], datatype: int) -> int:
    """The number of values that a header's dim[0..7] announce, when they are one volume."""
    sizes = dims[1 : 1 + dims[0]] if 1 <= dims[0] <= 7 else []
    if not sizes or min(sizes) < 1:
        raise unreadable(path, "its header is damaged", _COPY)
    # SimpleITK writes colour volumes as uint8 vectors along the fifth dimension.
    is_vector = len(sizes) == 5 and sizes[3] == 1 and sizes[4] in (3, 4) and datatype == _UINT8
    if math.prod(sizes[3:]) > 1 and not is_vector:
        raise more_than_a_volume(path, sizes)
    return math.prod(sizes)


def more_than_a_volume(path: Path, sizes: list[int]) -> InvDetectError:
    """The error for 4-D files; `sizes` in the file's own order (x, y, z, t, ...)."""
    while len(sizes) > 4 and sizes[-1] == 1:
        sizes = sizes[:-1]
    shape = " x ".join(str(n) for n in sizes)
    return unreadable(path, f"it has {len(sizes)} dimensions ({shape}), not one volume", "Save one of its volumes as a 3-D file")


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _first_bytes(path: Path, packed: bool) -> bytes:
    try:
        with gzip.open(path) if packed else path.open("rb") as file:
            return bytes(file.read(_HEADER_BYTES))
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise unreadable(path, "its compressed data are cut off or damaged", _COPY) from None


def _unpacked_size(path: Path) -> int:
    """Bytes in a gzip file, all read, so that its checksum is tested: SimpleITK fills a broken rest with zeros."""
    total = 0
    try:
        with gzip.open(path) as file:
            while chunk := file.read(1 << 22):
                total += len(chunk)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise unreadable(path, "its compressed data are cut off or damaged", _COPY) from None
    return total


def _tiff_pages(file: BinaryIO) -> list[tuple[int, int, int]]:
    """(width, height, samples) of each page that is no thumbnail; empty when this is no TIFF. struct.error when a page is missing."""
    mark = file.read(4)
    if mark[:2] not in (b"II", b"MM") or len(mark) < 4:
        return []
    order = "<" if mark[:2] == b"II" else ">"
    (version,) = struct.unpack(f"{order}H", mark[2:])
    if version not in (42, 43):
        return []
    # Big TIFF (43): 8-byte offsets and counts, 20-byte entries
    big = version == 43
    number, count, entry = ("Q", "Q", 20) if big else ("I", "H", 12)

    def take(code: str) -> int:
        size = struct.calcsize(code)
        return int(struct.unpack(order + code, file.read(size))[0])

    file.seek(8 if big else 4)
    pages: list[tuple[int, int, int]] = []
    seen: set[int] = set()
    offset = take(number)
    while offset and offset not in seen:
        seen.add(offset)
        file.seek(offset)
        tags = {254: 0, 256: 0, 257: 0, 277: 1}
        for _ in range(take(count)):
            data = file.read(entry)
            tag, kind = struct.unpack(f"{order}HH", data[:4])
            value = data[12 if big else 8 :]
            if tag in tags:
                tags[tag] = struct.unpack(f"{order}H", value[:2])[0] if kind == 3 else struct.unpack(f"{order}I", value[:4])[0]
                if big and kind == 16:
                    tags[tag] = struct.unpack(f"{order}Q", value)[0]
        if not tags[254] & 5:  # bit 0: a reduced copy, bit 2: a mask
            pages.append((tags[256], tags[257], tags[277]))
        offset = take(number)
    return pages
