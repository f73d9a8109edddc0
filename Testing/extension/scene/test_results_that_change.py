"""Results that change: a mask follows the sliders, also in one slice alone, and a map fills slice after slice. Real MRML."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from Testing.support.needs import need

slicer = need("slicer")

from InvDetectSlicerLib.scene import display, mask, scene  # noqa: E402
from InvDetectSlicerLib.scene.findings_table import findings_of  # noqa: E402
from InvDetectSlicerLib.scene.nodes import ResultNodes, results_in_scene  # noqa: E402
from InvDetectSlicerLib.scene.partial_map import begin_map  # noqa: E402
from InvDetectSlicerLib.scene.volumes import array_of  # noqa: E402

from InvDetectLib.common.errors import InvDetectError  # noqa: E402
from Testing.support.made_results import CALIBRATION  # noqa: E402
from Testing.support.scene_examples import (  # noqa: E402
    SHAPE,
    add_volume,
    everything,
    fingerprint,
    numbers_of,
    result_for,
    shown_mask,
    shown_segments,
    three_lumps,
)
from Testing.support.slicer_host import Host  # noqa: E402

pytestmark = pytest.mark.usefixtures("host")


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


def test_a_scan_that_gets_another_place_during_a_run_ends_it_in_words() -> None:
    """A hardened transform, say: the map would lie where the scan is now, and the findings where it was."""
    volume = add_volume(moved=True)
    result, nodes = result_for(volume), everything()
    filling = begin_map(volume, CALIBRATION, show=False)
    slicer.mrmlScene.GetNodeByID(volume.GetTransformNodeID()).SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.eye(4)))
    filling.put_slice(0, 0, result.anomaly_map[0])  # a parent transform may move: map and findings go along
    volume.SetOrigin(*np.add(volume.GetOrigin(), (0.0, 0.0, 5.0)))
    with pytest.raises(InvDetectError, match='"Jane Doe" has another size or place .* Detect again'):
        filling.put_slice(0, 1, result.anomaly_map[1])
    with pytest.raises(InvDetectError, match="has another size or place"):
        filling.finish(result)
    assert nodes >= everything() - {node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLColorTableNode")}


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
