"""What can go wrong with a run of the panel: each trouble is told in words, leaves nothing behind, and the panel can be used again."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from Testing.support.needs import QT, need

slicer = need(*QT)

from Testing.support.panels import add_scan, left_in_scene, wait_for  # noqa: E402
from Testing.support.slicer_host import Host  # noqa: E402
from Testing.support.slicer_host.qt_host import true_properties  # noqa: E402
from Testing.support.tiny_model import World, full_disk  # noqa: E402

true_properties(__name__)

import qt  # noqa: E402
from InvDetectSlicerLib.install import dependencies  # noqa: E402


def test_without_a_scan_or_a_model_apply_is_off_and_says_why(panel: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not panel.ui.applyButton.enabled
    panel.status.guarded(panel.apply)()
    assert "Load one" in panel.ui.statusLabel.text


def test_a_volume_without_image_data_is_told(panel: Any) -> None:
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Empty")
    panel.ui.scanSelector.setCurrentNode(volume)
    panel.ui.applyButton.click()
    assert "holds no image data" in panel.ui.statusLabel.text and not panel.run.running
    assert left_in_scene(volume) == []


def test_a_scan_smaller_than_a_patch_is_told(panel: Any) -> None:
    volume = slicer.util.addVolumeFromArray(np.ones((3, 8, 8), np.float32), name="Small")
    panel.ui.scanSelector.setCurrentNode(volume)
    panel.ui.applyButton.click()
    wait_for(lambda: not panel.run.running)
    assert "patches" in panel.ui.statusLabel.text and left_in_scene(volume) == []


def test_a_damaged_model_is_told_and_cannot_be_run(panel: Any, scan: Any, models: Path) -> None:
    (models / "broken.invdetect").write_bytes(b"nonsense")
    try:
        panel.models.refresh()
        panel.models.choose("broken")
        assert not panel.ui.applyButton.enabled and "broken.invdetect" in panel.ui.modelSummary.text
    finally:
        (models / "broken.invdetect").unlink()
        panel.models.refresh()


def test_closing_the_scene_during_a_run_cancels_it(host: Host, panel: Any, world: World) -> None:
    volume = add_scan(world.scans / "head-1000.nii.gz", repeat=40)
    panel.ui.scanSelector.setCurrentNode(volume)
    panel.ui.applyButton.click()
    wait_for(lambda: panel.ui.progressBar.value > 0)
    host.clear()
    wait_for(lambda: not panel.run.running)
    assert left_in_scene(None) == [] and panel.ui.findingsTable.rowCount == 0
    assert panel.ui.applyButton.text == "Apply" and not panel.ui.applyButton.enabled


def test_deleting_the_scan_during_a_run_ends_it(panel: Any, world: World) -> None:
    volume = add_scan(world.scans / "head-1000.nii.gz", repeat=40)
    panel.ui.scanSelector.setCurrentNode(volume)
    panel.ui.applyButton.click()
    wait_for(lambda: panel.ui.progressBar.value > 0)
    slicer.mrmlScene.RemoveNode(volume)
    wait_for(lambda: not panel.run.running)
    assert left_in_scene(None) == [] and "taken out of the scene" in panel.ui.statusLabel.text


@pytest.mark.skipif(sys.platform == "win32", reason="limits of files are POSIX")
def test_a_full_disk_is_told_and_the_panel_usable_again(panel: Any, scan: Any) -> None:
    ui = panel.ui
    for limit, slices in ((1_000, False), (30_000, True)):  # too little for the scan; enough for the map of a slice, but not for all of it
        panel.cost.stop()
        panel._logic.close()  # so that a worker starts that has the limit
        shown: list[int] = []
        watch = ui.progressBar.valueChanged.connect(shown.append)
        with full_disk(limit):
            ui.applyButton.click()
        wait_for(lambda: not panel.run.running)
        ui.progressBar.valueChanged.disconnect(watch)
        assert "disk" in ui.statusLabel.text and ("room" in ui.statusLabel.text or "space" in ui.statusLabel.text), ui.statusLabel.text
        assert bool([value for value in shown if value > 0]) is slices
        assert left_in_scene(scan) == [] and ui.applyButton.text == "Apply" and ui.applyButton.enabled
        assert not panel.run.running and not ui.progressBar.visible
    panel._logic.close()
    ui.applyButton.click()
    wait_for(lambda: not panel.run.running)
    assert panel.result is not None and panel.result.input is scan, ui.statusLabel.text


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
def test_a_worker_killed_from_outside_is_told_with_a_report(panel: Any, world: World) -> None:
    volume = add_scan(world.scans / "head-1000.nii.gz", repeat=40)
    panel.ui.scanSelector.setCurrentNode(volume)
    panel.ui.applyButton.click()
    wait_for(lambda: panel.ui.progressBar.value > 0)
    os.kill(panel._logic.client._worker["pid"], signal.SIGKILL)
    wait_for(lambda: not panel.run.running)
    assert "ended unexpectedly" in panel.ui.statusLabel.text and panel.ui.reportButton.visible
    assert left_in_scene(volume) == []
    panel.ui.reportButton.click()
    report = qt.QApplication.clipboard().text()
    assert "Exit code" in report and "Jane" not in report
    assert panel.ui.applyButton.enabled and panel.ui.applyButton.text == "Apply"


def test_missing_packages_are_named_with_a_button(panel: Any, scan: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = dependencies.State(False, "Before the first run InvDetect has to install torch.", (dependencies.TORCH,))
    monkeypatch.setattr(dependencies, "state", lambda **_: missing)
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda *_, **__: False)
    panel.installation.refresh()
    assert panel.ui.neededWidget.visible and "torch" in panel.ui.neededLabel.text
    monkeypatch.setattr(dependencies, "missing", lambda *_: (dependencies.TORCH,))
    panel.ui.applyButton.click()
    assert not panel.run.running and "missing" in panel.ui.statusLabel.text
