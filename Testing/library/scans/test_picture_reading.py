"""Pictures: every kind of pixel as it is meant, upright, or refused. TIFF files are written here tag by tag, PNG chunk by chunk."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from InvDetectLib.common import InvDetectError, Progress
from InvDetectLib.models import Preparation
from InvDetectLib.results import Result
from InvDetectLib.scans import read_mask, read_scan, survey
from Testing.support.made_results import make_result

RANDOM = np.random.default_rng(5)
GREY = RANDOM.integers(0, 256, (24, 40)).astype(np.uint8)
COLOUR = RANDOM.integers(0, 256, (24, 40, 3)).astype(np.uint8)
FORMAT = {"b": 1, "u": 1, "i": 2, "f": 3, "c": 6}
# what EXIF says of the stored picture, as the picture that viewers show
UPRIGHT = {
    1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud, 5: lambda a: np.swapaxes(a, 0, 1),
    6: lambda a: np.rot90(a, -1), 7: lambda a: np.rot90(np.swapaxes(a, 0, 1), 2), 8: lambda a: np.rot90(a),
}  # fmt: skip


def write_tiff(path: Path, *pages: np.ndarray, tile: int = 0, order: str = "<", bits: int = 0, **tags: Any) -> Path:
    """A TIFF of (row, column[, sample]) pages with one strip each, or in tiles. Tags by number ("t262"=0), None leaves one out."""
    file = bytearray(b"II*\0" if order == "<" else b"MM\0*") + bytes(4)
    link = 4
    for page in pages:
        page = page[..., None] if page.ndim == 2 else page
        rows, columns, samples = page.shape
        values = page.astype(page.dtype.newbyteorder(order))
        parts = [packed(values, bits)]
        facts: dict[int, Any] = {254: 0, 256: columns, 257: rows, 258: (bits or 8 * page.itemsize,) * samples, 259: 1}
        facts |= {262: 2 if samples >= 3 else 1, 277: samples, 339: (FORMAT[page.dtype.kind],) * samples}
        if samples in (2, 4):
            facts[338] = 2
        if tile:
            whole = np.pad(values, ((0, -rows % tile), (0, -columns % tile), (0, 0)))
            corners = [(r, c) for r in range(0, whole.shape[0], tile) for c in range(0, whole.shape[1], tile)]
            parts = [whole[r : r + tile, c : c + tile].tobytes() for r, c in corners]
            facts |= {322: tile, 323: tile}
        places = []
        for part in parts:
            places.append(len(file))
            file += part + bytes(len(part) % 2)
        facts |= {324 if tile else 273: tuple(places), 325 if tile else 279: tuple(map(len, parts))}
        facts |= {} if tile else {278: rows}
        facts |= {int(name[1:]): value for name, value in tags.items()}
        entries = []
        for number, value in sorted((number, value) for number, value in facts.items() if value is not None):
            several = value if isinstance(value, (bytes, tuple)) else (value,)
            code, kind = ("B", 2) if isinstance(value, bytes) else ("H", 3) if number == 320 else ("I", 4)
            data = struct.pack(f"{order}{len(several)}{code}", *several)
            if len(data) > 4:
                place = len(file)
                file += data + bytes(len(data) % 2)
                data = struct.pack(f"{order}I", place)
            entries.append(struct.pack(f"{order}HHI", number, kind, len(several)) + data.ljust(4, b"\0"))
        file[link : link + 4] = struct.pack(f"{order}I", len(file))
        file += struct.pack(f"{order}H", len(entries)) + b"".join(entries)
        link = len(file)
        file += bytes(4)
    path.write_bytes(file)
    return path


def packed(values: np.ndarray, bits: int) -> bytes:
    """Rows of values with fewer than 8 bits are packed, each from a new byte on."""
    if bits not in (1, 2, 4):
        return values.tobytes()
    single = (values[..., 0, None] >> np.arange(bits)[::-1]) & 1
    return np.packbits(single.reshape(len(values), -1).astype(np.uint8), axis=1).tobytes()


def write_png(path: Path, array: np.ndarray, bits: int = 8, *chunks: bytes) -> Path:
    """A PNG of (row, column[, channel]) values without filters; `chunks` come before the pixels, each its name and content."""
    def chunk(data: bytes) -> bytes:
        return struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))

    kind = {1: 0, 2: 4, 3: 2, 4: 6}[1 if array.ndim == 2 else array.shape[2]]
    kept = array.astype(">u2" if bits == 16 else "u1")
    rows = b"".join(b"\0" + packed(row.reshape(1, len(row), -1), bits) for row in kept)
    head = b"IHDR" + struct.pack(">2I5B", array.shape[1], array.shape[0], bits, kind, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(map(chunk, (head, *chunks, b"IDAT" + zlib.compress(rows), b"IEND"))))
    return path


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


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "group4"])
def test_compressed_files_are_read(tmp_path: Path, compression: str) -> None:
    image = Image.fromarray(GREY).convert("1") if compression == "group4" else Image.fromarray(COLOUR)
    image.save(tmp_path / "a.tif", compression=compression)
    expected = np.asarray(image) * np.uint8(255) if compression == "group4" else COLOUR
    assert np.array_equal(read_scan(tmp_path / "a.tif").array[0], expected)


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


# ---- PNG, BMP and JPEG -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("bits", [8, 16])
def test_a_png_keeps_all_its_bits_and_loses_its_transparency(tmp_path: Path, bits: int, channels: int) -> None:
    array = RANDOM.integers(0, 2**bits, (12, 17, channels)).astype(np.uint16 if bits == 16 else np.uint8)
    array = array[..., 0] if channels == 1 else array
    scan = read_scan(write_png(tmp_path / "a.png", array, bits))
    expected = array if channels == 1 else array[..., 0] if channels == 2 else array[..., :3]
    assert scan.array.dtype == array.dtype and np.array_equal(scan.array[0], expected)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_a_png_of_few_bits_fills_the_range_of_a_byte(tmp_path: Path, bits: int) -> None:
    array = RANDOM.integers(0, 2**bits, (12, 17)).astype(np.uint8)
    path = write_png(tmp_path / "a.png", array, bits)
    assert np.array_equal(read_scan(path).array[0], array * (255 // (2**bits - 1)))
    assert np.array_equal(read_scan(path).array[0], sitk.GetArrayFromImage(sitk.ReadImage(str(path))))


def test_a_png_whose_checksums_are_wrong_is_refused(tmp_path: Path) -> None:
    path = write_png(tmp_path / "a.png", GREY)
    data = bytearray(path.read_bytes())
    data[60] ^= 4
    path.write_bytes(data)
    assert "damaged" in refused(path)


@pytest.mark.parametrize("end", ["png", "bmp", "jpg"])
def test_a_header_that_promises_more_than_the_file_can_hold_is_refused_at_once(tmp_path: Path, end: str) -> None:
    Image.fromarray(GREY).save(tmp_path / f"a.{end}")
    data = bytearray((tmp_path / f"a.{end}").read_bytes())
    if end == "png":
        data[16:24] = struct.pack(">2I", 1 << 20, 1 << 20)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    elif end == "bmp":
        data[18:26] = struct.pack("<2i", 1 << 20, 1 << 20)
    else:
        place = data.index(b"\xff\xc0") + 5
        data[place : place + 4] = struct.pack(">2H", 65000, 65000)
    (tmp_path / f"a.{end}").write_bytes(data)
    assert "cut off" in refused(tmp_path / f"a.{end}")


def test_bitmaps_of_every_depth_are_read(tmp_path: Path) -> None:
    few = Image.fromarray(COLOUR).quantize(16)
    images = {"1": Image.fromarray(GREY).convert("1"), "8": Image.fromarray(GREY), "palette": few, "24": Image.fromarray(COLOUR)}
    images["32"] = Image.fromarray(np.dstack([COLOUR, GREY]))
    for name, image in images.items():
        image.save(tmp_path / f"{name}.bmp")
        expected = np.asarray(image.convert("L" if name in ("1", "8") else "RGB"))
        assert np.array_equal(read_scan(tmp_path / f"{name}.bmp").array[0], expected), name


# ---- upright -----------------------------------------------------------------------------------------------------------------------


def exif(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[274] = orientation
    return tags.tobytes()


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("end", ["jpg", "png", "late.png", "tif", "pages.tif"])
def test_a_picture_is_turned_as_viewers_turn_it(tmp_path: Path, orientation: int, end: str) -> None:
    path = tmp_path / f"a.{end}"
    smooth = np.asarray(Image.fromarray(COLOUR[:6, :10]).resize((40, 24)))
    if end == "jpg":
        Image.fromarray(smooth).save(path, exif=exif(orientation), quality=95, subsampling=0)
    elif end == "png":
        write_png(path, smooth, 8, b"eXIf" + exif(orientation)[6:])
    elif end == "late.png":
        Image.fromarray(smooth).save(path, exif=exif(orientation))
    else:
        write_tiff(path, *[smooth] * (2 if end == "pages.tif" else 1), t274=orientation)
    scan = read_scan(path)
    for page in scan.array:
        assert np.abs(page.astype(int) - UPRIGHT[orientation](smooth)).max() <= (12 if end == "jpg" else 0)
    assert scan.geometry.shape == scan.array.shape[:3] and scan.array.flags.c_contiguous
    assert [("upright" in warning and str(orientation) in warning) for warning in scan.warnings] == [True] * (orientation != 1)


def test_deep_colours_are_turned_too(tmp_path: Path) -> None:
    deep = RANDOM.integers(0, 65536, (12, 17, 3)).astype(np.uint16)
    scan = read_scan(write_png(tmp_path / "a.png", deep, 16, b"eXIf" + exif(6)[6:]))
    assert scan.array.dtype == np.uint16 and np.array_equal(scan.array[0], np.rot90(deep, -1))


def test_map_mask_and_preview_of_a_turned_picture_are_upright(tmp_path: Path) -> None:
    write_tiff(tmp_path / "a.tif", GREY, t274=6)
    scan = read_scan(tmp_path / "a.tif")
    files = make_result(geometry=scan.geometry).save(tmp_path / "out")
    assert Image.open(files["map_picture"]).size == Image.open(files["mask_picture"]).size == (24, 40)
    assert sitk.ReadImage(str(files["map"])).GetSize() == (24, 40, 1)
    assert Result.load(files["result"]).geometry == scan.geometry
    assert read_mask(files["mask_picture"], scan.geometry).shape == (1, 40, 24)


def test_damaged_exif_turns_nothing(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\0\1")
    assert read_scan(tmp_path / "a.jpg").array.shape == (1, 24, 40)
    assert read_scan(write_tiff(tmp_path / "a.tif", GREY, t274=99)).array.shape == (1, 24, 40)


# ---- grey is grey -----------------------------------------------------------------------------------------------------------------


def test_a_grey_picture_is_grey_in_whatever_it_is_stored(tmp_path: Path) -> None:
    three = np.dstack([GREY] * 3)
    four = np.dstack([GREY] * 3 + [np.full_like(GREY, 255)])
    write_png(tmp_path / "a.png", GREY)
    write_png(tmp_path / "b.png", three)
    write_png(tmp_path / "c.png", four)
    write_png(tmp_path / "d.png", four[..., :2])
    write_tiff(tmp_path / "e.tif", three)
    write_tiff(tmp_path / "f.tif", four, tile=16)
    Image.fromarray(three).save(tmp_path / "g.bmp")
    sitk.WriteImage(sitk.GetImageFromArray(three, isVector=True), str(tmp_path / "h.tif"))
    for path in sorted(tmp_path.iterdir()):
        scan = read_scan(path)
        assert scan.channels == 1 and np.array_equal(scan.array, GREY[None]), path.name
    assert len({read_scan(path).digest for path in tmp_path.iterdir()}) == 1
    volume = np.stack([three, three])
    sitk.WriteImage(sitk.GetImageFromArray(volume, isVector=True), str(tmp_path / "v.nii.gz"))
    sitk.WriteImage(sitk.GetImageFromArray(volume, isVector=True), str(tmp_path / "v.nrrd"))
    assert read_scan(tmp_path / "v.nii.gz").channels == read_scan(tmp_path / "v.nrrd").channels == 1


def test_a_folder_of_mixed_storage_trains_one_model(tmp_path: Path) -> None:
    rows, columns = np.mgrid[:40, :40]
    for number in range(6):
        picture = (120 + 40 * np.sin(rows / (3 + number)) + 40 * np.cos(columns / 5)).astype(np.uint8)
        image = Image.fromarray(picture).convert(("L", "RGB", "RGBA")[number % 3])
        image.save(tmp_path / f"{number}.png")
    Image.fromarray(picture[::-1].copy()).convert("RGB").save(tmp_path / "7.jpg")
    found = survey(tmp_path, Preparation(channels=0, grid=40), 16, None, Progress())
    assert len(found.candidates) == 7 and found.left_out == () and found.preparation.channels == 1


def test_one_pixel_of_colour_makes_a_colour_picture(tmp_path: Path) -> None:
    three = np.dstack([GREY] * 3)
    three[3, 4] = (1, 2, 3)
    assert read_scan(write_png(tmp_path / "a.png", three)).channels == 3
