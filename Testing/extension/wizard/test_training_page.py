"""The page of a training under way: it says at once what was pressed. Qt is real, the worker answers when the test says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from Testing.support.needs import QT, need

slicer = need(*QT)

from Testing.support.quiet_wizard import quiet_wizard  # noqa: E402
from Testing.support.rehearsed import told, with_rehearsal  # noqa: E402
from Testing.support.silent_worker import SilentWorker  # noqa: E402
from Testing.support.slicer_host.qt_host import true_properties  # noqa: E402
from Testing.support.tiny_model import World  # noqa: E402

true_properties(__name__)

from InvDetectSlicerLib.worker import TrainingChoices  # noqa: E402

from InvDetectLib.models import NOT_REHEARSED  # noqa: E402

pytestmark = pytest.mark.usefixtures("host")


@pytest.fixture
def worker() -> SilentWorker:
    return SilentWorker()


@pytest.fixture
def ui(worker: SilentWorker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The widgets of a wizard that trains."""
    monkeypatch.setenv("INVDETECT_MODELS", str(tmp_path / "models"))
    with quiet_wizard(worker) as wizard:
        wizard.train(TrainingChoices(folder=str(tmp_path), preset="quick", name="heads"), resume=False)
        yield wizard.ui


def test_going_on_says_at_once_what_goes_on(ui: Any, worker: SilentWorker) -> None:
    job = worker.of("train")[0]
    assert ui.stageText.text == "Starting ..."
    ui.pauseButton.click()
    assert ui.stageText.text == "Waiting, as you wished." and job.paused
    ui.pauseButton.click()
    assert ui.stageText.text == "Starting ..." and not job.paused
    job.progress("training", loss=0.5, samples=16)
    assert ui.stageText.text == "Learning what is normal"
    ui.pauseButton.click()
    job.progress("calibrating on held-out normal scans")  # what it did before it came to the place where it waits
    assert ui.stageText.text == "Waiting, as you wished."
    ui.pauseButton.click()
    assert ui.stageText.text == "Calibrating on normal scans that were held out"


def test_a_training_that_stops_says_so_until_it_has_stopped(ui: Any, worker: SilentWorker) -> None:
    job = worker.of("train")[0]
    ui.cancelButton.click()
    job.progress("training", loss=0.5, samples=16)
    assert job.cancelled and ui.stageText.text == "Stopping ..."
    assert not ui.pauseButton.enabled and not ui.cancelButton.enabled


def test_trying_out_made_lesions_is_a_stage_with_a_name(ui: Any, worker: SilentWorker) -> None:
    worker.of("train")[0].progress("rehearsing with made lesions")
    assert ui.stageText.text == "Trying out which made lesions it finds"


@pytest.mark.parametrize("rehearsed", [True, False])
def test_the_result_tells_what_the_model_sees_in_words_and_asks_for_the_chart(
    worker: SilentWorker, world: World, tmp_path: Path, rehearsed: bool
) -> None:
    detail = told(-2.0)
    path = with_rehearsal(world.model, tmp_path / "seen.invdetect", detail) if rehearsed else world.model
    with quiet_wizard(worker) as wizard:
        wizard.result.show(str(path))
        wizard._show(4)
        assert wizard.ui.sightText.text == ("\n".join(detail.sentences()) if rehearsed else "") and wizard.ui.sightText.visible == rehearsed
        assert wizard.ui.chartImage.visible
        if rehearsed:
            asked = worker.of("chart")[0].command
            assert asked["model"] == str(path) and 330 <= asked["width"] <= 360 and not asked["dark"]
            assert wizard.ui.chartImage.text == "Drawing what this model can see ..."
        else:
            assert not worker.of("chart") and wizard.ui.chartImage.text == NOT_REHEARSED
