"""The worker's command `detect`: the same result as the library's, told slice by slice, and stopped or paused when asked."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from InvDetectSlicerLib.worker.client import WorkerClient

from InvDetectLib.detection import Detector
from InvDetectLib.results.result import Result
from Testing.support.worker_clients import PATIENCE, ask, done, until

# What comes of it


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


# What it is asked


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
