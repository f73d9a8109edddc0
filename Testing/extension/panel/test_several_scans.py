"""Several scans of the scene, ticked in the panel and examined one after the other: real MRML, the real worker, a tiny model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from Testing.support.needs import QT, need

slicer = need(*QT)

from Testing.support.panels import add_scan, left_in_scene, wait_for  # noqa: E402
from Testing.support.slicer_host.qt_host import press_later, process_events, true_properties  # noqa: E402
from Testing.support.tiny_model import World  # noqa: E402

true_properties(__name__)

from InvDetectSlicerLib.scene.nodes import results_in_scene  # noqa: E402


@pytest.fixture
def path(panel: Any, world: World) -> Path:
    """A head with a lesion; the section is open, and the first mask shows much."""
    panel.ui.queueSection.collapsed = False
    panel.ui.startRate.value = 10.0
    return world.scans / "head-1000.nii.gz"


def states(panel: Any) -> dict[str, str]:
    table = panel.ui.queueTable
    return {table.item(row, 0).text(): table.item(row, 1).text() for row in range(table.rowCount)}


def views_show() -> set[tuple[str, str]]:
    """What the user's own views show; those beside each other are another matter."""
    nodes = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    own = [node for node in nodes if node.GetLayoutName() in ("Red", "Yellow", "Green")]
    return {(node.GetBackgroundVolumeID(), node.GetForegroundVolumeID()) for node in own}


def test_the_scans_of_the_scene_are_listed_and_nothing_else(panel: Any, path: Path, result: Any) -> None:
    assert panel.ui.queueSection.collapsed is False
    other = add_scan(path, "Other")
    process_events()
    assert list(states(panel)) == ["Head", "Other"] and not panel.queue.ticked()
    panel.queue.tick(other)
    slicer.mrmlScene.RemoveNode(result.input)
    process_events()
    assert list(states(panel)) == ["Other"] and panel.queue.ticked() == [other.GetID()]


def test_nothing_can_start_without_a_tick(panel: Any, path: Path) -> None:
    add_scan(path)
    process_events()
    assert not panel.ui.queueButton.enabled and not panel.ui.skipButton.enabled
    panel.status.guarded(panel.queue.start)()
    assert "Tick" in panel.ui.statusLabel.text


def test_ticked_scans_are_examined_one_after_the_other_and_each_has_its_result(panel: Any, path: Path) -> None:
    ui = panel.ui
    first, left, third = (add_scan(path, name) for name in ("First", "Left", "Third"))
    process_events()
    panel.queue.tick(first, third)
    shown: list[str] = []
    ui.progressBar.valueChanged.connect(lambda value: shown.append(ui.progressBar.text))
    ui.queueButton.click()
    assert ui.queueButton.text == "Cancel" and not ui.applyButton.enabled and not ui.batchButton.enabled and ui.costLabel.text == ""
    assert not ui.scanSelector.enabled and states(panel)["Third"] == "waits"
    wait_for(lambda: not panel.run.running)
    results = list(results_in_scene())
    assert [nodes.input for nodes in results] == [first, third] and ui.resultSelector.count == 2
    assert any(text.startswith("Scan 1 of 2: Scoring slices: ") for text in shown), shown
    assert any(text.startswith("Scan 2 of 2: Scoring slices: ") for text in shown), shown
    assert "finding" in states(panel)["First"] and "finding" in states(panel)["Third"] and states(panel)["Left"] == ""
    assert ui.statusLabel.text.startswith("2 scans examined") and ui.queueButton.text == "Examine the ticked scans"


def test_the_first_result_goes_on_show_and_the_next_disturbs_nobody(panel: Any, path: Path) -> None:
    first, second = add_scan(path, "First"), add_scan(path, "Second")
    process_events()
    panel.queue.tick(first, second)
    panel.ui.queueButton.click()
    wait_for(lambda: panel.result is not None)
    assert panel.run.running and panel.result.input is first and panel.ui.findingsTable.rowCount > 0
    assert views_show() == {(first.GetID(), panel.result.map.GetID())}
    wait_for(lambda: not panel.run.running)
    assert panel.result.input is first and views_show() == {(first.GetID(), panel.result.map.GetID())}
    panel.ui.resultSelector.currentIndex = 1
    assert panel.result.input is second and views_show() == {(second.GetID(), panel.result.map.GetID())}


def test_a_scan_that_fails_costs_only_itself_and_its_reason_is_told(panel: Any, path: Path) -> None:
    small = slicer.util.addVolumeFromArray(np.ones((3, 8, 8), np.float32), name="Small")
    good = add_scan(path, "Good")
    process_events()
    panel.queue.tick(small, good)
    panel.ui.queueButton.click()
    wait_for(lambda: not panel.run.running)
    said = panel.ui.statusLabel.text
    assert "1 scan examined" in said and "Small failed: " in said and "patches" in said
    assert states(panel)["Small"] == "failed" and "patches" in panel.ui.queueTable.item(0, 1).toolTip()
    assert panel.result.input is good


def test_cancel_keeps_what_is_done(panel: Any, path: Path) -> None:
    first, second, third = add_scan(path, "First"), add_scan(path, "Second", repeat=40), add_scan(path, "Third")
    process_events()
    panel.queue.tick(first, second, third)
    panel.ui.queueButton.click()
    wait_for(lambda: states(panel)["Second"] == "under way" and panel.ui.progressBar.value > 0)
    panel.ui.queueButton.click()
    assert "Stopping" in panel.ui.statusLabel.text
    wait_for(lambda: not panel.run.running)
    (nodes,) = results_in_scene()
    assert nodes.input is first and "1 scan examined" in panel.ui.statusLabel.text and "2 left out" in panel.ui.statusLabel.text
    own = {node.GetName() for node in nodes.made()}
    assert {name for name in left_in_scene(first, second, third) if "legend" not in name} == own


def test_one_scan_is_skipped_and_the_others_go_on(panel: Any, path: Path) -> None:
    ui = panel.ui
    first, second, third = add_scan(path, "First", repeat=40), add_scan(path, "Second"), add_scan(path, "Third")
    process_events()
    panel.queue.tick(first, second, third)
    ui.queueButton.click()
    wait_for(lambda: ui.progressBar.value > 0)
    assert ui.skipButton.enabled
    ui.queueTable.selectRow(1)
    ui.skipButton.click()
    assert states(panel)["Second"] == "skipped" and states(panel)["First"] == "under way"
    ui.queueTable.selectRow(2)
    ui.queueTable.setCurrentCell(-1, -1)
    ui.skipButton.click()  # none is chosen: the one under way
    wait_for(lambda: states(panel)["First"] == "skipped")
    wait_for(lambda: not panel.run.running)
    assert [nodes.input for nodes in results_in_scene()] == [third] and not ui.skipButton.enabled


def test_two_presses_start_one_queue_and_cancel_none(panel: Any, path: Path) -> None:
    first, second = add_scan(path, "First"), add_scan(path, "Second")
    process_events()
    panel.queue.tick(first, second)
    for button in (panel.ui.queueButton, panel.ui.queueButton, panel.ui.applyButton):
        press_later(button)
    wait_for(lambda: panel.run.running)
    wait_for(lambda: not panel.run.running)
    assert len(list(results_in_scene())) == 2 and not panel._logic.busy


def test_closing_the_scene_ends_the_queue(host: Any, panel: Any, path: Path) -> None:
    first, second = add_scan(path, "First", repeat=40), add_scan(path, "Second")
    process_events()
    panel.queue.tick(first, second)
    panel.ui.queueButton.click()
    wait_for(lambda: panel.ui.progressBar.value > 0)
    host.clear()
    wait_for(lambda: not panel.run.running)
    process_events()
    assert left_in_scene() == [] and states(panel) == {} and not panel.ui.reportButton.visible
