"""The worker's commands that make a model: training and adapting as the library does them, stopped, resumed and refused."""

from __future__ import annotations

import dataclasses
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from InvDetectSlicerLib.worker.client import WorkerClient

from InvDetectLib.adaptation import adapt
from InvDetectLib.calibration import Calibration
from InvDetectLib.models.model import Model
from InvDetectLib.models.settings import Settings
from Testing.support.tiny_model import STEPS, TINY, World, head, nearly_symmetric, rewrite
from Testing.support.worker_clients import PATIENCE, ask, done, until

# Training


def longer(steps: int) -> Settings:
    training = dataclasses.replace(TINY.invdetect.training, steps=steps)
    return dataclasses.replace(TINY, invdetect=dataclasses.replace(TINY.invdetect, training=training))


def test_a_training_that_is_stopped_goes_on_and_leaves_only_the_model(client: WorkerClient, world: World, tmp_path: Path) -> None:
    out = tmp_path / "neue Modelle" / "köpfe.invdetect"
    checkpoint = out.with_name(out.name + ".checkpoint")
    settings = longer(4 * STEPS).as_dict()
    settings["preparation"]["modality"] = "made heads"
    wanted = {"command": "train", "normals": str(world.normals), "out": str(out), "settings": settings, "device": "cpu"}
    told: list[dict[str, Any]] = []
    job = client.send(wanted, told.append)
    until(lambda: [m for m in told if m.get("stage") == "training"], client)
    before = time.monotonic()
    job.cancel()
    assert client.wait(job, PATIENCE)["kind"] == "cancelled" and time.monotonic() - before < 1
    assert list(out.parent.iterdir()) == [checkpoint]
    assert "did not finish; resume it" in ask(client, **wanted)["text"]
    again: list[dict[str, Any]] = []
    job = client.send({**wanted, "resume": True}, again.append)
    reply = client.wait(job, PATIENCE)
    assert reply["message"] == "done", reply
    steps = [m for m in again if m.get("stage") == "training"]
    assert steps[0]["done"] > 20 and steps[-1]["done"] == 4 * STEPS and steps[-1]["facts"]["samples"] == 4 * STEPS * 16
    assert all(m["facts"]["loss"] > 0 for m in steps)
    assert {m["text"].partition(" ")[0] for m in again if m["message"] == "warning"} == {"left"}
    assert list(out.parent.iterdir()) == [out] and reply["model"] == str(out) and reply["card"] == Model.load(out).card
    assert "exists already" in ask(client, **wanted)["text"]
    assert done(client, "detect", model=str(out), scan=str(world.scans / "head-1000.nii.gz"), device="cpu")["findings"] >= 0


def test_stopping_the_client_lets_a_training_write_its_checkpoint(world: World, tmp_path: Path) -> None:
    client, told = WorkerClient(sys.executable), list[dict[str, Any]]()
    out, settings = tmp_path / "x.invdetect", longer(9999).as_dict()
    client.send({"command": "train", "normals": str(world.normals), "out": str(out), "settings": settings, "device": "cpu"}, told.append)
    until(lambda: [m for m in told if m.get("stage") == "training"], client)
    client.stop()
    assert [path.name for path in tmp_path.iterdir()] == ["x.invdetect.checkpoint"]


def test_a_model_that_cannot_be_written_is_told_before_the_work(client: WorkerClient, world: World, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    wanted = {"normals": str(world.normals), "settings": TINY.as_dict(), "device": "cpu"}
    reply = ask(client, "train", **wanted, out=str(tmp_path / "file" / "x.invdetect"))
    assert reply["kind"] == "error" and "writable" in reply["text"] and reply["messages"] == []
    assert "no absolute path" in ask(client, "train", **wanted, out="x.invdetect")["text"]
    assert "must end in .invdetect" in ask(client, "train", **wanted, out=str(tmp_path / "x.pt"))["text"]


def test_a_direction_and_a_mirror_are_choices_of_a_training(client: WorkerClient, world: World) -> None:
    for words in ({"direction": "bright"}, {"mirror": False}, {"direction": "dark", "mirror": True}):
        assert done(client, "estimate_training", preset="quick", device="cpu", **words)["seconds"] > 0
        assert done(client, "inspect", folder=str(world.normals), preset="quick", **words)["scans"]
        refused = ask(client, "estimate_training", preset="paper", device="cpu", **words)
        assert refused["kind"] == "error" and "without a direction and without a mirror" in refused["text"]
    refused = ask(client, "inspect", folder=str(world.normals), preset="quick", direction="up")
    assert refused["kind"] == "error" and "There is no direction 'up'; choose one of bright, dark, both" in refused["text"]


def test_what_a_training_will_cost_is_told(client: WorkerClient) -> None:
    few = done(client, "estimate_training", settings=longer(100).as_dict(), device="cpu")
    more = done(client, "estimate_training", settings=longer(10_000).as_dict(), device="cpu", slices=1000)
    assert 0 < few["seconds"] < 60 and more["seconds"] > 20 * few["seconds"] and more["memory_bytes"] > few["memory_bytes"] > 3e8


# Adapting


@pytest.fixture(scope="module")
def elsewhere(directed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Normal heads of another scanner."""
    folder = tmp_path_factory.mktemp("anderer Scanner")
    for number in range(3):
        path = head(folder / f"head-{number}.nrrd", 3000 + number)
        rewrite(path, path, lambda array: 1.3 * nearly_symmetric(array))
    return folder


def test_a_model_is_adapted_as_the_library_does_it(client: WorkerClient, directed: Path, elsewhere: Path, tmp_path: Path) -> None:
    out = tmp_path / "adapted.invdetect"
    words = {"model": str(directed), "normals": str(elsewhere), "out": str(out), "device": "cpu"}
    reply = done(client, "calibrate", **words)
    adapted, own = Model.load(out), adapt(directed, elsewhere, device="cpu")
    assert Calibration.from_dict(adapted.calibration) == Calibration.from_dict(own.calibration)
    assert adapted.card == reply["card"] and reply["model"] == str(out)
    assert adapted.card["adapted"]["scans"] == 3 and adapted.card["adapted"]["from"] == Model.load(directed).checksum
    stages = {message["stage"] for message in reply["messages"] if message["message"] == "progress"}
    assert stages >= {"looking at scans", "preparing scans", "scoring held-out normal scans"}
    before = out.read_bytes()
    again = ask(client, "calibrate", **words)
    assert again["kind"] == "error" and "exists already; give another name" in again["text"] and out.read_bytes() == before


def test_adapting_that_is_stopped_or_cannot_be_done_leaves_nothing(
    client: WorkerClient, directed: Path, elsewhere: Path, tmp_path: Path
) -> None:
    out = tmp_path / "adapted.invdetect"
    words = {"model": str(directed), "normals": str(elsewhere), "out": str(out), "device": "cpu"}
    seen: list[dict[str, Any]] = []
    job = client.send({"command": "calibrate", **words}, seen.append)
    until(lambda: any(message.get("stage") == "preparing scans" for message in seen), client)
    job.cancel()
    assert client.wait(job, PATIENCE)["kind"] == "cancelled" and list(tmp_path.iterdir()) == []
    for wrong, reason in (
        ({"normals": str(elsewhere / "head-0.nrrd")}, "give at least 2 that the model was not trained on"),
        ({"modality": "CT"}, "are said to be CT, and the model was made for made heads"),
        ({"model": str(tmp_path / "no.invdetect")}, "no.invdetect"),
        ({"out": "x.invdetect"}, "no absolute path"),
    ):
        refused = ask(client, "calibrate", **{**words, **wrong})
        assert refused["message"] == "failed" and refused["kind"] == "error" and reason in refused["text"], refused
    assert list(tmp_path.iterdir()) == []
