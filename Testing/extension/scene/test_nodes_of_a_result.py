"""The nodes of a result: where they lie, what they know, which are made anew and which overwritten; a failure leaves none. Real MRML."""

from __future__ import annotations

import json

import numpy as np
import pytest

from Testing.support.needs import need

slicer = need("slicer")

from InvDetectSlicerLib.scene import display, scene  # noqa: E402
from InvDetectSlicerLib.scene.findings_table import findings_of  # noqa: E402
from InvDetectSlicerLib.scene.nodes import ResultNodes, nodes_of, results_in_scene  # noqa: E402
from InvDetectSlicerLib.scene.volumes import array_of  # noqa: E402

from InvDetectLib.common.errors import InvDetectError  # noqa: E402
from Testing.support.scene_examples import (  # noqa: E402
    add_volume,
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

pytestmark = pytest.mark.usefixtures("host")


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
    other, turned = add_volume(array=numbered((4, 12, 16))), add_volume("flipped")
    nodes = everything()
    for result in (result_for(other, three_lumps()[:4]), result_for(turned)):
        with pytest.raises(InvDetectError, match="has another size or place than the scan of this result"):
            scene.show_result(result, volume)
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
