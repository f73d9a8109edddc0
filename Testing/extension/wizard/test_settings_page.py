"""The wizard's third page: what it offers, while the worker is slow. Qt is real, the worker answers when the test says so."""

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
