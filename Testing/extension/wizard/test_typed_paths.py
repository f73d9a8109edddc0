"""Paths that are typed key by key, in both modules: what starts work waits until a folder is meant. Qt is real, ctk a look-alike."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from Testing.support.needs import QT, need

slicer = need(*QT)

from Testing.support.focus import type_text  # noqa: E402
from Testing.support.quiet_wizard import PREVIEW, fill, let_time_pass, quiet_wizard, wait_for, with_scans  # noqa: E402
from Testing.support.silent_worker import SilentWorker  # noqa: E402
from Testing.support.slicer_host.qt_host import load_module, true_properties  # noqa: E402

true_properties(__name__)

from InvDetectSlicerLib.panel import DetectionWidget  # noqa: E402
from InvDetectSlicerLib.wizard import TrainingWidget  # noqa: E402

pytestmark = pytest.mark.usefixtures("host")
REST = 0.5  # seconds without a key, after which a path is meant


@pytest.fixture(autouse=True)
def models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("INVDETECT_MODELS", str(tmp_path / "models"))


@pytest.fixture
def worker() -> SilentWorker:
    return SilentWorker()


@pytest.fixture
def wizard(worker: SilentWorker) -> Iterator[TrainingWidget]:
    with quiet_wizard(worker) as made:
        yield made


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "normal heads"
    folder.mkdir()
    return folder


def line_of(box: Any) -> Any:
    return box.comboBox().lineEdit()


def assert_empty(wizard: TrainingWidget) -> None:
    ui = wizard.ui
    assert ui.scansTable.rowCount == 0 and not ui.nextButton.enabled and not ui.scansProgress.visible
    assert "can be used" not in ui.scansSummary.text and "Looking" not in ui.scansSummary.text


def test_the_path_box_of_the_host_signals_at_every_key(wizard: TrainingWidget) -> None:
    told: list[str] = []
    wizard.ui.folderPath.currentPathChanged.connect(told.append)
    path = "/home/you/normal/heads/T1"
    type_text(line_of(wizard.ui.folderPath), path)
    assert told == [path[: i + 1] for i in range(25)]


def test_a_folder_that_is_typed_is_looked_into_once_and_after_the_last_key(
    wizard: TrainingWidget, worker: SilentWorker, scans: Path
) -> None:
    type_text(line_of(wizard.ui.folderPath), str(scans))
    assert not worker.asked
    let_time_pass(0.8 * REST)
    assert not worker.asked
    wait_for(lambda: worker.asked)
    let_time_pass(REST)
    assert [job.command["folder"] for job in worker.asked] == [str(scans)]


@pytest.mark.parametrize("path", [os.sep, os.sep + os.sep, os.path.join(os.sep, "no-such-folder"), __file__, " "])
def test_what_is_no_folder_or_a_whole_disk_starts_nothing(wizard: TrainingWidget, worker: SilentWorker, path: str) -> None:
    type_text(line_of(wizard.ui.folderPath), path)
    let_time_pass(1.5 * REST)
    assert not worker.asked
    assert_empty(wizard)
    if path.strip():
        assert path in wizard.ui.scansSummary.text and wizard.ui.nextButton.toolTip == wizard.ui.scansSummary.text
    else:
        assert wizard.ui.scansSummary.text == "" and "Choose the folder" in wizard.ui.nextButton.toolTip


def test_masks_that_are_typed_are_looked_at_once_and_after_the_last_key(
    wizard: TrainingWidget, worker: SilentWorker, scans: Path, tmp_path: Path
) -> None:
    masks = tmp_path / "their masks"
    masks.mkdir()
    fill(wizard, worker, scans)
    wizard.ui.nextButton.click()
    wizard.ui.foregroundSelector.currentIndex = 4
    let_time_pass(REST)
    before = len(worker.asked)
    assert "folder with the masks" in wizard.ui.previewText.text
    for job in worker.of("preview"):
        job.answer(**PREVIEW)
    type_text(line_of(wizard.ui.masksPath), str(masks))
    let_time_pass(0.8 * REST)
    assert len(worker.asked) == before
    wait_for(lambda: len(worker.asked) > before)
    let_time_pass(REST)
    assert [job.command["masks"] for job in worker.asked[before:]] == [str(masks)]


@pytest.mark.parametrize("path", [os.sep, os.path.join(os.sep, "no-such-folder")])
def test_masks_in_no_folder_start_nothing_and_the_next_step_says_why(
    wizard: TrainingWidget, worker: SilentWorker, scans: Path, path: str
) -> None:
    fill(wizard, worker, scans)
    wizard.ui.nextButton.click()
    let_time_pass(REST)
    for job in worker.of("preview"):
        job.answer(**PREVIEW)
    before = len(worker.asked)
    wizard.ui.foregroundSelector.currentIndex = 4
    type_text(line_of(wizard.ui.masksPath), path)
    let_time_pass(1.5 * REST)
    assert len(worker.asked) == before and path in wizard.ui.previewText.text
    wizard.ui.nextButton.click()
    assert wizard.page == 1 and path in wizard.ui.statusLabel.text and len(worker.asked) == before


def test_no_path_that_is_typed_into_the_detection_panel_starts_work(worker: SilentWorker) -> None:
    module = load_module("InvDetect")
    module.cleanup()
    panel = DetectionWidget(sys.modules["InvDetect"].InvDetectLogic(worker))
    panel.widget.show()
    try:
        for box in (panel.ui.scansFolder, panel.ui.resultsFolder, panel.ui.pythonPath):
            type_text(line_of(box), os.path.dirname(__file__))
        let_time_pass(1.5 * REST)
        assert not worker.asked
    finally:
        panel.cleanup()
        panel.widget.hide()


# A folder that goes


def test_a_folder_that_is_cleared_empties_the_page_at_once(wizard: TrainingWidget, worker: SilentWorker, scans: Path) -> None:
    fill(wizard, worker, scans)
    wizard.ui.folderPath.currentPath = ""
    assert_empty(wizard)
    assert wizard.ui.scansSummary.text == "" and not wizard.scans.usable
    let_time_pass(1.5 * REST)
    assert len(worker.asked) == 1
    wizard.ui.folderPath.currentPath = str(scans)  # the same again is looked into again
    wait_for(lambda: len(worker.asked) == 2)


def test_another_path_takes_the_old_scans_away_and_stops_the_look_at_them(
    wizard: TrainingWidget, worker: SilentWorker, scans: Path, tmp_path: Path
) -> None:
    fill(wizard, worker, scans)
    type_text(line_of(wizard.ui.folderPath), "x")
    assert_empty(wizard)
    wizard.ui.folderPath.currentPath = str(tmp_path)
    wait_for(lambda: len(worker.asked) == 2)
    assert wizard.ui.scansProgress.visible
    wizard.ui.folderPath.currentPath = str(tmp_path / "no such folder")
    assert worker.asked[1].cancelled
    worker.asked[1].answer(scans=[], left_out=[], problem="")  # it was done just before it heard of that
    assert_empty(wizard)
    wait_for(lambda: "no such folder" in wizard.ui.scansSummary.text)
    assert_empty(wizard)


def test_a_folder_that_vanished_empties_the_page_and_the_next_step_says_so(
    wizard: TrainingWidget, worker: SilentWorker, scans: Path
) -> None:
    fill(wizard, worker, scans)
    scans.rmdir()
    wizard.ui.nextButton.click()
    assert wizard.page == 0 and str(scans) in wizard.ui.statusLabel.text
    assert_empty(wizard)


def test_a_folder_that_vanished_meanwhile_is_noticed_when_the_user_comes_back(
    wizard: TrainingWidget, worker: SilentWorker, scans: Path
) -> None:
    fill(wizard, worker, scans)
    wizard.exit()
    scans.rmdir()
    wizard.enter()
    assert_empty(wizard)
    assert str(scans) in wizard.ui.scansSummary.text


def test_a_page_that_reads_scans_in_an_impossible_way_keeps_nobody_from_another_folder(
    wizard: TrainingWidget, worker: SilentWorker, scans: Path, tmp_path: Path
) -> None:
    fill(wizard, worker, scans)
    wizard.ui.nextButton.click()
    wizard.ui.foregroundSelector.currentIndex = 4  # masks, and none are chosen
    wizard.ui.backButton.click()
    assert wizard.ui.nextButton.enabled and len(worker.of("inspect")) == 1
    wizard.ui.folderPath.currentPath = str(tmp_path)
    wait_for(lambda: len(worker.of("inspect")) == 2)
    with_scans(worker, tmp_path)
    wizard.ui.nextButton.click()
    assert wizard.page == 1
    wizard.ui.nextButton.click()
    assert wizard.page == 1 and "folder with the masks" in wizard.ui.statusLabel.text
