"""TIFF by tifffile: one picture, pages of one kind as a volume, or a stack behind a single directory, as ImageJ writes above 4 GB."""

from __future__ import annotations

import errno
import logging
import math
import struct
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tifffile

from ..common import InvDetectError
from .geometry import Geometry
from .itk import COPY, more_than_a_volume, unreadable
from .limits import check_size
from .pictures import flat_geometry, turn

_CUT = "it is cut off or damaged"
_WHITE_IS_0, _BLACK_IS_0, _RGB, _PALETTE, _YCBCR = 0, 1, 2, 3, 6  # what the numbers mean: the tag PhotometricInterpretation
_REDUCED_OR_MASK = 1 | 4  # bits of the tag NewSubfileType
_ORIENTATION = 274  # number of the tag
_MOST = 1 << 15  # values that the best compressions put into a byte, about
_JPEG = (6, 7, 33007, 34892)  # compressions
_FEW = {1: 1, 2: 3, 4: 15}  # bits of a sample that fill the range of a byte, as in PNG -> the highest value
_SAVE = "Save it as grey or RGB"
logging.getLogger("tifffile").addHandler(logging.NullHandler())  # what matters of it is said here, with the file's name


def read_tiff(path: Path) -> tuple[np.ndarray, Geometry, tuple[str, ...]]:
    """A (slice, row, column[, 3]) picture or volume, upright, its geometry, and a warning when it was turned.

    Thumbnails are skipped. Raises InvDetectError for pages of different kinds, for more than one volume, and for every kind of pixel that
    the tags do not say for sure.
    """
    try:
        with path.open("rb") as file:
            directories = _directories(file)
        if not directories:
            raise unreadable(path, "it is no TIFF file", "Give it the ending that fits its content")
        with tifffile.TiffFile(path, _multifile=False) as tiff:
            if len(tiff.pages) != directories:  # tifffile takes what it finds, and only logs that more was promised
                raise unreadable(path, _CUT, COPY)
            return _read(path, tiff)
    except InvDetectError:
        raise
    except MemoryError as error:
        raise unreadable(path, "it does not fit into memory", "Use a computer with more memory, or a smaller picture") from error
    except Exception as error:  # decoders raise what they like on damaged bytes
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # EINVAL: a place beyond all files
            raise
        raise unreadable(path, _CUT, COPY) from error


def _read(path: Path, tiff: Any) -> tuple[np.ndarray, Geometry, tuple[str, ...]]:
    pages = [page for page in tiff.pages if not int(page.subfiletype) & _REDUCED_OR_MASK]
    if not pages:
        raise unreadable(path, "it holds only thumbnails or masks", "Give the picture itself")
    if len({_size(page) for page in pages}) > 1:
        sizes = ", ".join(sorted({_size(page) for page in pages}))
        raise unreadable(path, f"its pages differ in size ({sizes})", "Save pages of one size, or one file for each")
    if len({_kind(page) for page in pages}) > 1:
        raise unreadable(path, "its pages differ in their kind of pixel", "Save pages of one kind, or one file for each")
    first = pages[0]
    if first.dtype is None:
        raise unreadable(path, f"its kind of number ({first.bitspersample} bits, sample format {first.sampleformat}) is unknown", _SAVE)
    if first.dtype.kind == "c":
        raise unreadable(path, "its pixels are complex numbers", "Save their magnitude")
    _check_codec(path, first)
    for page in pages:
        _check_whole(path, tiff, page)
    check_size(path, (len(pages), first.size), first.dtype.itemsize)
    stack = _stack_behind_one(path, tiff, pages)
    array = _samples_last(np.stack([page.asarray() for page in pages]) if stack is None else stack, first)
    if (array.dtype.kind, array.dtype.itemsize) != (first.dtype.kind, first.dtype.itemsize):
        raise unreadable(path, f"its pixels came out as {array.dtype}, where its tags say {first.dtype}", _SAVE)
    upright, turned = turn(_meant(path, first, array), _orientation(first), "TIFF")
    return upright, flat_geometry(upright, 3 if len(upright) > 1 else 2), turned


def _size(page: Any) -> str:
    return f"{page.imagewidth}x{page.imagelength}x{page.samplesperpixel}"


def _kind(page: Any) -> tuple[Any, ...]:
    colours = None if page.colormap is None else page.colormap.tobytes()
    facts = page.compression, page.bitspersample, page.sampleformat, page.photometric, page.extrasamples, page.planarconfig, page.imagedepth
    return (*map(str, facts), _orientation(page), colours)


def _orientation(page: Any) -> int:
    tag = page.tags.get(_ORIENTATION)
    return 1 if tag is None else int(tag.value)


def _check_codec(path: Path, page: Any) -> None:
    if page.compression != 1:
        try:
            tifffile.TIFF.DECOMPRESSORS[page.compression]
        except KeyError:
            name = getattr(page.compression, "name", page.compression)
            raise unreadable(path, f"it is compressed in a way that cannot be decoded here ({name})", "Save it uncompressed") from None


def _check_whole(path: Path, tiff: Any, page: Any) -> None:
    """All strips or tiles are there: tifffile fills missing ones with zeros."""
    parts = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    end = max((offset + count for offset, count in parts), default=0)
    if not parts or min(count for _, count in parts) <= 0 or end > tiff.filehandle.size:
        raise unreadable(path, _CUT, COPY)
    values = page.imagewidth * page.imagelength * page.imagedepth * page.samplesperpixel
    bits = page.bitspersample
    if page.compression != 1:
        is_short = len(parts) < math.prod(page.chunked) or values > _MOST * tiff.filehandle.size
    else:
        is_short = isinstance(bits, int) and 8 * sum(count for _, count in parts) < values * bits
    if is_short:
        raise unreadable(path, _CUT, COPY)


def _stack_behind_one(path: Path, tiff: Any, pages: list[Any]) -> np.ndarray | None:
    """(image, *page) of a stack whose single directory describes its first image only; None where each image has its own."""
    series = next((series for series in tiff.series if series.keyframe.index == pages[0].index), None)
    counts = {} if series is None else dict(zip(series.axes, series.shape, strict=True))
    if tiff.is_imagej and tiff.imagej_metadata is not None:  # of a stack that is cut off the series says nothing
        said = tiff.imagej_metadata
        counts = {"T": said.get("frames", 1), "Z": said.get("slices", 1), "C": said.get("channels", 1)}
        if counts["C"] == pages[0].samplesperpixel:
            counts["C"] = 1
        if max(counts.values()) == 1:
            counts["I"] = said.get("images", 1)
    more = {axis: int(count) for axis, count in counts.items() if axis not in ("YXS" if pages[0].imagedepth == 1 else "ZYXS") and count > 1}
    if "C" in more:
        raise unreadable(path, f"it holds {more['C']} channels", "Save one of them")
    if len(more) > 1:
        sizes = [pages[0].imagewidth, pages[0].imagelength, *reversed(more.values())]
        raise more_than_a_volume(path, sizes)
    count = next(iter(more.values()), 1)
    if count <= len(pages):
        return None
    first, present = pages[0], len(pages)
    if present == 1 and first.is_contiguous and first.nbytes == sum(first.databytecounts):
        present = min((tiff.filehandle.size - first.dataoffsets[0]) // first.nbytes, count)
    if present < count:
        raise unreadable(path, f"it is cut off: it announces {count} images, and {present} can be found", COPY)
    values = tiff.filehandle.read_array(first.dtype.newbyteorder(tiff.byteorder), count * first.size, first.dataoffsets[0])
    return np.asarray(values).reshape(count, *first.shape)


def _samples_last(array: np.ndarray, page: Any) -> np.ndarray:
    """(slice, row, column, sample) of (page, ...) as tifffile gives it, in this machine's byte order."""
    samples, depth = page.samplesperpixel, page.imagedepth
    if page.planarconfig == 2 and samples > 1:
        array = np.moveaxis(array.reshape(len(array), samples, -1), 1, -1)
    array = array.reshape(len(array) * depth, page.imagelength, page.imagewidth, samples)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _meant(path: Path, page: Any, array: np.ndarray) -> np.ndarray:
    """(slice, row, column[, 3]) in grey or in colours of (slice, row, column, sample), as the tags say."""
    kind, samples = int(page.photometric), array.shape[-1]
    if kind == _PALETTE and samples == 1:
        table = page.colormap.astype(np.uint16)
        if page.bitspersample in _FEW and table.max() > 255:
            table = table >> 8
        return np.moveaxis(table.astype(np.uint8 if page.bitspersample in _FEW else np.uint16)[:, array[..., 0].astype(np.intp)], 0, -1)
    if kind in (_WHITE_IS_0, _BLACK_IS_0) and samples <= 2:  # the second is transparency
        return _grey(path, page, array[..., 0])
    if kind == _RGB and samples in (3, 4) or kind == _YCBCR and samples == 3 and int(page.compression) in _JPEG:
        return _plain_numbers(array[..., :3])
    name = getattr(page.photometric, "name", kind)
    raise unreadable(path, f"its kind of pixel ({samples} values, {name}) is neither grey nor red, green and blue", _SAVE)


def _grey(path: Path, page: Any, array: np.ndarray) -> np.ndarray:
    if int(page.photometric) == _WHITE_IS_0:
        if array.dtype.kind not in "bu":
            raise unreadable(path, f"its lowest value is said to be white, and {array.dtype} has no lowest one", "Save it with black as 0")
        array = ~array if array.dtype.kind == "b" else (1 << page.bitspersample) - 1 - array
    if page.bitspersample in _FEW and array.dtype == np.uint8:
        array = array * np.uint8(255 // _FEW[page.bitspersample])
    return _plain_numbers(array)


def _plain_numbers(array: np.ndarray) -> np.ndarray:
    """Black and white as 0 and 255, half floats as floats: what everything behind can compute with."""
    if array.dtype.kind == "b":
        return array.astype(np.uint8) * np.uint8(255)
    return array.astype(np.float32) if array.dtype == np.float16 else array


def _directories(file: BinaryIO) -> int:
    """How many directories are chained in a TIFF; 0 when this is none. struct.error when one is missing."""
    mark = file.read(4)
    order = {b"II": "<", b"MM": ">"}.get(mark[:2], "")
    version = struct.unpack(f"{order}H", mark[2:])[0] if order and len(mark) == 4 else 0
    if version not in (42, 43):
        return 0
    big = version == 43  # 8-byte offsets and counts, 20-byte entries
    number, count, entry = ("Q", "Q", 20) if big else ("I", "H", 12)

    def take(code: str) -> int:
        size = struct.calcsize(code)
        return int(struct.unpack(order + code, file.read(size))[0])

    file.seek(8 if big else 4)
    seen: set[int] = set()
    offset = take(number)
    while offset and offset not in seen:
        seen.add(offset)
        file.seek(offset)
        file.seek(take(count) * entry, 1)
        offset = take(number)
    return len(seen)
