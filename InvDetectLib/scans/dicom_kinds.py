"""Which files are DICOM, with or without the mark of a DICOM file, and which of these are no images of a patient. Loads no reader."""

from __future__ import annotations

import struct
from io import BytesIO
from itertools import pairwise
from pathlib import Path

_HEAD = 1 << 16  # bytes in which a file says what it is
_MARK = 128  # where "DICM" stands
# A data set begins with the meta information or with the group that identifies it; short values there come first.
_FIRST_GROUPS = (0x0002, 0x0008)
_LONGEST = 1024
_LONG = (b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"UT", b"UN", b"UC", b"UR", b"SV", b"UV")
_SHORT = (b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FL", b"FD", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS", b"ST", b"TM",
          b"UI", b"UL", b"US")  # fmt: skip

DIRECTORY = "1.2.840.10008.1.3.10"
_STORAGE = "1.2.840.10008.5.1.4.1.1."
_MAP = _STORAGE + "30"  # a parametric map may be a scan
# What a file of the class holds instead of an image of a patient, by the beginning of its storage class, longest first.
_OTHERS = {
    _STORAGE + "66.4": "a segmentation",
    _STORAGE + "66.7": "a segmentation",
    _STORAGE + "66": "a registration, surface or raw data",
    _STORAGE + "68": "a surface",
    _STORAGE + "67": "a table of values",
    _STORAGE + "88": "a report",
    _STORAGE + "104": "a document",
    _STORAGE + "11": "a presentation state",
    _STORAGE + "131": "a display protocol",
    _STORAGE + "200": "a protocol",
    _STORAGE + "201": "an inventory",
    _STORAGE + "9": "a waveform",
    _STORAGE + "129": "a curve",
    _STORAGE + "4.2": "a spectrum",
    _STORAGE + "90": "an assessment",
    _STORAGE + "91": "annotations",
    _STORAGE + "78": "measurements of an eye",
    _STORAGE + "79": "measurements of an eye",
    _STORAGE + "80": "measurements of an eye",
    _STORAGE + "77.1.5.3": "a relation of two images",
    _STORAGE + "481.1": "",  # portal and other images of radiotherapy
    _STORAGE + "481.23": "",
    _STORAGE + "481.24": "",
    _STORAGE + "481.2": "a radiotherapy dose",
    _STORAGE + "481": "a radiotherapy plan or structure set",
    "1.2.840.10008.5.1.4.34": "a radiotherapy plan or work list",
    "1.2.840.10008.5.1.4.38": "a display protocol",
    "1.2.840.10008.5.1.4.39": "a palette of colours",
    "1.2.840.10008.5.1.4.43": "an implant template",
    "1.2.840.10008.5.1.4.44": "an implant template",
    "1.2.840.10008.5.1.4.45": "an implant template",
    DIRECTORY: "a directory of DICOM files",
}


def is_dicom(path: Path) -> bool:
    """True for a DICOM file that is no DICOMDIR, whatever its name: the mark "DICM" at byte 128, or a data set that begins at once.

    Reads the first bytes only. Files that cannot be opened: False.
    """
    if path.name.upper() == "DICOMDIR" or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            data = file.read(_MARK + 4)
            return data[_MARK:] == b"DICM" or _begins_at_once(data + file.read(4 * _LONGEST))
    except OSError:
        return False


def has_mark(path: Path) -> bool:
    """Whether a DICOM file has the mark "DICM" that the standard wants at byte 128."""
    with path.open("rb") as file:
        file.seek(_MARK)
        return file.read(4) == b"DICM"


def other_than_image(path: Path) -> str:
    """What a DICOM file holds, as a phrase ("a report"), when its storage class says that it is no image of a patient; else ""."""
    return what_else(*_class_and_device(path))


def what_else(storage: str, device: str) -> str:
    """The same for a storage class and the model name of the device that made the file."""
    if storage == _MAP and device == "InvDetect":
        return "an anomaly map of InvDetect"
    parts = storage.split(".")
    return next((words for n in range(len(parts), 4, -1) if (words := _OTHERS.get(".".join(parts[:n]))) is not None), "")


def _class_and_device(path: Path) -> tuple[str, str]:
    """SOPClassUID of a DICOM file, or what its meta information says, and ManufacturerModelName; "" for what cannot be found out."""
    from pydicom.filereader import read_partial

    try:
        with path.open("rb") as file:
            begin = BytesIO(file.read(_HEAD))  # a deflated file would be inflated to its end, whatever that is
        head = read_partial(begin, lambda tag, vr, length: tag > 0x00081090, force=True, specific_tags=[0x00080016, 0x00081090])
        storage = str(head.get("SOPClassUID") or head.file_meta.get("MediaStorageSOPClassUID") or "").strip(" \0")
        return storage, str(head.get("ManufacturerModelName") or "").strip(" \0")
    except Exception:  # pydicom raises whatever a damaged file leads it to
        return "", ""


def _begins_at_once(data: bytes) -> bool:
    """Whether two elements in ascending order, with the lengths that they should have, stand at the beginning."""
    for order in "<>":
        tags = _first_tags(data, order)
        if len(tags) == 2 and tags[0] >> 16 in _FIRST_GROUPS and all(one < other for one, other in pairwise(tags)):
            return True
    return False


def _first_tags(data: bytes, order: str) -> list[int]:
    tags: list[int] = []
    at = 0
    while len(tags) < 2 and at + 12 <= len(data):
        group, element = struct.unpack_from(f"{order}HH", data, at)
        kind = data[at + 4 : at + 6]
        if kind in _SHORT:
            (length,) = struct.unpack_from(f"{order}H", data, at + 6)
            start = at + 8
        elif kind in _LONG:
            (length,) = struct.unpack_from(f"{order}I", data, at + 8)
            start = at + 12
        else:
            (length,) = struct.unpack_from(f"{order}I", data, at + 4)
            start = at + 8
        if length > _LONGEST or length % 2 or group not in _FIRST_GROUPS:
            break
        tags.append(group << 16 | element)
        at = start + length
    return tags
