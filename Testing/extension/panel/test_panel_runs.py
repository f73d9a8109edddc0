"""The detection panel from setup to reviewed findings: its own code in real Qt, on real MRML, with the real worker behind.

Qt is PySide6 with the manners of PythonQt, and the ctk and qMRML widgets are look-alikes (Testing/support/slicer_host): what PythonQt
does not offer of the originals is refused (test_pythonqt.py).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from Testing.support.needs import QT, need

slicer = need(*QT)

from Testing.support import REPOSITORY  # noqa: E402
from Testing.support.panels import add_scan, center, left_in_scene, wait_for  # noqa: E402
from Testing.support.slicer_host import Host  # noqa: E402
from Testing.support.slicer_host.qt_host import FileDialog, load_module, process_events, start_qt, true_properties  # noqa: E402
from Testing.support.tiny_model import World, full_disk  # noqa: E402

start_qt()
true_properties(__name__)

import qt  # noqa: E402
from InvDetectSlicerLib.install import dependencies, pythons  # noqa: E402
from InvDetectSlicerLib.panel.refine import position_of, rate_at  # noqa: E402
from InvDetectSlicerLib.review.review import Reviewing  # noqa: E402
from InvDetectSlicerLib.scene import display  # noqa: E402
from InvDetectSlicerLib.scene.findings_table import ACCEPTED, DISMISSED, OPEN, findings_of, reviews_of  # noqa: E402
from InvDetectSlicerLib.scene.nodes import results_in_scene  # noqa: E402
from InvDetectSlicerLib.scene.stored_result import controls_of  # noqa: E402
from InvDetectSlicerLib.scene.volumes import add_like, array_of, scan_of  # noqa: E402

from InvDetectLib.calibration.calibration import RATES  # noqa: E402
from InvDetectLib.detection import Detector  # noqa: E402


def states(nodes: Any) -> list[str]:
    return [review.state for review in reviews_of(nodes.table).values()]


def press(panel: Any, key: str) -> None:
    """A key, as typed while the list of findings has the focus."""
    shortcut = next(one for one in panel.findings._shortcuts if one.key.toString() == key)
    shortcut.activated.emit()
    process_events()


# Opening


def test_import_and_setup_load_neither_torch_nor_sklearn_and_are_quick() -> None:
    program = """
import sys, time
sys.path[:0] = ["Testing", "."]
from Testing.support.slicer_host.qt_host import start_qt, load_module
start_qt()
widget = load_module("InvDetect")
widget.cleanup()
best = 9.0
for _ in range(3):
    start = time.process_time()
    widget.setup()
    best = min(best, time.process_time() - start)
    widget.cleanup()
loaded = [name for name in ("torch", "sklearn", "matplotlib") if name in sys.modules]
print("LOADED", loaded, "SETUP", best)
assert not loaded and best < 0.3
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_first_view_asks_for_scan_and_model_and_nothing_else(panel: Any) -> None:
    ui = panel.ui
    sections = (ui.aboutButton, ui.optionsButton, ui.displayButton, ui.exportButton, ui.batchSection, ui.installSection)
    assert all(section.collapsed for section in sections)
    assert not ui.applyButton.enabled and "first" in ui.applyButton.toolTip
    assert not ui.neededWidget.visible and not ui.progressBar.visible and not ui.reportButton.visible
    assert "not a medical device" in ui.modelSummary.text


def test_choosing_scan_and_model_says_what_it_will_cost(panel: Any, scan: Any) -> None:
    assert panel.ui.applyButton.enabled
    wait_for(lambda: "about" in panel.ui.costLabel.text)
    assert panel.ui.costLabel.text.startswith("3 slices: about")
    assert panel.ui.deviceSelector.count > 2


def test_a_scan_unlike_the_model_s_is_said_once(panel: Any, world: World) -> None:
    volume = add_scan(world.scans / "head-1000.nii.gz")
    noise = np.random.default_rng(0).normal(500, 300, array_of(volume).shape).astype(np.float32)
    slicer.util.updateVolumeFromArray(volume, noise)
    panel.ui.scanSelector.setCurrentNode(volume)
    wait_for(lambda: "about" in panel.ui.costLabel.text)
    said = panel.ui.warningLabel.text
    assert said
    panel.ui.applyButton.click()
    wait_for(lambda: not panel.run.running)
    lines = panel.ui.warningLabel.text.splitlines()
    assert len(lines) == len(set(lines)) and said.splitlines()[0] in lines


def test_a_scan_of_another_modality_is_told_before_the_run(panel: Any, scan: Any) -> None:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    item = hierarchy.GetItemByDataNode(scan) or hierarchy.CreateItem(hierarchy.GetSceneItemID(), scan)
    hierarchy.SetItemAttribute(item, "DICOM.Modality", "CT")
    panel.models.choose("brain-t1")
    wait_for(lambda: "about" in panel.ui.costLabel.text)
    assert "said to be CT" in panel.ui.warningLabel.text
    panel.models.choose("tiny")


# A run


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


# What can go wrong


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


# Sliders


def test_the_sensitivity_slider_changes_the_shown_slice_at_once_and_the_rest_after(panel: Any, scan: Any, result: Any) -> None:
    finding = findings_of(result.table)[0]
    center(scan, finding.peak_index[0])
    wait_for(lambda: panel._logic.prepareRefining(result))
    before = array_of(result.labels).copy()
    start = time.process_time()
    panel.ui.rateSlider.value = position_of(0.005)
    spent = time.process_time() - start
    assert spent < 0.1, spent
    assert "normal tissue" in panel.ui.rateLabel.text
    assert np.array_equal(array_of(result.labels), before)  # the findings follow when the slider rests
    wait_for(lambda: not panel.refining.busy)
    assert (array_of(result.labels) > 0).sum() < (before > 0).sum()
    assert controls_of(result).rate == pytest.approx(rate_at(position_of(0.005)))
    assert panel.ui.findingsTable.rowCount == len(findings_of(result.table))


def test_contiguity_changes_the_mask(panel: Any, result: Any) -> None:
    wait_for(lambda: panel._logic.prepareRefining(result))
    panel.ui.contiguitySlider.value = 4.0
    wait_for(lambda: not panel.refining.busy)
    assert controls_of(result).contiguity == pytest.approx(4.0)


def test_positions_and_rates_of_the_slider_belong_together() -> None:
    assert rate_at(0) == RATES[0] and rate_at(100) == RATES[-1]
    assert [position_of(rate_at(position)) for position in range(101)] == list(range(101))


def test_a_saved_scene_brings_the_sliders_back(host: Host, panel: Any, result: Any, tmp_path: Path) -> None:
    wait_for(lambda: panel._logic.prepareRefining(result))
    panel.ui.rateSlider.value = 70
    wait_for(lambda: not panel.refining.busy)
    number = panel.ui.findingsTable.rowCount
    panel.findings.choose(1)
    press(panel, "A")
    host.load(host.save(tmp_path / "reviewed.mrb"))
    wait_for(lambda: panel.ui.findingsTable.rowCount > 0)
    ui = panel.ui
    assert ui.findingsTable.rowCount == number and states(panel.result)[0] == ACCEPTED
    assert ui.rateSlider.enabled and ui.rateSlider.value == 70
    assert ui.scanSelector.currentNode() is panel.result.input
    wait_for(lambda: panel._logic.prepareRefining(panel.result))
    before = (array_of(panel.result.labels) > 0).sum()
    ui.rateSlider.value = 20
    wait_for(lambda: not panel.refining.busy)
    assert (array_of(panel.result.labels) > 0).sum() < before


def test_sliders_are_off_with_a_sentence_where_the_scene_lacks_what_they_need(panel: Any, result: Any) -> None:
    slicer.mrmlScene.RemoveNode(result.stored)
    panel.enter()
    assert not panel.ui.rateSlider.enabled and "Detect again" in panel.ui.refineLabel.text


# Findings


def test_next_and_previous_go_round_the_open_findings_and_move_all_views(panel: Any, scan: Any, result: Any) -> None:
    findings = findings_of(result.table)
    jumps = []
    for _ in range(len(findings) + 1):
        press(panel, "N")
        jumps.append(panel.findings.current())
    assert jumps == [finding.label for finding in findings] + [1]
    press(panel, "P")
    assert panel.findings.current() == len(findings)
    panel.findings.choose(2)
    shown = panel._logic.shownIndex(scan, 0, slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed"))
    assert shown == findings[1].peak_index[0]


def test_keys_accept_dismiss_and_undo_and_the_mask_follows(panel: Any, result: Any) -> None:
    count = result.segmentation.GetSegmentation().GetNumberOfSegments()
    panel.findings.choose(1)
    press(panel, "D")
    assert states(result)[0] == DISMISSED
    assert result.segmentation.GetSegmentation().GetNumberOfSegments() == count - 1
    assert panel.ui.findingsTable.item(0, 5).text() == "dismissed"
    press(panel, "U")
    assert states(result)[0] == OPEN and result.segmentation.GetSegmentation().GetNumberOfSegments() == count
    press(panel, "A")
    assert states(result)[0] == ACCEPTED
    press(panel, "N")
    assert panel.findings.current() == 2


def test_the_list_fills_its_width_before_and_after_a_decision_and_no_header_stands_out(panel: Any, result: Any) -> None:
    process_events()
    table = panel.ui.findingsTable
    header = table.horizontalHeader()

    def widths() -> int:
        return sum(header.sectionSize(column) for column in range(table.columnCount))

    assert widths() == table.viewport().width
    for key in "ADU":
        panel.findings.choose(1)
        press(panel, key)
        assert widths() == table.viewport().width, key
    assert not header.highlightSections


def test_letters_in_a_comment_are_no_commands(panel: Any, result: Any) -> None:
    panel.findings.choose(1)
    line = panel.ui.commentEdit
    for letter in "and":
        event = qt.QKeyEvent(qt.QEvent.ShortcutOverride, ord(letter.upper()), qt.Qt.NoModifier, letter)
        event.ignore()
        qt.QApplication.sendEvent(line, event)
        assert event.isAccepted()  # so that no shortcut gets it
    line.text = "vessel, not a lesion"
    line.editingFinished.emit()
    assert reviews_of(result.table)[1].comment == "vessel, not a lesion"
    assert states(result)[0] == OPEN


def test_csv_and_mask_are_exported_without_what_was_dismissed(panel: Any, result: Any, tmp_path: Path) -> None:
    panel.findings.choose(1)
    press(panel, "D")
    FileDialog.answer = str(tmp_path / "list")
    panel.ui.exportTableButton.click()
    text = (tmp_path / "list.csv").read_text()
    assert "dismissed" in text and "open" in text
    FileDialog.answer = str(tmp_path / "mask")
    panel.ui.exportMaskButton.click()
    assert (tmp_path / "mask.seg.nrrd").is_file()
    FileDialog.answer = str(tmp_path / "no such folder" / "list.csv")
    panel.ui.exportTableButton.click()
    assert "cannot be written" in panel.ui.statusLabel.text
    FileDialog.answer = ""
    panel.ui.exportTableButton.click()  # the dialog was left without a file


# Display, models, folder, Python


def test_opacity_threshold_and_3d_follow_the_controls(panel: Any, result: Any) -> None:
    panel.ui.opacitySlider.value = 0.25
    assert display.opacity_of(result.map) == pytest.approx(0.25)
    panel.ui.thresholdSlider.value = panel.ui.thresholdSlider.minimum + 0.5
    assert display.threshold_of(result.map) == pytest.approx(panel.ui.thresholdSlider.value)
    panel.ui.show3DCheck.checked = True
    assert result.segmentation.GetSegmentation().ContainsRepresentation("Closed surface")
    panel.ui.show3DCheck.checked = False
    assert not result.segmentation.GetDisplayNode().GetVisibility3D()


def test_one_click_shows_the_pseudo_normal_image_and_a_slider_fades_back_to_the_scan(panel: Any, result: Any) -> None:
    ui = panel.ui
    assert ui.pseudoNormalButton.isHidden() and ui.pseudoNormalSlider.isHidden()  # this model does not say what normal looks like
    ui.opacitySlider.value = 0.4
    normal = add_like(result.input, array_of(result.input).astype("float32") / 2, "normal")
    result.pseudo_normal = normal
    result.connect()
    panel.display.show(result)
    assert not ui.pseudoNormalButton.isHidden() and not ui.pseudoNormalSlider.enabled
    ui.pseudoNormalButton.click()
    assert display.is_in_front(normal) and display.opacity_of(normal) == 1.0 and not ui.opacitySlider.enabled
    ui.pseudoNormalSlider.value = 0.5
    assert display.opacity_of(normal) == pytest.approx(0.5)
    ui.pseudoNormalButton.click()
    assert display.opacity_of(result.map) == pytest.approx(0.4) and not display.is_in_front(normal)
    assert ui.opacitySlider.enabled and not ui.pseudoNormalSlider.enabled


def test_a_model_file_is_imported_and_chosen(panel: Any, world: World, models: Path, tmp_path: Path) -> None:
    other = tmp_path / "Kopf grö\u00dfer.invdetect"
    shutil.copy(world.model, other)
    FileDialog.answer = str(other)
    try:
        panel.ui.importButton.click()
        assert panel.models.current().name == "Kopf grö\u00dfer" and (models / other.name).is_file()
        FileDialog.answer = str(tmp_path / "absent.invdetect")
        panel.ui.importButton.click()
        assert "absent.invdetect" in panel.ui.statusLabel.text
    finally:
        FileDialog.answer = ""
        (models / other.name).unlink(missing_ok=True)
        panel.models.refresh()


def test_a_folder_of_scans_is_examined_into_files(panel: Any, world: World, tmp_path: Path) -> None:
    ui = panel.ui
    ui.scansFolder.currentPath, ui.resultsFolder.currentPath = str(world.scans), str(tmp_path / "out")
    ui.batchButton.click()
    assert ui.batchButton.text == "Cancel"
    wait_for(lambda: not panel.run.running)
    assert "2 scans examined" in ui.statusLabel.text and (tmp_path / "out" / "findings.csv").is_file()


def test_another_python_is_checked_before_it_computes(panel: Any, tmp_path: Path) -> None:
    program = tmp_path / "no python"
    program.write_text("#!/bin/sh\necho not a python\n")
    program.chmod(0o755)
    panel.ui.pythonPath.currentPath = str(program)
    panel.ui.checkPythonButton.click()
    wait_for(lambda: "not a Python" in panel.ui.statusLabel.text)
    assert pythons.chosen_python() == ""
    panel.ui.pythonPath.currentPath = sys.executable
    panel.ui.checkPythonButton.click()
    wait_for(lambda: pythons.chosen_python() == sys.executable)
    assert sys.executable in panel.ui.stateLabel.text
    panel.ui.ownPythonButton.click()
    assert pythons.chosen_python() == ""


# Python console


def test_the_examples_for_the_python_console_do_what_they_say(
    module_widget: Any, panel: Any, models: Path, world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As they stand, but with the tiny model under the name of the shipped one, and with folders of this test."""
    shutil.copy(world.model, models / "made-heads.invdetect")
    try:
        for logic in (type(module_widget.logic), type(module_widget.logic).__mro__[1]):
            assert logic.__doc__ is not None
            example = "\n".join(line[8:] for line in logic.__doc__.splitlines() if line.startswith(" " * 8) or not line)
            code = example.replace("C:/scans", str(world.scans)).replace("C:/results", str(tmp_path / "results"))
            exec(compile(code, logic.__name__, "exec"), {"slicer": slicer})
    finally:
        (models / "made-heads.invdetect").unlink()
    said = capsys.readouterr().out
    assert said.count(" findings") == 3 and len(list(results_in_scene())) == 3
    assert (tmp_path / "results" / "findings.csv").is_file()


# The end


def test_reload_ends_the_worker_and_drops_the_packages(host: Host, models: Path, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INVDETECT_MODELS", str(models))
    before = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in ("InvDetectSlicerLib", "InvDetectLib")}
    widget = load_module("InvDetect")
    widget.enter()
    widget.panel.models.choose("tiny")
    widget.panel.ui.scanSelector.setCurrentNode(add_scan(world.scans / "head-1000.nii.gz", repeat=40))
    widget.panel.ui.applyButton.click()
    bar = widget.panel.ui.progressBar
    wait_for(lambda: bar.value > 0)
    pid = widget.panel._logic.client._worker["pid"]
    try:
        widget.onReload()
        assert widget.reloaded == 1 and widget.panel is None
        assert not any(name.partition(".")[0] == "InvDetectSlicerLib" for name in sys.modules)
        assert not slicer.util.getNodesByClass("vtkMRMLTableNode")
        with pytest.raises(ProcessLookupError):
            for _ in range(200):
                os.kill(pid, 0)
                time.sleep(0.05)
    finally:
        sys.modules.update(before)


def test_reviewing_needs_no_panel(panel: Any, result: Any) -> None:
    """What the panel does to a finding can be done from Python, and the panel shows it when it is entered again."""
    Reviewing(result).set_state(1, DISMISSED)
    panel.enter()
    assert panel.ui.findingsTable.item(0, 5).text() == "dismissed"
