"""Slicer's worker as the client of a real Dask scheduler: what is detected there comes back as if it had been detected here."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from InvDetectLib.detection import Detector
from InvDetectLib.results.result import Result
from Testing.support.needs import need

need("distributed")

from InvDetectSlicerLib.worker.client import WorkerClient  # noqa: E402

from Testing.support.dask_processes import Scheduler  # noqa: E402
from Testing.support.tiny_model import World  # noqa: E402
from Testing.support.worker_clients import ask, done  # noqa: E402


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with Scheduler(tmp_path_factory.mktemp("dask")) as scheduler:
        scheduler.ensure(1)
        yield scheduler.address


def test_what_there_is_to_compute_with_is_said_in_words(client: WorkerClient, address: str) -> None:
    assert done(client, "scheduler", address=address)["text"] == "1 worker with 1 core."


def test_a_scan_is_detected_there_as_it_is_here(client: WorkerClient, world: World, address: str) -> None:
    scan = world.scans / "head-1000.nii.gz"
    reply = done(client, "detect", model=str(world.model), device=address, scan=str(scan), scr=True)
    here = Detector(world.model, "cpu").detect(scan, stability=False)
    assert reply["device"] == address and reply["findings"] == len(here.findings) > 0
    assert np.array_equal(np.load(client.folder / reply["mask"]), here.mask)
    assert np.allclose(np.load(client.folder / reply["map"]), here.anomaly_map, atol=1e-5)
    assert Result.load(client.folder / f"{reply['result']}.result.json").findings[0].reasons is not None
    assert done(client, "refine", result=reply["result"], contiguity=2.0)["message"] == "done"


def test_a_region_is_looked_at_there(client: WorkerClient, world: World, address: str) -> None:
    scan = world.scans / "head-1000.nii.gz"
    whole = Detector(world.model, "cpu").detect(scan, stability=False)
    half = whole.foreground.copy()
    half[:, :, : half.shape[2] // 2] = False
    np.save(client.folder / "region.npy", half.astype(np.uint8))
    reply = done(client, "detect", model=str(world.model), device=address, scan=str(scan), foreground="region.npy")
    there = Result.load(client.folder / f"{reply['result']}.result.json")
    assert np.array_equal(there.foreground, half)


def test_a_folder_is_examined_there_into_files_here(client: WorkerClient, world: World, address: str, tmp_path: Path) -> None:
    scans, out = tmp_path / "scans", tmp_path / "out"
    shutil.copytree(world.scans, scans)
    (scans / "cut.nii.gz").write_bytes((world.scans / "head-1000.nii.gz").read_bytes()[:200])
    reply = done(client, "detect_folder", model=str(world.model), device=address, scans=str(scans), out=str(out))
    assert {row["scan"]: row["status"] for row in reply["scans"]} == {
        "cut.nii.gz": "failed",
        "head-1000.nii.gz": "done",
        "ward/night/head-1001.nii.gz": "done",
    }
    assert Result.load(out / "head-1000.result.json").findings


@pytest.mark.parametrize(
    ("address", "reason"), [("tcp://127.0.0.1:9", "No Dask scheduler answers"), ("http//nowhere", "is no address of a scheduler")]
)
def test_a_scheduler_that_is_not_there_costs_a_sentence(client: WorkerClient, address: str, reason: str) -> None:
    reply = ask(client, "scheduler", address=address)
    assert reply["message"] == "failed" and reply["kind"] == "error" and reason in reply["text"]
