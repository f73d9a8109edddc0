"""DICOM objects of a result: every voxel where the source has it, every reference to the slice it is of. Read by others than who wrote."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from Testing.support.needs import need, need_program

hd = need("highdicom")

import pydicom  # noqa: E402
import SimpleITK as sitk  # noqa: E402

from InvDetectLib.dicom import Decision, Objects, dicom_objects  # noqa: E402
from InvDetectLib.results import Result, label_findings  # noqa: E402
from InvDetectLib.scans import Geometry, read_scan  # noqa: E402
from Testing.support.dicom_sources import FLAT, PIXELS, PLACED, enhanced_shuffled, oblique_with_gaps, two_multiframe_files, upside_down  # noqa: E402
from Testing.support.made_results import three_found_in  # noqa: E402

Make = Callable[[Path], Path]
every_source = pytest.mark.parametrize("make", [*PLACED, *FLAT])
every_place = pytest.mark.parametrize("make", PLACED)


def examined(path: Path, **changes: Any) -> tuple[Result, Objects]:
    result = three_found_in(read_scan(path), **changes)
    return result, dicom_objects(result, path, model_name="made", decisions={1: Decision("accepted", "Ödem")})


def written(objects: Objects, folder: Path) -> dict[str, Path]:
    """The objects as files, which is what others get."""
    paths = {}
    for kind, content in objects.files().items():
        paths[kind] = folder / f"{kind}.dcm"
        paths[kind].write_bytes(content)
    return paths


def indices_in(geometry: Geometry, affine: np.ndarray, indices: np.ndarray) -> tuple[np.ndarray, ...]:
    """Where voxels of an image with this LPS affine, by their (n, 3) indices, lie in the array of a scan: on its voxels, all of them."""
    lps = indices @ affine[:3, :3].T + affine[:3, 3]
    found = geometry.index_from_ras(lps * [-1, -1, 1])
    assert np.abs(found - np.round(found)).max() < 1e-3
    return tuple(np.round(found).astype(int).T)


@every_source
def test_dciodvfy_finds_no_error_in_any_of_them(make: Make, tmp_path: Path) -> None:
    judge = need_program("dciodvfy", "dicom3tools")
    _, objects = examined(make(tmp_path / "scan"))
    for path in written(objects, tmp_path).values():
        said = subprocess.run([judge, str(path)], capture_output=True, text=True)
        errors = [line for line in (said.stdout + said.stderr).splitlines() if line.startswith("Error")]
        assert not errors and said.returncode == 0


@pytest.mark.parametrize("name", ["dicom_series", *(f"dicom_single/{one}.dcm" for one in ("CT_small", "MR_small_RLE", "JPEG2000"))])
def test_dciodvfy_finds_no_error_in_those_of_real_scans(name: str, shared_data: Path, tmp_path: Path) -> None:
    test_dciodvfy_finds_no_error_in_any_of_them(lambda _: shared_data / "formats" / name, tmp_path)


@every_place
def test_highdicom_reads_each_segment_where_its_finding_lies(make: Make, tmp_path: Path) -> None:
    result, objects = examined(make(tmp_path / "scan"))
    read = hd.seg.segread(str(written(objects, tmp_path)["dicom_segmentation"])).get_volume(combine_segments=True)
    labels = label_findings(result.mask, result.findings)
    inside = np.argwhere(read.array)
    assert len(inside) == np.count_nonzero(labels)
    assert (labels[indices_in(result.geometry, read.affine, inside)] == read.array[tuple(inside.T)]).all()


@every_place
def test_highdicom_reads_every_value_of_the_map_where_the_scan_has_it(make: Make, tmp_path: Path) -> None:
    result, objects = examined(make(tmp_path / "scan"))
    read = hd.imread(str(written(objects, tmp_path)["dicom_map"])).get_volume(apply_real_world_transform=True)
    everywhere = np.indices(read.array.shape).reshape(3, -1).T
    assert read.array.shape == result.anomaly_map.shape
    assert (result.anomaly_map[indices_in(result.geometry, read.affine, everywhere)] == read.array.ravel()).all()


@pytest.mark.parametrize("make", [oblique_with_gaps, upside_down, enhanced_shuffled])
def test_simpleitk_puts_the_voxels_of_a_finding_where_the_scan_has_them(make: Make, tmp_path: Path) -> None:
    """Of one finding, for it takes the frames of several segments for slices of one stack."""
    result, objects = examined(make(tmp_path / "scan"), threshold=1.65)
    assert len(result.findings) == 1 and result.mask.any(axis=(1, 2)).sum() > 1
    image = sitk.ReadImage(str(written(objects, tmp_path)["dicom_segmentation"]))
    read = sitk.GetArrayFromImage(image).reshape(-1, *image.GetSize()[1::-1])
    inside = np.argwhere(read)
    points = [image.TransformIndexToPhysicalPoint([int(n) for n in index[::-1]]) for index in inside]
    places = indices_in(result.geometry, np.eye(4), np.array(points))
    assert len(inside) == np.count_nonzero(result.mask) and result.mask[places].all()


@pytest.mark.parametrize("make", [oblique_with_gaps, enhanced_shuffled, two_multiframe_files])
def test_each_frame_names_the_slice_with_its_own_pixels_and_place(make: Make, tmp_path: Path) -> None:
    source = make(tmp_path / "scan")
    _, objects = examined(source)
    files = {pydicom.dcmread(path).SOPInstanceUID: pydicom.dcmread(path) for path in (tmp_path / "scan").iterdir()}
    for path in written(objects, tmp_path).values():
        data = pydicom.dcmread(path)
        if "PerFrameFunctionalGroupsSequence" not in data:
            continue
        assert {item.ReferencedSOPInstanceUID for item in data.SourceImageSequence} == files.keys()
        for frame in data.PerFrameFunctionalGroupsSequence:
            (item,) = frame.DerivationImageSequence[0].SourceImageSequence
            file = files[item.ReferencedSOPInstanceUID]
            assert item.ReferencedSOPClassUID == file.SOPClassUID
            groups = file.get("PerFrameFunctionalGroupsSequence")
            place = groups[item.ReferencedFrameNumber - 1].PlanePositionSequence[0] if groups else file
            assert frame.PlanePositionSequence[0].ImagePositionPatient == place.ImagePositionPatient


@pytest.mark.parametrize("make", FLAT)
def test_a_flat_image_has_a_segmentation_on_its_own_pixels_and_a_report_but_no_map(make: Make, tmp_path: Path) -> None:
    result, objects = examined(make(tmp_path / "scan"))
    assert objects.parametric_map is None and len(objects.report.ContentSequence) > 0
    data = hd.seg.segread(str(written(objects, tmp_path)["dicom_segmentation"]))
    pixels = data.get_pixels_by_source_instance([data.SourceImageSequence[0].ReferencedSOPInstanceUID], combine_segments=True)
    assert (pixels[0] == label_findings(result.mask, result.findings)[0]).all()
    assert "FrameOfReferenceUID" not in data
    (item,) = data.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence
    assert item.SpatialLocationsPreserved == "YES"


def test_thickness_and_distance_are_told_apart(tmp_path: Path) -> None:
    _, objects = examined(oblique_with_gaps(tmp_path / "scan"))
    measures = objects.parametric_map.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert (float(measures.SliceThickness), float(measures.SpacingBetweenSlices)) == (2.0, pytest.approx(3.0, abs=1e-6))


def test_the_map_says_of_which_quantity_its_values_are_and_that_they_are_the_score_itself(tmp_path: Path) -> None:
    result, objects = examined(oblique_with_gaps(tmp_path / "scan"))
    data = pydicom.dcmread(written(objects, tmp_path)["dicom_map"])
    (mapping,) = data.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
    assert (mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept) == (1, 0)
    assert "held-out normals" in mapping.LUTExplanation and mapping.MeasurementUnitsCodeSequence[0].CodeValue == "1"
    assert mapping.QuantityDefinitionSequence[0].ConceptCodeSequence[0].CodeMeaning == "Anomaly score"
    least, greatest = mapping.DoubleFloatRealWorldValueFirstValueMapped, mapping.DoubleFloatRealWorldValueLastValueMapped
    assert (least, greatest) == (result.anomaly_map.min(), result.anomaly_map.max())


def test_the_source_is_only_read(tmp_path: Path) -> None:
    source = oblique_with_gaps(tmp_path / "scan")
    before = {path: path.read_bytes() for path in source.iterdir()}
    examined(source)
    assert {path: path.read_bytes() for path in source.iterdir()} == before and len(before) == len(PIXELS)


@pytest.mark.usefixtures("host")
@pytest.mark.parametrize("make", [oblique_with_gaps, upside_down, enhanced_shuffled])
def test_slicer_puts_a_segment_where_the_finding_lies(make: Make, tmp_path: Path) -> None:
    """Of one finding, too: without an extension for DICOM segmentations it reads them as ITK does."""
    slicer = need("slicer")
    result, objects = examined(make(tmp_path / "scan"), threshold=1.65)
    storage, node = slicer.vtkMRMLSegmentationStorageNode(), slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    storage.SetFileName(str(written(objects, tmp_path)["dicom_segmentation"]))
    assert storage.ReadData(node) and node.GetSegmentation().GetNumberOfSegments() == 1
    corners = result.geometry.ras_from_index([[0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0]])  # the way to RAS, by column, row and slice
    matrix = np.eye(4)
    matrix[:3] = np.column_stack([*(corners[1:] - corners[0]), corners[0]])
    volume = slicer.util.addVolumeFromArray(np.zeros(result.mask.shape), matrix)
    shown = slicer.util.arrayFromSegmentBinaryLabelmap(node, node.GetSegmentation().GetNthSegmentID(0), volume)
    assert (shown.astype(bool) == result.mask).all()
