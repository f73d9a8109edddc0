"""Pictures: as many bits as the file has, upright, and grey where they are grey. They are written byte by byte, by Pillow or SimpleITK."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from InvDetectLib.common import InvDetectError, Progress
from InvDetectLib.models import Preparation
from InvDetectLib.results import Result
from InvDetectLib.scans import read_mask, read_scan, survey
from Testing.support.made_pictures import write_png, write_tiff
from Testing.support.made_results import make_result

RANDOM = np.random.default_rng(5)
GREY = RANDOM.integers(0, 256, (24, 40)).astype(np.uint8)
COLOUR = RANDOM.integers(0, 256, (24, 40, 3)).astype(np.uint8)
# what EXIF says of the stored picture, as the picture that viewers show
UPRIGHT = {
    1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud, 5: lambda a: np.swapaxes(a, 0, 1),
    6: lambda a: np.rot90(a, -1), 7: lambda a: np.rot90(np.swapaxes(a, 0, 1), 2), 8: lambda a: np.rot90(a),
}  # fmt: skip


def refused(path: Path) -> str:
    with pytest.raises(InvDetectError) as caught:
        read_scan(path)
    assert str(caught.value).startswith(f"{path} ") and "\n" not in str(caught.value)
    return str(caught.value)


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
