"""NRRD: what SimpleITK does not notice in a .nrrd or .nhdr file: missing bytes, kinds of compression, and units other than mm."""

from __future__ import annotations

import re
import zlib
from math import prod
from pathlib import Path

import SimpleITK as sitk

from .data_files import beside, check_place
from .itk import unreadable
from .limits import check_size

_COPY = "Copy or download it again"
_LONGEST_HEADER = 1 << 20
_FIELD = re.compile(r"([^:=]+):\s*(.*)")
_CHUNK = 1 << 20
_MOST_FILES = 100_000
_PACKED_AS = {"bz2": "bzip2", "bzip2": "bzip2", "zrl": "zrl"}


def check_nrrd_header(path: Path) -> None:
    """InvDetectError for a header that SimpleITK must not see: it would take gigabytes, loop on far numbers, and open any file."""
    fields, _ = _header(path)
    sizes = fields.get("sizes", "").split()
    if not sizes or not all(size.isdigit() and int(size) > 0 for size in sizes):
        raise unreadable(path, f"its header is damaged (sizes: {fields.get('sizes', '')[:60]})", _COPY)
    check_size(path, map(int, sizes), _bytes_of(fields.get("type", "").lower()))
    for name in ("space directions", "space origin", "spacings", "axis mins", "axis maxs", "measurement frame"):
        check_place(path, fields.get(name, ""))
    for name in _names(path, fields):
        beside(path, name)


def check_nrrd(path: Path, reader: sitk.ImageFileReader) -> None:
    """Raise InvDetectError for voxels that SimpleITK cannot decompress, or would take from elsewhere; `reader` has read the header."""
    fields, begin = _header(path)
    encoding = fields.get("encoding", "").lower()
    if encoding in _PACKED_AS:
        reason = f"its voxels are compressed with {_PACKED_AS[encoding]}, which is not supported"
        raise unreadable(path, reason, "Save it with gzip compression, or without compression")
    image = sitk.Image([1, 1], reader.GetPixelID(), reader.GetNumberOfComponents())
    needed = prod(reader.GetSize()) * sitk.GetArrayViewFromImage(image).nbytes
    pieces = [path] if begin else [beside(path, name) for name in _names(path, fields)]
    if encoding in ("gz", "gzip"):
        lines, skip = (int(words) if (words := fields.get(name, "")).isdigit() else 0 for name in ("line skip", "byte skip"))
        for piece in pieces:
            _check_gzip(path, piece, begin, lines, skip, needed // len(pieces))
    elif encoding == "raw" and begin and fields.get("byte skip", "0").startswith("-"):
        if (present := path.stat().st_size - begin) < needed:
            raise unreadable(path, f"it is cut off ({present} of {needed} bytes of voxels)", _COPY)


def units_of(path: Path) -> tuple[list[str], bool]:
    """The units of length that a NRRD file names, and whether they are those of the world's axes (x, y, z), not of the file's."""
    fields, _ = _header(path)
    space, units = (re.findall(r'"([^"]*)"', fields.get(name, "")) for name in ("space units", "units"))
    kinds = fields.get("kinds", "").lower().split()
    if len(kinds) == len(units):  # an axis of colours has no length
        units = [unit for unit, kind in zip(units, kinds, strict=True) if kind in ("domain", "space")]
    return (space, True) if space else (units, False)


def _header(path: Path) -> tuple[dict[str, str], int]:
    """The fields in lower case, and the byte where voxels begin, or 0 when they are in other files."""
    with path.open("rb") as file:
        data = file.read(_LONGEST_HEADER)
    fields: dict[str, str] = {}
    begin = 0
    while 0 <= (end := data.find(b"\n", begin)):
        line, begin = data[begin:end].decode("utf-8", "replace").rstrip("\r"), end + 1
        if not line:
            break
        found = _FIELD.fullmatch(line)
        if found and not line.startswith("#"):
            fields[found[1].strip().lower()] = found[2].strip()
    return fields, 0 if "data file" in fields or "datafile" in fields else begin


def _bytes_of(kind: str) -> int:
    """Bytes of a voxel of this type, as NRRD calls it; 1 for one that is unknown, which SimpleITK refuses."""
    bits = re.search(r"(8|16|32|64)(?:_t)?$", kind)
    if bits:
        return int(bits[1]) // 8
    words = {"double": 8, "longlong": 8, "long long": 8, "float": 4, "int": 4, "short": 2}
    return next((size for word, size in words.items() if word in kind), 1)


def _names(path: Path, fields: dict[str, str]) -> list[str]:
    """The names of the data files; none where voxels follow the header."""
    words = fields.get("data file") or fields.get("datafile") or ""
    if words.split()[:1] == ["LIST"]:
        with path.open("rb") as file:
            text = file.read(_LONGEST_HEADER).decode("utf-8", "replace")
        after = re.split(r"data ?file:.*\n", text, maxsplit=1, flags=re.IGNORECASE)
        return [name.strip() for name in after[-1].split("\n") if name.strip()]
    if "%" in words:
        pattern, *numbers = words.split()
        try:
            first, last, step = (int(number) for number in numbers[:3])
            return [pattern % number for number in range(first, last + (1 if step > 0 else -1), step)[:_MOST_FILES]]
        except (TypeError, ValueError):
            raise unreadable(path, f"the names of its data files ({words[:60]}) cannot be told", "Save it as one file") from None
    return [words] if words else []


def _check_gzip(path: Path, piece: Path, begin: int, lines: int, skip: int, needed: int) -> None:
    """SimpleITK takes what does not begin like gzip for uncompressed voxels, and does not look at the check sum."""
    inflater, present = zlib.decompressobj(zlib.MAX_WBITS | 16), 0
    with piece.open("rb") as file:
        file.seek(begin)
        for _ in range(lines):
            file.readline()
        start = file.read(2)
        if start not in (b"\x1f\x8b", b"\x1f", b""):
            raise unreadable(path, "its voxels are said to be compressed with gzip, and are not", _COPY)
        packed = start + file.read(_CHUNK)
        try:
            while packed and not inflater.eof and present <= needed + skip:
                present += len(inflater.decompress(packed, _CHUNK))
                packed = inflater.unconsumed_tail or file.read(_CHUNK)
        except zlib.error:
            raise unreadable(path, "its compressed voxels are damaged", _COPY) from None
    if not inflater.eof and present < needed + skip:
        raise unreadable(path, f"it is cut off ({present} of {needed + skip} bytes of voxels)", _COPY)
