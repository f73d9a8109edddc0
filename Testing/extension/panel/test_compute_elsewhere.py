"""*Compute on: a Dask scheduler*, from the panel: its address, what is found there, and a scan that is examined by its workers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from Testing.support.needs import QT, need

need(*QT)
need("distributed")

from Testing.support.slicer_host.qt_host import start_qt, true_properties  # noqa: E402

start_qt()
true_properties(__name__)

import slicer  # noqa: E402
from InvDetectSlicerLib.install import dependencies  # noqa: E402
from InvDetectSlicerLib.panel.scheduler import SETTING  # noqa: E402

from Testing.support.dask_processes import Scheduler  # noqa: E402
from Testing.support.panels import wait_for  # noqa: E402


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with Scheduler(tmp_path_factory.mktemp("dask")) as scheduler:
        scheduler.ensure(1)
        yield scheduler.address


@pytest.fixture
def elsewhere(panel: Any) -> Iterator[Any]:
    """The panel, with a scheduler chosen and no address given."""
    ui = panel.ui
    ui.optionsButton.collapsed = False  # what it holds is visible then
    ui.deviceSelector.currentIndex = ui.deviceSelector.findData("scheduler")
    give(panel, "")
    yield panel
    give(panel, "")
    ui.deviceSelector.currentIndex = 0
    ui.optionsButton.collapsed = True


def give(panel: Any, address: str) -> None:
    panel.ui.schedulerEdit.text = address
    panel.ui.schedulerEdit.editingFinished.emit()


def test_an_address_is_asked_for_only_while_a_scheduler_is_chosen(elsewhere: Any) -> None:
    ui = elsewhere.ui
    assert ui.schedulerWidget.visible and not ui.schedulerLabel.visible
    ui.deviceSelector.currentIndex = 0
    assert not ui.schedulerWidget.visible


def test_apply_without_an_address_says_what_to_give(elsewhere: Any, scan: Any) -> None:
    elsewhere.ui.applyButton.click()
    assert "Give the address of the Dask scheduler" in elsewhere.ui.statusLabel.text and not elsewhere.run.running


def test_what_was_found_at_the_address_stands_below_it_and_the_address_is_remembered(elsewhere: Any, address: str) -> None:
    give(elsewhere, address)
    wait_for(lambda: "worker" in elsewhere.ui.schedulerLabel.text)
    assert elsewhere.ui.schedulerLabel.text == "1 worker with 1 core."
    assert slicer.app.userSettings().value(SETTING) == address


def test_where_no_scheduler_answers_that_is_said_there(elsewhere: Any) -> None:
    give(elsewhere, "tcp://127.0.0.1:9")
    wait_for(lambda: "No Dask scheduler answers" in elsewhere.ui.schedulerLabel.text)


def test_without_what_speaks_to_a_scheduler_slicer_is_asked_for_it(elsewhere: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(dependencies, "is_there", lambda package, *_: package != dependencies.DISTRIBUTED)
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda text, *_, **__: asked.append(text) or False)
    give(elsewhere, "tcp://127.0.0.1:9")
    assert len(asked) == 1 and "distributed" in asked[0] and "Dask" in asked[0]
    assert "Nothing was installed" in elsewhere.ui.statusLabel.text and not elsewhere.ui.schedulerLabel.visible


def test_apply_examines_the_scan_there_and_refining_goes_on_here(elsewhere: Any, scan: Any, address: str) -> None:
    give(elsewhere, address)
    elsewhere.ui.applyButton.click()
    wait_for(lambda: not elsewhere.run.running)
    assert elsewhere.result is not None, elsewhere.ui.statusLabel.text
    assert elsewhere.result.input is scan and elsewhere.ui.findingsTable.rowCount > 0
    assert elsewhere.ui.costLabel.text == ""


def test_the_folder_is_examined_there(elsewhere: Any, world: Any, address: str, tmp_path: Path) -> None:
    give(elsewhere, address)
    ui = elsewhere.ui
    ui.scansFolder.currentPath, ui.resultsFolder.currentPath = str(world.scans), str(tmp_path / "out")
    ui.batchButton.click()
    wait_for(lambda: not elsewhere.run.running)
    assert "2 scans examined" in ui.statusLabel.text
    assert (tmp_path / "out" / "findings.csv").exists()
