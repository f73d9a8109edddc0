"""Volumes of the scene as the library's scans and files, and back: every voxel in its place. Real MRML of slicer-core."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from Testing.support.needs import need

slicer = need("slicer")

from InvDetectSlicerLib.scene.modality import contradicting_modality  # noqa: E402
from InvDetectSlicerLib.scene.volumes import add_like, array_of, geometry_of, mask_of, scan_of, write_exchange  # noqa: E402

from InvDetectLib.common.errors import InvDetectError  # noqa: E402
from InvDetectLib.scans import Scan, read_scan  # noqa: E402
from InvDetectLib.scans.geometry import Geometry  # noqa: E402
from Testing.support.scene_examples import DIRECTIONS, SHAPE, SHEARED, add_volume, everything, fingerprint, matrix, numbered, world  # noqa: E402

pytestmark = pytest.mark.usefixtures("host")
every_direction = pytest.mark.parametrize("direction", DIRECTIONS)


def places(geometry: Geometry) -> np.ndarray:
    return geometry.ras_from_index(np.stack(np.indices(geometry.shape), axis=-1)).reshape(-1, 3)


@every_direction
def test_each_voxel_has_the_library_s_value_and_place(direction: str) -> None:
    volume = add_volume(direction)
    assert np.array_equal(array_of(volume), numbered())
    np.testing.assert_allclose(places(geometry_of(volume)), world(volume), atol=1e-9)


def test_sheared_axes_are_kept() -> None:
    volume = add_volume()
    volume.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(matrix(SHEARED)))
    np.testing.assert_allclose(places(geometry_of(volume)), world(volume), atol=1e-9)


def test_the_parent_transform_is_no_part_of_the_geometry() -> None:
    assert geometry_of(add_volume(moved=True)) == geometry_of(add_volume(moved=False))


@every_direction
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float32, np.float64])
def test_the_worker_reads_the_very_same_scan(direction: str, dtype: type, tmp_path: Path) -> None:
    volume = add_volume(direction, numbered(dtype=dtype), moved=True)
    path = write_exchange(volume, tmp_path)
    read = read_scan(path)
    assert path.suffix == ".nrrd" and b"encoding: raw" in path.read_bytes()[:2000]
    assert read.array.dtype == dtype and np.array_equal(read.array, array_of(volume))
    np.testing.assert_allclose(places(read.geometry), places(geometry_of(volume)), atol=1e-9)


def test_a_sheared_volume_reaches_the_file_unstraightened(tmp_path: Path) -> None:
    volume = add_volume("straight")
    volume.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(matrix(SHEARED)))
    image = sitk.ReadImage(str(write_exchange(volume, tmp_path)))
    for index in ((0, 0, 0), (15, 0, 0), (0, 11, 0), (0, 0, 4), (7, 5, 3)):
        lps = np.array(image.TransformIndexToPhysicalPoint(index))
        np.testing.assert_allclose(lps * (-1, -1, 1), (matrix(SHEARED) @ [*index, 1])[:3], atol=1e-6)


@every_direction
def test_colours_are_read_as_they_are(direction: str, tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 255, (*SHAPE, 3), np.uint8)
    volume = add_volume(direction, colours)
    assert np.array_equal(array_of(volume), colours)
    read = read_scan(write_exchange(volume, tmp_path))
    assert np.array_equal(read.array, colours)
    np.testing.assert_allclose(places(read.geometry), world(volume), atol=1e-9)


def test_transparency_is_dropped() -> None:
    colours = np.random.default_rng(0).integers(0, 255, (*SHAPE, 4), np.uint8)
    assert np.array_equal(array_of(add_volume("oblique", colours)), colours[..., :3])


@pytest.mark.parametrize("shape", [(1, 20, 30), (1, 20, 30, 3)])
def test_a_picture_is_the_scan_that_its_file_is(shape: tuple[int, ...], tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(picture[0], isVector=len(shape) == 4), str(tmp_path / "eye.png"))
    kind = "vtkMRMLVectorVolumeNode" if len(shape) == 4 else "vtkMRMLScalarVolumeNode"
    volume = slicer.util.addVolumeFromArray(picture, np.diag([-1.0, -1, 1, 1]), "eye", kind)
    from_file = read_scan(tmp_path / "eye.png")
    for scan in (scan_of(volume), read_scan(write_exchange(volume, tmp_path, "sent"))):
        assert (scan.digest, scan.geometry) == (from_file.digest, from_file.geometry)


def test_a_single_slice_with_a_place_stays_a_volume(tmp_path: Path) -> None:
    volume = add_volume("oblique", numbered((1, 20, 30)))
    read = read_scan(write_exchange(volume, tmp_path))
    assert geometry_of(volume).dimension == read.geometry.dimension == 3
    np.testing.assert_allclose(places(read.geometry), world(volume, (1, 20, 30)), atol=1e-9)


def empty() -> Any:
    return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "nothing")


@pytest.mark.parametrize("use", [array_of, geometry_of, scan_of, lambda volume: write_exchange(volume, Path())])
def test_a_volume_without_image_data_is_told_so(use: Any) -> None:
    with pytest.raises(InvDetectError, match='"nothing" holds no image data. Load it again'):
        use(empty())


def test_a_volume_of_two_values_a_voxel_is_refused() -> None:
    with pytest.raises(InvDetectError, match="2 values a voxel, neither grey"):
        array_of(add_volume("oblique", numbered((*SHAPE, 2))))


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvDetectError, match="cannot be handed over"):
        write_exchange(add_volume(), tmp_path / "missing")


@every_direction
@pytest.mark.parametrize("moved", [False, True])
def test_a_new_volume_lies_where_the_old_one_does_and_leaves_it_alone(direction: str, moved: bool) -> None:
    volume = add_volume(direction, moved=moved)
    before = fingerprint(volume)
    values = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    node = add_like(volume, values, "map")
    assert np.array_equal(array_of(node), values)
    np.testing.assert_allclose(world(node), world(volume), atol=1e-9)
    values[:] = 0
    assert array_of(node).any() and fingerprint(volume) == before


def test_reading_a_scan_leaves_the_volume_alone(tmp_path: Path) -> None:
    volume = add_volume(moved=True)
    before, storage = fingerprint(volume), volume.GetStorageNode()
    scan = scan_of(volume)
    write_exchange(volume, tmp_path)
    assert isinstance(scan, Scan) and scan.name == "Jane Doe"
    assert fingerprint(volume) == before and volume.GetStorageNode() is storage


# Regions


def segmentation_of(mask: np.ndarray, volume: Any) -> Any:
    labels = add_like(volume, mask, "tmp", "vtkMRMLLabelMapVolumeNode")
    labels.SetAndObserveTransformNodeID(None)  # Slicer imports world positions
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "region")
    segmentation.CreateDefaultDisplayNodes()
    slicer.vtkSlicerSegmentationsModuleLogic.ImportLabelmapToSegmentationNode(labels, segmentation)
    segmentation.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    slicer.mrmlScene.RemoveNode(labels)
    return segmentation


@pytest.mark.parametrize("moved", [False, True])
def test_a_region_is_the_shown_segments_on_the_scan_s_voxels(moved: bool) -> None:
    volume = add_volume(moved=moved)
    drawn = np.zeros(SHAPE, np.uint8)
    drawn[1:3, 2:6, 3:9], drawn[3, 7:9, 7:9], drawn[0, 0, 0] = 1, 2, 3
    segmentation = segmentation_of(drawn, volume)
    nodes = everything()
    assert np.array_equal(mask_of(segmentation, volume), drawn > 0)
    segmentation.GetDisplayNode().SetSegmentVisibility(segmentation.GetSegmentation().GetNthSegmentID(1), False)
    assert np.array_equal(mask_of(segmentation, volume), (drawn > 0) & (drawn != 2))
    assert everything() == nodes


def test_a_region_without_anything_inside_the_scan_is_refused() -> None:
    volume = add_volume()
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "nowhere")
    with pytest.raises(InvDetectError, match='No shown segment of "nowhere" lies inside "Jane Doe"'):
        mask_of(segmentation, volume)


def from_dicom(code: str) -> Any:
    """A volume of that DICOM modality, as Slicer's DICOM reader notes it."""
    volume = add_volume()
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    item = hierarchy.CreateItem(hierarchy.GetSceneItemID(), volume)
    hierarchy.SetItemAttribute(item, "DICOM.Modality", code)
    return volume


@pytest.mark.parametrize(
    ("code", "meant", "told"),
    [
        ("CT", "MRI T1", "CT"),
        ("MR", "colour fundus", "MR"),
        ("MR", "MRI FLAIR", None),
        ("MR", "T2w brain", None),
        ("CT", "chest X-ray or CT", None),
        ("CT", "made heads", None),  # words that say nothing
        ("SM", "MRI T1", None),  # a code that is not known here
    ],
)
def test_a_dicom_modality_is_told_only_where_it_contradicts_the_model(code: str, meant: str, told: str | None) -> None:
    assert contradicting_modality(from_dicom(code), meant) == told


def test_a_volume_that_is_not_from_dicom_contradicts_nothing() -> None:
    assert contradicting_modality(add_volume(), "MRI T1") is None
