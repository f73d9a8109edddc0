"""DICOM values and files: every transfer syntax, bits and rescaling, files without a mark, and files of a series that cannot be read."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from InvDetectLib.common.errors import InvDetectError
from InvDetectLib.scans import Scan, find_scans, read_scan
from InvDetectLib.scans.geometry import Geometry
from Testing.support.made_dicom import CAPTURE, CT, MR, place, without_mark, write_image
from Testing.support.tiny_model import World, shell

EXAMPLES = Path(pydicom.__file__).parent / "data" / "test_files"  # pydicom's own
RNG = np.random.default_rng(0)


def example(name: str) -> Path:
    path = EXAMPLES / f"{name}.dcm"
    if not path.exists():
        pytest.skip("this version of pydicom comes without that example")
    return path


def by_simpleitk(path: Path) -> sitk.Image:
    return sitk.ReadImage(str(path), imageIO="GDCMImageIO")


def write_series(folder: Path, count: int = 8, **elements: Any) -> np.ndarray:
    volume = RNG.integers(0, 4000, (count, 4, 6)).astype(np.uint16)
    for k in range(count):
        write_image(folder / f"i{k:02d}.dcm", volume[k], ImagePositionPatient=place(2.5 * k), **elements)
    return volume


# ---- values ------------------------------------------------------------------------------------------------------------------------

BITS = [(np.uint8, 8), (np.int8, 8), (np.uint16, 8), (np.uint16, 10), (np.uint16, 12), (np.int16, 12), (np.uint16, 16), (np.int16, 16)]
BITS += [(np.uint32, 32)]
SCALES = [(None, None), (1, 0), (1, -1024), (2, -3), (-1, 100), (0.5, 0), (1, 0.25), (0, 0), (1e5, 0), (1, 300)]


@pytest.mark.parametrize(("dtype", "stored"), BITS)
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian])
def test_values_type_and_digest_are_those_that_simpleitk_gives(tmp_path: Path, dtype: type, stored: int, syntax: pydicom.uid.UID):
    low, high = (-(1 << stored - 1), (1 << stored - 1) - 1) if np.dtype(dtype).kind == "i" else (0, (1 << stored) - 1)
    pixels = RNG.integers(low, high, (4, 6), endpoint=True).astype(dtype)
    pixels[0, :2] = low, high
    for slope, offset in SCALES:
        facts: dict[str, Any] = {"BitsStored": stored, "HighBit": stored - 1}
        facts |= {} if slope is None else {"RescaleSlope": str(slope), "RescaleIntercept": str(offset)}
        path = write_image(tmp_path / "a.dcm", pixels, CT, syntax, **facts)
        theirs, scan = sitk.GetArrayFromImage(by_simpleitk(path)), read_scan(path)
        if stored == 32 and not syntax.is_little_endian:  # whose halves SimpleITK swaps: the same file in the other order is the judge
            theirs = read_scan(write_image(tmp_path / "b.dcm", pixels, CT, **facts)).array
        assert np.array_equal(scan.array, theirs) and scan.array.dtype == theirs.dtype, (slope, offset)
        assert scan.digest == Scan.from_array(theirs, scan.geometry, "a").digest


def test_the_digest_of_a_real_series_stays(shared_data: Path):
    assert read_scan(shared_data / "formats" / "dicom_series").digest.startswith("1a8cc7a5b8d236db")


def test_a_series_with_differing_scales_has_the_type_that_holds_them_all(tmp_path: Path):
    volume = RNG.integers(0, 4000, (3, 4, 6)).astype(np.uint16)
    for k, slope in enumerate(("1", "0.37", "2")):
        write_image(tmp_path / f"{k}.dcm", volume[k], MR, ImagePositionPatient=place(2.5 * k), RescaleSlope=slope, RescaleIntercept="-4")
    assert np.array_equal(read_scan(tmp_path).array, volume * np.array((1, 0.37, 2))[:, None, None] - 4)


def test_what_stands_above_the_stored_bits_is_no_value(tmp_path: Path):
    pixels = np.array([[0xF001, 0x1002, 0x0FFF], [0x8003, 0x07FF, 0x0800]], np.uint16)
    for sign in (0, 1):
        path = write_image(tmp_path / "a.dcm", pixels, BitsStored=12, HighBit=11, PixelRepresentation=sign)
        assert np.array_equal(read_scan(path).array, sitk.GetArrayFromImage(by_simpleitk(path)))


@pytest.mark.parametrize(("dtype", "stored"), [(np.uint16, 12), (np.int16, 16), (np.uint8, 8)])
def test_inverted_pictures_are_turned_before_they_are_scaled(tmp_path: Path, dtype: type, stored: int):
    pixels = np.arange(24).reshape(4, 6).astype(dtype)
    facts: dict[str, Any] = {"BitsStored": stored, "HighBit": stored - 1}
    facts |= {"PhotometricInterpretation": "MONOCHROME1", "RescaleSlope": "2", "RescaleIntercept": "-3"}
    path = write_image(tmp_path / "a.dcm", pixels, **facts)
    assert np.array_equal(read_scan(path).array, sitk.GetArrayFromImage(by_simpleitk(path)))


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL"])
@pytest.mark.parametrize("planes", [0, 1])
def test_colours_are_red_green_and_blue(tmp_path: Path, photometric: str, planes: int):
    pixels = RNG.integers(0, 255, (4, 6, 3)).astype(np.uint8)
    facts: dict[str, Any] = {"SamplesPerPixel": 3, "PhotometricInterpretation": photometric, "PlanarConfiguration": planes}
    stored = pixels.transpose(2, 0, 1) if planes else pixels
    path = write_image(tmp_path / "a.dcm", pixels, CAPTURE, PixelData=stored.tobytes(), **facts)
    assert np.array_equal(read_scan(path).array, sitk.GetArrayFromImage(by_simpleitk(path)))


@pytest.mark.parametrize("facts", [{}, {"PhotometricInterpretation": "YBR_FULL_422"}, {"PhotometricInterpretation": "of its own"}])
def test_colours_that_are_not_what_the_header_tells_are_refused(tmp_path: Path, facts: dict[str, Any]):
    """A second picture that nothing tells of, half of the colours said to be left out, and a kind that does not exist."""
    pixels = RNG.integers(0, 255, (1 if facts else 2, 4, 6, 3)).astype(np.uint8)
    told = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0} | facts
    with pytest.raises(InvDetectError, match="a.dcm cannot be read: its pixels are cut off or damaged"):
        read_scan(write_image(tmp_path / "a.dcm", pixels, CAPTURE, **told))


def test_palettes_become_colours(tmp_path: Path):
    facts: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for name in ("Red", "Green", "Blue"):
        facts[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        facts[f"{name}PaletteColorLookupTableData"] = (RNG.integers(0, 255, 256) * 257).astype("<u2").tobytes()
    path = write_image(tmp_path / "a.dcm", np.arange(240, dtype=np.uint8).reshape(12, 20), CAPTURE, **facts)
    assert np.array_equal(read_scan(path).array, sitk.GetArrayFromImage(by_simpleitk(path)))


BY_SIMPLEITK = [
    "CT_small", "MR_small_bigendian", "MR_small_implicit", "MR_small_RLE", "SC_rgb_rle", "SC_rgb_rle_2frame", "image_dfl",
    "examples_overlay", "examples_palette", "SC_ybr_full_422_uncompressed", "ExplVR_BigEnd",
]  # fmt: skip
BY_PILLOW = [
    "JPEG2000", "MR_small_jp2klossless", "693_J2KI", "SC_rgb_jpeg_dcmtk", "SC_rgb_dcmtk_+eb+cy+s4", "examples_jpeg2k",
    "SC_rgb_small_odd_jpeg",
]  # fmt: skip
CUT = [
    "CT_small", "MR_small_RLE", "MR_small_jp2klossless", "MR_small_jpeg_ls_lossless", "SC_rgb_jpeg_gdcm", "JPGExtended", "image_dfl",
    "SC_rgb_jpeg_dcmtk", "SC_rgb_rle_2frame", "examples_palette",
]  # fmt: skip


@pytest.mark.parametrize("name", BY_SIMPLEITK)
def test_stored_pixels_agree_with_simpleitk(name: str):
    theirs = sitk.GetArrayFromImage(by_simpleitk(example(name)))
    ours = read_scan(example(name)).array
    assert np.array_equal(ours, theirs.reshape(ours.shape)) and ours.dtype == theirs.dtype


@pytest.mark.parametrize("name", BY_PILLOW)
def test_jpeg_agrees_with_pillow(name: str):
    pytest.importorskip("PIL", reason="Pillow, the second reader of JPEG, is not installed")
    pixels = pytest.importorskip("pydicom.pixels", reason="pydicom 2 leaves the colours of Pillow as they are stored")
    data = pydicom.dcmread(example(name))
    theirs = pixels.pixel_array(data) * float(data.get("RescaleSlope", 1)) + float(data.get("RescaleIntercept", 0))
    ours = read_scan(example(name)).array
    assert np.array_equal(ours, theirs.reshape(ours.shape))


def test_jpeg_ls_and_runs_of_16_bits_agree_with_what_was_compressed():
    plain, packed = (read_scan(EXAMPLES / f"{name}.dcm").array for name in ("MR_small", "MR_small_jpeg_ls_lossless"))
    assert np.array_equal(packed, plain)
    few, many = (read_scan(EXAMPLES / f"{name}.dcm").array for name in ("SC_rgb_rle", "SC_rgb_rle_16bit"))
    assert np.array_equal(many, few.astype(np.uint16) * 257)  # SimpleITK mixes the bytes up


@pytest.mark.parametrize("name", ["SC_rgb_jpeg_gdcm", "JPGExtended"])
def test_what_only_simpleitk_decodes_is_read_as_it_decodes(name: str):
    """JPEG lossless, and JPEG of 12 bits."""
    ours = read_scan(EXAMPLES / f"{name}.dcm").array
    assert np.array_equal(ours, sitk.GetArrayFromImage(by_simpleitk(EXAMPLES / f"{name}.dcm")).reshape(ours.shape)) and ours.any()


@pytest.mark.parametrize("name", CUT)
def test_a_cut_file_is_refused_or_the_same(tmp_path: Path, name: str):
    """The same where only padding behind the pixels is gone."""
    data, whole = example(name).read_bytes(), read_scan(example(name)).array
    refused = 0
    for length in (*(int(len(data) * share) for share in (0.05, 0.3, 0.6, 0.9, 0.97)), *(len(data) - cut for cut in (1, 2, 8, 9, 16, 300))):
        (tmp_path / "a.dcm").write_bytes(data[:length])
        try:
            assert np.array_equal(read_scan(tmp_path / "a.dcm").array, whole)
        except InvDetectError as error:
            assert "a.dcm cannot be read" in str(error) and "\n" not in str(error)
            refused += 1
    assert refused >= 4


def test_two_values_in_three_bytes_are_read_as_simpleitk_does(tmp_path: Path):
    values = RNG.integers(0, 4095, 24)
    packed = b"".join((int(one) | int(other) << 12).to_bytes(3, "little") for one, other in zip(values[::2], values[1::2], strict=True))
    facts: dict[str, Any] = {"BitsAllocated": 12, "BitsStored": 12, "HighBit": 11, "RescaleSlope": "1", "RescaleIntercept": "-1024"}
    path = write_image(tmp_path / "a.dcm", np.zeros((4, 6), np.uint16), PixelData=packed, **facts)
    assert np.array_equal(read_scan(path).array, values.reshape(1, 4, 6) - 1024)
    assert np.array_equal(read_scan(path).array, sitk.GetArrayFromImage(by_simpleitk(path)))


def test_what_old_files_leave_out_is_what_it_must_be(tmp_path: Path):
    pixels = RNG.integers(0, 4000, (4, 6)).astype(np.uint16)
    gone = dict.fromkeys(("PhotometricInterpretation", "SamplesPerPixel", "BitsStored", "HighBit", "PixelRepresentation"))
    assert np.array_equal(read_scan(without_mark(write_image(tmp_path / "a.dcm", pixels, **gone))).array[0], pixels)


# ---- files of a series -------------------------------------------------------------------------------------------------------------


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def cut_early(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:150])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def overwritten(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def linked_to_nothing(path: Path) -> None:
    path.unlink()
    path.symlink_to("gone.dcm")


@pytest.mark.parametrize("slice_", [0, 3, 7])
@pytest.mark.parametrize("damage", [cut, cut_early, emptied, overwritten, linked_to_nothing])
@pytest.mark.parametrize("end", [".dcm", "", ".IMA"])
def test_a_slice_that_cannot_be_read_is_an_error_wherever_it_lies(tmp_path: Path, slice_: int, damage: Callable[[Path], None], end: str):
    write_series(tmp_path / "scan")
    for path in (tmp_path / "scan").iterdir():
        path.rename(path.with_suffix(end))
    assert read_scan(tmp_path / "scan").array.shape == (8, 4, 6)
    try:
        damage(tmp_path / "scan" / f"i{slice_:02d}{end}")
    except OSError:
        pytest.skip("this file system has no links")
    for path in (tmp_path / "scan", find_scans(tmp_path)[0][0].path):  # as Python gives it, and as the shell finds it
        with pytest.raises(InvDetectError, match=f"i{slice_:02d}{end} cannot be read"):
            read_scan(path)


def test_the_shell_says_so_and_ends_with_1(world: World, tmp_path: Path):
    write_series(tmp_path / "scan")
    overwritten(tmp_path / "scan" / "i07.dcm")
    run = shell("detect", tmp_path / "scan", "-m", world.model, "-o", tmp_path / "out")
    assert run.status == 1 and "i07.dcm cannot be read" in run.err
    assert os.listdir(tmp_path / "out") == ["findings.csv"]  # the table, which says that the scan failed


def test_files_that_do_not_belong_to_the_series_do_not_matter(tmp_path: Path):
    volume = write_series(tmp_path)
    for name in ("notes.txt", "README", "thumbs.db", ".i08.dcm", "DICOMDIR"):
        (tmp_path / name).write_bytes(b"no slice")
    assert np.array_equal(read_scan(tmp_path).array, volume)


# ---- without the mark --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("has_meta", [True, False])
def test_files_without_the_mark_are_read_and_say_so(tmp_path: Path, syntax: pydicom.uid.UID, has_meta: bool):
    volume = write_series(tmp_path / "scan", 4, syntax=syntax)
    judge = [sitk.GetArrayFromImage(by_simpleitk(path))[0] for path in sorted((tmp_path / "scan").iterdir())]
    for path in (tmp_path / "scan").iterdir():
        without_mark(path)
        if not has_meta:
            path.write_bytes(path.read_bytes()[12 + int.from_bytes(path.read_bytes()[8:12], "little") :])
    scan = read_scan(find_scans(tmp_path)[0][0].path)
    assert np.array_equal(scan.array, judge) and np.array_equal(scan.array, volume)
    assert scan.warnings == ("4 of 4 DICOM files have no mark (DICM at byte 128); they were read all the same",)


def test_one_file_without_the_mark_is_a_slice_like_the_others(tmp_path: Path):
    volume = write_series(tmp_path)
    without_mark(tmp_path / "i07.dcm")
    scan = read_scan(tmp_path)
    assert np.array_equal(scan.array, volume) and "1 of 8 DICOM files" in scan.warnings[0]


@pytest.mark.parametrize(
    "content", [b"\x08\x00" * 400, b"\x02\x00\x00\x00" * 400, bytes(2000), b"\x08\x00\x05\x00 and a text", b"\x08\x00\x16\x00UI\x04"]
)
def test_other_files_are_not_taken_for_dicom(tmp_path: Path, content: bytes):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(InvDetectError, match="not a supported format"):
        find_scans(tmp_path)


def test_a_place_comes_with_the_values(tmp_path: Path):
    write_series(tmp_path, 3)
    scan, image = read_scan(tmp_path), by_simpleitk(tmp_path / "i00.dcm")
    first = Geometry.of_image(image)
    assert np.allclose(scan.geometry.origin, first.origin) and np.allclose(scan.geometry.direction, first.direction, atol=1e-7)
