"""Which volumes the panel offers and takes as scans, while nodes come, go and get other names, with a node box as awkward as Slicer's."""

from __future__ import annotations

from typing import Any

import pytest

from Testing.support.needs import QT, need

slicer = need(*QT)

from Testing.support.panels import add_scan, wait_for  # noqa: E402
from Testing.support.slicer_host.qt_host import load_module, process_events, true_properties  # noqa: E402
from Testing.support.tiny_model import World  # noqa: E402

true_properties(__name__)

import qt  # noqa: E402
from InvDetectSlicerLib.scene.nodes import ROLE  # noqa: E402
from InvDetectSlicerLib.scene.volumes import add_like, array_of  # noqa: E402

from InvDetectLib.common.errors import InvDetectError  # noqa: E402


def offered(panel: Any) -> list[Any]:
    box = panel.ui.scanSelector
    return [box.nodeFromIndex(index) for index in range(box.nodeCount())]


def test_deleting_the_chosen_scan_chooses_none_and_not_the_next_volume(panel: Any, scan: Any, world: World) -> None:
    other = add_scan(world.scans / "head-1000.nii.gz", "Other")
    slicer.mrmlScene.RemoveNode(scan)
    process_events()
    assert panel.ui.scanSelector.currentNode() is None and not panel.ui.applyButton.enabled
    assert offered(panel) == [other]
    panel.ui.scanSelector.setCurrentNode(other)
    assert panel.ui.applyButton.enabled


def test_deleting_another_volume_leaves_the_choice(panel: Any, scan: Any, world: World) -> None:
    other = add_scan(world.scans / "head-1000.nii.gz", "Other")
    slicer.mrmlScene.RemoveNode(other)
    process_events()
    assert panel.ui.scanSelector.currentNode() is scan


def test_deleting_a_chosen_output_chooses_a_new_one_and_not_the_next_node(panel: Any, result: Any, scan: Any) -> None:
    """The next volume would be the scan itself, or somebody else's: it would be overwritten."""
    ui = panel.ui
    ui.mapOutput.setCurrentNode(result.map)
    ui.maskOutput.setCurrentNode(result.segmentation)
    ui.tableOutput.setCurrentNode(result.table)
    others = [slicer.mrmlScene.AddNewNodeByClass(node.GetClassName(), "Mine") for node in (result.map, result.segmentation, result.table)]
    ui.regionSelector.setCurrentNode(others[1])
    for node in (result.map, result.segmentation, result.table, others[1]):
        slicer.mrmlScene.RemoveNode(node)
    assert panel.options.outputs() is None and ui.regionSelector.currentNode() is None


def test_only_the_brain_is_looked_at_when_wanted_unless_a_region_is_chosen(panel: Any, scan: Any) -> None:
    ui, options = panel.ui, panel.options
    assert options.wishes()["foregroundNode"] is None
    ui.brainCheck.checked = True
    assert options.wishes()["foregroundNode"] == "brain"
    region = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Mine")
    ui.regionSelector.setCurrentNode(region)
    assert options.wishes()["foregroundNode"] is region
    slicer.mrmlScene.RemoveNode(region)
    panel.enter()  # which shows what the scene remembers
    assert ui.brainCheck.checked and options.wishes()["foregroundNode"] == "brain"
    options.reset()
    assert not ui.brainCheck.checked and options.wishes()["foregroundNode"] is None


def test_what_invdetect_made_is_not_offered_as_a_scan(panel: Any, result: Any, scan: Any) -> None:
    result.pseudo_normal = add_like(scan, array_of(scan).astype("float32"), "normal")
    result.connect()
    process_events()
    assert offered(panel) == [scan]
    result.table.SetName("another name")  # of the list of results, too
    process_events()
    assert offered(panel) == [scan]


def test_the_map_that_fills_is_not_offered_either(panel: Any, scan: Any) -> None:
    panel.ui.applyButton.click()
    process_events()
    assert panel.run.running and offered(panel) == [scan]
    wait_for(lambda: not panel.run.running)
    process_events()
    assert offered(panel) == [scan] and panel.ui.scanSelector.currentNode() is scan


def test_a_saved_scene_offers_its_scans_alone(host: Any, panel: Any, result: Any, tmp_path: Any) -> None:
    host.load(host.save(tmp_path / "scene.mrb"))
    wait_for(lambda: panel.ui.findingsTable.rowCount > 0)
    assert [node.GetName() for node in offered(panel)] == ["Head"]


def test_a_panel_that_opens_in_a_scene_with_results_offers_the_scans_alone(panel: Any, result: Any, scan: Any) -> None:
    later = load_module("InvDetect")
    try:
        assert offered(later.panel) == [scan] and later.panel.ui.queueTable.rowCount == 1
    finally:
        later.cleanup()


def test_what_invdetect_made_is_not_taken_as_a_scan_by_scripts(panel: Any, result: Any, world: World) -> None:
    logic = panel._logic
    for ask in (logic.detect, logic.estimate, logic.check):
        with pytest.raises(InvDetectError, match='"Head anomaly map" .*is no scan'):
            ask(result.map, world.model)
    assert result.map.GetAttribute(ROLE) == "map"


def test_the_views_background_is_chosen_only_where_it_is_a_scan(panel: Any, result: Any) -> None:
    slicer.util.setSliceViewerLayers(background=result.map)
    panel.ui.scanSelector.setCurrentNode(None)
    panel.enter()
    assert panel.ui.scanSelector.currentNode() is None


def test_scans_and_results_that_come_and_go_in_a_batch_are_listed_when_it_ends(panel: Any, result: Any, scan: Any, world: World) -> None:
    """Modules that load or delete many nodes tell of a batch, and of nothing in it that counts."""
    scene, ui = slicer.mrmlScene, panel.ui
    process_events()  # of what was waiting before
    scene.StartState(scene.BatchProcessState)
    other = add_scan(world.scans / "head-1000.nii.gz", "Other")
    for node in result.made():
        scene.RemoveNode(node)
    process_events()
    scene.EndState(scene.BatchProcessState)
    process_events()
    assert [ui.queueTable.item(row, 0).text() for row in range(ui.queueTable.rowCount)] == ["Head", "Other"]
    assert offered(panel) == [scan, other]
    assert ui.resultSelector.count == ui.findingsTable.rowCount == 0 and not ui.thresholdSlider.enabled


def test_what_invdetect_makes_in_a_batch_is_not_offered_when_it_ends(panel: Any, scan: Any) -> None:
    scene = slicer.mrmlScene
    process_events()
    scene.StartState(scene.BatchProcessState)
    add_like(scan, array_of(scan).astype("float32"), "a map").SetAttribute(ROLE, "map")
    scene.EndState(scene.BatchProcessState)
    process_events()
    assert offered(panel) == [scan]


def test_renaming_the_scan_changes_nothing_else(panel: Any, scan: Any) -> None:
    wait_for(lambda: "about" in panel.ui.costLabel.text)
    said = panel.ui.costLabel.text
    panel.run.warn("This scan is unlike those of the model.")
    panel.status.say("Here stands something.")
    scan.SetName("Another name")
    process_events()
    ui = panel.ui
    assert ui.costLabel.text == said and "unlike" in ui.warningLabel.text and ui.statusLabel.text == "Here stands something."
    assert ui.scanSelector.currentNode() is scan


def test_another_scan_of_the_same_name_is_another_scan(panel: Any, scan: Any, world: World) -> None:
    other = add_scan(world.scans / "head-1000.nii.gz", "Head")
    panel.run.warn("This scan is unlike those of the model.")
    box = panel.ui.scanSelector.findChild(qt.QComboBox)  # as a user chooses: with Qt 6 no text changes, and no other node is signalled
    box.currentIndex = box.findData(other.GetID())
    box.activated.emit(box.currentIndex)
    assert panel.ui.warningLabel.text == "" and panel.ui.scanSelector.currentNode() is other
