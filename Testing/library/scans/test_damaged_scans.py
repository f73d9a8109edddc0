"""Reading: every format, DICOM series, damaged files; finding scans in folders; names and digests."""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from InvDetectLib.common.errors import InvDetectError
from InvDetectLib.scans import Geometry, Scan, find_masks, find_scans, read_scan, stem

PLACE = np.array([[0, 0, -3.0, 40], [2.0, 0, 0, -50], [0, 1.5, 0, 60], [0, 0, 0, 1]])  # a RAS affine: axes permuted, one flipped


def voxels(*shape: int, dtype: Any = np.int16) -> np.ndarray:
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def write_nifti(path: Path, array: np.ndarray, affine: np.ndarray = PLACE, unit: str | None = "mm") -> Path:
    """`array` in NIfTI's own order (x, y, z)."""
    image = nib.Nifti1Image(array, affine)
    if unit:
        image.header.set_xyzt_units(unit)
    nib.save(image, str(path))
    return path


def write_dicom(path: Path, pixels: np.ndarray, **values: Any) -> Path:
    """A minimal DICOM file (explicit little endian); values by name below, None leaves an element out. Grey uint16 or RGB uint8."""
    colour = pixels.ndim == 3 and "frames" not in values
    facts: dict[str, Any] = {
        "position": (0.0, 0.0, 0.0), "axes": (1.0, 0, 0, 0, 1, 0), "spacing": (0.5, 0.25), "thickness": 2.0, "series": "1.2.3",
        "storage": "1.2.840.10008.5.1.4.1.1.4", "slope": 1, "offset": 0, "photometric": "RGB" if colour else "MONOCHROME2", "frames": None,
        "syntax": "1.2.840.10008.1.2.1", "fragment": None,
    } | values  # fmt: skip
    name = path.name.encode().hex()

    def element(group: int, number: int, kind: str, value: Any) -> bytes:
        if value is None:
            return b""
        if kind == "US":
            data = struct.pack("<H", value)
        elif isinstance(value, bytes):
            data = value
        else:
            data = ("\\".join(f"{v}" for v in value) if isinstance(value, tuple) else str(value)).encode()
        data += (b"\0" if kind in ("UI", "OW", "OB") else b" ") * (len(data) % 2)
        length = struct.pack("<HI", 0, len(data)) if kind in ("OW", "OB") else struct.pack("<H", len(data))
        return struct.pack("<HH", group, number) + kind.encode() + length + data

    instance = f"1.2.{int(name[-12:], 16)}.{abs(hash(name)) % 10**6}"
    meta = element(2, 1, "OB", b"\0\1") + element(2, 2, "UI", facts["storage"]) + element(2, 3, "UI", instance)
    meta += element(2, 0x10, "UI", facts["syntax"])
    body = element(8, 0x16, "UI", facts["storage"]) + element(8, 0x18, "UI", instance) + element(8, 0x60, "CS", "MR")
    body += element(0x18, 0x50, "DS", facts["thickness"]) + element(0x20, 0xD, "UI", "1.2.1") + element(0x20, 0xE, "UI", facts["series"])
    body += element(0x20, 0x32, "DS", facts["position"]) + element(0x20, 0x37, "DS", facts["axes"])
    if pixels.size:
        body += element(0x28, 2, "US", 3 if colour else 1) + element(0x28, 4, "CS", facts["photometric"])
        body += element(0x28, 6, "US", 0 if colour else None) + element(0x28, 8, "IS", facts["frames"])
        rows, columns = pixels.shape[:2] if colour or not facts["frames"] else pixels.shape[1:]
        body += element(0x28, 0x10, "US", rows) + element(0x28, 0x11, "US", columns) + element(0x28, 0x30, "DS", facts["spacing"])
        bits = 8 if colour else 16
        body += element(0x28, 0x100, "US", bits) + element(0x28, 0x101, "US", bits) + element(0x28, 0x102, "US", bits - 1)
        body += element(0x28, 0x103, "US", 0)
        body += element(0x28, 0x1052, "DS", facts["offset"]) + element(0x28, 0x1053, "DS", facts["slope"])
        if facts["fragment"] is None:
            body += element(0x7FE0, 0x10, "OB" if colour else "OW", pixels.tobytes())
        else:
            body += struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OB", 0, 0xFFFFFFFF) + struct.pack("<HHI", 0xFFFE, 0xE000, 0)
            body += struct.pack("<HHI", 0xFFFE, 0xE000, len(facts["fragment"])) + facts["fragment"] + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    path.write_bytes(bytes(128) + b"DICM" + element(2, 0, "UL", struct.pack("<I", len(meta))) + meta + body)
    return path


def write_series(folder: Path, places: list[float], prefix: str = "a", **values: Any) -> np.ndarray:
    """Slices at `places` mm along z, named so that the order of names is not the order in space; returns the volume in space."""
    folder.mkdir(parents=True, exist_ok=True)
    volume = voxels(len(places), 4, 6, dtype=np.uint16)
    for k, z in enumerate(places):
        write_dicom(folder / f"{prefix}{k * 7 % 10}{k}", volume[k], position=(10.0, 20.0, z), **values)
    return volume


# ---- every file of the shared data -------------------------------------------------------------------------------------------------

OBLIQUE_MM = (0.69998783, 0.66666669, 0.66666669)
REAL: dict[str, Any] = {
    "anatomical_flipped.nii": ((25, 41, 33), (2.0, 2.0, 2.0), "mm", 3),
    "dicom_series": ((12, 384, 274), OBLIQUE_MM, "mm", 3),
    "dicom_series/notes.txt": "format is not supported",
    "dicom_single": "holds 4 DICOM series.*--series",
    "dicom_single/CT_small.dcm": ((1, 128, 128), (0.661468, 0.661468, 5.0), "mm", 3),
    "dicom_single/JPEG2000.dcm": ((1, 1024, 256), (2.26, 2.26, 1.0), "mm", 2),
    "dicom_single/MR_small.dcm": ((1, 64, 64), (0.3125, 0.3125, 0.8), "mm", 3),
    "dicom_single/MR_small_RLE.dcm": ((1, 64, 64), (0.3125, 0.3125, 0.8), "mm", 3),
    "dicom_single/SC_rgb_small_odd.dcm": ((1, 3, 3, 3), (33.333333, 33.333333, 1.0), "mm", 2),
    "fmri_4d_oblique.nii.gz": r"4 dimensions \(128 x 96 x 24 x 2\).*3-D",
    "fundus_colour.jpg": ((1, 428, 512, 3), (1.0, 1.0, 1.0), "pixel", 2),
    "fundus_colour.tif": ((1, 428, 512, 3), (1.0, 1.0, 1.0), "pixel", 2),
    "fundus_rgb.nii.gz": ((1, 428, 512, 3), (1.0, 1.0, 1.0), "pixel", 3),
    "fundus_rgba.png": ((1, 428, 512, 3), (1.0, 1.0, 1.0), "pixel", 2),
    "lgg_15.tif": ((1, 256, 256, 3), (1.0, 1.0, 1.0), "pixel", 2),
    "lgg_15_mask.tif": ((1, 256, 256), (1.0, 1.0, 1.0), "pixel", 2),
    "nifti2_4d.nii.gz": r"4 dimensions \(32 x 20 x 12 x 2\).*3-D",
    "t1_detached.mhd": ((4, 200, 160), OBLIQUE_MM, "mm", 3),
    "t1_detached.raw": "format is not supported",
    "t1_float.nrrd": ((4, 200, 160), OBLIQUE_MM, "mm", 3),
    "t1_multipage.tif": ((12, 200, 160), (1.0, 1.0, 1.0), "pixel", 3),
    "t1_oblique.mha": ((12, 200, 160), OBLIQUE_MM, "mm", 3),
    "t1_oblique.nii.gz": ((12, 200, 160), OBLIQUE_MM, "mm", 3),
    "t1_oblique.nrrd": ((12, 200, 160), OBLIQUE_MM, "mm", 3),
    "t1_pair.hdr": ((4, 200, 160), OBLIQUE_MM, "mm", 3),
    "t1_pair.img": ((4, 200, 160), OBLIQUE_MM, "mm", 3),
    "t1_plain.nii": ((4, 200, 160), OBLIQUE_MM, "mm", 3),
    "t1_scaled.nii.gz": ((6, 200, 160), OBLIQUE_MM, "mm", 3),
    "t1_slice_16bit.png": ((1, 200, 160), (1.0, 1.0, 1.0), "pixel", 2),
    "t1_slice_8bit.png": ((1, 200, 160), (1.0, 1.0, 1.0), "pixel", 2),
}
FORMATS = REAL | {f"dicom_series/N2D_{n:04d}.dcm": ((1, 384, 274), OBLIQUE_MM, "mm", 3) for n in range(187, 199)}


@pytest.mark.parametrize("name", FORMATS)
def test_every_real_file_is_read_or_refused_with_a_reason(shared_data: Path, name: str):
    expected = FORMATS[name]
    if isinstance(expected, str):
        with pytest.raises(InvDetectError, match=expected) as caught:
            read_scan(shared_data / "formats" / name)
        assert name in str(caught.value) and "\n" not in str(caught.value)
        return
    shape, spacing, unit, dimension = expected
    scan = read_scan(shared_data / "formats" / name)
    assert scan.array.shape == shape and scan.channels == (3 if len(shape) == 4 else 1)
    assert scan.geometry.spacing == pytest.approx(spacing, abs=1e-5)
    assert (scan.geometry.shape, scan.geometry.unit, scan.geometry.dimension) == (shape[:3], unit, dimension)


def test_no_real_file_is_forgotten_here(shared_data: Path):
    folder = shared_data / "formats"
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files <= set(FORMATS)


@pytest.mark.parametrize("name", ["t1_oblique.nii.gz", "t1_oblique.nrrd", "t1_oblique.mha"])
def test_the_same_voxels_lie_in_the_same_place_in_every_format(shared_data: Path, name: str):
    series, scan = read_scan(shared_data / "formats" / "dicom_series"), read_scan(shared_data / "formats" / name)
    # the files hold columns 60 to 219 and rows 90 to 289 of the series
    assert np.array_equal(scan.array, series.array[:, 90:290, 60:220])
    indices = np.array([(0, 0, 0), (11, 199, 159), (5, 0, 159), (11, 120, 3)])
    assert np.allclose(scan.geometry.ras_from_index(indices), series.geometry.ras_from_index(indices + (0, 90, 60)), atol=1e-4)


def test_stored_slope_and_offset_are_applied(shared_data: Path):
    plain, scaled = (read_scan(shared_data / "formats" / name).array for name in ("t1_oblique.nrrd", "t1_scaled.nii.gz"))
    assert scaled.dtype == np.float32
    assert np.array_equal(scaled, plain[:6] * 0.5 - 20)


def test_colour_is_the_same_from_tiff_png_and_nifti(shared_data: Path):
    tiff, png, nifti = (read_scan(shared_data / "formats" / f"fundus_{end}").array for end in ("colour.tif", "rgba.png", "rgb.nii.gz"))
    assert np.array_equal(tiff, png) and np.array_equal(tiff, nifti)


def test_the_folder_of_formats_lists_each_scan_once(shared_data: Path):
    found, left_out = find_scans(shared_data / "formats")
    parts = {"t1_pair.img", "t1_detached.raw"}
    expected = {name for name in FORMATS if "/" not in name and name not in parts}
    assert [scan.relative.as_posix() for scan in found] == sorted(expected)
    assert [(left.path.name, left.reason) for left in left_out] == [("notes.txt", "not a supported format")]


# ---- geometry, units, channels -----------------------------------------------------------------------------------------------------


def test_a_nifti_voxel_lies_where_its_affine_says(tmp_path: Path):
    scan = read_scan(write_nifti(tmp_path / "a.nii.gz", voxels(3, 4, 5)))
    assert scan.array[4, 2, 1] == voxels(3, 4, 5)[1, 2, 4]
    assert scan.geometry.ras_from_index((4, 2, 1)) == pytest.approx((PLACE @ (1, 2, 4, 1))[:3], abs=1e-4)


@pytest.mark.parametrize(("size", "named", "unit"), [(1.0, None, "pixel"), (1.0, "mm", "mm"), (1.5, None, "mm")])
def test_only_nifti_without_unit_and_with_spacing_1_is_told_in_pixels(tmp_path: Path, size: float, named: str | None, unit: str):
    affine = np.diag([size, size, size, 1.0])
    affine[:3, 3] = (7, 8, 9)
    geometry = read_scan(write_nifti(tmp_path / "a.nii", voxels(3, 4, 5), affine, named)).geometry
    assert geometry.unit == unit
    assert geometry.ras_from_index((0, 0, 0)).tolist() == [7, 8, 9]  # the place is kept: results must lie on the scan


def test_resolution_of_a_picture_is_not_a_physical_spacing(tmp_path: Path):
    image = sitk.GetImageFromArray(voxels(4, 5, dtype=np.uint8))
    image.SetSpacing((0.1, 0.1))
    for end in ("png", "tif", "bmp"):
        sitk.WriteImage(image, str(tmp_path / f"a.{end}"))
        geometry = read_scan(tmp_path / f"a.{end}").geometry
        assert (geometry.spacing, geometry.unit, geometry.dimension) == ((1.0, 1.0, 1.0), "pixel", 2)


def test_a_grey_bitmap_is_grey(tmp_path: Path):
    sitk.WriteImage(sitk.GetImageFromArray(voxels(4, 5, dtype=np.uint8)), str(tmp_path / "a.bmp"))
    assert np.array_equal(read_scan(tmp_path / "a.bmp").array, voxels(1, 4, 5))


def test_a_trailing_dimension_of_one_is_dropped(tmp_path: Path):
    for shape in ((3, 4, 5, 1), (3, 4, 5, 1, 1), (3, 4, 1, 1)):
        assert read_scan(write_nifti(tmp_path / "a.nii", voxels(*shape))).array.shape == shape[2::-1]
    sitk.WriteImage(sitk.GetImageFromArray(voxels(1, 3, 4, 5), isVector=False), str(tmp_path / "a.nrrd"))
    assert read_scan(tmp_path / "a.nrrd").array.shape == (3, 4, 5)


def test_four_dimensions_are_refused_in_every_format(tmp_path: Path):
    for end in ("nii", "nrrd", "mha"):
        sitk.WriteImage(sitk.GetImageFromArray(voxels(2, 3, 4, 5), isVector=False), str(tmp_path / f"a.{end}"))
        with pytest.raises(InvDetectError, match="4 dimensions.*5 x 4 x 3 x 2.*3-D"):
            read_scan(tmp_path / f"a.{end}")


def test_a_vector_field_is_no_colour_image(tmp_path: Path):
    for channels in (2, 3):
        sitk.WriteImage(sitk.GetImageFromArray(np.zeros((3, 4, 5, channels), np.float32), isVector=True), str(tmp_path / "a.nii"))
        with pytest.raises(InvDetectError, match="5 dimensions"):
            read_scan(tmp_path / "a.nii")
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((3, 4, 5, 2), np.float32), isVector=True), str(tmp_path / "a.nrrd"))
    with pytest.raises(InvDetectError, match="2 values a voxel"):
        read_scan(tmp_path / "a.nrrd")


def test_a_colour_volume_of_ours_is_read_back(tmp_path: Path):
    array = voxels(3, 4, 5, 3, dtype=np.uint8)
    for end in ("nii.gz", "nrrd", "mha"):
        sitk.WriteImage(Geometry((3, 4, 5), spacing=(2.0, 2.0, 2.0)).to_image(array), str(tmp_path / f"a.{end}"))
        assert np.array_equal(read_scan(tmp_path / f"a.{end}").array, array)


def test_transparency_of_a_colour_volume_is_dropped(tmp_path: Path):
    array = voxels(3, 4, 5, 4, dtype=np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(array, isVector=True), str(tmp_path / "a.nii.gz"))
    assert np.array_equal(read_scan(tmp_path / "a.nii.gz").array, array[..., :3])


def test_an_analyze_file_is_read_with_a_warning(tmp_path: Path):
    nib.save(nib.AnalyzeImage(voxels(3, 4, 5), np.diag([2.0, 2, 2, 1])), str(tmp_path / "a.hdr"))
    scan = read_scan(tmp_path / "a.hdr")
    assert scan.array.shape == (5, 4, 3) and "left and right" in scan.warnings[0]


# ---- damaged and foreign files -----------------------------------------------------------------------------------------------------


def refused(path: Path, *words: str) -> None:
    with pytest.raises(InvDetectError) as caught:
        read_scan(path)
    text = str(caught.value)
    assert str(path.name) in text and all(word in text for word in words), text
    assert "\n" not in text and "0x" not in text and text.endswith(".")


@pytest.mark.parametrize("end", ["nii", "nii.gz", "nrrd", "mha", "tif", "bmp", "png", "jpg"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_truncated_file_is_refused(tmp_path: Path, end: str, share: float):
    noise = np.random.default_rng(0).integers(0, 255, (12, 64, 64)).astype(np.uint8)
    image = sitk.GetImageFromArray(noise if end in ("nii", "nii.gz", "nrrd", "mha", "tif") else noise[0])
    whole, part = tmp_path / f"whole.{end}", tmp_path / f"part.{end}"
    sitk.WriteImage(image, str(whole))
    assert read_scan(whole).array.shape[1:] == (64, 64)
    part.write_bytes(whole.read_bytes()[: int(share * whole.stat().st_size)])
    refused(part)


def test_a_nifti_short_of_a_single_byte_is_refused(tmp_path: Path):
    data = write_nifti(tmp_path / "a.nii", voxels(3, 4, 5)).read_bytes()
    (tmp_path / "a.nii").write_bytes(data[:-1])
    refused(tmp_path / "a.nii", f"{len(data) - 1} of {len(data)} bytes")
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(data[:-1]))
    refused(tmp_path / "b.nii.gz", f"{len(data) - 1} of {len(data)} bytes")


def test_a_nifti_with_a_flipped_bit_in_its_compressed_data_is_refused(tmp_path: Path):
    data = bytearray(gzip.compress(write_nifti(tmp_path / "a.nii", voxels(30, 40, 50)).read_bytes()))
    data[len(data) // 2] ^= 0x10
    (tmp_path / "b.nii.gz").write_bytes(data)
    refused(tmp_path / "b.nii.gz", "compressed data are cut off or damaged", "again")


@pytest.mark.parametrize("end", [".nii", ".nii.gz", ".hdr", ".nrrd", ".mha"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nan_and_infinite_values_come_as_the_file_has_them(tmp_path: Path, end: str, dtype: type):
    array = voxels(2, 4, 6).astype(dtype)
    array[0, 1, 2], array[1, 3, 5], array[1, 0, 0] = np.nan, np.inf, -np.inf
    sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / f"scan{end}"))
    assert np.array_equal(read_scan(tmp_path / f"scan{end}").array, array, equal_nan=True)


def test_a_truncated_data_file_of_a_pair_is_refused(tmp_path: Path):
    nib.save(nib.Nifti1Pair(voxels(3, 4, 5), PLACE), str(tmp_path / "a.hdr"))
    assert read_scan(tmp_path / "a.img").array.shape == (5, 4, 3)
    (tmp_path / "a.img").write_bytes((tmp_path / "a.img").read_bytes()[:-2])
    refused(tmp_path / "a.img", "cut off")


@pytest.mark.parametrize("end", ["hdr", "mhd", "nhdr"])
def test_a_missing_data_file_is_told(tmp_path: Path, end: str):
    sitk.WriteImage(sitk.GetImageFromArray(voxels(3, 4, 5)), str(tmp_path / f"a.{end}"))
    for path in tmp_path.iterdir():
        if path.suffix != f".{end}":
            path.unlink()
    refused(tmp_path / f"a.{end}", "data file", "missing")


@pytest.mark.parametrize("end", ["nii.gz", "nii", "hdr", "nrrd", "mha", "mhd", "png", "jpg", "tif", "bmp", "dcm", "txt"])
def test_a_text_file_is_refused_whatever_its_ending(tmp_path: Path, end: str):
    path = tmp_path / f"a.{end}"
    path.write_text("patient had a headache\n" * 40)
    (tmp_path / "a.img").write_text("so")
    refused(path)


@pytest.mark.parametrize("end", ["nii.gz", "nrrd", "png", "dcm"])
def test_an_empty_file_is_refused(tmp_path: Path, end: str):
    (tmp_path / f"a.{end}").touch()
    refused(tmp_path / f"a.{end}", "it is empty")


def test_a_missing_path_is_refused(tmp_path: Path):
    refused(tmp_path / "nowhere.nii.gz", "does not exist")


def test_an_unsupported_ending_is_refused_with_the_supported_ones(tmp_path: Path):
    (tmp_path / "a.npy").write_bytes(b"0123")
    refused(tmp_path / "a.npy", "not supported", ".nii.gz", ".png", "DICOM")


def test_complex_voxels_are_refused(tmp_path: Path):
    refused(write_nifti(tmp_path / "a.nii", voxels(3, 4, 5, dtype=np.complex64)), "complex", "magnitude")


def test_sheared_axes_are_refused(tmp_path: Path):
    sheared = PLACE.copy()
    sheared[0, 0] = 1.0
    refused(write_nifti(tmp_path / "a.nii", voxels(3, 4, 5), sheared), "sheared", "Resample")
    for end in ("nrrd", "mha"):
        image = sitk.GetImageFromArray(voxels(3, 4, 5))
        image.SetDirection((1.0, 0.01, 0, 0, 1, 0, 0, 0, 1))
        sitk.WriteImage(image, str(tmp_path / f"a.{end}"))
        refused(tmp_path / f"a.{end}", "sheared", "Resample")


def test_rounded_axes_are_not_sheared(tmp_path: Path):
    image = sitk.GetImageFromArray(voxels(3, 4, 5))
    image.SetDirection((0.96, 0.28, 0, -0.2801, 0.96, 0, 0, 0, 1))
    sitk.WriteImage(image, str(tmp_path / "a.nrrd"))
    assert read_scan(tmp_path / "a.nrrd").array.shape == (3, 4, 5)


def test_a_name_that_is_not_unicode_is_refused(tmp_path: Path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.nrrd"))
    try:
        path.write_bytes(b"NRRD0004\n")
    except OSError:
        pytest.skip("this file system takes Unicode names only")
    with pytest.raises(InvDetectError, match="Rename"):
        read_scan(path)


def test_pages_of_different_size_are_refused(tmp_path: Path):
    def page(width: int, height: int, at: int, following: int) -> bytes:
        tags = [(256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, at + 200), (277, 1), (278, height), (279, width * height)]
        table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
        return (struct.pack("<H", len(tags)) + table + struct.pack("<I", following)).ljust(200, b"\0") + bytes(width * height)

    first = page(8, 8, 8, 8 + 264)
    path = tmp_path / "a.tif"
    path.write_bytes(b"II*\0\x08\0\0\0" + first + page(8, 8, 8 + 264, 0))
    assert read_scan(path).array.shape == (2, 8, 8)
    path.write_bytes(b"II*\0\x08\0\0\0" + first + page(8, 6, 8 + 264, 0))
    refused(path, "pages differ in size", "8x8", "8x6")


def test_reading_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    nib.save(nib.AnalyzeImage(voxels(3, 4, 5), np.diag([2.0, 2, 2, 1])), str(tmp_path / "a.hdr"))
    read_scan(tmp_path / "a.hdr")
    assert capfd.readouterr() == ("", "")
    assert sitk.ProcessObject.GetGlobalWarningDisplay()  # the rest of the process keeps its warnings


# ---- DICOM -------------------------------------------------------------------------------------------------------------------------


def test_slices_are_ordered_by_place_not_by_name(tmp_path: Path):
    volume = write_series(tmp_path / "scan", [-3.0, -1.0, 1.0, 3.0, 5.0])
    scan = read_scan(tmp_path / "scan")
    assert np.array_equal(scan.array, volume)
    assert scan.name == "scan"
    assert scan.geometry.spacing == (0.25, 0.5, 2.0)  # PixelSpacing is (between rows, between columns)
    assert scan.geometry.ras_from_index((4, 1, 2)).tolist() == [-10.5, -20.5, 5.0]


def test_a_series_agrees_with_simpleitk_on_oblique_axes(tmp_path: Path):
    row, column = np.array((0.8, 0.6, 0.0)), np.array((0.0, 0.0, -1.0))
    normal = np.cross(row, column)
    for k in range(4):
        position = tuple(np.round(np.array((5.0, -7.0, 11.0)) + 3.0 * k * normal, 6))
        write_dicom(tmp_path / f"{9 - k}.dcm", voxels(4, 6, dtype=np.uint16) + k, position=position, axes=(*row, *column))
    scan = read_scan(tmp_path)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path)))
    theirs = reader.Execute()
    assert np.array_equal(scan.array, sitk.GetArrayFromImage(theirs))
    assert np.allclose(scan.geometry.spacing, theirs.GetSpacing()) and np.allclose(scan.geometry.direction, theirs.GetDirection())
    assert np.allclose(scan.geometry.origin, theirs.GetOrigin())


def test_rescaling_that_differs_between_slices_is_applied_to_each(tmp_path: Path):
    for k, slope in enumerate((1, 0.5, 2)):
        write_dicom(tmp_path / f"{k}", np.full((4, 6), 10, np.uint16), position=(0.0, 0.0, 2.0 * k), slope=slope, offset=-4)
    assert read_scan(tmp_path).array[:, 0, 0].tolist() == [6.0, 1.0, 16.0]


def test_files_that_are_no_images_are_ignored(tmp_path: Path):
    volume = write_series(tmp_path, [0.0, 2.0, 4.0])
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    write_dicom(tmp_path / "report.dcm", np.zeros(0, np.uint16), storage="1.2.840.10008.5.1.4.1.1.88.22", series="1.9")
    write_dicom(tmp_path / "private.dcm", np.zeros(0, np.uint16), storage="1.3.12.2.1107.5.9.1", series="1.8")
    assert np.array_equal(read_scan(tmp_path).array, volume)


def test_a_damaged_slice_is_told_not_skipped(tmp_path: Path):
    write_series(tmp_path, [0.0, 2.0, 4.0, 6.0])
    last = tmp_path / "a13"
    last.write_bytes(last.read_bytes()[:400])
    with pytest.raises(InvDetectError, match="a13 cannot be read"):
        read_scan(tmp_path)


def test_several_series_are_listed_and_one_can_be_picked(tmp_path: Path):
    write_series(tmp_path, [0.0, 2.0, 4.0], series="1.2.3")
    volume = write_series(tmp_path, [0.0, 3.0], prefix="b", series="1.2.4")
    with pytest.raises(InvDetectError, match=r"2 DICOM series: 1\.2\.3 \(3 files, 6x4 pixels\); 1\.2\.4 \(2 files.*--series"):
        read_scan(tmp_path)
    assert np.array_equal(read_scan(tmp_path, series="1.2.4").array, volume)
    with pytest.raises(InvDetectError, match=r"no DICOM series 1\.2\.5.*1\.2\.3"):
        read_scan(tmp_path, series="1.2.5")


def test_missing_slices_are_told_with_their_positions(tmp_path: Path):
    write_series(tmp_path, [0.0, 2.0, 4.0, 10.0, 12.0, 14.0])
    with pytest.raises(InvDetectError, match=r"missing at 6\.00, 8\.00 mm.*every 2\.00 mm"):
        read_scan(tmp_path)


def test_unequal_distances_are_told_with_their_positions(tmp_path: Path):
    write_series(tmp_path, [0.0, 2.0, 4.0, 5.0, 7.0])
    with pytest.raises(InvDetectError, match=r"not equally spaced: 2\.00 mm.*4\.00 to 5\.00"):
        read_scan(tmp_path)


@pytest.mark.parametrize(("off", "fine"), [(0.015, True), (0.03, False)])
def test_distances_may_differ_by_one_per_cent(tmp_path: Path, off: float, fine: bool):
    write_series(tmp_path, [0.0, 2.0, 4.0, 6.0 + off, 8.0 + off])
    if fine:
        assert read_scan(tmp_path).geometry.spacing[2] == pytest.approx(2.0 + off / 4)
    else:
        with pytest.raises(InvDetectError, match="not equally spaced"):
            read_scan(tmp_path)


def test_two_slices_at_one_position_are_told(tmp_path: Path):
    write_series(tmp_path, [0.0, 2.0, 4.0, 4.0])
    with pytest.raises(InvDetectError, match=r"same position \(4\.00 mm\)"):
        read_scan(tmp_path)


def test_a_tilted_gantry_is_told(tmp_path: Path):
    for k in range(4):
        write_dicom(tmp_path / f"{k}", voxels(4, 6, dtype=np.uint16), position=(0.0, 0.7 * k, 2.0 * k))
    with pytest.raises(InvDetectError, match="shifted.*2.10 mm"):
        read_scan(tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [({"axes": (0.0, 1, 0, 0, 0, 1)}, "orientation"), ({"spacing": (0.6, 0.3)}, "pixel size"), ({"position": None}, "no position")],
)
def test_slices_that_do_not_belong_together_are_told(tmp_path: Path, change: dict[str, Any], words: str):
    write_series(tmp_path, [0.0, 2.0, 4.0])
    write_dicom(tmp_path / "z", voxels(4, 6, dtype=np.uint16), **({"position": (0.0, 0.0, 6.0)} | change))
    with pytest.raises(InvDetectError, match=words):
        read_scan(tmp_path)


def test_slices_of_different_size_are_told(tmp_path: Path):
    write_series(tmp_path, [0.0, 2.0, 4.0])
    write_dicom(tmp_path / "z", voxels(5, 6, dtype=np.uint16), position=(0.0, 0.0, 6.0))
    with pytest.raises(InvDetectError, match=r"differ in size: 6x4 pixels \(3 files\), 6x5 pixels \(1 files?\)"):
        read_scan(tmp_path)


def test_a_single_file_with_a_place_is_one_slice_and_without_one_a_flat_image(tmp_path: Path):
    slice_ = read_scan(write_dicom(tmp_path / "a.dcm", voxels(4, 6, dtype=np.uint16), position=(1.0, 2.0, 3.0)))
    assert (slice_.geometry.dimension, slice_.geometry.spacing, slice_.geometry.origin) == (3, (0.25, 0.5, 2.0), (1.0, 2.0, 3.0))
    flat = read_scan(write_dicom(tmp_path / "b.dcm", voxels(4, 6, dtype=np.uint16), position=None, axes=None))
    assert (flat.geometry.dimension, flat.geometry.spacing, flat.geometry.unit) == (2, (0.25, 0.5, 1.0), "mm")


def test_dicom_without_pixel_spacing_is_told_in_pixels(tmp_path: Path):
    geometry = read_scan(write_dicom(tmp_path / "a.dcm", voxels(4, 6, dtype=np.uint16), spacing=None)).geometry
    assert (geometry.unit, geometry.spacing) == ("pixel", (1.0, 1.0, 1.0))


def test_colour_and_inverted_and_multi_frame_dicom(tmp_path: Path):
    colour = voxels(4, 6, 3, dtype=np.uint8)
    assert np.array_equal(read_scan(write_dicom(tmp_path / "a.dcm", colour)).array[0], colour)
    grey = voxels(4, 6, dtype=np.uint16)
    # stored as dark = bright; what is bright on the film is bright here
    assert np.array_equal(read_scan(write_dicom(tmp_path / "b.dcm", grey, photometric="MONOCHROME1")).array[0], 65535 - grey)
    frames = voxels(3, 4, 6, dtype=np.uint16)
    scan = read_scan(write_dicom(tmp_path / "c.dcm", frames, frames=3, storage="1.2.840.10008.5.1.4.1.1.7.3"))
    assert np.array_equal(scan.array, frames) and "frames" in scan.warnings[0]


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.100", "1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.5"])
def test_compressed_pixels_that_cannot_be_decoded_are_told(tmp_path: Path, syntax: str):
    """MPEG-2, high-throughput JPEG 2000, and damaged JPEG and RLE."""
    refused(write_dicom(tmp_path / "a.dcm", voxels(4, 6, dtype=np.uint16), syntax=syntax, fragment=bytes(range(64))), "compressed")


def test_a_folder_without_dicom_is_refused(tmp_path: Path):
    refused(tmp_path, "no DICOM image")


# ---- digest, names -----------------------------------------------------------------------------------------------------------------


def test_the_digest_depends_on_voxels_type_and_place_but_not_on_names(tmp_path: Path):
    geometry = Geometry((3, 4, 5))
    base = Scan.from_array(voxels(3, 4, 5), geometry, "a")
    assert Scan.from_array(voxels(3, 4, 5).astype(">i2"), geometry, "b", ("a warning",)).digest == base.digest
    assert Scan.from_array(np.asfortranarray(voxels(3, 4, 5)), geometry, "a").digest == base.digest
    others = [
        Scan.from_array(voxels(3, 4, 5) + np.int16(1), geometry, "a"),
        Scan.from_array(voxels(3, 4, 5).astype(np.uint16), geometry, "a"),
        Scan.from_array(voxels(3, 4, 5), Geometry((3, 4, 5), origin=(0.0, 0.0, 1.0)), "a"),
        Scan.from_array(voxels(3, 5, 4), Geometry((3, 5, 4)), "a"),
    ]
    assert len({scan.digest for scan in (base, *others)}) == 5


def test_a_copy_under_another_name_has_the_same_digest(tmp_path: Path):
    first = write_nifti(tmp_path / "a.nii", voxels(3, 4, 5))
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(first.read_bytes()))
    assert read_scan(first).digest == read_scan(tmp_path / "b.nii.gz").digest


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("in/brain.nii.gz", "brain"),
        ("IN/Brain.NII.GZ", "Brain"),
        ("a.b.nrrd", "a.b"),
        ("mask.seg.nrrd", "mask"),
        ("slice.dcm", "slice"),
        ("1.2.840.10", "1.2.840.10"),
        ("a?b:c|d.png", "a_b_c_d"),
        ("tab\tand\nline\u202e.png", "tab_and_line_"),
        (".nii.gz", "nii.gz"),
        ("...png", "scan"),
        ("  .tif", "scan"),
        ("/", "scan"),
        ("\udcff.png", "_"),
    ],
)
def test_a_stem_is_a_safe_file_name(path: str, name: str):
    assert stem(path) == name


def test_the_stem_of_a_folder_is_its_whole_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "case.png").mkdir()
    assert stem(tmp_path / "case.png") == "case.png"
    monkeypatch.chdir(tmp_path / "case.png")
    assert stem(".") == "case.png"


# ---- finding -----------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder as people have them: nested, mixed, with files that are no scans."""
    root = tmp_path / "in"
    names = ["b.nii.gz", "a.PNG", "p1/t1.nrrd", "p1/README", "p1/.hidden.nii", ".git/x.nii", "p2/c.hdr", "p2/c.img", "p2/lone.img"]
    names += ["p2/old.anomaly.nii.gz", "p2/old.mask.seg.nrrd", "p2/old.preview.png", "p2/old.mask.png", "p2/tumour.seg.nrrd", "p2/x.dcm"]
    names += ["p2/old.pseudo-normal.nii.gz", "p2/sub-01_desc-anomalyT1w_mask.nii.gz"]
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    sitk.WriteImage(sitk.GetImageFromArray(voxels(2, 3, 4)), str(root / "p2" / "d.mhd"))
    sitk.WriteImage(sitk.GetImageFromArray(voxels(2, 3, 4)), str(root / "p2" / "e.nhdr"), True)
    write_series(root / "p3" / "series 1", [0.0, 2.0])
    write_series(root / "p3" / "series 1", [0.0, 2.0], prefix="other", series="1.7")
    return root


def listed(found: list[Any]) -> list[str]:
    return [entry.relative.as_posix() for entry in found]


SCANS = ["a.PNG", "b.nii.gz", "p1/t1.nrrd", "p2/c.hdr", "p2/d.mhd", "p2/e.nhdr", "p3/series 1"]


def test_a_folder_is_searched_with_all_below(tree: Path):
    found, left_out = find_scans(tree)
    assert listed(found) == SCANS
    assert all(entry.path == tree / entry.relative for entry in found)
    assert {left.path.relative_to(tree).as_posix(): left.reason for left in left_out} == {
        "p1/README": "not a supported format",
        "p2/lone.img": "its header (.hdr) is missing",
        "p2/old.anomaly.nii.gz": "a result of InvDetect",
        "p2/old.mask.seg.nrrd": "a result of InvDetect",
        "p2/old.mask.png": "a result of InvDetect",
        "p2/old.preview.png": "a result of InvDetect",
        "p2/old.pseudo-normal.nii.gz": "a result of InvDetect",
        "p2/sub-01_desc-anomalyT1w_mask.nii.gz": "a result of InvDetect",
        "p2/tumour.seg.nrrd": "a segmentation, not a scan",
        "p2/x.dcm": "not a DICOM file",
    }


def test_masks_may_be_segmentations(tree: Path):
    names = listed(find_masks(tree / "p2")[0])
    assert "tumour.seg.nrrd" in names and "old.mask.png" in names


def test_a_dicom_folder_given_itself_is_one_scan_with_its_name(tree: Path, monkeypatch: pytest.MonkeyPatch):
    found, _ = find_scans(tree / "p3" / "series 1")
    assert listed(found) == ["series 1"] and found[0].path == tree / "p3" / "series 1"
    monkeypatch.chdir(tree / "p3" / "series 1")
    assert listed(find_scans(".")[0]) == ["series 1"]


def test_a_file_is_found_under_its_name_and_a_dicom_file_alone(tree: Path):
    assert listed(find_scans(str(tree / "p1" / "t1.nrrd"))[0]) == ["t1.nrrd"]
    assert listed(find_scans(tree / "p3" / "series 1" / "a00")[0]) == ["a00"]


def test_a_pattern_mirrors_the_folders_after_its_fixed_part(tree: Path):
    assert listed(find_scans(f"{tree}/p*/*.nrrd")[0]) == ["p1/t1.nrrd"]
    assert listed(find_scans(f"{tree}/**/*.n*")[0]) == ["b.nii.gz", "p1/t1.nrrd", "p2/e.nhdr"]
    assert listed(find_scans(f"{tree}/p[13]")[0]) == ["p1/t1.nrrd", "p3/series 1"]


def test_a_file_whose_name_looks_like_a_pattern_is_itself(tmp_path: Path):
    (tmp_path / "a[1].png").touch()
    assert listed(find_scans(tmp_path / "a[1].png")[0]) == ["a[1].png"]


def test_a_list_mirrors_below_its_common_folder_and_counts_nothing_twice(tree: Path):
    found, _ = find_scans([tree / "p1", tree / "p2", tree / "p1" / "t1.nrrd"])
    assert listed(found) == ["p1/t1.nrrd", "p2/c.hdr", "p2/d.mhd", "p2/e.nhdr"]


def test_a_missing_path_in_a_list_is_left_to_reading(tree: Path):
    found, _ = find_scans([tree / "b.nii.gz", tree / "gone.nii.gz"])
    assert listed(found) == ["b.nii.gz", "gone.nii.gz"]


def test_links_in_a_loop_end_and_no_scan_counts_twice(tree: Path):
    try:
        (tree / "p1" / "up").symlink_to(tree, target_is_directory=True)
        (tree / "a0").symlink_to(tree / "p1", target_is_directory=True)
        (tree / "again.nii.gz").symlink_to(tree / "b.nii.gz")
        (tree / "broken.nii.gz").symlink_to(tree / "gone.nii.gz")
    except OSError:
        pytest.skip("this file system has no links")
    found, left_out = find_scans(tree)
    reasons = {left.path.name: left.reason for left in left_out}
    names = listed(found)
    assert len(names) == len(SCANS) and "p1/t1.nrrd" in names
    assert reasons["broken.nii.gz"] == "a link to nothing"
    assert reasons.get("b.nii.gz", reasons.get("again.nii.gz", "")).startswith("the same file as")


def test_linked_folders_elsewhere_are_searched(tree: Path, tmp_path: Path):
    (tmp_path / "study").mkdir()
    try:
        (tmp_path / "study" / "p9").symlink_to(tree / "p1", target_is_directory=True)
    except OSError:
        pytest.skip("this file system has no links")
    assert listed(find_scans(tmp_path / "study")[0]) == ["p9/t1.nrrd"]


@pytest.mark.parametrize("given", ["", "nowhere", "*.xyz", "README", "nowhere.nii"])
def test_nothing_found_is_an_error(tmp_path: Path, given: str):
    (tmp_path / "README").write_text("read me")
    with pytest.raises(InvDetectError, match="README.*not a supported format" if given in ("", "README") else "does not exist|no scan"):
        find_scans(f"{tmp_path}/{given}")


def test_an_empty_list_is_an_error():
    with pytest.raises(InvDetectError, match="no scan"):
        find_scans([])


def test_zlib_damage_in_the_header_is_told(tmp_path: Path):
    packed = bytearray(gzip.compress(write_nifti(tmp_path / "a.nii", voxels(3, 4, 5)).read_bytes()))
    packed[20] ^= 0xFF
    (tmp_path / "b.nii.gz").write_bytes(packed)
    with pytest.raises((InvDetectError, zlib.error)) as caught:
        read_scan(tmp_path / "b.nii.gz")
    assert isinstance(caught.value, InvDetectError)
