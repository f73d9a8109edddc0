"""The list of findings: gone through, decided on by key or from Python, commented, and written to files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from Testing.support.needs import QT, need

slicer = need(*QT)

from Testing.support.focus import type_text  # noqa: E402
from Testing.support.panels import press, states  # noqa: E402
from Testing.support.slicer_host.qt_host import FileDialog, process_events, true_properties  # noqa: E402

true_properties(__name__)

import qt  # noqa: E402
from InvDetectSlicerLib.review.review import Reviewing  # noqa: E402
from InvDetectSlicerLib.scene.findings_table import ACCEPTED, DISMISSED, OPEN, findings_of, reviews_of  # noqa: E402


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


def test_a_comment_that_is_being_typed_stays_while_nodes_leave_the_scene(panel: Any, result: Any) -> None:
    line = panel.ui.commentEdit
    panel.findings.choose(1)
    line.setFocus()
    type_text(line, "left")
    slicer.mrmlScene.RemoveNode(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode", "somebody's"))
    process_events()
    assert line.text == "left" and panel.findings.current() == 1
    line.editingFinished.emit()
    assert reviews_of(result.table)[1].comment == "left"
    panel.findings.choose(2)
    assert line.text == ""
    panel.findings.choose(1)
    assert line.text == "left"
    panel.findings.undo()
    assert line.text == ""


def test_csv_and_mask_are_exported_without_what_was_dismissed_and_replace_nothing_unasked(
    panel: Any, result: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []  # and declined
    monkeypatch.setattr(slicer.util, "confirmYesNoDisplay", asked.append, raising=False)
    panel.findings.choose(1)
    press(panel, "D")
    FileDialog.answer = str(tmp_path / "list")
    panel.ui.exportTableButton.click()
    text = (tmp_path / "list.csv").read_text()
    assert "dismissed" in text and "open" in text
    FileDialog.answer = str(tmp_path / "mask")
    panel.ui.exportMaskButton.click()
    assert (tmp_path / "mask.seg.nrrd").is_file()
    assert not asked  # there was nothing to replace
    for name, button in (("list", panel.ui.exportTableButton), ("mask", panel.ui.exportMaskButton)):
        FileDialog.answer = str(tmp_path / name)
        before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
        button.click()
        assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before
    assert [text.split()[0] for text in asked] == [str(tmp_path / "list.csv"), str(tmp_path / "mask.seg.nrrd")]
    FileDialog.answer = str(tmp_path / "list.csv")
    panel.ui.exportTableButton.click()  # about this name the dialog asked itself
    assert len(asked) == 2
    FileDialog.answer = str(tmp_path / "no such folder" / "list.csv")
    panel.ui.exportTableButton.click()
    assert "cannot be written" in panel.ui.statusLabel.text
    FileDialog.answer = ""
    panel.ui.exportTableButton.click()  # the dialog was left without a file


def test_reviewing_needs_no_panel(panel: Any, result: Any) -> None:
    """What the panel does to a finding can be done from Python, and the panel shows it when it is entered again."""
    Reviewing(result).set_state(1, DISMISSED)
    panel.enter()
    assert panel.ui.findingsTable.item(0, 5).text() == "dismissed"
