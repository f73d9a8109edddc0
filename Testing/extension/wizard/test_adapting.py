"""A model is adapted to another scanner in the wizard: what has to be chosen, what is said meanwhile, and what comes of it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from Testing.support.needs import QT, need

slicer = need(*QT)

from Testing.support.quiet_wizard import fill, quiet_wizard, wait_for  # noqa: E402
from Testing.support.silent_worker import SilentWorker  # noqa: E402
from Testing.support.slicer_host.qt_host import Settings, process_events, true_properties  # noqa: E402
from Testing.support.tiny_model import head, nearly_symmetric, rewrite  # noqa: E402
from Testing.support.worker_clients import PATIENCE  # noqa: E402

true_properties(__name__)

from InvDetectSlicerLib.training_logic import TrainingLogic  # noqa: E402
from InvDetectSlicerLib.wizard import TrainingWidget  # noqa: E402
from InvDetectSlicerLib.worker import WorkerClient  # noqa: E402

from InvDetectLib.common.errors import InvDetectError  # noqa: E402
from InvDetectLib.models.model import Model  # noqa: E402

pytestmark = pytest.mark.usefixtures("host")


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, directed: Path) -> Path:
    """A models folder that holds one model."""
    folder = tmp_path / "Modelle 型"
    folder.mkdir()
    shutil.copy(directed, folder)
    monkeypatch.setenv("INVDETECT_MODELS", str(folder))
    return folder


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Normal heads of another scanner, and something else."""
    folder = tmp_path_factory.mktemp("anderer Scanner")
    for number in range(3):
        path = head(folder / f"head-{number}.nrrd", 3000 + number)
        rewrite(path, path, lambda array: 1.3 * nearly_symmetric(array))
    (folder / "notes.txt").write_text("remember the milk")
    return folder


@pytest.fixture
def worker() -> SilentWorker:
    return SilentWorker()


@pytest.fixture
def wizard(worker: SilentWorker, models: Path, elsewhere: Path) -> Iterator[TrainingWidget]:
    """With a folder on its first page, and a worker that answers when the test says so."""
    with quiet_wizard(worker) as made:
        fill(made, worker, elsewhere)
        yield made


def to_page(wizard: TrainingWidget, name: str = "directed elsewhere") -> Any:
    """The widgets of a page on which all is chosen."""
    ui = wizard.ui
    ui.adaptPageButton.click()
    choose(ui.adaptModelSelector, "directed")
    ui.adaptNameEdit.text = name
    wait_for(lambda: ui.nextButton.enabled)
    return ui


def choose(selector: Any, text: str) -> None:
    selector.currentIndex = next(i for i in range(selector.count) if selector.itemText(i).startswith(text))


def test_the_first_page_leads_there_and_back(wizard: TrainingWidget, elsewhere: Path) -> None:
    ui = wizard.ui
    assert ui.adaptPageButton.text == "Adapt a model to this scanner..."
    ui.adaptPageButton.click()
    assert ui.stepLabel.text == "Adapt a model to this scanner" and ui.nextButton.text == "Adapt"
    assert ui.adaptFolderPath.currentPath == str(elsewhere), "the folder is the one of the first page"
    offered = [ui.adaptModelSelector.itemText(i) for i in range(ui.adaptModelSelector.count)]
    assert offered[0] == "directed (made heads)" and any(title.startswith("fundus") for title in offered)
    ui.backButton.click()
    assert wizard.page == 0 and ui.nextButton.text == "Next" and ui.nextButton.enabled


def test_what_is_missing_is_said_before_it_begins(wizard: TrainingWidget, worker: SilentWorker, tmp_path: Path) -> None:
    ui = wizard.ui
    ui.adaptPageButton.click()
    assert not ui.nextButton.enabled and ui.nextButton.toolTip == "Give the adapted model a name."
    ui.adaptNameEdit.text = "con"
    assert "Windows keeps it" in ui.nextButton.toolTip
    ui.adaptNameEdit.text = "directed"
    assert "There is a model of this name already" in ui.nextButton.toolTip
    ui.adaptNameEdit.text = "other"
    assert ui.nextButton.enabled
    for path, reason in (("", "Choose the folder with normal scans"), (str(tmp_path / "no"), "There is no folder"), ("/", "a whole disk")):
        ui.adaptFolderPath.currentPath = path
        wait_for(lambda reason=reason: reason in ui.nextButton.toolTip)
        assert not ui.nextButton.enabled
    assert not worker.of("calibrate") and not ui.adaptMasksPath.visible


def test_progress_is_told_and_stopping_keeps_nothing(wizard: TrainingWidget, worker: SilentWorker, models: Path, elsewhere: Path) -> None:
    ui = to_page(wizard)
    ui.nextButton.click()
    (job,) = worker.of("calibrate")
    assert job.command["model"] == str(models / "directed.invdetect") and job.command["normals"] == str(elsewhere)
    assert job.command["out"] == str(models / "directed elsewhere.invdetect") and "masks" not in job.command
    assert ui.adaptStageText.text == "Starting ..." and ui.adaptStopButton.visible
    assert not ui.nextButton.enabled and not ui.backButton.enabled and not ui.adaptModelSelector.enabled
    job.progress("scoring held-out normal scans", 2, 6)
    assert ui.adaptStageText.text == "Scoring normal scans that were held out"
    assert (ui.adaptProgress.value, ui.adaptProgress.maximum) == (2, 6)
    ui.adaptStopButton.click()
    assert job.cancelled and ui.adaptStageText.text == "Stopping ..." and not ui.adaptStopButton.enabled
    job._ended({"message": "failed", "id": job.id, "kind": "cancelled", "text": "Stopped on request.", "log": ""})
    assert ui.adaptStageText.text == "Stopped. Nothing was kept." and not ui.adaptStopButton.visible
    assert ui.nextButton.enabled and ui.backButton.enabled and ui.adaptModelSelector.enabled and wizard.page == 5
    ui.nextButton.click()
    assert len(worker.of("calibrate")) == 2


def test_what_does_not_fit_is_said_and_can_be_changed(wizard: TrainingWidget, worker: SilentWorker) -> None:
    ui = to_page(wizard)
    ui.nextButton.click()
    (job,) = worker.of("calibrate")
    text = "The model finds its way in these scans so badly that they must be of another modality."
    job._ended({"message": "failed", "id": job.id, "kind": "error", "text": text, "log": ""})
    assert ui.statusLabel.text == text and ui.adaptStageText.text == "" and ui.nextButton.enabled
    assert ui.adaptNameEdit.text == "directed elsewhere"


def test_the_adapted_model_is_installed_and_its_card_shown(models: Path, elsewhere: Path) -> None:
    client = WorkerClient(sys.executable)
    used: list[str] = []
    wizard = TrainingWidget(TrainingLogic(client, store=Settings()), used.append)
    wizard.widget.show()
    ui = wizard.ui
    try:
        ui.folderPath.currentPath = str(elsewhere)
        to_page(wizard).nextButton.click()
        assert wizard.adapting.running
        wait_for(lambda: wizard.page == 4, PATIENCE)
        process_events()
        path = models / "directed elsewhere.invdetect"
        adapted, before = Model.load(path), Model.load(models / "directed.invdetect")
        assert adapted.card["adapted"]["from"] == before.checksum and adapted.card["adapted"]["scans"] == 3
        assert ui.stepLabel.text == "The adapted model"
        assert ui.resultText.text.startswith('The model "directed elsewhere" is ready')
        assert ui.areaText.text.endswith("in the 3 normal scans that it was adapted to")
        card = " ".join(ui.cardText.plainText.split())
        assert "to 3 normal scans of another scanner, without training" in card and "notes.txt" in card
        ui.useButton.click()
        assert used == ["directed elsewhere"]
        with pytest.raises(InvDetectError, match="There is a model called directed elsewhere already"):
            wizard._logic.adapt("directed", elsewhere, "directed elsewhere")
        facts = wizard._logic.adapt("directed", elsewhere, "by a script", device="cpu")
        assert Model.load(facts["model"]).card["adapted"]["scans"] == 3 and facts["seconds"] > 0
    finally:
        wizard.cleanup()
        wizard.widget.hide()
        client.stop()
