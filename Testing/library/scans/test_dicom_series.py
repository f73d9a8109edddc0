"""DICOM series and single files: slices in the order of their places, and in words what does not make a volume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from InvDetectLib.common.errors import InvDetectError
from InvDetectLib.scans import read_scan
from Testing.support.dicom_bytes import write_dicom, write_series
from Testing.support.made_scans import voxels

# ---- series ------------------------------------------------------------------------------------------------------------------------


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


def test_several_series_are_listed_and_one_can_be_picked(tmp_path: Path):
    write_series(tmp_path, [0.0, 2.0, 4.0], series="1.2.3")
    volume = write_series(tmp_path, [0.0, 3.0], prefix="b", series="1.2.4")
    with pytest.raises(InvDetectError, match=r"2 DICOM series: 1\.2\.3 \(3 files, 6x4 pixels\); 1\.2\.4 \(2 files.*--series"):
        read_scan(tmp_path)
    assert np.array_equal(read_scan(tmp_path, series="1.2.4").array, volume)
    with pytest.raises(InvDetectError, match=r"no DICOM series 1\.2\.5.*1\.2\.3"):
        read_scan(tmp_path, series="1.2.5")


# ---- what does not make a volume ---------------------------------------------------------------------------------------------------


def test_a_damaged_slice_is_told_not_skipped(tmp_path: Path):
    write_series(tmp_path, [0.0, 2.0, 4.0, 6.0])
    last = tmp_path / "a13"
    last.write_bytes(last.read_bytes()[:400])
    with pytest.raises(InvDetectError, match="a13 cannot be read"):
        read_scan(tmp_path)


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


# ---- single files ------------------------------------------------------------------------------------------------------------------


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
