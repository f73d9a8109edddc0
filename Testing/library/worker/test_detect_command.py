"""The worker's commands as real processes carry them out: the same as the library does, told as it happens, and stopped when asked."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from InvDetectSlicerLib.worker.client import WorkerClient

from InvDetectLib.adaptation import adapt
from InvDetectLib.calibration import Calibration
from InvDetectLib.detection import Detector
from InvDetectLib.models.model import Model
from InvDetectLib.models.settings import Settings
from InvDetectLib.results.result import Result
from InvDetectLib.scans import read_scan
from InvDetectLib.worker.jobs import Job, Outlet, carry_out
from InvDetectLib.worker.protocol import PREFIX
from Testing.support import REPOSITORY
from Testing.support.rehearsed import told, with_rehearsal
from Testing.support.tiny_model import STEPS, TINY, World, full_disk, head, nearly_symmetric, of_one_name, rewrite
from Testing.support.worker_clients import PATIENCE, ask, done, until


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerClient]:
    """One worker for all tests that need no other, as a panel has it."""
    temporary = tmp_path_factory.mktemp("Größe 测试 with spaces")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(temporary))
        client = WorkerClient(sys.executable)
        _ = client.folder
    yield client
    client.stop()
    assert list(temporary.iterdir()) == []


@pytest.fixture(scope="module")
def model(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("modèles avec espaces")
    return Path(shutil.copy(world.model, folder / "mein Gerät 模型.invdetect"))


@pytest.fixture(scope="module")
def scan(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A head with a lesion."""
    folder = tmp_path_factory.mktemp("Größe 测试 with spaces") / ("lang" * 30)
    folder.mkdir()
    return Path(shutil.copy(world.scans / "head-1000.nii.gz", folder / "Schädel 头.nii.gz"))


@pytest.fixture(scope="module")
def tall(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scan that takes long enough to be stopped."""
    path = tmp_path_factory.mktemp("tall") / "tall.nrrd"
    return rewrite(world.scans / "head-1000.nii.gz", path, lambda array: np.repeat(array, 40, axis=0))


class Raw:
    """A worker without its client."""

    def __init__(self, folder: Path, *words: str) -> None:
        program = words or (str(REPOSITORY / "InvDetectLib" / "worker" / "__main__.py"),)
        command = [sys.executable, *program, "--folder", str(folder), "--parent", str(os.getpid())]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=folder)

    def say(self, line: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith(PREFIX) and line.isascii()
        return json.loads(line[len(PREFIX) :])

    def end(self) -> int:
        """Close its input; its exit code."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        code = self.process.wait(10)
        self.process.stdout.close()
        return code


@pytest.fixture
def raw(tmp_path: Path) -> Iterator[Raw]:
    worker = Raw(tmp_path)
    yield worker
    worker.process.kill()
    worker.end()


# The process


def test_the_first_line_comes_at_once_and_before_anything_heavy_is_loaded(tmp_path: Path) -> None:
    before = time.monotonic()
    raw = Raw(tmp_path)
    hello = raw.hear()
    assert time.monotonic() - before < 1
    loaded = Path(f"/proc/{hello['pid']}/maps").read_text()
    assert hello["message"] == "hello" and hello["protocol"] == 1 and "python" in loaded
    assert not [name for name in ("torch", "numpy", "SimpleITK", "sklearn") if name in loaded]
    raw.say(b'{"id": 7, "command": "hello", "protocol": 1}')
    assert raw.hear() | {"pid": 0} == {**hello, "message": "done", "id": 7, "transport": "stdin", "pid": 0}
    assert raw.end() == 0


def test_the_shell_command_is_the_same_worker(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(REPOSITORY))
        raw = Raw(tmp_path, "-m", "InvDetectLib.shell.cli", "worker")
    assert raw.hear()["message"] == "hello"
    raw.say(b'{"id": 1, "command": "quit"}')
    assert raw.hear() == {"message": "done", "id": 1}
    assert raw.end() == 0


NO_COMMANDS = [b"nonsense", b"[1]", b"{}", b'{"id": "1", "command": "load"}', b'{"id": 1, "command": 2}', b"\xff\xfe", b"[" * 9999]


@pytest.mark.parametrize("line", NO_COMMANDS)
def test_a_line_that_is_no_command_is_told_and_the_next_one_read(raw: Raw, line: bytes) -> None:
    raw.hear()
    raw.say(line)
    refused = raw.hear()
    assert (refused["message"], refused["id"], refused["kind"]) == ("failed", None, "error") and "no command" in refused["text"]
    raw.say(b'{"id": 2, "command": "turn to gold"}')
    assert raw.hear()["text"] == "There is no command 'turn to gold'; a newer worker may know it."


def test_a_newer_protocol_is_refused_in_words(raw: Raw) -> None:
    raw.hear()
    raw.say(b'{"id": 1, "command": "hello", "protocol": 9}')
    assert "version 1 of its protocol, and version 9 was asked for; update InvDetect" in raw.hear()["text"]


def test_after_hello_the_other_channel_is_not_listened_to(raw: Raw, tmp_path: Path) -> None:
    raw.hear()
    (tmp_path / "commands.jsonl").write_text('{"id": 1, "command": "hello"}\n{"id": 2, "command": "a"}\n{"id": 3, "comm')
    assert raw.hear()["transport"] == "file" and "'a'" in raw.hear()["text"]
    raw.say(b'{"id": 4, "command": "b"}')
    with open(tmp_path / "commands.jsonl", "a") as file:
        file.write('and": "c"}\n')  # lines are taken once they are whole
    assert "'c'" in raw.hear()["text"]


def test_what_libraries_print_does_not_get_between_the_lines(client: WorkerClient) -> None:
    assert done(client, "devices")["devices"]["cpu"] == "cpu"
    assert done(client, "selfcheck")["versions"].keys() >= {"torch", "numpy", "scikit-learn"}


# Detecting


def test_detecting_gives_what_the_library_gives(client: WorkerClient, model: Path, scan: Path) -> None:
    reply = done(client, "detect", model=str(model), device="cpu", scan=str(scan), rate=0.05, contiguity=2.0)
    own = Detector(model, "cpu").detect(scan, rate=0.05, contiguity=2.0)
    result = Result.load(client.folder / f"{reply['result']}.result.json")
    assert own.findings and result.findings == own.findings and reply["findings"] == len(own.findings)
    assert np.array_equal(result.anomaly_map, own.anomaly_map) and np.array_equal(result.mask, own.mask)
    assert result.controls == own.controls and result.provenance["scan"] == own.provenance["scan"]
    mask, anomaly_map = client.take(reply["mask"]), client.take(reply["map"])
    assert mask.dtype == np.uint8 and np.array_equal(mask, own.mask) and np.array_equal(anomaly_map, own.anomaly_map)
    quickly = Result.load(client.folder / f"{reply['result']}.result.json", anomaly_map, mask)
    assert quickly.findings == own.findings and quickly.mask.dtype == bool
    assert reply["device"] == "cpu" and reply["warnings"] == [] and reply["seconds"] > 0


@pytest.mark.parametrize("orientation", ["LPS", "SAL", "IPR"])
def test_each_slice_is_told_as_it_is_scored_and_is_that_of_the_final_map(
    client: WorkerClient, model: Path, scan: Path, tmp_path: Path, orientation: str
) -> None:
    turned = tmp_path / "turned.nrrd"
    sitk.WriteImage(sitk.DICOMOrient(sitk.ReadImage(str(scan)), orientation), str(turned))
    reply = done(client, "detect", model=str(model), device="cpu", scan=str(turned))
    final = client.take(reply["map"])
    slices = [message for message in reply["messages"] if message["message"] == "slice"]
    assert [(one["number"], one["of"]) for one in slices] == [(1, 3), (2, 3), (3, 3)]
    assert sorted(one["index"] for one in slices) == [0, 1, 2] and final.max() > final.min()
    for one in slices:
        assert np.array_equal(client.take(one["file"]), final.take(one["index"], one["slice_axis"]))
    stages = [message.get("stage", message["message"]) for message in reply["messages"]]
    assert stages.index("slice") < stages.index("refining")


def test_only_the_wanted_slices_are_told(client: WorkerClient, model: Path, scan: Path) -> None:
    reply = done(client, "detect", model=str(model), device="cpu", scan=str(scan), slices=[1, 2])
    assert [(m["number"], m["of"], m["index"]) for m in reply["messages"] if m["message"] == "slice"] == [(1, 1, 1)]
    refused = ask(client, "detect", model=str(model), device="cpu", scan=str(scan), slices=[2, 9])
    assert refused["kind"] == "error" and "Slices 2:9 are not in this scan" in refused["text"]


def test_the_second_run_loads_nothing_and_a_changed_model_is_loaded_again(
    client: WorkerClient, model: Path, scan: Path, tmp_path: Path
) -> None:
    mine = Path(shutil.copy(model, tmp_path / "mine.invdetect"))
    first = done(client, "load", model=str(mine), device="cpu")
    assert first["card"]["modality"] == "made heads" and not first["warm"]
    for _ in range(2):
        assert done(client, "detect", model=str(mine), device="cpu", scan=str(scan))["warm"]
    os.utime(mine, (1, 1))
    assert not done(client, "load", model=str(mine), device="cpu")["warm"]


def test_a_region_is_the_foreground(client: WorkerClient, model: Path, scan: Path) -> None:
    region = np.zeros((3, 64, 64), np.uint8)
    region[:, 10:50, 10:50] = 1
    np.save(client.folder / "region.npy", region)
    reply = done(client, "detect", model=str(model), device="cpu", scan=str(scan), foreground="region.npy")
    values = client.take(reply["map"])
    assert len(np.unique(values[region == 0])) == 1 and len(np.unique(values[region == 1])) > 100
    np.save(client.folder / "region.npy", region[:1])
    refused = ask(client, "detect", model=str(model), device="cpu", scan=str(scan), foreground="region.npy")
    assert refused["kind"] == "error" and "is not of the scan's size (3, 64, 64)" in refused["text"]


def test_a_scan_can_lie_in_the_private_folder_and_nowhere_else_by_name(client: WorkerClient, model: Path, scan: Path) -> None:
    shutil.copy(scan, client.folder / "scan.nii.gz")
    assert done(client, "detect", model=str(model), device="cpu", scan="scan.nii.gz")["findings"] >= 0
    refused = ask(client, "detect", model=str(model), device="cpu", scan="../scan.nii.gz")
    assert refused["kind"] == "error" and "no plain file name" in refused["text"]


def test_the_direction_that_is_asked_for_is_the_one_that_is_scored(client: WorkerClient, directed: Path, scan: Path) -> None:
    peaks = {}
    for direction in ("bright", "dark"):
        words = {"model": str(directed), "device": "cpu", "scan": str(scan), "direction": direction}
        assert not done(client, "load", model=str(directed), device="cpu", direction=direction)["warm"]
        reply = done(client, "detect", **words)
        result = Result.load(client.folder / f"{reply['result']}.result.json")
        own = Detector(directed, "cpu", direction).detect(scan)
        assert reply["warm"] and result.provenance["direction"] == direction and result.findings == own.findings
        peaks[direction] = float(result.anomaly_map.max())
        assert done(client, "check", **words).keys() >= {"warning"} and done(client, "estimate", **words)["slices"] == 3
    assert peaks["bright"] != peaks["dark"]
    own = done(client, "detect", model=str(directed), device="cpu", scan=str(scan))
    assert Result.load(client.folder / f"{own['result']}.result.json").provenance["direction"] == "both"
    refused = ask(client, "detect", model=str(directed), device="cpu", scan=str(scan), direction="sideways")
    assert refused["kind"] == "error" and "not calibrated for the direction 'sideways'; it was for both, bright, dark" in refused["text"]


def test_scores_are_adapted_to_a_scan_when_that_is_asked_for(
    client: WorkerClient, model: Path, directed: Path, scan: Path, tmp_path: Path
) -> None:
    reply = done(client, "detect", model=str(directed), device="cpu", scan=str(scan), adapt="scan")
    own = Detector(directed, "cpu").detect(scan, adapt="scan")
    result = Result.load(client.folder / f"{reply['result']}.result.json")
    assert result.provenance["adapted"] == "scan" and np.array_equal(result.anomaly_map, own.anomaly_map)
    assert len([message for message in reply["messages"] if message["message"] == "slice"]) == 3
    refused = ask(client, "detect", model=str(model), device="cpu", scan=str(scan), adapt="all")
    assert refused["kind"] == "error" and "cannot be adapted to 'all'" in refused["text"]
    words = {"model": str(directed), "device": "cpu", "scans": str(scan.parent), "out": str(tmp_path)}
    assert done(client, "detect_folder", **words, adapt="scan", direction="dark")["scans"][0]["status"] == "done"
    (saved,) = tmp_path.glob("*.result.json")
    provenance = Result.load(saved).provenance
    assert (provenance["adapted"], provenance["direction"]) == ("scan", "dark")


def test_refining_gives_what_the_library_gives_also_from_files_alone(client: WorkerClient, model: Path, scan: Path) -> None:
    reply = done(client, "detect", model=str(model), device="cpu", scan=str(scan))
    stored = client.folder / f"{reply['result']}.result.json"
    own = Result.load(stored).refine(rate=0.1, contiguity=0.5)
    for name in (reply["result"], str(stored)):
        refined = done(client, "refine", result=name, rate=0.1, contiguity=0.5)
        assert np.array_equal(client.take(refined["mask"]), own.mask) and refined["findings"] == len(own.findings)
        assert Result.load(client.folder / f"{refined['result']}.result.json").controls == own.controls
        done(client, "refine", result=reply["result"], scr=False)  # so that the last result is another
    refused = ask(client, "refine", result="result-0")
    assert refused["kind"] == "error" and "cannot be read" in refused["text"]


def test_explaining_draws_a_picture_into_the_private_folder_and_says_the_words(client: WorkerClient, model: Path, scan: Path) -> None:
    reply = done(client, "detect", model=str(model), device="cpu", scan=str(scan))
    why = done(client, "explain", model=str(model), device="cpu", scan=str(scan), result=reply["result"])
    assert (client.folder / why["picture"]).read_bytes().startswith(b"\x89PNG")
    findings = Result.load(client.folder / f"{reply['result']}.result.json").findings
    assert why["words"] == {str(one.label): one.reasons.words() for one in findings if one.reasons is not None} != {}
    other = ask(client, "explain", model="brain-t1", device="cpu", scan=str(scan), result=reply["result"])
    assert other["message"] == "failed" and "another model" in other["text"]


def test_the_chart_of_a_model_is_drawn_into_the_private_folder_in_the_colours_and_width_asked_for(
    client: WorkerClient, model: Path, tmp_path: Path
) -> None:
    detail = told(-2.0)
    seen = with_rehearsal(model, tmp_path / "seen.invdetect", detail)
    pictures = {}
    for dark in (False, True):
        reply = done(client, "chart", model=str(seen), dark=dark, width=340)
        assert reply["words"] == detail.words()
        pictures[dark] = sitk.GetArrayFromImage(sitk.ReadImage(str(client.folder / reply["picture"])))
    assert pictures[False].shape == pictures[True].shape and pictures[True].shape[1] == 340
    assert pictures[False][0, 0, :3].min() == 255 and pictures[True][0, 0, :3].max() < 40
    assert "rehearse" in ask(client, "chart", model=str(model))["text"]
    assert "200 to 2000 pixels wide" in ask(client, "chart", model=str(seen), width=9)["text"]


def test_a_check_says_what_does_not_fit(client: WorkerClient, model: Path, scan: Path) -> None:
    wanted = {"model": str(model), "device": "cpu", "scan": str(scan)}
    assert done(client, "check", **wanted, modality="Made  heads")["warning"] == ""
    assert "said to be CT, and the model was made for made heads" in done(client, "check", **wanted, modality="CT")["warning"]


def test_an_estimate_is_of_the_order_of_what_detecting_takes(client: WorkerClient, model: Path, tall: Path) -> None:
    wanted = {"model": str(model), "device": "cpu", "scan": str(tall)}
    said = done(client, "estimate", **wanted)
    took = done(client, "detect", **wanted, stability=False)["seconds"]
    assert said["slices"] == 120 and said["patches"] > 1200 and 3e8 < said["memory_bytes"] < 3e9
    assert took / 10 < said["seconds"] < took * 10  # other processes may come and go between the two
    part = done(client, "estimate", **wanted, slices=[0, 12])
    assert part["slices"] == 12 and part["patches"] == pytest.approx(said["patches"] / 10, rel=0.2)
    assert done(client, "estimate", model=str(model), device="cpu")["slices"] == 1


@pytest.mark.parametrize(
    ("wish", "reason"),
    [
        ({"scan": "/nowhere/scan.nii.gz"}, "does not exist"),
        ({"model": "unknown"}, "no model 'unknown'"),
        ({"model": 3}, "has 3 as 'model'"),
        ({"model": ""}, "needs its 'model'"),
        ({"device": "cuda:99"}, "'cuda:99' is not available"),
        ({"rate": "many"}, "has 'many' as 'rate'"),
        ({"scr": 1}, "has 1 as 'scr'"),
        ({"slices": [1]}, "two whole numbers"),
        ({"rate": 0.1, "threshold": 1.0}, "contradict each other"),
    ],
)
def test_wrong_words_are_told_in_a_sentence(client: WorkerClient, model: Path, scan: Path, wish: dict[str, Any], reason: str) -> None:
    reply = ask(client, "detect", **{"model": str(model), "device": "cpu", "scan": str(scan), **wish})
    assert reply["message"] == "failed" and reply["kind"] == "error" and reason in reply["text"]


# Stopping


def test_detection_stops_within_a_second_and_the_worker_stays_warm(client: WorkerClient, model: Path, tall: Path) -> None:
    done(client, "load", model=str(model), device="cpu")
    told: list[str] = []
    wanted = {"command": "detect", "model": str(model), "device": "cpu", "scan": str(tall)}
    job = client.send(wanted, lambda message: told.append(message["message"]))
    until(lambda: "slice" in told, client)
    before = time.monotonic()
    job.cancel()
    reply = client.wait(job, PATIENCE)
    assert reply["kind"] == "cancelled" and time.monotonic() - before < 1
    assert done(client, "load", model=str(model), device="cpu")["warm"]


def test_a_paused_detection_waits_and_then_goes_on(client: WorkerClient, model: Path, tall: Path) -> None:
    told: list[str] = []
    wanted = {"command": "detect", "model": str(model), "device": "cpu", "scan": str(tall), "slices": [0, 60], "stability": False}
    job = client.send(wanted, lambda message: told.append(message["message"]))
    until(lambda: "slice" in told, client)
    job.pause()
    time.sleep(1)
    client.poll()
    count = len(told)
    assert count < 120
    time.sleep(1)
    client.poll()
    assert len(told) == count and not job.finished
    job.resume()
    assert client.wait(job, PATIENCE)["message"] == "done" and told.count("slice") == 60


def test_what_is_paused_can_be_cancelled(client: WorkerClient, model: Path, tall: Path) -> None:
    told: list[str] = []
    job = client.send({"command": "detect", "model": str(model), "device": "cpu", "scan": str(tall)}, lambda m: told.append(m["message"]))
    until(lambda: "slice" in told, client)
    job.pause()
    time.sleep(0.5)
    before = time.monotonic()
    job.cancel()
    assert client.wait(job, PATIENCE)["kind"] == "cancelled" and time.monotonic() - before < 1
    assert done(client, "load", model=str(model), device="cpu")["warm"]


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


def test_a_folder_is_shown_with_all_that_was_found_in_it(client: WorkerClient, world: World) -> None:
    reply = done(client, "inspect", folder=str(world.normals), settings=TINY.as_dict())
    usable = [row for row in reply["scans"] if not row["problem"]]
    assert len(usable) == 8 and reply["problem"] == "" and reply["preparation"]["channels"] == 1
    row = next(row for row in usable if row["file"] == "2019/maria lopez/head-0003.nrrd")
    assert (row["size"], row["spacing"], row["kind"], row["orientation"]) == ([64, 64, 3], [3.5, 3.5, 24.0], "grey", "LPS")
    assert row["range"][0] < row["range"][1] and Path(row["path"]).is_file()
    others = {Path(row["file"]).name: row["problem"] for row in [*reply["scans"], *reply["left_out"]] if row["problem"]}
    assert others.keys() == world.left_out.keys() and all(words in others[name] for name, words in world.left_out.items())
    pictures = [client.take(row["thumbnail"]) for row in reply["scans"]]
    assert {picture.dtype.name for picture in pictures} == {"uint8"} and max(max(picture.shape) for picture in pictures) == 96
    assert {picture.ndim for picture in pictures} == {2, 3}


def test_a_folder_that_cannot_be_trained_on_is_shown_with_the_reason(client: WorkerClient, world: World, tmp_path: Path) -> None:
    shutil.copy(world.normals / "mueller" / "head-0001.nii.gz", tmp_path)
    reply = done(client, "inspect", folder=str(tmp_path), preset="quick", grid=64)
    assert len(reply["scans"]) == 1 and "at least 3 are needed" in reply["problem"]
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "There is no scan in" in done(client, "inspect", folder=str(empty))["problem"]
    assert "no preset 'best'" in ask(client, "inspect", folder=str(tmp_path), preset="best")["text"]


def test_thumbnails_are_upright_whatever_way_the_file_runs(client: WorkerClient, scan: Path, tmp_path: Path) -> None:
    for orientation in ("LPS", "RAI", "SAR"):
        sitk.WriteImage(sitk.DICOMOrient(sitk.ReadImage(str(scan)), orientation), str(tmp_path / f"{orientation}.nrrd"))
    rows = done(client, "inspect", folder=str(tmp_path), settings=TINY.as_dict())["scans"]
    first, *others = [client.take(row["thumbnail"]).astype(int) for row in rows]
    assert len(others) == 2 and first.shape == (96, 96)
    assert all(np.abs(first - other).max() <= 1 for other in others)
    assert first.std() > 20 and np.abs(first - first[::-1]).max() > 20


def test_a_preview_shows_what_the_model_will_see(client: WorkerClient, scan: Path) -> None:
    reply = done(client, "preview", scan=str(scan), settings=TINY.as_dict(), slice=1)
    image, inside = client.take(reply["image"]), client.take(reply["foreground"]) > 0
    assert (image.dtype, image.shape, inside.shape) == (np.uint8, (64, 64), (64, 64))
    assert (reply["patch_size"], reply["slice"], reply["slices"], reply["unit"]) == (16, 1, 3, "mm")
    corners = np.array(reply["patches"])
    assert len(corners) > 20 and corners.max() <= 48 and all(inside[r : r + 16, c : c + 16].mean() >= 0.05 for r, c in corners)
    assert np.corrcoef(image[inside], read_scan(scan).array[1][inside])[0, 1] > 0.9
    assert "There is no slice 7" in ask(client, "preview", scan=str(scan), settings=TINY.as_dict(), slice=7)["text"]


def test_a_preview_shows_the_foreground_mask_of_the_scans_own_folder(client: WorkerClient, tmp_path: Path) -> None:
    scans, masks = of_one_name(tmp_path)
    settings = dataclasses.replace(TINY, preparation=dataclasses.replace(TINY.preparation, foreground="masks")).as_dict()
    words = {"settings": settings, "masks": str(masks), "slice": 1}
    for patient, columns in (("p1", slice(0, 32)), ("p2", slice(32, 64))):
        reply = done(client, "preview", scan=str(scans / patient / "flair.nii.gz"), folder=str(scans), **words)
        inside = client.take(reply["foreground"]) > 0
        assert inside[:, columns].all() and inside.sum() == 64 * 32
    told = ask(client, "preview", scan=str(scans / "p1" / "flair.nii.gz"), **words)["text"]
    assert told.startswith("Several masks fit flair")


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


# Trouble


def test_a_full_disk_is_told_and_the_worker_lives_on(model: Path, scan: Path) -> None:
    client = WorkerClient(sys.executable)
    with full_disk(20_000):  # of the worker, which inherits it
        job = client.send({"command": "detect", "model": str(model), "device": "cpu", "scan": str(scan)})
    reply = client.wait(job, PATIENCE)
    assert reply["kind"] == "error" and "room" in reply["text"] and "Traceback" not in reply["text"]
    assert done(client, "load", model=str(model), device="cpu")["warm"]
    client.stop()


def test_a_bug_is_told_by_its_last_line_and_its_log_names_no_scan(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(path: Path) -> None:
        raise LookupError(f"no unit in {path}, '{path.name}'")

    monkeypatch.setattr("InvDetectLib.worker.commands.read_scan", broken)
    with open(tmp_path / "lines", "wb") as lines:
        wish = {"command": "detect", "model": str(model), "device": "cpu", "scan": str(tmp_path / "Maier Anna.nrrd")}
        carry_out(Job(7, wish, tmp_path, Outlet(lines.fileno())))
    reply = json.loads((tmp_path / "lines").read_bytes().splitlines()[-1].removeprefix(PREFIX))
    assert reply["kind"] == "bug" and reply["text"].startswith("LookupError: no unit in")
    log = (tmp_path / reply["log"]).read_text()
    assert "commands.py" in log and "LookupError" in log and "The command 'detect' failed" in log
    assert "Maier" not in log and str(tmp_path) not in log


def test_a_package_that_is_missing_is_named(tmp_path: Path, model: Path) -> None:
    (tmp_path / "sklearn").mkdir()
    (tmp_path / "sklearn" / "__init__.py").write_text("raise ModuleNotFoundError(\"No module named 'sklearn'\", name='sklearn')")
    client = WorkerClient(sys.executable, {**os.environ, "PYTHONPATH": str(tmp_path)})
    reply = ask(client, "selfcheck")
    assert reply["kind"] == "error" and reply["text"].startswith("This Python cannot load sklearn, which InvDetect needs")
    assert done(client, "load", model=str(model), device="cpu")["card"]  # what does not need it still works
    client.stop()
