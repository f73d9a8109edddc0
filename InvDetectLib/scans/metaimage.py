"""MetaImage: the voxels of a .mha or .mhd file, taken and measured here.

SimpleITK reads the header and the place; the voxels it would take from memory that nothing filled, where a compressed file is cut or does
not say how long it is, and where a list of files is too short.
"""

from __future__ import annotations

import zlib
from math import prod
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from .data_files import beside, check_place
from .itk import unreadable
from .limits import check_size

_COPY = "Copy or download it again"
_DATA = "ElementDataFile"
_LONGEST_HEADER = 1 << 20
_MOST_AXES = 10
_BYTES = {"MET_SHORT": 2, "MET_USHORT": 2, "MET_FLOAT": 4, "MET_INT": 4, "MET_UINT": 4, "MET_DOUBLE": 8, "MET_LONG_LONG": 8,
          "MET_ULONG_LONG": 8}  # fmt: skip
_PLACE = ("TransformMatrix", "Rotation", "Orientation", "Offset", "Position", "Origin", "CenterOfRotation", "ElementSpacing", "ElementSize")


def check_metaimage(path: Path) -> None:
    """InvDetectError for a header that SimpleITK must not see: it would crash on many axes, loop on far numbers, open any file."""
    fields, names, _ = _header(path)
    axes = _whole(path, "NDims", fields.get("NDims", "0"))
    sizes = [_whole(path, "DimSize", word) for word in fields.get("DimSize", "").split()]
    if not 1 <= axes <= _MOST_AXES or len(sizes) != axes or min(sizes) < 1:
        raise unreadable(path, f"its header is damaged (NDims = {axes}, DimSize = {fields.get('DimSize', '')[:60]})", _COPY)
    channels = max(1, _whole(path, "ElementNumberOfChannels", fields.get("ElementNumberOfChannels", "1")))
    check_size(path, [*sizes, channels], _BYTES.get(fields.get("ElementType", "").upper(), 1))
    for name in _PLACE:
        check_place(path, fields.get(name, ""))
    for piece in _pieces(path, fields[_DATA], names, tuple(sizes)):
        if piece is not None:
            beside(path, piece)


def load_metaimage(path: Path, reader: sitk.ImageFileReader) -> sitk.Image:
    """The image of a MetaImage file whose header `reader` (from `open_image`) has read; InvDetectError unless all voxels are there."""
    fields, names, begin = _header(path)
    channels = reader.GetNumberOfComponents()
    size = reader.GetSize()
    dtype = sitk.GetArrayViewFromImage(sitk.Image([1, 1], reader.GetPixelID(), channels)).dtype
    needed = prod(size) * channels * dtype.itemsize
    if fields.get("BinaryData", "True")[:1] in "Ff":
        raise unreadable(path, "its voxels are stored as text", "Save it as binary data, or as .nrrd")
    pieces = _pieces(path, fields[_DATA], names, size)
    skip = _whole(path, "HeaderSize", fields.get("HeaderSize", "0"))
    packed = fields.get("CompressedData", "False")[:1] in "TtYy1"
    sources = [(path, begin) if piece is None else (beside(path, piece), 0) for piece in pieces]
    parts = [_bytes(path, source, needed // len(pieces), skip, first, packed) for source, first in sources]
    is_big = (fields.get("BinaryDataByteOrderMSB") or fields.get("ElementByteOrderMSB") or "False")[:1] in "TtYy1"
    stored = np.frombuffer(parts[0] if len(parts) == 1 else b"".join(parts), dtype.newbyteorder(">" if is_big else "<"))
    array = stored.astype(dtype).reshape(*size[::-1], *((channels,) if channels > 1 else ()))
    image = sitk.GetImageFromArray(array, isVector=channels > 1)
    image.SetSpacing(reader.GetSpacing())
    image.SetOrigin(reader.GetOrigin())
    image.SetDirection(reader.GetDirection())
    return image


def unit_of(path: Path) -> str:
    """The unit of length that a MetaImage file names; "" when it names none."""
    unit = _header(path)[0].get("DistanceUnits", "")
    return "" if unit == "?" else unit


def _header(path: Path) -> tuple[dict[str, str], list[str], int]:
    """The fields, the lines after the field that names the data, and the byte behind that field."""
    with path.open("rb") as file:
        data = file.read(_LONGEST_HEADER)
    fields: dict[str, str] = {}
    begin = 0
    while begin < len(data) and _DATA not in fields:
        end = data.find(b"\n", begin)
        end = len(data) if end < 0 else end
        name, _, value = data[begin:end].decode("utf-8", "replace").partition("=")
        fields[name.strip()] = value.strip()
        begin = end + 1
    if not fields.get(_DATA):
        raise unreadable(path, "its header is damaged", _COPY)
    names = data[begin:].decode("utf-8", "replace").split("\n") if fields[_DATA].upper().startswith("LIST") else []
    return fields, [name.strip() for name in names if name.strip()], begin


def _whole(path: Path, name: str, words: str) -> int:
    try:
        return int(words)
    except ValueError:
        raise unreadable(path, f"its header is damaged ({name} = {words[:60]})", _COPY) from None


def _pieces(path: Path, where: str, names: list[str], size: tuple[int, ...]) -> list[str | None]:
    """The names of the files that hold the voxels, in order; None for the file of the header itself."""
    words = where.split()
    if where.upper() == "LOCAL":
        return [None]
    if words[0].upper() == "LIST":
        dimensions = int(words[1].rstrip("dD")) if len(words) > 1 and words[1].rstrip("dD").isdigit() else len(size) - 1
    elif "%" in where:
        dimensions = len(size) - 1
        try:
            first, last, step = (int(word) for word in words[1:]) if len(words) == 4 else (1, size[-1], 1)
            names = [words[0] % k for k in range(first, last + 1, step)[: prod(size)]]
        except (TypeError, ValueError):
            raise unreadable(path, f"the names of its data files ({where}) cannot be told", "Save it as one file") from None
    else:
        return [where]
    count = prod(size[dimensions:])
    if len(names) < count:
        raise unreadable(path, f"it names {len(names)} data files, and needs {count}", "Save it again as one file")
    return list(names[:count])


def _bytes(path: Path, piece: Path, needed: int, skip: int, begin: int, packed: bool) -> bytes:
    """The `needed` bytes of one data file; `path` is what error messages name."""
    size = piece.stat().st_size
    with piece.open("rb") as file:
        if skip > 0:
            file.seek(skip)
        elif skip < 0 and not packed:
            file.seek(max(begin, size - needed))
        else:
            file.seek(begin)
        # No more than there is, whatever the header says: Python would make room for all that is asked for.
        data = _inflated(path, file.read(), needed) if packed else file.read(min(needed, size))
    if len(data) < needed:
        raise unreadable(path, f"it is cut off ({len(data)} of {needed} bytes of voxels)", f"{_COPY}, with the data file beside it")
    return data[:needed]


def _inflated(path: Path, packed: bytes, needed: int) -> bytes:
    """The voxels behind zlib or gzip, up to the end, where their check sum stands, and not one byte more than is needed."""
    inflater = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        data = inflater.decompress(packed, needed)
        rest = inflater.decompress(inflater.unconsumed_tail, 1)  # nothing, and the check sum
    except zlib.error:
        raise unreadable(path, "its compressed data are damaged", f"{_COPY}, with the data file beside it") from None
    if rest:
        raise unreadable(path, f"it holds more than the {needed} bytes of voxels that its header says", _COPY)
    if not inflater.eof:
        reason = f"its compressed data are cut off ({len(data)} of {needed} bytes of voxels)"
        raise unreadable(path, reason, f"{_COPY}, with the data file beside it")
    return data
