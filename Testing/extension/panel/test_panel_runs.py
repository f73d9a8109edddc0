"""A run of the panel from Apply to its result, or to Cancel: its own code in real Qt, on real MRML, with the real worker behind."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from Testing.support.needs import QT, need

slicer = need(*QT)

from Testing.support.panels import add_scan, center, left_in_scene, wait_for  # noqa: E402
from Testing.support.slicer_host.qt_host import true_properties  # noqa: E402
from Testing.support.tiny_model import World  # noqa: E402

true_properties(__name__)

import qt  # noqa: E402
from InvDetectSlicerLib.scene.findings_table import findings_of  # noqa: E402
from InvDetectSlicerLib.scene.nodes import results_in_scene  # noqa: E402
from InvDetectSlicerLib.scene.volumes import array_of, scan_of  # noqa: E402

from InvDetectLib.detection import Detector  # noqa: E402


def test_apply_fills_the_map_slice_by_slice_and_lists_the_findings(panel: Any, scan: Any) -> None:
    ui = panel.ui
    seen: list[tuple[int, str]] = []
    ui.progressBar.valueChanged.connect(lambda value: seen.append((value, ui.progressBar.format)))
    ui.applyButton.click()
    assert ui.applyButton.text == "Cancel" and ui.progressBar.visible and not ui.scanSelector.enabled
    wait_for(lambda: not panel.run.running)
    assert ui.applyButton.text == "Apply" and not ui.progressBar.visible and ui.scanSelector.enabled
    assert any(text.startswith("Scoring slices: ") for _, text in seen), seen
    nodes = panel.result
    assert nodes.input is scan and ui.findingsTable.rowCount == len(findings_of(nodes.table)) > 0
    assert not ui.findingsButton.collapsed and "finding" in ui.statusLabel.text
    assert float(array_of(nodes.map).max()) == pytest.approx(max(one.peak for one in findings_of(nodes.table)))


def test_the_windows_stay_alive_during_a_run(panel: Any, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = add_scan(world.scans / "head-1000.nii.gz", repeat=4)
    panel.ui.scanSelector.setCurrentNode(volume)
    panel.cost.stop()
    taken: list[float] = []
    original = panel._logic.poll
    shown: list[int] = []

    def timed() -> None:
        start = time.thread_time()  # of this thread alone: the machine may be busy
        original()
        taken.append(time.thread_time() - start)

    monkeypatch.setattr(panel._logic, "poll", timed)
    timer = qt.QTimer()
    timer.timeout.connect(timed)
    timer.start(20)
    panel.ui.progressBar.valueChanged.connect(lambda value: shown.append(len(taken)))
    panel.ui.applyButton.click()
    wait_for(lambda: not panel.run.running)
    timer.stop()
    assert shown and max(taken[: shown[-1]]) < 0.05, max(taken[: shown[-1]])


def test_cancel_leaves_nothing_behind_and_the_panel_usable(panel: Any, world: World) -> None:
    volume = add_scan(world.scans / "head-1000.nii.gz", repeat=40)
    panel.ui.scanSelector.setCurrentNode(volume)
    panel.ui.applyButton.click()
    wait_for(lambda: panel.ui.progressBar.value > 0)
    panel.ui.applyButton.click()
    start = time.monotonic()
    wait_for(lambda: not panel.run.running)
    assert time.monotonic() - start < 5
    assert left_in_scene(volume) == [] and "Cancelled" in panel.ui.statusLabel.text
    assert panel.ui.applyButton.text == "Apply" and panel.ui.applyButton.enabled


def test_the_slice_on_screen_and_a_range_are_scored_alone(panel: Any, scan: Any) -> None:
    ui = panel.ui
    center(scan, 2)
    ui.slicesSelector.currentIndex = 2
    ui.applyButton.click()
    wait_for(lambda: not panel.run.running)
    scored = [bool((part > part.min()).any()) for part in array_of(panel.result.map)]
    assert scored == [False, False, True], ui.statusLabel.text
    ui.slicesSelector.currentIndex = 1
    ui.firstSlice.value, ui.lastSlice.value = 0, 1
    ui.applyButton.click()
    wait_for(lambda: not panel.run.running)
    scored = [bool((part > part.min()).any()) for part in array_of(panel.result.map)]
    assert scored == [True, True, False], ui.statusLabel.text
    ui.slicesSelector.currentIndex = 0


def test_the_result_comes_under_a_wait_cursor(panel: Any, scan: Any) -> None:
    waiting: list[bool] = []

    def added(caller: Any, event: Any) -> None:
        waiting.append(qt.QApplication.overrideCursor() is not None)

    tag = slicer.mrmlScene.AddObserver(slicer.mrmlScene.NodeAddedEvent, added)
    panel.ui.applyButton.click()
    wait_for(lambda: not panel.run.running)
    slicer.mrmlScene.RemoveObserver(tag)
    assert waiting and all(waiting) and qt.QApplication.overrideCursor() is None


def test_a_colour_picture_is_examined_with_a_colour_model(panel: Any) -> None:
    rng = np.random.default_rng(0)
    row, column = np.ogrid[-1:1:128j, -1:1:128j]
    eye = (row**2 + column**2 < 0.8)[..., None] * ((180, 100, 50) + rng.normal(0, 6, (128, 128, 3)))
    eye[50:60, 70:80] = (250, 240, 60)
    picture = np.clip(eye, 0, 255).astype(np.uint8)[None]
    volume = slicer.util.addVolumeFromArray(picture, name="Eye", nodeClassName="vtkMRMLVectorVolumeNode")
    volume.CreateDefaultDisplayNodes()
    panel.ui.scanSelector.setCurrentNode(volume)
    assert panel.ui.scanSelector.currentNode() is volume  # also colour volumes can be chosen
    panel.models.choose("fundus")
    panel.ui.applyButton.click()
    wait_for(lambda: not panel.run.running)
    nodes = panel.result
    assert nodes is not None and nodes.input is volume, panel.ui.statusLabel.text
    expected = Detector("fundus", panel.options.device()).detect(scan_of(volume))
    assert array_of(nodes.map).shape == (1, 128, 128) and np.array_equal(array_of(nodes.map), expected.anomaly_map)
    assert [one.peak_index for one in findings_of(nodes.table)] == [one.peak_index for one in expected.findings] != []
    assert findings_of(nodes.table)[0].unit == "pixels" and "px" in panel.ui.findingsTable.item(0, 1).text()
    assert array_of(volume).tobytes() == picture.tobytes()


def test_a_second_run_makes_new_nodes_unless_old_ones_are_chosen(panel: Any, scan: Any, result: Any) -> None:
    panel.ui.applyButton.click()
    wait_for(lambda: not panel.run.running)
    assert len(list(results_in_scene())) == 2
    panel.ui.mapOutput.setCurrentNode(result.map)
    panel.ui.applyButton.click()
    wait_for(lambda: not panel.run.running)
    assert panel.result.map is result.map
