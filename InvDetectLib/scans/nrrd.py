"""NRRD: what SimpleITK does not notice in a .nrrd or .nhdr file: missing bytes, kinds of compression, and units other than mm."""

from __future__ import annotations

import re
from math import prod
from pathlib import Path

import SimpleITK as sitk

from .itk import unreadable

_COPY = "Copy or download it again"
_LONGEST_HEADER = 1 << 20
_FIELD = re.compile(r"([^:=]+):\s*(.*)")
_PACKED_AS = {"bz2": "bzip2", "bzip2": "bzip2", "zrl": "zrl"}


def check_nrrd(path: Path, reader: sitk.ImageFileReader) -> None:
    """Raise InvDetectError for voxels that SimpleITK cannot decompress, or would take from elsewhere; `reader` has read the header."""
    fields, begin = _header(path)
    encoding = fields.get("encoding", "").lower()
    if encoding in _PACKED_AS:
        reason = f"its voxels are compressed with {_PACKED_AS[encoding]}, which is not supported"
        raise unreadable(path, reason, "Save it with gzip compression, or without compression")
    pieces = [path] if begin else _pieces(path, fields)
    if encoding in ("gz", "gzip"):
        for piece in pieces:
            _check_gzip(path, piece, begin, int(lines) if (lines := fields.get("line skip", "")).isdigit() else 0)
    elif encoding == "raw" and begin and fields.get("byte skip", "0").startswith("-"):
        image = sitk.Image([1, 1], reader.GetPixelID(), reader.GetNumberOfComponents())
        needed = prod(reader.GetSize()) * sitk.GetArrayViewFromImage(image).nbytes
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


def _pieces(path: Path, fields: dict[str, str]) -> list[Path]:
    """The first data file, whose beginning tells how all are compressed; none where several are named."""
    name = fields.get("data file") or fields.get("datafile") or ""
    return [path.parent / name] if name and not name.startswith("LIST") and "%" not in name else []


def _check_gzip(path: Path, piece: Path, begin: int, lines: int) -> None:
    """SimpleITK takes what does not begin like gzip for uncompressed voxels."""
    if not piece.is_file():
        return
    with piece.open("rb") as file:
        file.seek(begin)
        for _ in range(lines):
            file.readline()
        if file.read(2) not in (b"\x1f\x8b", b"\x1f", b""):
            raise unreadable(path, "its voxels are said to be compressed with gzip, and are not", _COPY)
