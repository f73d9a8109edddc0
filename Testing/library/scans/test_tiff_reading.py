"""TIFF: every kind of pixel as it is meant, every stack as a volume, or refused. The files are written here tag by tag."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from InvDetectLib.common import InvDetectError
from InvDetectLib.scans import read_scan
from Testing.support.made_pictures import write_tiff

RANDOM = np.random.default_rng(5)
GREY = RANDOM.integers(0, 256, (24, 40)).astype(np.uint8)
COLOUR = RANDOM.integers(0, 256, (24, 40, 3)).astype(np.uint8)


def refused(path: Path) -> str:
    with pytest.raises(InvDetectError) as caught:
        read_scan(path)
    assert str(caught.value).startswith(f"{path} ") and "\n" not in str(caught.value)
    return str(caught.value)


# ---- kinds of pixels in TIFF -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tile", [0, 16])
@pytest.mark.parametrize("kind", ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f4", "f8"])
def test_every_depth_is_read_in_strips_and_in_tiles(tmp_path: Path, kind: str, tile: int) -> None:
    array = RANDOM.integers(0, 120, GREY.shape).astype(kind) * np.dtype(kind).type(1 if kind[1] == "1" else 250)
    for order in "<>":
        scan = read_scan(write_tiff(tmp_path / "a.tif", array, tile=tile, order=order))
        assert scan.array.dtype == array.dtype and scan.array.dtype.isnative and np.array_equal(scan.array[0], array)
    assert (scan.geometry.dimension, scan.geometry.unit) == (2, "pixel")


@pytest.mark.parametrize("tile", [0, 16])
def test_half_floats_are_numbers(tmp_path: Path, tile: int) -> None:
    half = (GREY / 255).astype(np.float16)
    scan = read_scan(write_tiff(tmp_path / "a.tif", half, tile=tile))
    assert scan.array.dtype == np.float32 and np.array_equal(scan.array[0], half)


@pytest.mark.parametrize("kind", ["u1", "u2", "u4", "f4"])
@pytest.mark.parametrize("meaning", [0, 1, 2, None])
def test_the_transparency_of_grey_is_dropped(tmp_path: Path, kind: str, meaning: int | None) -> None:
    both = np.dstack([GREY, np.full_like(GREY, 255)]).astype(kind)
    for tile in (0, 16):
        assert np.array_equal(read_scan(write_tiff(tmp_path / "a.tif", both, tile=tile, t338=meaning)).array[0], GREY)


@pytest.mark.parametrize(("bits", "kind"), [(1, "u1"), (4, "u1"), (8, "u1"), (16, "u2"), (32, "u4")])
def test_where_the_lowest_value_is_white_values_are_turned_round(tmp_path: Path, bits: int, kind: str) -> None:
    stored = (RANDOM.integers(0, 2**bits, GREY.shape)).astype(kind)
    black = read_scan(write_tiff(tmp_path / "a.tif", stored, bits=bits, t262=1)).array
    white = read_scan(write_tiff(tmp_path / "b.tif", stored, bits=bits, t262=0)).array
    assert white.dtype == black.dtype and len(np.unique(black.astype(np.int64) + white)) == 1
    assert np.array_equal(white.min(axis=0) == white.min(), stored == stored.max())


def test_min_is_white_with_transparency_is_both(tmp_path: Path) -> None:
    both = np.dstack([255 - GREY, np.full_like(GREY, 255)])
    assert np.array_equal(read_scan(write_tiff(tmp_path / "a.tif", both, t262=0)).array[0], GREY)


@pytest.mark.parametrize("kind", ["f4", "i2"])
def test_a_lowest_value_that_nobody_knows_cannot_be_white(tmp_path: Path, kind: str) -> None:
    assert "white" in refused(write_tiff(tmp_path / "a.tif", GREY.astype(kind), t262=0))


def test_a_palette_is_looked_up_and_one_of_greys_is_grey(tmp_path: Path) -> None:
    table = RANDOM.integers(0, 65536, (3, 256))
    scan = read_scan(write_tiff(tmp_path / "a.tif", GREY, t262=3, t320=tuple(map(int, table.ravel()))))
    assert np.array_equal(scan.array[0], np.moveaxis(table[:, GREY], 0, -1))
    grey = tuple(map(int, np.tile(np.arange(256) * 257, 3)))
    assert np.array_equal(read_scan(write_tiff(tmp_path / "b.tif", GREY, t262=3, t320=grey)).array[0], GREY * np.uint16(257))


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_bits_fill_the_range_of_a_byte_and_so_do_the_colours_of_a_small_palette(tmp_path: Path, bits: int) -> None:
    stored = RANDOM.integers(0, 2**bits, GREY.shape).astype(np.uint8)
    path = write_tiff(tmp_path / "a.tif", stored, bits=bits)
    assert np.array_equal(read_scan(path).array[0], stored * (255 // (2**bits - 1)))
    table = RANDOM.integers(256, 65536, (3, 2**bits))
    path = write_tiff(tmp_path / "b.tif", stored, bits=bits, t262=3, t320=tuple(map(int, table.ravel())))
    assert np.array_equal(read_scan(path).array[0], np.moveaxis(table[:, stored] >> 8, 0, -1))
    theirs = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    assert np.array_equal(read_scan(path).array[0], theirs[..., :3])


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_compressed_files_are_read(tmp_path: Path, compression: str) -> None:
    Image.fromarray(COLOUR).save(tmp_path / "a.tif", compression=compression)
    assert np.array_equal(read_scan(tmp_path / "a.tif").array[0], COLOUR)


def test_pages_of_fax_machines_are_read_or_refused_by_name(tmp_path: Path) -> None:
    image = Image.fromarray(GREY).convert("1")
    image.save(tmp_path / "a.tif", compression="group4")
    if hasattr(imagecodecs, "ccittfax4_decode"):  # of 2025 and later
        assert np.array_equal(read_scan(tmp_path / "a.tif").array[0], np.asarray(image) * np.uint8(255))
    else:
        assert "CCITT_T6" in refused(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("pixels", "tags", "words"),
    [
        (COLOUR, {"t262": 1, "t338": (0, 0)}, "3 values"),
        (COLOUR, {"t262": 8}, "CIELAB"),
        (np.dstack([COLOUR, GREY]), {"t262": 5, "t338": None}, "SEPARATED"),
        (GREY.astype(np.complex64), {}, "complex"),
        (GREY, {"t339": 3}, "8 bits"),
    ],
)
def test_what_the_tags_do_not_say_for_sure_is_refused(tmp_path: Path, pixels: np.ndarray, tags: dict[str, Any], words: str) -> None:
    assert words in refused(write_tiff(tmp_path / "a.tif", pixels, **tags))


def test_a_compression_that_nobody_decodes_is_named(tmp_path: Path) -> None:
    words = refused(write_tiff(tmp_path / "a.tif", GREY, t259=32809))
    assert "cannot be decoded here" in words and "uncompressed" in words


# ---- several images in a TIFF ------------------------------------------------------------------------------------------------------


def imagej(**facts: Any) -> bytes:
    return ("ImageJ=1.54f\n" + "".join(f"{name}={value}\n" for name, value in facts.items())).encode() + b"\0"


def write_one_directory(path: Path, stack: np.ndarray, description: bytes) -> Path:
    """All images behind the directory of the first."""
    write_tiff(path, stack[0], t270=description, order=">")
    data = bytearray(path.read_bytes())
    place = len(data)
    data += stack.astype(stack.dtype.newbyteorder(">")).tobytes()
    start = data.index(struct.pack(">HHI", 273, 4, 1)) + 8
    data[start : start + 4] = struct.pack(">I", place)
    path.write_bytes(data)
    return path


def test_a_stack_of_imagej_behind_one_directory_is_a_volume(tmp_path: Path) -> None:
    stack = np.stack([GREY, GREY // 2, GREY // 3]).astype(np.uint16)
    for facts in ({"images": 3, "slices": 3}, {"images": 3, "frames": 3}, {"images": 3}):
        scan = read_scan(write_one_directory(tmp_path / "a.tif", stack, imagej(**facts)))
        assert np.array_equal(scan.array, stack) and scan.geometry.dimension == 3, facts


def test_a_stack_of_imagej_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    stack = np.stack([GREY, GREY // 2, GREY // 3]).astype(np.uint16)
    path = write_one_directory(tmp_path / "a.tif", stack, imagej(images=3, slices=3))
    path.write_bytes(path.read_bytes()[:-1])
    assert "cut off" in refused(path) and "3 images" in refused(path)


def test_a_stack_of_times_and_slices_or_of_channels_is_refused(tmp_path: Path) -> None:
    stack = np.stack([GREY] * 6)
    assert "4 dimensions (40 x 24 x 3 x 2)" in refused(write_one_directory(tmp_path / "a.tif", stack, imagej(images=6, slices=3, frames=2)))
    assert "6 channels" in refused(write_one_directory(tmp_path / "b.tif", stack, imagej(images=6, channels=6)))
    assert "2 channels" in refused(write_tiff(tmp_path / "c.tif", GREY, GREY, t270=imagej(images=2, channels=2)))


def test_pages_of_one_kind_are_a_volume_and_others_are_refused(tmp_path: Path) -> None:
    assert np.array_equal(read_scan(write_tiff(tmp_path / "a.tif", GREY, GREY // 2, tile=16)).array, [GREY, GREY // 2])
    assert "24x40" in refused(write_tiff(tmp_path / "b.tif", GREY, GREY.T)) and "40x24" in refused(tmp_path / "b.tif")
    assert "kind of pixel" in refused(write_tiff(tmp_path / "c.tif", GREY, GREY.astype(np.uint16)))
    assert "size" in refused(write_tiff(tmp_path / "d.tif", GREY, COLOUR))


def test_thumbnails_are_skipped(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", GREY, GREY[::4, ::4])
    data = bytearray(path.read_bytes())
    first = data.index(struct.pack("<HHII", 254, 4, 1, 0))
    second = data.index(struct.pack("<HHII", 254, 4, 1, 0), first + 1)
    for place, expected in ((second, GREY), (first, GREY[::4, ::4])):
        marked = data.copy()
        marked[place + 8] = 1
        path.write_bytes(marked)
        scan = read_scan(path)
        assert np.array_equal(scan.array[0], expected) and scan.geometry.dimension == 2


@pytest.mark.parametrize("tile", [0, 16])
def test_missing_strips_and_tiles_are_told(tmp_path: Path, tile: int) -> None:
    path = write_tiff(tmp_path / "a.tif", GREY, tile=tile)
    data = bytearray(path.read_bytes())
    whole = 256 if tile else GREY.size
    if tile:
        counts = data.rindex(struct.pack("<I", whole) * 3)
        data[counts : counts + 4] = bytes(4)
    else:
        place = data.index(struct.pack("<HHII", 279, 4, 1, whole)) + 8
        data[place : place + 4] = struct.pack("<I", whole - 40)
    path.write_bytes(data)
    assert "cut off or damaged" in refused(path)


def test_a_page_that_is_not_there_is_told(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", GREY, GREY)
    data = path.read_bytes()
    path.write_bytes(data[:-4] + struct.pack("<I", len(data) + 100))
    assert "cut off or damaged" in refused(path)
