"""A result in the scene: every voxel in its place, nothing of the input changed, and all of it back after save and reload. Real MRML."""

from __future__ import annotations

import io
import json
import time
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from Testing.support.needs import need

slicer = need("slicer")

from InvDetectSlicerLib.scene import display, mask, scene, stored_result  # noqa: E402
from InvDetectSlicerLib.scene.findings_table import findings_of  # noqa: E402
from InvDetectSlicerLib.scene.nodes import ResultNodes, nodes_of, results_in_scene  # noqa: E402
from InvDetectSlicerLib.scene.partial_map import begin_map  # noqa: E402
from InvDetectSlicerLib.scene.terminology import load_terminology  # noqa: E402
from InvDetectSlicerLib.scene.volumes import array_of  # noqa: E402

from InvDetectLib.common.errors import InvDetectError  # noqa: E402
from InvDetectLib.results.backgrounds import display_range  # noqa: E402
from Testing.support.made_results import CALIBRATION  # noqa: E402
from Testing.support.scene_examples import (  # noqa: E402
    DIRECTIONS,
    SHAPE,
    add_volume,
    at,
    cells,
    everything,
    fingerprint,
    numbered,
    numbers_of,
    result_for,
    shown_mask,
    shown_segments,
    three_lumps,
    world,
)
from Testing.support.slicer_host import Host  # noqa: E402
from Testing.support.slicer_host.pictures import slice_picture, view_picture  # noqa: E402

pytestmark = pytest.mark.usefixtures("host")
every_direction = pytest.mark.parametrize("direction", DIRECTIONS)






# In place


@every_direction
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


# Looks


def test_colours_mean_the_same_in_every_scan() -> None:
    windows = []
    for scores in (three_lumps(), three_lumps() * 0.4):
        shown = scene.show_result(result_for(volume := add_volume(), scores), volume).map.GetDisplayNode()
        windows.append((shown.GetWindowLevelMin(), shown.GetWindowLevelMax(), shown.GetLowerThreshold(), shown.GetColorNodeID()))
        assert not shown.GetAutoWindowLevel() and shown.GetApplyThreshold()
    assert windows[0] == windows[1] and windows[0][:2] == display_range(CALIBRATION) and windows[0][2] == display_range(CALIBRATION)[0]


def test_the_colours_are_those_of_the_library_s_pictures() -> None:
    matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    expected = matplotlib.colormaps["inferno"](np.linspace(0.15, 1, 256))[:, :3]
    np.testing.assert_allclose(display.heat_table(), expected, atol=0.02)
    lightness = display.heat_table() @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) > 0).all()


def test_the_map_lies_over_the_scan_with_a_legend(host: Host) -> None:
    volume = add_volume()
    nodes = scene.show_result(result_for(volume), volume)
    for logic in host.slice_logics.values():
        view = logic.GetSliceCompositeNode()
        assert (view.GetBackgroundVolumeID(), view.GetForegroundVolumeID()) == (volume.GetID(), nodes.map.GetID())
    display.set_opacity(nodes.map, 0.3)
    display.set_threshold(nodes.map, 1.5)
    assert (display.opacity_of(nodes.map), display.threshold_of(nodes.map)) == (0.3, 1.5)
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(nodes.map)
    assert legend.GetVisibility() and legend.GetTitleText() == "Anomaly\nscore"


def test_segments_are_outlines_with_a_term_and_export_geometry() -> None:
    load_terminology()
    assert load_terminology() == "InvDetect anomalies"
    volume = add_volume()
    nodes = scene.show_result(result_for(volume), volume)
    look, segment = nodes.segmentation.GetDisplayNode(), nodes.segmentation.GetSegmentation().GetNthSegment(0)
    assert look.GetVisibility2DOutline() and not look.GetVisibility2DFill()
    assert segment.GetName() == "Finding 1" and "99INVDETECT^ANOM^Anomaly candidate" in segment.GetTerminology()
    reference = nodes.segmentation.GetNodeReference(slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole())
    assert reference is not None
    np.testing.assert_allclose(world(reference), world(volume), atol=1e-9)
    entry = slicer.vtkSlicerTerminologyEntry()
    assert slicer.modules.terminologies.logic().DeserializeTerminologyEntry(segment.GetTerminology(), entry)


def test_surfaces_come_on_demand_and_follow_the_mask() -> None:
    volume = add_volume()
    result = result_for(volume)
    nodes = scene.show_result(result, volume)
    assert not mask.has_surface(nodes.segmentation)
    mask.show_surface(nodes.segmentation)
    assert mask.has_surface(nodes.segmentation)
    scene.show_mask(nodes, result.refine(threshold=2.0))
    assert mask.has_surface(nodes.segmentation) and len(shown_segments(nodes)) == 2
    mask.show_surface(nodes.segmentation, False)
    assert not mask.has_surface(nodes.segmentation)



# Together in the scene


def test_results_lie_beside_the_scan_in_its_study() -> None:
    volume = add_volume()
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    study = tree.CreateStudyItem(tree.CreateSubjectItem(tree.GetSceneItemID(), "patient"), "study")
    tree.CreateItem(study, volume)
    nodes = scene.show_result(result_for(volume), volume)
    folders = {tree.GetItemParent(tree.GetItemByDataNode(node)) for node in (nodes.map, nodes.segmentation, nodes.table)}
    (folder,) = folders
    assert tree.GetItemName(folder) == "InvDetect results" and tree.GetItemParent(folder) == study
    again = scene.show_result(result_for(volume), volume)
    assert tree.GetItemParent(tree.GetItemByDataNode(again.map)) == folder
    scene.remove([*nodes.made(), *again.made()])
    assert not tree.GetItemChildWithName(study, "InvDetect results")


def test_provenance_is_with_every_node_and_names_nobody() -> None:
    volume = add_volume(name="Jane Doe")
    nodes = scene.show_result(result_for(volume), volume)
    for node in nodes.made():
        assert json.loads(node.GetAttribute("InvDetect.Provenance")) == {"model": {"checksum": "0f0f"}, "seed": 0, "solver": solver()}
        assert not any("jane" in (node.GetAttribute(name) or "").lower() for name in node.GetAttributeNames())
        found = nodes_of(node)
        assert found is not None and vars(found) == vars(nodes)


def solver() -> str:
    from InvDetectLib.refinement.minimum_cut import solver_name

    return solver_name()


def test_a_second_run_makes_new_nodes() -> None:
    volume = add_volume()
    first = scene.show_result(result_for(volume), volume)
    kept = array_of(first.map).copy()
    second = scene.show_result(result_for(volume, three_lumps() * 0.8), volume)
    assert not {node.GetID() for node in first.made()} & {node.GetID() for node in second.made()}
    assert len({node.GetName() for node in (*first.made()[:3], *second.made()[:3])}) == 6
    assert np.array_equal(array_of(first.map), kept) and len(list(results_in_scene())) == 2


def test_chosen_nodes_are_overwritten_and_nothing_else() -> None:
    volume = add_volume()
    first = scene.show_result(result_for(volume), volume)
    other = scene.show_result(result_for(volume), volume)
    nodes = everything()
    result = result_for(volume, three_lumps() * 0.8, threshold=1.9)
    again = scene.show_result(result, volume, ResultNodes(map=first.map, segmentation=first.segmentation, table=first.table))
    assert (again.map, again.segmentation, again.table) == (first.map, first.segmentation, first.table)
    assert len(everything()) == len(nodes) and len(findings_of(other.table)) == 3 and len(findings_of(again.table)) == 2
    assert np.array_equal(array_of(again.map), result.anomaly_map) and np.array_equal(shown_mask(again), numbers_of(result))


def test_a_result_may_go_into_an_empty_map_that_the_user_made() -> None:
    volume = add_volume()
    chosen = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "mine")
    nodes = scene.show_result(result_for(volume), volume, ResultNodes(map=chosen))
    assert nodes.map is chosen and chosen.GetName() == "mine"
    np.testing.assert_allclose(world(chosen), world(volume), atol=1e-9)


def test_the_scan_itself_is_no_output() -> None:
    volume = add_volume()
    nodes, before = everything(), fingerprint(volume)
    with pytest.raises(InvDetectError, match="is the scan itself"):
        scene.show_result(result_for(volume), volume, ResultNodes(map=volume))
    assert everything() == nodes and fingerprint(volume) == before


def test_a_result_of_another_scan_leaves_nothing_behind() -> None:
    volume = add_volume()
    other = add_volume(array=numbered((4, 12, 16)))
    nodes = everything()
    with pytest.raises(InvDetectError, match="has another size than the scan of this result"):
        scene.show_result(result_for(other, three_lumps()[:4]), volume)
    assert everything() == nodes


def test_a_failure_on_the_way_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    volume = add_volume()
    result = result_for(volume)
    display.heat_colours()
    nodes = everything()
    monkeypatch.setattr(scene, "keep", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        scene.show_result(result, volume)
    assert everything() == nodes


def test_results_outlive_their_scan() -> None:
    volume = add_volume(moved=True)
    result = result_for(volume)
    nodes = scene.show_result(result, volume)
    place = scene.finding_place(nodes.table, 0)
    slicer.mrmlScene.RemoveNode(volume)
    found = nodes_of(nodes.table)
    assert found is not None and found.input is None
    scene.jump(found.table, 0)
    np.testing.assert_allclose(scene.finding_place(found.table, 0), place)
    scene.show_mask(found, result.refine(threshold=2.0))
    assert shown_segments(found) == ["Finding 1", "Finding 2"]


# Nothing found, and refining


def test_without_findings_the_segmentation_is_empty_and_the_table_too() -> None:
    volume = add_volume()
    nodes = scene.show_result(result_for(volume, threshold=50.0), volume)
    assert nodes.segmentation.GetSegmentation().GetNumberOfSegments() == 0 and nodes.table.GetNumberOfRows() == 0
    mask.show_surface(nodes.segmentation)
    result = result_for(volume)
    scene.show_mask(nodes, result)
    assert np.array_equal(shown_mask(nodes), numbers_of(result))
    scene.show_mask(nodes, result.refine(threshold=50.0))
    assert shown_segments(nodes) == [] and findings_of(nodes.table) == []


def test_a_moved_slider_changes_mask_and_table_and_not_the_map() -> None:
    volume = add_volume("oblique", moved=True)
    result = result_for(volume)
    nodes = scene.show_result(result, volume)
    kept = array_of(nodes.map).copy()
    for threshold in (2.0, 3.0, 0.5):
        refined = result.refine(threshold=threshold)
        scene.show_mask(nodes, refined)
        assert np.array_equal(shown_mask(nodes), numbers_of(refined)) and findings_of(nodes.table) == refined.findings
    assert np.array_equal(array_of(nodes.map), kept)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_one_slice_of_the_mask_can_change_alone(axis: int) -> None:
    volume = add_volume()
    result = result_for(volume)
    nodes = scene.show_result(result, volume)
    index = result.findings[1].peak_index[axis]
    before, refined = numbers_of(result), result.refine(threshold=3.0)
    scene.show_mask_slice(nodes, axis, index, np.take(refined.mask, index, axis))
    shown, expected = shown_mask(nodes), before.copy()
    np.moveaxis(expected, axis, 0)[index] *= np.take(refined.mask, index, axis)
    assert np.array_equal(shown, expected) and not np.array_equal(shown, before)


def test_what_grows_out_of_nothing_is_shown_until_it_has_a_number() -> None:
    volume = add_volume()
    result = result_for(volume, threshold=50.0)
    nodes = scene.show_result(result, volume)
    new = np.zeros(SHAPE[1:], bool)
    new[3:6, 4:9] = True
    scene.show_mask_slice(nodes, 0, 2, new)
    assert shown_segments(nodes) == ["Being adjusted"]
    one = nodes.segmentation.GetSegmentation().GetNthSegmentID(0)
    assert np.array_equal(slicer.util.arrayFromSegmentBinaryLabelmap(nodes.segmentation, one, volume)[2] > 0, new)
    scene.show_mask_slice(nodes, 0, 2, ~new)
    assert np.array_equal(slicer.util.arrayFromSegmentBinaryLabelmap(nodes.segmentation, one, volume)[2] > 0, ~new)
    scene.show_mask(nodes, result.refine(threshold=0.5))
    assert shown_segments(nodes) == ["Finding 1", "Finding 2", "Finding 3"]


# Slice after slice


def test_a_map_fills_slice_after_slice_and_becomes_a_result(host: Host) -> None:
    volume = add_volume(moved=True)
    before, result = fingerprint(volume), result_for(volume)
    filling = begin_map(volume, CALIBRATION)
    assert (array_of(filling.node) == CALIBRATION.floor).all()
    for number in range(3):
        filling.put_slice(0, number, result.anomaly_map[number])
    assert np.array_equal(array_of(filling.node)[:3], result.anomaly_map[:3]) and (array_of(filling.node)[3:] == CALIBRATION.floor).all()
    node = filling.node
    nodes = filling.finish(result)
    assert nodes.map is node and np.array_equal(array_of(node), result.anomaly_map) and fingerprint(volume) == before
    assert host.slice_logics["Red"].GetSliceCompositeNode().GetForegroundVolumeID() == node.GetID()


def test_an_aborted_run_leaves_the_scene_as_it_was(host: Host) -> None:
    volume, other = add_volume(), add_volume(name="other")
    display.heat_colours()
    display.show_over(volume, other, 0.25)
    nodes, views = everything(), display.layers()
    filling = begin_map(volume, CALIBRATION)
    filling.put_slice(0, 0, np.ones(SHAPE[1:]))
    filling.discard()
    filling.discard()
    assert everything() == nodes and display.layers() == views
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    assert not tree.GetItemChildWithName(tree.GetSceneItemID(), "InvDetect results")


def test_a_run_into_a_chosen_map_touches_it_at_the_end_only() -> None:
    volume = add_volume()
    first = scene.show_result(result_for(volume), volume)
    kept, nodes = array_of(first.map).copy(), everything()
    filling = begin_map(volume, CALIBRATION)
    filling.put_slice(0, 0, np.full(SHAPE[1:], 9.0))
    assert np.array_equal(array_of(first.map), kept)
    result = result_for(volume, three_lumps() * 0.8)
    made = filling.finish(result, ResultNodes(map=first.map, segmentation=first.segmentation, table=first.table))
    assert made.map is first.map and np.array_equal(array_of(first.map), result.anomaly_map) and len(everything()) == len(nodes)


@pytest.mark.parametrize("lost", ["scan", "map", "scene"])
def test_what_is_deleted_during_a_run_ends_it_in_words(host: Host, lost: str) -> None:
    volume = add_volume()
    result = result_for(volume)
    display.heat_colours()
    filling = begin_map(volume, CALIBRATION)
    if lost == "scene":
        host.clear()
    else:
        slicer.mrmlScene.RemoveNode(volume if lost == "scan" else filling.node)
    with pytest.raises(InvDetectError, match="taken out of the scene while it was examined"):
        filling.put_slice(0, 0, result.anomaly_map[0])
    with pytest.raises(InvDetectError, match="taken out of the scene"):
        filling.finish(result)
    assert not slicer.mrmlScene.GetFirstNodeByName("Jane Doe anomaly map")
    assert not slicer.util.getNodesByClass("vtkMRMLColorLegendDisplayNode") and not list(results_in_scene())


# Saved and reloaded


def reload(host: Host, folder: Path) -> ResultNodes:
    host.load(host.save(folder / "scene.mrb"))
    (nodes,) = results_in_scene()
    return nodes


@every_direction
def test_a_reloaded_scene_shows_the_same(host: Host, direction: str, tmp_path: Path) -> None:
    volume = add_volume(direction, moved=True)
    result = result_for(volume)
    place = scene.finding_place(scene.show_result(result, volume).table, 1)
    nodes = reload(host, tmp_path)
    assert np.array_equal(at(nodes.map, array_of(nodes.map), result.geometry), result.anomaly_map)
    assert np.array_equal(shown_mask(nodes), numbers_of(result))
    np.testing.assert_allclose(world(nodes.map), world(nodes.input), atol=1e-4)
    np.testing.assert_allclose(scene.finding_place(nodes.table, 1), place, atol=1e-4)
    assert findings_of(nodes.table) == result.findings
    look = nodes.map.GetDisplayNode()
    assert (look.GetWindowLevelMin(), look.GetWindowLevelMax()) == pytest.approx(display_range(CALIBRATION))
    assert look.GetColorNode() is display.heat_colours() and look.GetApplyThreshold()
    np.testing.assert_allclose([look.GetColorNode().GetLookupTable().GetTableValue(200)[:3]], [display.heat_table()[200]], atol=0.01)
    assert host.slice_logics["Red"].GetSliceCompositeNode().GetForegroundVolumeID() == nodes.map.GetID()
    assert "99INVDETECT" in nodes.segmentation.GetSegmentation().GetNthSegment(0).GetTerminology()


def test_a_reloaded_result_refines_to_the_same_masks(host: Host, tmp_path: Path) -> None:
    volume = add_volume("oblique")
    result = result_for(volume)
    scene.show_result(result, volume)
    again = stored_result.restore(reload(host, tmp_path))
    assert again is not None and again.controls == result.controls and again.provenance == result.provenance
    wishes: list[dict[str, Any]] = [
        {},
        {"threshold": 2.0},
        {"rate": 0.05},
        {"contiguity": 3.0},
        {"scr": False},
        {"rate": 0.02, "contiguity": 0.0},
    ]
    for wish in wishes:
        one, other = result.refine(**wish), again.refine(**wish)
        assert np.array_equal(one.mask, other.mask) and one.findings == other.findings and np.array_equal(one.grid_mask, other.grid_mask)


@pytest.mark.parametrize("wish", [{"threshold": 2.0}, {"rate": 0.05, "contiguity": 2.0}, {"scr": False, "threshold": 1.0}])
def test_a_reloaded_result_stands_where_the_sliders_stood(host: Host, wish: dict[str, Any], tmp_path: Path) -> None:
    volume = add_volume()
    nodes = scene.show_result(result_for(volume), volume)
    moved = result_for(volume).refine(**wish)
    scene.show_mask(nodes, moved)
    again = stored_result.restore(reload(host, tmp_path))
    assert again is not None and again.controls == moved.controls and np.array_equal(again.mask, moved.mask)


def test_the_worker_s_files_are_kept_as_they_are(tmp_path: Path) -> None:
    volume = add_volume()
    result = result_for(volume)
    path = result.save_for_loading(tmp_path)
    again = stored_result.restore(scene.show_result(result, volume, files=path))
    assert again is not None and np.array_equal(again.grid_map, result.grid_map) and again.findings == result.findings


def test_without_the_stored_part_there_is_nothing_to_refine_and_a_sentence(host: Host, tmp_path: Path) -> None:
    volume = add_volume()
    nodes = scene.show_result(result_for(volume), volume)
    scene.remove([nodes.stored])
    nodes = reload(host, tmp_path)
    assert stored_result.restore(nodes) is None and stored_result.MISSING.endswith("with all its files.")


@pytest.mark.parametrize("damage", ["bytes", "length", "controls"])
def test_a_damaged_stored_part_is_told_in_words(damage: str) -> None:
    volume = add_volume()
    nodes = scene.show_result(result_for(volume), volume)
    if damage == "bytes":
        slicer.util.arrayFromVolume(nodes.stored)[0, 0, 200:900] = 7
    else:
        nodes.stored.SetAttribute(*{"length": ("InvDetect.Bytes", "12"), "controls": ("InvDetect.Controls", "[1]")}[damage])
    with pytest.raises(InvDetectError, match="[Dd]etect again"):
        stored_result.restore(nodes)


@pytest.mark.parametrize("damage", ["encrypted", "compressed", "another method", "foreign", "cut", "empty"])
def test_a_stored_part_that_is_no_zip_of_ours_is_told_in_words(damage: str) -> None:
    volume = add_volume()
    content = stored_result.content_of(scene.show_result(result_for(volume), volume))
    assert content is not None and stored_result.unpack(content).findings
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        files = {name: packed.read(name) for name in packed.namelist()}
    again = io.BytesIO()
    with zipfile.ZipFile(again, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in files if damage != "foreign" else ():
            archive.writestr(name, files[name])
    changed = bytearray(content)
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = changed.find(mark)
        while at >= 0 and damage in ("encrypted", "another method"):
            changed[at + flags + (2 if damage == "another method" else 0)] |= 97 if damage == "another method" else 1
            at = changed.find(mark, at + 1)
    odd = {"compressed": again.getvalue(), "foreign": again.getvalue(), "cut": content[: len(content) // 2], "empty": b""}
    with pytest.raises(InvDetectError, match="What the scene keeps for refining is damaged"):
        stored_result.unpack(odd.get(damage, bytes(changed)))


def test_the_sliders_work_on_a_reloaded_scene(host: Host, tmp_path: Path) -> None:
    volume = add_volume("flipped", moved=True)
    result = result_for(volume)
    scene.show_result(result, volume)
    nodes = reload(host, tmp_path)
    refined = result.refine(threshold=3.0)
    scene.show_mask_slice(nodes, 0, 2, refined.mask[2])
    expected = numbers_of(result)
    expected[2] *= refined.mask[2]
    assert np.array_equal(shown_mask(nodes), expected)
    scene.show_mask(nodes, refined)
    assert np.array_equal(shown_mask(nodes), numbers_of(refined))


# Pictures


def test_pictures_show_map_outline_legend_and_surface(host: Host, tmp_path: Path) -> None:
    volume = add_volume("straight", np.full(SHAPE, 100, np.int16))
    volume.GetDisplayNode().SetAutoWindowLevel(False)
    volume.GetDisplayNode().SetWindowLevelMinMax(0, 200)
    bare = slice_picture(host, size=(300, 300))
    nodes = scene.show_result(result_for(volume), volume)
    place = scene.finding_place(nodes.table, 0)
    picture = slice_picture(host, tmp_path / "slice.png", size=(300, 300), ras=place)
    cyan = (np.abs(picture.astype(int) - np.array(display.finding_colour()) * 255) < 40).all(axis=2)
    assert not (np.abs(bare.astype(int) - np.array(display.finding_colour()) * 255) < 40).all(axis=2).any()
    rows, columns = np.nonzero(cyan)
    assert cyan.sum() > 50 and columns.min() < 80  # finding 1 lies in front and to the right: upper left
    bright = picture[85, 75].astype(int)
    assert bright[0] > bright[2] + 30  # the map's yellow inside the outline
    assert (picture[:, 220:].max(axis=2) > 200).sum() > 100  # the legend's letters
    mask.show_surface(nodes.segmentation)
    surface = view_picture(host, tmp_path / "surface.png", size=(300, 300)).astype(int)
    assert ((surface[..., 1] > surface[..., 0] + 60) & (surface[..., 2] > surface[..., 0] + 60)).sum() > 200


# Speed, with room for a busy machine; measured values are in the module texts and the change's description


def test_a_slice_of_a_map_comes_within_10_ms_and_of_a_mask_within_30_ms() -> None:
    volume = slicer.util.addVolumeFromArray(np.zeros((64, 256, 256), np.int16), np.diag([-1.0, -1, 1, 1]), "large")
    filling = begin_map(volume, CALIBRATION)
    one = np.zeros((256, 256), np.float32)
    assert quickest(lambda: filling.put_slice(0, 30, one)) < 0.010
    scores = np.full((64, 256, 256), -1.0, np.float32)
    rng = np.random.default_rng(0)
    for k, j, i in rng.integers(0, (60, 240, 240), (40, 3)):
        scores[k : k + 4, j : j + 12, i : i + 12] = 2.0
    nodes = filling.finish(result_for(volume, scores))
    moved = np.roll(scores[30] > 0, 3)
    scene.show_mask_slice(nodes, 0, 30, moved)
    assert quickest(lambda: scene.show_mask_slice(nodes, 0, 30, moved)) < 0.030


def quickest(work: Any) -> float:
    times = []
    for _ in range(5):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


# What the scan would look like if it were normal


@every_direction
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
