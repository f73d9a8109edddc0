"""What reading gives of a file: its values, where each voxel lies and in which unit, its channels, and a digest of all that."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from InvDetectLib.common.errors import InvDetectError
from InvDetectLib.scans import Geometry, Scan, read_scan
from Testing.support.made_scans import PLACE, voxels, write_nifti

# ---- places and units --------------------------------------------------------------------------------------------------------------


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


def test_rounded_axes_are_not_sheared(tmp_path: Path):
    image = sitk.GetImageFromArray(voxels(3, 4, 5))
    image.SetDirection((0.96, 0.28, 0, -0.2801, 0.96, 0, 0, 0, 1))
    sitk.WriteImage(image, str(tmp_path / "a.nrrd"))
    assert read_scan(tmp_path / "a.nrrd").array.shape == (3, 4, 5)


def test_an_analyze_file_is_read_with_a_warning(tmp_path: Path):
    nib.save(nib.AnalyzeImage(voxels(3, 4, 5), np.diag([2.0, 2, 2, 1])), str(tmp_path / "a.hdr"))
    scan = read_scan(tmp_path / "a.hdr")
    assert scan.array.shape == (5, 4, 3) and "left and right" in scan.warnings[0]


def test_reading_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    nib.save(nib.AnalyzeImage(voxels(3, 4, 5), np.diag([2.0, 2, 2, 1])), str(tmp_path / "a.hdr"))
    read_scan(tmp_path / "a.hdr")
    assert capfd.readouterr() == ("", "")
    assert sitk.ProcessObject.GetGlobalWarningDisplay()  # the rest of the process keeps its warnings


# ---- values, dimensions and channels -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [".nii", ".nii.gz", ".hdr", ".nrrd", ".mha"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nan_and_infinite_values_come_as_the_file_has_them(tmp_path: Path, end: str, dtype: type):
    array = voxels(2, 4, 6).astype(dtype)
    array[0, 1, 2], array[1, 3, 5], array[1, 0, 0] = np.nan, np.inf, -np.inf
    sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / f"scan{end}"))
    assert np.array_equal(read_scan(tmp_path / f"scan{end}").array, array, equal_nan=True)


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


# ---- digest ------------------------------------------------------------------------------------------------------------------------


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
