"""Presses that wait in the queue while a wait cursor lets events in, as Slicer's does; and what is said where a bar shows no text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from Testing.support.needs import QT, need

slicer = need(*QT)

from Testing.support.panels import add_scan, left_in_scene, wait_for  # noqa: E402
from Testing.support.slicer_host.qt_host import press_later, process_events, true_properties  # noqa: E402
from Testing.support.tiny_model import World  # noqa: E402

true_properties(__name__)

from InvDetectSlicerLib.scene.nodes import results_in_scene  # noqa: E402

# A run


def test_a_second_press_on_apply_starts_no_second_detection(panel: Any, scan: Any) -> None:
    press_later(panel.ui.applyButton)
    press_later(panel.ui.applyButton)
    wait_for(lambda: panel.run.running)
    assert panel.ui.applyButton.text == "Cancel" and panel.ui.applyButton.enabled
    wait_for(lambda: not panel.run.running)
    process_events()
    assert len(list(results_in_scene())) == 1 and not panel._logic.busy
    assert panel.ui.applyButton.text == "Apply", panel.ui.statusLabel.text


def test_a_second_press_on_batch_starts_no_second_run_and_cancels_none(panel: Any, world: World, tmp_path: Any) -> None:
    ui = panel.ui
    ui.scansFolder.currentPath, ui.resultsFolder.currentPath = str(world.scans), str(tmp_path / "out")
    ui.batchSection.collapsed = False
    process_events()
    for button in (ui.batchButton, ui.batchButton, ui.applyButton):
        press_later(button)
    wait_for(lambda: panel.run.running)
    wait_for(lambda: not panel.run.running)
    assert "2 scans examined" in ui.statusLabel.text and ui.batchButton.text != "Cancel" and not list(results_in_scene())


def test_a_press_on_batch_while_apply_begins_does_nothing(panel: Any, scan: Any, world: World, tmp_path: Any) -> None:
    ui, words = panel.ui, panel.ui.batchButton.text
    ui.scansFolder.currentPath, ui.resultsFolder.currentPath = str(world.scans), str(tmp_path / "out")
    ui.batchSection.collapsed = False
    process_events()
    press_later(ui.applyButton)
    press_later(ui.batchButton)
    wait_for(lambda: panel.run.running)
    wait_for(lambda: not panel.run.running)
    assert len(list(results_in_scene())) == 1 and not (tmp_path / "out").exists()
    assert ui.batchButton.text == words and ui.applyButton.text == "Apply"


def test_what_cannot_start_counts_as_not_begun(panel: Any) -> None:
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Empty")
    panel.ui.scanSelector.setCurrentNode(volume)
    press_later(panel.ui.applyButton)
    press_later(panel.ui.applyButton)
    process_events()
    ui = panel.ui
    assert "holds no image data" in ui.statusLabel.text and not panel.run.running
    assert ui.applyButton.text == "Apply" and ui.applyButton.enabled and ui.scanSelector.enabled and not ui.progressBar.visible


def test_closing_the_scene_while_a_run_begins_ends_it(host: Any, panel: Any, scan: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    let_in(monkeypatch, lambda: host.clear() if panel.run.running else None)
    panel.ui.applyButton.click()
    wait_for(lambda: not panel.run.running)
    assert left_in_scene() == [] and panel.ui.applyButton.text == "Apply"


def test_closing_the_scene_while_the_result_comes_leaves_nothing(host: Any, panel: Any, scan: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    panel.ui.applyButton.click()
    let_in(monkeypatch, host.clear)
    wait_for(lambda: not panel.run.running)
    process_events()
    ui = panel.ui
    assert left_in_scene() == [] and ui.applyButton.text == "Apply" and not ui.reportButton.visible, ui.statusLabel.text


def test_cancel_while_the_result_comes_is_a_cancel(panel: Any, scan: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    panel.ui.applyButton.click()
    let_in(monkeypatch, panel.ui.applyButton.click)
    wait_for(lambda: not panel.run.running)
    assert left_in_scene(scan) == [] and "Cancelled" in panel.ui.statusLabel.text


def let_in(monkeypatch: pytest.MonkeyPatch, action: Callable[[], Any]) -> None:
    """The next wait cursor delivers this action, as a press that waits."""
    original, waiting = slicer.util.WaitCursor.__enter__, [action]

    def enter(cursor: Any) -> Any:
        done = original(cursor)
        if waiting:
            waiting.pop()()
        return done

    monkeypatch.setattr(slicer.util.WaitCursor, "__enter__", enter)


# What is said where a bar shows no text


def test_starting_and_stopping_are_said_where_they_can_be_read(panel: Any, world: World) -> None:
    ui = panel.ui
    panel.ui.scanSelector.setCurrentNode(add_scan(world.scans / "head-1000.nii.gz", repeat=40))
    ui.applyButton.click()
    assert ui.progressBar.text == "" and "Starting" in ui.statusLabel.text
    wait_for(lambda: ui.progressBar.value > 0)
    assert "Scoring slices" in ui.progressBar.text and "Starting" not in ui.statusLabel.text
    ui.applyButton.click()
    assert "Stopping" in ui.statusLabel.text
    wait_for(lambda: not panel.run.running)
    assert "Cancelled" in ui.statusLabel.text
