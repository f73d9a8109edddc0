"""What the wizard's second and third page offer, also while the worker is slow. Qt is real, the worker answers when the test says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from Testing.support.needs import QT, need

need(*QT)

from Testing.support.quiet_wizard import fill, quiet_wizard  # noqa: E402
from Testing.support.silent_worker import SilentWorker  # noqa: E402
from Testing.support.slicer_host.qt_host import true_properties  # noqa: E402

true_properties(__name__)

pytestmark = pytest.mark.usefixtures("host")


def test_what_can_compute_is_asked_and_listed_once_whatever_is_chosen_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INVDETECT_MODELS", str(tmp_path / "models"))
    scans, worker = tmp_path / "scans", SilentWorker()
    scans.mkdir()
    with quiet_wizard(worker) as wizard:
        ui = wizard.ui
        fill(wizard, worker, scans)
        for _ in range(2):
            ui.nextButton.click()
        ui.presetSelector.currentIndex = 1
        ui.backButton.click()
        ui.nextButton.click()
        for job in worker.of("devices"):
            job.answer(devices={"cuda:0": "a GPU", "cpu": "cpu"})
        ui.presetSelector.currentIndex = 0
        assert [ui.deviceSelector.itemText(i) for i in range(ui.deviceSelector.count)] == ["the fastest there is", "a GPU", "CPU"]
        assert len(worker.of("devices")) == 1


@pytest.mark.parametrize(("unit", "chosen"), [(1, {"grid": 128}), (2, {"spacing_mm": 1.5})])
def test_a_resolution_begins_with_a_usual_number_in_whichever_unit_is_chosen_first(unit: int, chosen: dict[str, float]) -> None:
    with quiet_wizard(SilentWorker()) as wizard:
        ui = wizard.ui
        ui.gridSelector.currentIndex = unit
        values = wizard.preparation.values()
        assert {name: values[name] for name in ("grid", "spacing_mm") if values[name] is not None} == chosen
        ui.gridSpinBox.value = other = 200.0 if unit == 1 else 0.75
        ui.gridSelector.currentIndex = 0
        ui.gridSelector.currentIndex = unit
        assert ui.gridSpinBox.value == other  # a number that was typed stays for its unit
