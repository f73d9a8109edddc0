"""The wizard by the keyboard and by ear: on every page Tab leads to every control in the order of use, and each has a name to be spoken.

Qt and its chain of focus are real; what a screen reader would say is taken from the names that it would be given.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from Testing.support.needs import QT, need

slicer = need(*QT)

from PySide6 import QtWidgets  # noqa: E402

from Testing.support import REPOSITORY  # noqa: E402
from Testing.support.focus import controls, jumps, name_of, press, spoken_name, tab_order, type_text, unnamed  # noqa: E402
from Testing.support.quiet_wizard import PREVIEW, fill, quiet_wizard, wait_for  # noqa: E402
from Testing.support.silent_worker import SilentWorker  # noqa: E402
from Testing.support.slicer_host.qt_host import process_events, true_properties  # noqa: E402

true_properties(__name__)

from InvDetectSlicerLib.wizard import TrainingWidget  # noqa: E402

pytestmark = pytest.mark.usefixtures("host")
STEPS = ["backButton", "nextButton"]


@pytest.fixture
def worker() -> SilentWorker:
    return SilentWorker()


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "normal heads"
    folder.mkdir()
    return folder


@pytest.fixture
def wizard(worker: SilentWorker, scans: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TrainingWidget]:
    """With a folder of scans on its first page."""
    monkeypatch.setenv("INVDETECT_MODELS", str(scans.parent / "models"))
    with quiet_wizard(worker) as made:
        fill(made, worker, scans)
        yield made


def turn_to(wizard: TrainingWidget, worker: SilentWorker, page: int) -> None:
    """By the way that users go."""
    ui = wizard.ui
    if page >= 1:
        ui.nextButton.click()
    if page >= 2:
        ui.nextButton.click()
        ui.nameEdit.text = "heads"
    if page == 3:
        ui.nextButton.click()
    if page == 4:
        wizard.result.show(str(REPOSITORY / "Resources" / "Models" / "made-heads.invdetect"))
        wizard._show(4)
    process_events()
    assert wizard.page == page


def assert_usable_by_keyboard(wizard: TrainingWidget, expected: list[str]) -> None:
    window = wizard.widget.window()
    process_events()
    assert tab_order(window) == expected
    assert set(controls(window)) == set(expected), "Tab does not lead to every control"
    assert not jumps(window), "Tab leads back over the page"
    assert not unnamed(window), "a screen reader cannot say what these are"


def test_tab_walks_over_the_scans(wizard: TrainingWidget) -> None:
    assert_usable_by_keyboard(wizard, ["folderPath", "scansTable", "adaptPageButton", "nextButton"])


def test_tab_walks_over_how_scans_are_read(wizard: TrainingWidget, worker: SilentWorker) -> None:
    turn_to(wizard, worker, 1)
    wait_for(lambda: worker.of("preview"))
    worker.of("preview")[-1].answer(**PREVIEW)
    seen = ["modalityEdit", "planeSelector", "gridSelector", "intensitySelector", "foregroundSelector", "previewSlider", "previewSelector"]
    assert_usable_by_keyboard(wizard, [*seen, *STEPS])


def test_tab_walks_over_what_the_choices_bring_up(wizard: TrainingWidget, worker: SilentWorker) -> None:
    turn_to(wizard, worker, 1)
    ui = wizard.ui
    ui.gridSelector.currentIndex = 1
    ui.intensitySelector.currentIndex = next(i for i in range(ui.intensitySelector.count) if "range" in ui.intensitySelector.itemText(i))
    ui.foregroundSelector.currentIndex = 4
    parts = ["gridSelector", "gridSpinBox", "intensitySelector", "windowFrom", "windowTo", "foregroundSelector", "masksPath"]
    assert_usable_by_keyboard(wizard, ["modalityEdit", "planeSelector", *parts, "previewSlider", "previewSelector", *STEPS])


def test_tab_walks_over_the_settings_and_the_card(wizard: TrainingWidget, worker: SilentWorker) -> None:
    turn_to(wizard, worker, 2)
    wizard.ui.methodSelector.currentIndex = 1  # brings the base model up
    worker.of("inspect")[-1].answer(scans=wizard.scans.facts.get("scans", []), left_out=[], problem="")
    wizard.ui.cardButton.collapsed = False
    card = ["intendedUseEdit", "dataEdit", "dataLicenceEdit", "citationEdit", "missesEdit", "licenceEdit"]
    choices = ["methodSelector", "baseSelector", "presetSelector", "nameEdit", "deviceSelector", "cardButton", *card]
    assert_usable_by_keyboard(wizard, [*choices, *STEPS])
    wizard.ui.methodSelector.currentIndex = 0  # brings the direction up instead
    worker.of("inspect")[-1].answer(scans=wizard.scans.facts.get("scans", []), left_out=[], problem="")
    choices[1:3] = ["presetSelector", "directionSelector"]
    assert_usable_by_keyboard(wizard, [*choices, *STEPS])


def test_tab_walks_over_a_training(wizard: TrainingWidget, worker: SilentWorker) -> None:
    turn_to(wizard, worker, 3)
    assert_usable_by_keyboard(wizard, ["pauseButton", "cancelButton"])


def test_tab_walks_over_the_result(wizard: TrainingWidget, worker: SilentWorker) -> None:
    turn_to(wizard, worker, 4)
    assert_usable_by_keyboard(wizard, ["cardText", "useButton", "saveButton", "anotherButton"])


def test_tab_walks_over_what_comes_up_beside_the_pages(wizard: TrainingWidget) -> None:
    ui = wizard.ui
    ui.unfinishedFrame.visible = ui.neededWidget.visible = ui.reportButton.visible = True
    wizard.status.say("Something went wrong.")  # hides the button again
    ui.reportButton.visible = True
    asked, first = ["goOnButton", "discardButton"], ["folderPath", "scansTable", "adaptPageButton"]
    assert_usable_by_keyboard(wizard, [*asked, *first, "installButton", "nextButton", "statusLabel", "reportButton"])


def test_tab_walks_over_adapting(wizard: TrainingWidget, worker: SilentWorker) -> None:
    press(wizard.ui.adaptPageButton, " ")
    process_events()
    assert name_of(QtWidgets.QApplication.focusWidget()) == "adaptModelSelector"
    wizard.ui.adaptNameEdit.text = "heads"
    wait_for(lambda: wizard.ui.nextButton.enabled)
    assert_usable_by_keyboard(wizard, ["adaptModelSelector", "adaptFolderPath", "adaptNameEdit", *STEPS])
    wizard.ui.nextButton.click()
    assert_usable_by_keyboard(wizard, ["adaptStopButton"])


def test_the_keyboard_goes_with_the_page_that_is_turned(wizard: TrainingWidget, worker: SilentWorker) -> None:
    for page, first in ((1, "modalityEdit"), (2, "methodSelector")):
        wizard.widget.activateWindow()
        wizard.ui.nextButton.setFocus()
        press(wizard.ui.nextButton, " ")
        process_events()
        assert wizard.page == page and name_of(QtWidgets.QApplication.focusWidget()) == first
    wizard.ui.backButton.setFocus()
    press(wizard.ui.backButton, " ")
    assert wizard.page == 1 and name_of(QtWidgets.QApplication.focusWidget()) == "modalityEdit"


def test_names_say_what_a_control_is_for(wizard: TrainingWidget) -> None:
    line, button = wizard.ui.folderPath.comboBox(), wizard.ui.folderPath.findChild(QtWidgets.QToolButton)
    assert spoken_name(line) == "Folder of normal scans" and spoken_name(button) == "Browse: Folder of normal scans"
    assert spoken_name(wizard.ui.planeSelector) == "Slices:"


def test_pictures_have_words_for_those_who_do_not_see_them(wizard: TrainingWidget, worker: SilentWorker) -> None:
    turn_to(wizard, worker, 4)
    for picture in ("previewImage", "plotImage", "alarmsImage"):
        assert spoken_name(getattr(wizard.ui, picture))


def test_the_walk_finds_a_control_that_tab_passes_by_a_trap_and_a_jump() -> None:
    window = QtWidgets.QWidget()
    layout = QtWidgets.QVBoxLayout(window)
    line, text = QtWidgets.QLineEdit, QtWidgets.QPlainTextEdit
    boxes: list[Any] = [line(window), line(window), text(window), line(window)]
    for box, name, place in zip(boxes, "abcd", (1, 0, 2, 3)):
        box.objectName = name
        layout.insertWidget(place if layout.count() else 0, box)
    window.show()
    process_events()
    assert tab_order(window) == ["a", "b", "c"] and set(controls(window)) == set("abcd")  # Tab is a letter to c
    assert jumps(window) == [("a", "b")]
    assert unnamed(window) == ["a", "b", "c"]
    type_text(boxes[0], "typed")
    assert boxes[0].text == "typed"
    window.hide()
