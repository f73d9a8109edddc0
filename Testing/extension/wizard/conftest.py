"""The logic of training with its real worker, and presets that tests can wait for; imported late, because without Qt the tests skip."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from InvDetectSlicerLib.training_logic import TrainingLogic
    from InvDetectSlicerLib.worker.client import WorkerClient
    from InvDetectSlicerLib.worker.training_choices import TrainingChoices

    from Testing.support.tiny_model import World


@pytest.fixture
def presets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One that takes seconds, and one that does not end while a test watches; and a models folder of one's own."""
    from InvDetectLib.models import presets as preset_room
    from Testing.support.tiny_model import TINY
    from Testing.support.trainings import with_steps

    for name, made in {"tiny": TINY, "endless": with_steps(20_000)}.items():
        monkeypatch.setitem(preset_room.PRESETS, name, replace(made, preset=name))
    monkeypatch.setenv("INVDETECT_MODELS", str(tmp_path / "Modelle 型"))


@pytest.fixture(scope="module")
def client() -> Iterator[WorkerClient]:
    """One worker for all tests of a file that do not harm it."""
    from InvDetectSlicerLib.worker.client import WorkerClient

    client = WorkerClient(sys.executable)
    yield client
    client.stop()


@pytest.fixture
def logic(client: WorkerClient) -> Iterator[TrainingLogic]:
    """Training, with no settings of the application yet; its runs end with the test."""
    from InvDetectSlicerLib.training_logic import TrainingLogic

    from Testing.support.slicer_host.qt_host import Settings
    from Testing.support.trainings import poll_until

    logic = TrainingLogic(client, store=Settings())
    yield logic
    for run in logic._runs:
        run.cancel()
    poll_until(logic, lambda: not client.busy)


@pytest.fixture
def choices(world: World) -> TrainingChoices:
    """To train on the made heads by the tiny preset."""
    from InvDetectSlicerLib.worker.training_choices import TrainingChoices

    return TrainingChoices(folder=str(world.normals), preset="tiny", name="heads", modality="made heads", device="cpu")
