"""Training as scripts and the wizard drive it, with the real worker: folders, previews, estimates, models, and trainings taken up again."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from Testing.support.needs import QT, need

slicer = need(*QT)

from Testing.support.slicer_host.qt_host import Settings, start_qt  # noqa: E402
from Testing.support.tiny_model import World, head  # noqa: E402
from Testing.support.trainings import begin, poll_until, with_steps  # noqa: E402
from Testing.support.worker_clients import gone  # noqa: E402

start_qt()

from InvDetectSlicerLib.logic import InvDetectLogic  # noqa: E402
from InvDetectSlicerLib.training_logic import TrainingLogic  # noqa: E402
from InvDetectSlicerLib.worker.training_choices import TrainingChoices, slices_along  # noqa: E402

from InvDetectLib.common.errors import InvDetectError  # noqa: E402
from InvDetectLib.models import presets as preset_room  # noqa: E402
from InvDetectLib.models.model import Model, models_folder  # noqa: E402

pytestmark = pytest.mark.usefixtures("host", "presets")


def test_a_folder_is_told_of_scan_by_scan(logic: TrainingLogic, choices: TrainingChoices, world: World) -> None:
    facts = logic.inspect(choices)
    rows = {Path(row["file"]).name: row for row in (*facts["scans"], *facts["left_out"])}
    for name, reason in world.left_out.items():
        assert reason in rows[name]["problem"]
    usable = [row for row in facts["scans"] if not row["problem"]]
    assert len(usable) == 8 and facts["problem"] == ""
    assert all(row["thumbnail"].dtype == np.uint8 and max(row["thumbnail"].shape) == 96 for row in usable)
    assert sum(slices_along(row, "axial") for row in usable) == 24


def test_slices_are_counted_along_the_plane() -> None:
    row = {"size": [5, 6, 7], "orientation": "PIR"}
    assert [slices_along(row, plane) for plane in ("axial", "coronal", "sagittal")] == [6, 5, 7]
    assert slices_along({"size": [50, 60], "orientation": ""}, "axial") == 1


def test_a_preview_and_an_estimate_come_before_anything_is_trained(logic: TrainingLogic, choices: TrainingChoices, world: World) -> None:
    scan = next(world.normals.rglob("*.mha"))
    facts = logic.preview(choices, scan, 1)
    assert facts["image"].shape == facts["foreground"].shape == (64, 64) and facts["patches"] and facts["slice"] == 1
    cost = logic.estimate(choices, 24)
    assert cost["seconds"] > 0 and cost["slices"] == 24 and cost["memory_bytes"] > 1e8


def test_a_model_is_trained_and_remembered_until_it_is_there(logic: TrainingLogic, choices: TrainingChoices, world: World) -> None:
    events: list[Any] = []
    facts = logic.train(choices, onProgress=events.append)
    model = Model.load(facts["model"])
    assert Path(facts["model"]) == models_folder() / "heads.invdetect" and model.card == facts["card"]
    assert model.card["modality"] == "made heads" and logic.unfinished() is None
    assert [e.facts["samples"] for e in events if "samples" in e.facts][-1] == 80 * 16
    reference = Model.load(world.model)
    for name, values in reference.arrays.items():
        assert np.array_equal(model.arrays[name], values), f"{name} is not as the shell command trains it"
    with pytest.raises(InvDetectError, match="There is a model called heads already"):
        logic.train(choices)


def test_a_training_waits_goes_on_and_stops_and_can_be_taken_up_again(logic: TrainingLogic, choices: TrainingChoices) -> None:
    endless = choices.changed(preset="endless")
    run, failures = begin(logic, endless)
    run.pause()
    poll_until(logic, lambda: time.sleep(0.3) or True)
    step = run.losses[-1]
    time.sleep(0.5)
    logic.poll()
    assert run.losses[-1] == step and run.paused
    run.resume()
    poll_until(logic, lambda: run.losses[-1] > step)
    started = time.monotonic()
    run.cancel()
    poll_until(logic, lambda: failures)
    assert time.monotonic() - started < 2 and failures[0].kind == "cancelled"
    assert logic.unfinished() == endless and endless.checkpoint().exists() and not endless.target().exists()
    reached = run.losses[-1][0]
    with pytest.raises(InvDetectError, match="left from a training"):
        logic.train(endless)
    again = logic.train(endless, resume=True, onFinished=lambda facts: None)
    poll_until(logic, lambda: again.losses)
    assert again.losses[0][0] >= reached
    logic.close()
    logic.discard(endless)
    assert logic.unfinished() is None and not endless.checkpoint().exists()


def test_after_a_kill_another_slicer_finds_the_training_and_goes_on(choices: TrainingChoices, world: World) -> None:
    store, endless = Settings(), choices.changed(preset="endless")
    first = TrainingLogic(store=store)
    run, failures = begin(first, endless)
    run.cancel()
    poll_until(first, lambda: failures)  # a checkpoint as the clock would have made it
    run = first.train(endless, resume=True, onFinished=lambda facts: None, onFailed=failures.append)
    poll_until(first, lambda: run.losses)
    pid = first.client._link.pid  # type: ignore[union-attr]
    os.kill(pid, signal.SIGKILL)
    poll_until(first, lambda: len(failures) == 2)
    assert failures[1].kind == "gone" and gone(pid)
    first.close()
    second = TrainingLogic(store=store)
    try:
        found = second.unfinished()
        assert found == endless
        run = second.train(found, resume=True, onFinished=lambda facts: None)
        poll_until(second, lambda: run.losses)
    finally:
        second.close()  # as Slicer does at its end
    assert TrainingLogic(store=store).unfinished() == endless


def test_damaged_settings_of_the_application_are_ignored(choices: TrainingChoices) -> None:
    for value in ("", "nonsense", "[]", '{"choices": 1, "checkpoint": "x"}', '{"choices": {"folder": 3}, "checkpoint": "x"}', "[" * 9999):
        store = Settings()
        store.setValue("InvDetect/UnfinishedTraining", value)
        assert TrainingLogic(store=store).unfinished() is None


def test_the_example_for_the_python_console_does_what_it_says(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """As it stands, but for the folders, and with a preset that takes seconds."""
    for number in range(2):
        head(tmp_path / f"head-{number}.nrrd", 3000 + number)
    monkeypatch.setitem(preset_room.PRESETS, "quick", replace(with_steps(20), preset="quick"))
    assert TrainingLogic.__doc__ is not None
    example = "\n".join(line[8:] for line in TrainingLogic.__doc__.splitlines() if line.startswith(" " * 8) or not line)
    example = example.replace("C:/normal heads", str(world.normals)).replace("C:/of another scanner", str(tmp_path))
    exec(compile(example, "example", "exec"), {"slicer": slicer})
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "fine" and said[-1].startswith(str(models_folder() / "my-heads.invdetect"))
    assert Model.load("my-heads-2").card["adapted"]["scans"] == 2


def test_what_cannot_be_trained_is_said(logic: TrainingLogic, choices: TrainingChoices, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for changes, text in (
        ({"folder": ""}, "Choose the folder"),
        ({"folder": str(tmp_path / "missing")}, "Choose the folder"),
        ({"folder": str(tmp_path / "empty")}, "There is no scan in"),
        ({"name": "a/b"}, "cannot be called"),
        ({"name": " "}, "cannot be called"),
        ({"foreground": "masks"}, "folder with the masks"),
        ({"grid": 4}, "grid of 4 pixels"),
    ):
        with pytest.raises(InvDetectError, match=text):
            logic.train(choices.changed(**changes))
    assert logic.unfinished() is None


def test_detection_and_training_have_a_process_each(logic: TrainingLogic, choices: TrainingChoices, world: World) -> None:
    run, _ = begin(logic, choices.changed(preset="endless"))
    other = InvDetectLogic()
    try:
        assert "cpu" in other.devices() and run.running
    finally:
        other.close()
