"""A result lies in the scene where its scan lies: map, segments, table, jumps and the pseudo-normal image. Real MRML."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from Testing.support.needs import need

slicer = need("slicer")

from InvDetectSlicerLib.scene import display, scene  # noqa: E402
from InvDetectSlicerLib.scene.findings_table import findings_of  # noqa: E402
from InvDetectSlicerLib.scene.nodes import ResultNodes, nodes_of  # noqa: E402
from InvDetectSlicerLib.scene.volumes import array_of  # noqa: E402

from Testing.support.made_results import CALIBRATION  # noqa: E402
from Testing.support.scene_examples import (  # noqa: E402
    DIRECTIONS,
    SHAPE,
    add_volume,
    cells,
    fingerprint,
    numbered,
    numbers_of,
    result_for,
    shown_mask,
    three_lumps,
    world,
)
from Testing.support.slicer_host import Host  # noqa: E402

pytestmark = pytest.mark.usefixtures("host")


# Map, segments and table


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("moved", [False, True])
def test_map_and_segments_lie_on_the_scan_s_voxels_and_leave_it_alone(direction: str, moved: bool) -> None:
    volume = add_volume(direction, moved=moved)
    before = fingerprint(volume)
    result = result_for(volume)
    nodes = scene.show_result(result, volume)
    assert len(result.findings) == 3 and np.array_equal(array_of(nodes.map), result.anomaly_map)
    np.testing.assert_allclose(world(nodes.map), world(volume), atol=1e-9)
    assert np.array_equal(shown_mask(nodes), numbers_of(result))
    assert nodes.segmentation.GetTransformNodeID() == volume.GetTransformNodeID()
    assert fingerprint(volume) == before


def test_the_map_of_a_colour_volume_is_grey_and_in_its_place() -> None:
    volume = add_volume("oblique", np.random.default_rng(0).integers(0, 255, (*SHAPE, 3), np.uint8), moved=True)
    result = result_for(volume)
    nodes = scene.show_result(result, volume)
    assert nodes.map.IsA("vtkMRMLScalarVolumeNode") and array_of(nodes.map).shape == SHAPE
    np.testing.assert_allclose(world(nodes.map), world(volume), atol=1e-9)
    assert np.array_equal(shown_mask(nodes), numbers_of(result))


def test_a_picture_has_areas_in_pixels() -> None:
    volume = slicer.util.addVolumeFromArray(numbered((1, 12, 16), np.uint8), np.diag([-1.0, -1, 1, 1]), "eye")
    result = result_for(volume, three_lumps()[2:3])
    nodes = scene.show_result(result, volume)
    assert np.array_equal(shown_mask(nodes), numbers_of(result)) and result.mask.any()
    assert cells(nodes.table, "Volume") == cells(nodes.table, "Voxels") and nodes.table.GetColumnUnitLabel("R") == ""


def test_the_table_tells_of_each_finding() -> None:
    volume = add_volume("straight")
    result = result_for(volume)
    table = scene.show_result(result, volume).table
    voxels = np.bincount(numbers_of(result).ravel())[1:]
    assert cells(table, "Finding") == [1, 2, 3] and cells(table, "State") == ["open"] * 3 and cells(table, "Comment") == [""] * 3
    assert cells(table, "Voxels") == list(voxels) and cells(table, "Volume") == pytest.approx(list(voxels * 0.7 * 0.9 * 4.0))
    assert table.GetColumnUnitLabel("Volume") == "mm3" and table.GetColumnDescription("p-value")
    assert cells(table, "Peak") == [finding.peak for finding in result.findings]
    assert cells(table, "Slice") == [finding.peak_index[0] for finding in result.findings]
    assert findings_of(table) == result.findings


def test_the_table_tells_masses_and_how_rare_they_are_where_the_model_knows_normals_masses() -> None:
    volume = add_volume("straight")
    weighed = replace(CALIBRATION, masses=(0.0, 1e9), mass_unit="mm3", peak_unit="scan")
    known, unknown = (result_for(volume, calibration=calibration) for calibration in (weighed, CALIBRATION))
    table = scene.show_result(known, volume).table
    assert cells(table, "Mass") == [finding.mass for finding in known.findings] and cells(table, "p of mass") == pytest.approx([2 / 3] * 3)
    assert table.GetColumnDescription("p of mass") != table.GetColumnDescription("p-value") and findings_of(table) == known.findings
    assert np.isnan(cells(scene.show_result(unknown, volume).table, "Mass")).all()


@pytest.mark.parametrize("moved", [False, True])
def test_jumping_brings_all_slice_views_to_the_peak(host: Host, moved: bool) -> None:
    volume = add_volume("oblique", moved=moved)
    result = result_for(volume)
    nodes = scene.show_result(result, volume)
    for row in (2, 0, 1):
        k, j, i = result.findings[row].peak_index
        target = world(volume).reshape(*SHAPE, 3)[k, j, i]
        scene.jump(nodes.table, row)
        np.testing.assert_allclose(scene.finding_place(nodes.table, row), target, atol=1e-6)
        for logic in host.slice_logics.values():
            to_xy = np.linalg.inv(slicer.util.arrayFromVTKMatrix(logic.GetSliceNode().GetXYToRAS()))
            columns, rows, _ = logic.GetSliceNode().GetDimensions()
            x, y, offset, _ = to_xy @ [*target, 1]
            assert abs(offset) < 1e-6 and 0 <= x < columns and 0 <= y < rows


# What the scan would look like if it were normal


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_pseudo_normal_image_is_a_volume_of_its_own_in_the_scans_place_and_window(direction: str) -> None:
    volume = add_volume(direction, moved=True)
    volume.CreateDefaultDisplayNodes()
    volume.GetDisplayNode().AutoWindowLevelOff()
    volume.GetDisplayNode().SetWindowLevelMinMax(3.0, 77.0)
    normal = array_of(volume).astype(np.float32) / 2
    nodes = scene.show_result(result_for(volume, pseudo_normal=normal), volume)
    shown = nodes.pseudo_normal
    assert np.array_equal(array_of(shown), normal) and "pseudo-normal" in shown.GetName()
    np.testing.assert_allclose(world(shown), world(volume), atol=1e-9)
    window = shown.GetDisplayNode()
    assert (window.GetWindowLevelMin(), window.GetWindowLevelMax()) == (3.0, 77.0)
    assert nodes_of(nodes.table).pseudo_normal is shown and nodes_of(shown).map is nodes.map
    assert not display.is_in_front(shown)


def test_a_method_that_does_not_say_what_normal_looks_like_leaves_no_such_volume() -> None:
    volume = add_volume("straight")
    assert scene.show_result(result_for(volume), volume).pseudo_normal is None


def test_the_pseudo_normal_image_of_a_colour_picture_is_a_colour_volume() -> None:
    colours = np.random.default_rng(0).integers(0, 255, (*SHAPE, 3), np.uint8)
    volume = add_volume("oblique", colours)
    shown = scene.show_result(result_for(volume, pseudo_normal=colours // 2), volume).pseudo_normal
    assert shown.IsA("vtkMRMLVectorVolumeNode") and np.array_equal(array_of(shown), colours // 2)


def test_a_result_that_is_overwritten_loses_its_pseudo_normal_image() -> None:
    volume = add_volume("straight")
    normal = array_of(volume).astype(np.float32)
    first = scene.show_result(result_for(volume, pseudo_normal=normal), volume)
    older = first.pseudo_normal.GetID()
    again = scene.show_result(result_for(volume), volume, ResultNodes(map=first.map, segmentation=first.segmentation, table=first.table))
    assert slicer.mrmlScene.GetNodeByID(older) is None and again.pseudo_normal is None
