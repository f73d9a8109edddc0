"""Which DICOM objects a node takes, and what it reads of one on its way into the queue."""

from __future__ import annotations

import warnings
import zlib
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from pydicom import dcmread
from pydicom.filereader import read_partial
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000TransferSyntaxes,
    JPEGLSTransferSyntaxes,
    JPEGTransferSyntaxes,
    RLELossless,
)

from ...common import InvDetectError
from ..uids import is_uid
from .jobs import Conflict, Image

_STORAGE = "1.2.840.10008.5.1.4.1.1."
# Images alone: segmentations, maps, reports and presentation states, such as those that come from here, are not to come back.
IMAGE_CLASSES = [
    _STORAGE + part
    for part in (
        "1", "1.1", "1.2",  # CR, DX, mammography
        "2", "2.1", "2.2",  # CT: one slice a file, enhanced, converted to enhanced
        "4", "4.1", "4.3", "4.4",  # MR: likewise, and enhanced colour
        "128", "128.1", "130", "20",  # PET, nuclear medicine
        "6.1", "3.1", "12.1",  # ultrasound, angiography
        "77.1.4", "77.1.5.1", "77.1.5.2", "77.1.5.4",  # photographs, also of eyes; tomography of eyes
        "7", "7.2", "7.3", "7.4",  # secondary capture
    )
]  # fmt: skip
# Not the deflated one: a megabyte of it can be a gigabyte, and whoever sends it has another one to offer.
SYNTAXES = [
    ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless,
    *JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes, *JPEG2000TransferSyntaxes,
]  # fmt: skip
_HEAD = 1 << 13  # bytes in which a file says how it is written
_CLASS, _INSTANCE, _SERIES, _MODALITY = 0x00080016, 0x00080018, 0x0020000E, 0x00080060


def image_of(content: bytes) -> Image:
    """The image in a DICOM file. Raises InvDetectError for what is none, for another kind of object, for a deflated file,
    and for UIDs that are none."""
    if _is_deflated(content):
        raise InvDetectError("An image was sent whose file is deflated, and is not taken; send it in another transfer syntax.")
    storage, uid, series = _told(BytesIO(content), _CLASS, _INSTANCE, _SERIES)
    if storage not in IMAGE_CLASSES:
        raise InvDetectError("An object that is no image of a kind that is examined was sent, and is not taken; send images.")
    for value in (uid, series):
        if not is_uid(value):
            raise InvDetectError("An image was sent whose UIDs are none, and is not taken; export it again from where it was made.")
    return Image(content, series, uid)


def check_same(there: bytes, content: bytes) -> None:
    """Raise `Conflict` when two files under one UID hold other pixels. Their headers may differ, which archives put right, and so may
    their transfer syntaxes, of which the first to come is kept."""
    if there == content:
        return
    (syntax, pixels), (other_syntax, others) = _pixels(there), _pixels(content)
    if pixels != others and syntax == other_syntax:
        raise Conflict("An image was sent under the UID of another one with other pixels, and is not taken; give every image its own.")


def _pixels(content: bytes) -> tuple[str, bytes | None]:
    """How the pixels are written, and they themselves; None where there are none that can be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = dcmread(BytesIO(content), specific_tags=["PixelData"])
        return str(data.file_meta.TransferSyntaxUID), data.PixelData
    except Exception:  # pydicom raises whatever a damaged file leads it to
        return "", None


def modality_in(path: Path) -> str:
    """The Modality (0008,0060) that a file says, "" where it says none or is no DICOM file."""
    try:
        with path.open("rb") as file:
            return _told(BytesIO(file.read(_HEAD)), _MODALITY)[0]
    except InvDetectError:
        return ""


def _is_deflated(content: bytes) -> bool:
    """Whether a file says that it is; what is cut off in the middle cannot be inflated, and no more than its head ever is."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            meta = read_partial(BytesIO(content[:_HEAD]), lambda tag, vr, length: True).file_meta
    except zlib.error:
        return True
    except Exception:  # damaged, which is told of when it is read
        return False
    return meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian


def _told(file: BinaryIO, *tags: int) -> list[str]:
    """The words of these elements, "" for those that are not there. Raises InvDetectError for what is no whole DICOM file up to there."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom tells of every value that a header should not have
            data = read_partial(file, lambda tag, vr, length: tag > max(tags))
            return [str(data[tag].value or "").strip() if tag in data else "" for tag in tags]
    except OSError:
        raise
    except Exception as error:  # pydicom raises whatever a damaged file leads it to
        raise InvDetectError("A damaged DICOM object was sent, and is not taken; send it again.") from error
