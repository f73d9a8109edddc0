"""The values of DICOM files: pixels decoded, colours as red, green and blue, and each frame rescaled by its own slope and offset.

pydicom decodes what is stored plainly or in runs (RLE), GDCM through SimpleITK what is compressed as JPEG of any kind: it is in every
SimpleITK, so that no value depends on which other decoders are installed.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from pydicom import dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000TransferSyntaxes, RLELossless

from ..common import InvDetectError
from .dicom_elements import frame_count, text
from .dicom_values import Rule, Scale
from .dicom_versions import apply_color_lut, decode, encoding_of, frames_of, write
from .itk import load_image, open_image, unreadable
from .limits import check_size

_COPY = "Copy or download it again"
_CAPTURE = UID("1.2.840.10008.5.1.4.1.1.7")  # an image of which nothing is known but its pixels
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_SHAPE = (
    "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit",
    "PixelRepresentation",
)  # fmt: skip
_PALETTE = [f"{colour}PaletteColorLookupTable{part}" for colour in ("Red", "Green", "Blue") for part in ("Descriptor", "Data")]
_KEYWORDS = (*_PIXELS, *_SHAPE, "NumberOfFrames", *_PALETTE)
_TAGS = [tag for keyword in _KEYWORDS if (tag := tag_for_keyword(keyword)) is not None]
_PACKED = 12  # bits allocated: two values in three bytes
_JPEG_END, _JPEG_SCAN = b"\xff\xd9", b"\xff\xda"
_JPEG_2000_SIZES, _JPEG_2000_BITS = b"\xff\x4f\xff\x51", 42  # where the sizes begin; how far behind stand bits - 1 of the first value


def read_values(path: Path, frames: list[int], scales: list[Scale]) -> np.ndarray:
    """(frame, row, column), or (frame, row, column, 3) for colour, of the frames with these numbers, in this order, each with its scale.

    The dtype of grey values is what `Rule` says. Bright on a film is bright here (MONOCHROME1 is inverted). Files that are damaged or
    cannot be decoded raise InvDetectError.
    """
    try:
        data = dcmread(path, force=True, specific_tags=list(_TAGS))
        stored, bits = _stored(path, data)
        stored = stored if frames == list(range(len(stored))) else stored[frames]
    except (InvDetectError, OSError):
        raise
    except Exception as error:  # pydicom raises whatever a damaged file leads it to
        raise unreadable(path, "its pixels are cut off or damaged, or compressed in a way that is unknown", _COPY) from error
    photometric = text(data, "PhotometricInterpretation")
    if photometric == "PALETTE COLOR" and stored.ndim == 3:
        colours = apply_color_lut(stored, data)
        # Tables of 16 bits for pictures of 8 repeat what their upper byte says.
        return (colours >> 8).astype(np.uint8) if stored.dtype.itemsize == 1 and colours.dtype == np.uint16 else colours
    if stored.ndim == 4:
        return stored
    rules = {scale: Rule(stored.dtype, bits, photometric == "MONOCHROME1", scale) for scale in scales}
    if len(rules) == 1:
        return rules[scales[0]].values(stored)
    array = np.empty(stored.shape, np.result_type(*(rule.dtype for rule in rules.values())))
    for k, scale in enumerate(scales):
        array[k] = rules[scale].values(stored[k])
    return array


def _stored(path: Path, data: Dataset) -> tuple[np.ndarray, int]:
    """All frames as stored, (frame, row, column[, 3]), and the bits of a value."""
    syntax = _syntax(data)
    bare = _bare(data, syntax)
    bits = int(bare.BitsStored)
    check_size(path, (bare.NumberOfFrames, bare.Rows, bare.Columns, bare.SamplesPerPixel), -(-int(bare.BitsAllocated) // 8))
    if (syntax.is_encapsulated and syntax != RLELossless) or bare.BitsAllocated == _PACKED:
        return _through_gdcm(path, bare, syntax, bits)
    array = decode(bare)
    shape = (bare.NumberOfFrames, bare.Rows, bare.Columns)
    array = array.reshape(*shape, bare.SamplesPerPixel) if bare.SamplesPerPixel > 1 else array.reshape(shape)
    return array.astype(array.dtype.newbyteorder("="), copy=False), bits if bits > 1 else 8


def _syntax(data: Dataset) -> UID:
    told = data.file_meta.get("TransferSyntaxUID")
    if told:
        return UID(told)
    is_implicit, is_little = encoding_of(data)
    return ImplicitVRLittleEndian if is_implicit else ExplicitVRLittleEndian if is_little else ExplicitVRBigEndian


def _bare(data: Dataset, syntax: UID) -> Dataset:
    """A picture with the pixels of `data` and nothing else that could change their values."""
    bare = Dataset()
    bare.file_meta = FileMetaDataset()
    bare.file_meta.TransferSyntaxUID = syntax
    bare.file_meta.MediaStorageSOPClassUID = bare.SOPClassUID = _CAPTURE
    bare.file_meta.MediaStorageSOPInstanceUID = bare.SOPInstanceUID = UID("1.2.3")
    for keyword in (*_SHAPE, *_PIXELS):
        if keyword in data:
            element = data[keyword]
            bare.add_new(element.tag, element.VR, element.value)  # a copy: what is changed here must not change in `data`
    bare.NumberOfFrames = frame_count(data)
    # What older files leave out.
    bare.SamplesPerPixel = bare.get("SamplesPerPixel") or 1
    bare.PhotometricInterpretation = bare.get("PhotometricInterpretation") or ("MONOCHROME2" if bare.SamplesPerPixel == 1 else "RGB")
    bare.PixelRepresentation = bare.get("PixelRepresentation") or 0
    bare.BitsStored = bare.get("BitsStored") or bare.BitsAllocated
    bare.HighBit = bare.get("HighBit") or bare.BitsStored - 1
    if text(data, "PhotometricInterpretation") in ("MONOCHROME1", "PALETTE COLOR"):
        bare.PhotometricInterpretation = "MONOCHROME2"
    return bare


def _through_gdcm(path: Path, bare: Dataset, syntax: UID, bits: int) -> tuple[np.ndarray, int]:
    frames, shape = int(bare.NumberOfFrames), (bare.Rows, bare.Columns)
    is_jpeg_2000 = syntax in JPEG2000TransferSyntaxes
    if syntax.is_encapsulated:
        bare["PixelData"].is_undefined_length = True
        parts = frames_of(bare)
        # Neither mark can stand inside compressed pixels; what follows the end is padding.
        cut = [part for part in parts if not is_jpeg_2000 and part.rfind(_JPEG_END) < part.rfind(_JPEG_SCAN)]
        is_whole = not cut and len(parts) >= frames
    else:
        is_whole = len(bare.PixelData) * 8 >= frames * shape[0] * shape[1] * _PACKED
    if not is_whole:
        raise unreadable(path, "its compressed pixels are cut off", _COPY)
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "picture.dcm"
        write(bare, whole)
        try:
            array = sitk.GetArrayFromImage(load_image(open_image(whole, "GDCMImageIO")))
        except InvDetectError as error:
            reason = f"its pixels are damaged, or compressed in a way that SimpleITK cannot decode ({syntax.name})"
            raise unreadable(path, reason, "Save it uncompressed, for example with the program that exported it") from error
    if is_jpeg_2000:
        # What is compressed tells its own bits, and the header may tell others; the uppermost bit says whether it is signed.
        sizes = parts[0].find(_JPEG_2000_SIZES)
        bits = (parts[0][sizes + _JPEG_2000_BITS] & 0x7F) + 1 if sizes >= 0 else bits
    return array.reshape(frames, *shape, *((3,) if bare.SamplesPerPixel == 3 else ())), bits
