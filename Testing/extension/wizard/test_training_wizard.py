"""The training wizard, with the real worker behind it: its pages in real Qt with look-alikes of ctk. No PythonQt is tested here."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from Testing.support.needs import QT, need

need(*QT)

from Testing.support.slicer_host.qt_host import FileDialog, Settings, load_module, process_events, start_qt, true_properties  # noqa: E402
from Testing.support.tiny_model import World  # noqa: E402
from Testing.support.trainings import begin, poll_until  # noqa: E402

start_qt()
true_properties(__name__)

from InvDetectSlicerLib.training_logic import TrainingLogic  # noqa: E402
from InvDetectSlicerLib.wizard import widget as training_widget  # noqa: E402
from InvDetectSlicerLib.wizard.widget import TrainingWidget  # noqa: E402
from InvDetectSlicerLib.worker.training_choices import TrainingChoices  # noqa: E402

from InvDetectLib.models import presets as preset_room  # noqa: E402
from InvDetectLib.models.model import Model, models_folder  # noqa: E402

pytestmark = pytest.mark.usefixtures("host", "presets")


@pytest.fixture
def wizard(logic: TrainingLogic) -> Iterator[TrainingWidget]:
    used: list[str] = []
    made = TrainingWidget(logic, used.append)
    made.used = used  # type: ignore[attr-defined]
    made.widget.resize(400, 760)
    made.widget.show()
    yield made
    made.cleanup()
    made.widget.hide()


def choose(selector: Any, text: str) -> None:
    index = next(i for i in range(selector.count) if selector.itemText(i).casefold().startswith(text.casefold()))
    selector.currentIndex = index


def path_box(wizard: TrainingWidget) -> Any:
    return wizard.ui.folderPath


def press(button: Any) -> None:
    assert button.enabled, "the button is off"
    button.click()
    process_events()


def to_settings(wizard: TrainingWidget, logic: TrainingLogic, world: World, preset: str, name: str) -> None:
    ui = wizard.ui
    path_box(wizard).currentPath = str(world.normals)
    choose(ui.presetSelector, preset)
    wizard.scans.forget()
    wizard.scans.look(wizard.choices())
    poll_until(logic, lambda: ui.nextButton.enabled)
    press(ui.nextButton)
    press(ui.nextButton)
    ui.nameEdit.text = name


def test_the_whole_way_from_a_folder_to_a_model_in_use(wizard: TrainingWidget, logic: TrainingLogic, world: World, tmp_path: Path) -> None:
    ui = wizard.ui
    assert wizard.page == 0 and not ui.nextButton.enabled and not ui.backButton.enabled
    path_box(wizard).currentPath = str(world.normals)
    poll_until(logic, lambda: ui.nextButton.enabled)
    table = ui.scansTable
    assert table.rowCount == 8 + len(world.left_out) and "8 scans can be used" in ui.scansSummary.text
    texts = [[table.item(row, column).text() for column in range(table.columnCount)] for row in range(table.rowCount)]
    assert [row[1] for row in texts[:8]] == ["yes"] * 8 and not table.item(0, 0).icon().isNull()
    assert texts[0][2] == "64 x 64 x 3" and any("not a supported format" in row[1] for row in texts)
    choose(ui.presetSelector, "tiny")

    press(ui.nextButton)
    ui.modalityEdit.text = "made heads"
    poll_until(logic, lambda: "patches" in ui.previewText.text)
    before = ui.previewText.text
    ui.previewSlider.value = 0
    poll_until(logic, lambda: ui.previewText.text.startswith("Slice 1 of 3"))
    choose(ui.gridSelector, "pixels a side")
    ui.gridSpinBox.value = 96
    poll_until(logic, lambda: ui.previewText.text.split(":")[1] != before.split(":")[1])
    ui.gridSelector.currentIndex = 0

    press(ui.nextButton)
    assert not ui.nextButton.enabled  # the folder is looked at again, because the preset is another one now
    poll_until(logic, lambda: ui.nextButton.toolTip == "Give the new model a name.")
    ui.nameEdit.text = "made heads"
    poll_until(logic, lambda: ui.estimateText.text.startswith("About"))
    assert "for 24 slices" in ui.estimateText.text and ui.nextButton.text == "Train"

    press(ui.nextButton)
    assert wizard.page == 3 and not ui.backButton.enabled
    poll_until(logic, lambda: "patches seen" in ui.numbersText.text or wizard.page == 4)
    poll_until(logic, lambda: wizard.page == 4)
    path = models_folder() / "made heads.invdetect"
    card = Model.load(path).card
    assert ui.thresholdText.text == f"{card['default_threshold']:.3g}" and ui.contiguityText.text == f"{card['contiguity']:.3g}"
    assert "held out" in ui.areaText.text and "made heads" in ui.cardText.plainText
    FileDialog.answer = str(tmp_path / "copy")
    press(ui.saveButton)
    assert (tmp_path / "copy.invdetect").read_bytes() == path.read_bytes()
    press(ui.useButton)
    assert wizard.used == ["made heads"]  # type: ignore[attr-defined]
    press(ui.anotherButton)
    assert wizard.page == 0


def test_the_wizard_offers_matchgen_with_its_bases_and_trains_it(
    wizard: TrainingWidget, logic: TrainingLogic, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = preset_room.preset("quick", "matchgen", "ae")
    small = replace(
        made.matchgen,
        network=replace(made.matchgen.network, widths=(8, 16), code=8),
        training=replace(made.training, steps=20, batch=4),
        matching=replace(made.matchgen.matching, epsilon=0.5, most_steps=5),
    )
    tiny = replace(made, preset="tiny", preparation=replace(made.preparation, grid=32), matchgen=small)
    monkeypatch.setitem(preset_room._MATCHGEN, "tiny", tiny)
    ui = wizard.ui
    assert ui.baseSelector.isHidden() and ui.baseLabel.isHidden()
    before = [ui.presetSelector.itemText(number) for number in range(ui.presetSelector.count)]
    choose(ui.methodSelector, "MatchGen: shows what is normal, too")
    assert [ui.presetSelector.itemText(number) for number in range(ui.presetSelector.count)] == ["Standard", "Quick", "Paper", "Tiny"]
    assert not ui.baseSelector.isHidden() and wizard.choices().base == "dae" and "whole slices" in ui.presetText.text
    choose(ui.baseSelector, "ae: autoencoder")
    to_settings(wizard, logic, world, "Tiny", "shows normal")
    poll_until(logic, lambda: ui.estimateText.text.startswith("About"))
    press(ui.nextButton)
    poll_until(logic, lambda: wizard.page == 4)
    assert Model.load(models_folder() / "shows normal.invdetect").settings.matchgen == small
    assert "MatchGen, base model ae" in ui.cardText.plainText
    press(ui.anotherButton)
    choose(ui.methodSelector, "InvDetect: by the noise that it sees")
    assert [ui.presetSelector.itemText(number) for number in range(ui.presetSelector.count)] == before
    assert wizard.choices().base is None


def test_a_preview_for_matchgen_says_that_whole_slices_are_looked_at(wizard: TrainingWidget, logic: TrainingLogic, world: World) -> None:
    ui = wizard.ui
    choose(ui.methodSelector, "MatchGen: shows what is normal, too")
    path_box(wizard).currentPath = str(world.normals)
    poll_until(logic, lambda: ui.nextButton.enabled)
    press(ui.nextButton)
    poll_until(logic, lambda: "the whole slice" in ui.previewText.text)
    choose(ui.gridSelector, "mm a pixel")
    ui.gridSpinBox.value = 1.0
    poll_until(logic, lambda: "give a grid instead of a spacing" in ui.previewText.text)


def test_what_is_chosen_later_decides_anew_which_scans_can_be_used(wizard: TrainingWidget, logic: TrainingLogic, world: World) -> None:
    ui = wizard.ui
    to_settings(wizard, logic, world, "tiny", "heads")
    assert ui.nextButton.enabled
    press(ui.backButton)
    choose(ui.gridSelector, "mm a pixel")
    ui.gridSpinBox.value = 50.0  # the heads are a few pixels wide then
    press(ui.nextButton)
    assert not ui.nextButton.enabled and "Wait" in ui.statusLabel.text
    poll_until(logic, lambda: "Wait" not in ui.statusLabel.text)
    assert not wizard.scans.usable and not ui.nextButton.enabled and ui.statusLabel.text == ui.nextButton.toolTip != ""
    press(ui.backButton)
    ui.gridSelector.currentIndex = 0
    press(ui.nextButton)
    poll_until(logic, lambda: ui.nextButton.enabled)
    assert len(wizard.scans.usable) == 8 and ui.statusLabel.text == ""


def test_a_training_is_paused_stopped_offered_again_and_given_up(
    wizard: TrainingWidget, logic: TrainingLogic, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ui = wizard.ui
    to_settings(wizard, logic, world, "endless", "long")
    press(ui.nextButton)
    enough = 8  # points of the curve
    poll_until(logic, lambda: len(wizard.training._run.losses) > enough)  # type: ignore[union-attr]
    assert not ui.plotImage.pixmap.isNull() and "patches seen" in ui.numbersText.text and "loss" in ui.numbersText.text
    press(ui.pauseButton)
    assert ui.pauseButton.text == "Go on" and "Waiting" in ui.stageText.text
    press(ui.pauseButton)
    press(ui.cancelButton)
    poll_until(logic, lambda: not wizard.training.running)
    assert ui.stageText.text == "Stopped." and ui.nextButton.text == "Go on" and ui.nextButton.enabled
    press(ui.backButton)
    assert ui.unfinishedFrame.visible and "long" in ui.unfinishedText.text
    press(ui.goOnButton)
    poll_until(logic, lambda: wizard.training._run.losses)  # type: ignore[union-attr]
    assert wizard.page == 3 and not ui.unfinishedFrame.visible
    press(ui.cancelButton)
    poll_until(logic, lambda: not wizard.training.running)
    press(ui.backButton)
    monkeypatch.setattr(training_widget.slicer.util, "confirmOkCancelDisplay", lambda text: True)
    press(ui.discardButton)
    assert not ui.unfinishedFrame.visible and logic.unfinished() is None and not list(models_folder().glob("*.checkpoint"))


def test_a_wizard_that_is_opened_anew_offers_what_was_left(choices: TrainingChoices) -> None:
    store = Settings()
    logic = TrainingLogic(store=store)
    run, failures = begin(logic, choices.changed(preset="endless"))
    logic.close()
    again = TrainingLogic(store=store)
    wizard = TrainingWidget(again)
    wizard.widget.show()
    assert wizard.ui.unfinishedFrame.visible
    press(wizard.ui.goOnButton)
    poll_until(again, lambda: wizard.training._run.losses)  # type: ignore[union-attr]
    wizard.cleanup()
    wizard.widget.hide()


def test_a_folder_without_scans_and_a_killed_worker_leave_the_wizard_usable(
    wizard: TrainingWidget, logic: TrainingLogic, world: World, tmp_path: Path
) -> None:
    ui = wizard.ui
    (tmp_path / "nothing").mkdir()
    path_box(wizard).currentPath = str(tmp_path / "nothing")
    poll_until(logic, lambda: "There is no scan in" in ui.scansSummary.text)
    assert not ui.nextButton.enabled
    path_box(wizard).currentPath = str(tmp_path / "missing")
    poll_until(logic, lambda: "There is no folder" in ui.scansSummary.text)
    to_settings(wizard, logic, world, "endless", "long")
    press(ui.nextButton)
    poll_until(logic, lambda: wizard.training._run.losses)  # type: ignore[union-attr]
    os.kill(logic.client._link.pid, signal.SIGKILL)  # type: ignore[union-attr]
    poll_until(logic, lambda: not wizard.training.running)
    assert "ended unexpectedly" in ui.statusLabel.text and ui.reportButton.visible and ui.backButton.enabled


def test_the_module_opens_fast_and_loads_no_torch(tmp_path: Path) -> None:
    started = time.perf_counter()
    module = load_module("InvDetectTraining")
    assert time.perf_counter() - started < 1.5  # 0.3 where nothing else runs
    assert module.panel is not None
    module.cleanup()
