"""Every file of the shared real data is read, or refused with a reason; the same picture is the same in every format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from InvDetectLib.common.errors import InvDetectError
from InvDetectLib.scans import find_scans, read_scan

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
