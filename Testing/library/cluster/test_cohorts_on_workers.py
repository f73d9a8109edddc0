"""Cohorts, evaluations, rehearsals and surveys on real workers: the same results as in one process, also when a worker is killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from InvDetectLib.cluster import connect, connecting
from InvDetectLib.cohort import detect_cohort
from InvDetectLib.common import Progress
from InvDetectLib.detection import Detector
from Testing.support import tiny_model
from Testing.support.needs import need
from Testing.support.tiny_model import World, head, of_one_name, shell, wait_for

need("distributed")

from Testing.support.dask_processes import Scheduler, dies_of_the_second, dies_once, same, tells_place  # noqa: E402


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a machine on which everything else is tested at the same time."""
    monkeypatch.setattr(connecting, "_ANSWER", 60.0)
    monkeypatch.setattr(connecting, "_WORKERS", 120.0)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """As the workers have, or the last digits of maps would differ."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def mark(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made by the first worker that dies; until then workers do."""
    return tmp_path_factory.mktemp("mark") / "died"


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory, mark: Path) -> Iterator[Scheduler]:
    with Scheduler(tmp_path_factory.mktemp("dask")) as one:
        one.ensure(2, mark)
        yield one


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory, world: World) -> Path:
    """Six scans in nested folders: NIfTI, a header with its data beside, a DICOM series, and one that cannot be read."""
    folder = tmp_path_factory.mktemp("cohort")
    head(folder / "first.nii.gz", 2000, lesions=1)
    (folder / "ward").mkdir()
    head(folder / "ward" / "second.nrrd", 2001)
    head(folder / "ward" / "third.mhd", 2002)
    shutil.copytree(world.normals / "dicom" / "series-7", folder / "fourth")
    head(folder / "fifth.nii.gz", 2003)
    (folder / "ward" / "broken.nii.gz").write_bytes(b"no scan")
    return folder


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, world: World, scans: Path) -> Path:
    """The results of one process."""
    out = tmp_path_factory.mktemp("here")
    assert shell("detect", scans, "-m", world.model, "-o", out, "--device", "cpu").status == 1
    return out


def test_two_workers_make_what_one_process_makes_and_go_on_where_they_stopped(
    world: World, scans: Path, here: Path, scheduler: Scheduler, tmp_path: Path
) -> None:
    words = ("detect", scans, "-m", world.model, "-o", tmp_path, "--device", "cpu", "--scheduler", scheduler.address, "--json")
    done = shell(*words)
    assert done.status == 1 and same(here, tmp_path)
    rows = {Path(row["scan"]).name: row["status"] for row in done.json["scans"]}
    assert rows.pop("broken.nii.gz") == "failed" and set(rows.values()) == {"done"} and len(rows) == 5
    (tmp_path / "first.anomaly.nii.gz").write_bytes(b"cut")
    again = {Path(row["scan"]).name: row["status"] for row in shell(*words).json["scans"]}
    assert again.pop("first.nii.gz") == "done" and again.pop("broken.nii.gz") == "failed" and set(again.values()) == {"skipped"}
    assert same(here, tmp_path)


def test_scans_that_are_shipped_give_the_same_results_and_are_read_elsewhere(
    world: World, scans: Path, here: Path, scheduler: Scheduler, tmp_path: Path
) -> None:
    words = ("detect", scans, "-m", world.model, "--device", "cpu", "--scheduler", scheduler.address, "--ship", "--json")
    done = shell(*words, "-o", tmp_path / "all")
    assert done.status == 1 and same(here, tmp_path / "all")
    assert not any("/tmp/invdetect-" in text for text in (done.out, done.err))
    again = {row["status"] for row in shell(*words, "-o", tmp_path / "all").json["scans"]}
    assert again == {"skipped", "failed"} and same(here, tmp_path / "all")
    detector = Detector(world.model, "cpu")
    with connect(scheduler.address) as cluster:
        engine = cluster.engine(detector, "cpu", ship=True)
        detect_cohort(scans / "first.nii.gz", detector, tmp_path / "one", more=tells_place, engine=engine)
    assert not (tmp_path / "one" / "first.sr.dcm").read_text().startswith(str(scans))


@pytest.mark.parametrize("more", [(), ("--ship",)], ids=["on the same disk", "shipped"])
def test_foreground_masks_find_their_scans_on_workers(world: World, scheduler: Scheduler, tmp_path: Path, more: tuple[str, ...]) -> None:
    scans, masks = of_one_name(tmp_path)
    words = ("detect", scans, "-m", world.model, "--device", "cpu", "--foreground", masks)
    assert shell(*words, "-o", tmp_path / "here").status == 0
    assert shell(*words, "-o", tmp_path / "there", "--scheduler", scheduler.address, *more).status == 0
    assert same(tmp_path / "here", tmp_path / "there")


def test_a_worker_that_is_killed_in_the_middle_costs_nothing(
    world: World, scans: Path, scheduler: Scheduler, mark: Path, tmp_path: Path
) -> None:
    detector, progress = Detector(world.model, "cpu"), Progress()
    with connect(scheduler.address, progress=progress) as cluster:
        engine = cluster.engine(detector, "cpu")
        outcomes = detect_cohort(scans, detector, tmp_path / "killed", more=dies_once, engine=engine, progress=progress)
    assert mark.exists() and sum(worker.poll() is not None for worker in scheduler.workers) == 1
    assert sorted(outcome.status for outcome in outcomes) == ["done"] * 5 + ["failed"]
    detect_cohort(scans, detector, tmp_path / "here", more=dies_once)  # which kills no process but workers
    assert same(tmp_path / "here", tmp_path / "killed")
    scheduler.ensure(2)


def test_evaluation_rehearsal_and_survey_say_what_one_process_says(world: World, scheduler: Scheduler) -> None:
    place = ("--scheduler", scheduler.address)
    for words in (
        ("evaluate", world.scans, world.masks, "-m", world.model, "--normals", world.normals / "dicom", "--device", "cpu", "--ship"),
        ("rehearse", world.model, world.scans, "--device", "cpu"),
        ("train", world.normals, "-o", "none.invdetect", "--preset", "tiny", "--dry-run"),
    ):
        here, there = (shell(*(word for word in words if word != "--ship"), "--json"), shell(*words, *place, "--json"))
        assert here.status == there.status == 0, there.err
        rows, others = here.json.pop("rows", []), there.json.pop("rows", [])
        assert [row | {"seconds": 0} for row in rows] == [row | {"seconds": 0} for row in others]
        assert {**here.json, "rows": 0} == {**there.json, "rows": 0}


def test_a_scan_that_kills_two_workers_is_one_failed_row_and_the_others_go_on(world: World, scans: Path, tmp_path: Path) -> None:
    detector = Detector(world.model, "cpu")
    with connect(workers=2) as cluster:
        assert cluster.describe() | {"address": ""} == {"address": "", "workers": 2, "cores": 2, "cards": [], "versions": ""}
        outcomes = detect_cohort(scans, detector, tmp_path, more=dies_of_the_second, engine=cluster.engine(detector, "cpu"))
    rows = {outcome.found.path.name: outcome for outcome in outcomes}
    assert "was lost" in rows["second.nrrd"].reason
    assert [rows[name].status for name in ("first.nii.gz", "third.mhd", "fourth", "fifth.nii.gz")] == ["done"] * 4
    assert not list(tmp_path.rglob(".invdetect-*")) and not list(tmp_path.rglob("second*"))


def test_ctrl_c_ends_the_workers_and_leaves_whole_results(world: World, tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    source = head(tmp_path / "scans" / "0.nii.gz")
    for number in range(1, 60):
        shutil.copy(source, source.with_name(f"{number}.nii.gz"))
    out = tmp_path / "out"
    command = [sys.executable, tiny_model.__file__, "detect", str(source.parent), "-m", str(world.model), "-o", str(out), "--workers", "2"]
    with subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as run:
        wait_for(lambda: list(out.rglob("*.result.json")))
        os.killpg(run.pid, signal.SIGINT)  # as a terminal does: to the workers, too
        started = time.monotonic()
        err = run.communicate(timeout=60)[1]
    assert run.returncode == 1 and time.monotonic() - started < 20, err
    assert "Stopped on request" in err and "Traceback" not in err
    assert not list(out.rglob(".invdetect-*"))
    wait_for(lambda: not _group(run.pid))
    whole = [json.loads(path.read_text()) for path in out.rglob("*.result.json")]
    assert 0 < len(whole) < 60 and all(told["parts"] for told in whole)


def _group(number: int) -> bool:
    try:
        os.killpg(number, 0)
        return True
    except ProcessLookupError:
        return False
