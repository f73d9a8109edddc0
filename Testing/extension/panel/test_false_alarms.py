"""The picture beside a model's words: what it flags of held-out normal scans. On both pages that show it, in real Qt."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from Testing.support.needs import QT, need

slicer = need(*QT)

from PySide6 import QtGui, QtWidgets  # noqa: E402

from Testing.support import REPOSITORY  # noqa: E402
from Testing.support.quiet_wizard import quiet_wizard  # noqa: E402
from Testing.support.silent_worker import SilentWorker  # noqa: E402
from Testing.support.slicer_host.qt_host import dark, load_module, process_events, true_properties  # noqa: E402

true_properties(__name__)

from InvDetectSlicerLib.panel.chart import FalseAlarms, false_alarm_plot, show_false_alarms  # noqa: E402

from InvDetectLib.models import read_header  # noqa: E402

pytestmark = pytest.mark.usefixtures("host")
SHIPPED = sorted((REPOSITORY / "Resources" / "Models").glob("*.invdetect"))
OLD = sorted((REPOSITORY / "Testing" / "golden").glob("*.invdetect"))
CARD = {"calibrated_on": {"scans": 5}}
CALIBRATION: dict[str, Any] = {
    "contiguities": [0.0, 1.0, 2.0],
    "rates": [0.001, 0.01, 0.1],
    "thresholds": [[2.0, 1.0, 0.2], [1.5, 0.5, 0.0], [1.0, 0.4, -0.1]],
    "default_threshold": 0.5,
    "normal_area": 0.0096,
}


@pytest.fixture(scope="module")
def panel() -> Iterator[Any]:
    widget = load_module("InvDetect")
    widget.parent.show()
    process_events()
    yield widget.panel
    widget.cleanup()


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in CALIBRATION.items() if key != name}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_about_this_model_shows_what_a_shipped_model_flags(panel: Any, path: Path) -> None:
    panel.models.choose(path.stem)
    panel.ui.aboutButton.collapsed = False
    process_events()
    area = read_header(path)["calibration"]["normal_area"]
    assert panel.ui.alarmsImage.visible and not panel.ui.alarmsImage.pixmap.isNull()
    assert f"flags {100 * area:.2g} % at its default threshold" in panel.ui.alarmsImage.accessibleName
    assert panel.ui.alarmsImage.pixmap.width() <= 350  # the panel stays 400 pixels wide


@pytest.mark.parametrize("path", [*SHIPPED, *OLD], ids=lambda path: path.stem)
def test_the_result_page_of_the_wizard_shows_it_too(path: Path) -> None:
    with quiet_wizard(SilentWorker()) as wizard:
        wizard.result.show(str(path))
        wizard._show(4)
        assert wizard.ui.alarmsImage.visible and not wizard.ui.alarmsImage.pixmap.isNull()
        assert "default threshold" in wizard.ui.alarmsImage.accessibleName
        labels = [label.text for label in wizard.widget.findChildren(QtWidgets.QLabel)]
        assert "Threshold:" in labels and "Contiguity (lambda):" in labels and not any("tau" in text for text in labels)


def test_the_words_name_scans_shares_and_thresholds() -> None:
    alarms = FalseAlarms.of(CALIBRATION, CARD)
    assert alarms is not None and alarms.thresholds == (0.0, 0.5, 1.5) and alarms.shares == (0.1, 0.01, 0.001)
    assert alarms.text() == (
        "Of the tissue of 5 held-out normal scans, the model flags 0.96 % at its default threshold of 0.50, 10 % at 0.00 "
        "and 0.1 % at 1.50."
    )


@pytest.mark.parametrize(
    "calibration",
    [
        {},
        *(without(name) for name in CALIBRATION),
        {**CALIBRATION, "contiguities": [0.0, 2.0, 4.0]},
        {**CALIBRATION, "thresholds": [[1.0]]},
        {**CALIBRATION, "thresholds": 3},
        {**CALIBRATION, "thresholds": [[], [0.5, 0.5, 0.5], []]},
        {**CALIBRATION, "thresholds": [[], [0.0, 0.5, 1.5], []]},
        {**CALIBRATION, "thresholds": [[], ["a", "b", "c"], []]},
        {**CALIBRATION, "rates": [0.0, 0.01, 0.1]},
        {**CALIBRATION, "rates": [10**400, 0.01, 0.1]},
        {**CALIBRATION, "normal_area": None},
        {**CALIBRATION, "default_threshold": float("nan")},
    ],
    ids=lambda calibration: json.dumps(calibration)[:40],
)
def test_a_model_that_does_not_know_has_no_picture_and_takes_no_room(calibration: dict[str, Any]) -> None:
    label = QtWidgets.QLabel()
    show_false_alarms(label, CALIBRATION, CARD)
    assert label.visible
    show_false_alarms(label, calibration, CARD)
    assert not label.visible and label.pixmap.isNull() and label.accessibleName == label.toolTip == ""


def test_a_model_that_cannot_be_used_has_no_picture(panel: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INVDETECT_MODELS", str(tmp_path))
    (tmp_path / "damaged.invdetect").write_bytes(b"no model")
    shutil.copy(SHIPPED[0], tmp_path / "whole.invdetect")
    panel.models.refresh()
    panel.models.choose("whole")
    assert not panel.ui.alarmsImage.isHidden()
    panel.models.choose("damaged")
    assert panel.ui.alarmsImage.isHidden()


@pytest.mark.parametrize(("threshold", "share"), [(-3.0, 0.4), (9.0, 0.0), (0.0, 1.0), (0.5, 0.00001)])
def test_a_default_beyond_what_was_measured_is_drawn_within_the_picture(threshold: float, share: float) -> None:
    alarms = FalseAlarms.of({**CALIBRATION, "default_threshold": threshold, "normal_area": share}, {})
    assert alarms is not None and "held-out normal scans" in alarms.text()
    image = drawn(alarms)
    ink = QtWidgets.QApplication.palette().color(QtGui.QPalette.ColorRole.Text)
    square = [(x, y) for x in range(0, image.width() - 6, 3) for y in range(0, image.height() - 6, 3) if is_square(image, x, y, ink)]
    assert square, "the mark of the default is not to be seen"


@pytest.mark.parametrize("colours", [nullcontext, dark], ids=["light", "dark"])
def test_the_picture_can_be_read_without_any_colour(colours: Any) -> None:
    alarms = FalseAlarms.of(CALIBRATION, CARD)
    with colours():
        process_events()
        image = drawn(alarms)
        base = brightness(QtWidgets.QApplication.palette().color(QtGui.QPalette.ColorRole.Base))
    differ = [abs(brightness(image.pixelColor(x, y)) - base) for x in range(image.width()) for y in range(image.height())]
    assert sum(one > 80 for one in differ) > 0.02 * len(differ)  # words, axes and mark
    assert sum(30 < one for one in differ) > 0.03 * len(differ)  # and the curve


def drawn(alarms: Any) -> Any:
    return false_alarm_plot(alarms, 340, 200, QtWidgets.QApplication.palette()).toImage()


def brightness(colour: Any) -> float:
    """0 to 255, as a grey print would have it."""
    return 0.3 * colour.red() + 0.59 * colour.green() + 0.11 * colour.blue()


def is_square(image: Any, x: int, y: int, ink: Any) -> bool:
    return all(image.pixelColor(x + i, y + j) == ink for i in range(5) for j in range(5))
