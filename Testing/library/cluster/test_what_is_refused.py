"""Where nothing can be computed: one sentence each, before any scan is sent."""

from __future__ import annotations

import signal
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from InvDetectLib.cluster import connect, connecting, crew
from InvDetectLib.cluster.slurm import parse_slurm
from InvDetectLib.common import InvDetectError, WrongUse
from Testing.support.needs import need
from Testing.support.tiny_model import World, shell

need("distributed")

from Testing.support.dask_processes import BLIND, NO_INVDETECT, NO_LOCKS_BETWEEN_HOSTS, OTHER_VERSION, Scheduler  # noqa: E402


@pytest.fixture(scope="module")
def lonely(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scheduler]:
    """A scheduler without workers."""
    with Scheduler(tmp_path_factory.mktemp("lonely")) as one:
        yield one


def refused(world: World, scheduler: Scheduler, out: Path) -> str:
    done = shell("detect", world.scans, "-m", world.model, "-o", out, "--device", "cpu", "--scheduler", scheduler.address)
    assert done.status == 1 and not list(out.rglob("*.json"))
    assert "Traceback" not in done.err
    return done.err


def test_a_scheduler_that_is_not_there(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting, "_ANSWER", 1.0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    done = shell("detect", world.scans, "-m", world.model, "-o", tmp_path, "--scheduler", address)
    assert done.status == 1 and f"No Dask scheduler answers at {address}" in done.err and "dask scheduler" in done.err


def test_a_scheduler_without_workers(world: World, lonely: Scheduler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting, "_WORKERS", 2.0)
    assert f"There are no workers at {lonely.address} (waited for" in refused(world, lonely, tmp_path)


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (OTHER_VERSION, "has InvDetect 0.0.9, and this is "),
        (NO_INVDETECT, "lacks InvDetect"),
        (BLIND, "does not see"),
        (NO_LOCKS_BETWEEN_HOSTS, "does not notice which files"),
    ],
)
def test_a_worker_that_is_of_no_use(world: World, lonely: Scheduler, tmp_path: Path, told: str, why: str) -> None:
    with lonely.odd(told):
        told = refused(world, lonely, tmp_path / "unseen")
        assert why in told and ("--ship" in told) == ("see" in why or "notice" in why)


def test_a_worker_that_is_frozen_is_told_and_not_waited_for(
    world: World, lonely: Scheduler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lonely.odd() as process:
        with connect(lonely.address) as cluster:
            assert cluster.describe()["workers"] == 1
        process.send_signal(signal.SIGSTOP)
        monkeypatch.setattr(crew, "_GREETING", 1.0)
        assert "does not answer" in refused(world, lonely, tmp_path)


def test_a_worker_that_lacks_the_device_says_so(world: World, lonely: Scheduler, tmp_path: Path) -> None:
    with lonely.odd():
        words = ("--device", "cuda:7", "--scheduler", lonely.address)
        done = shell("detect", world.scans, "-m", world.model, "-o", tmp_path, *words)
    assert done.status == 1 and "cannot load the model" in done.err and "There are no workers" not in done.err


def test_tls_without_certificates_is_a_sentence(world: World, tmp_path: Path) -> None:
    done = shell("detect", world.scans, "-m", world.model, "-o", tmp_path, "--scheduler", "tls://127.0.0.1:1")
    assert done.status == 1 and "wants certificates" in done.err


@pytest.mark.parametrize(
    "words",
    [
        ("--scheduler", "host:8786"),
        ("--workers", "0"),
        ("--workers", "many"),
        ("--slurm", "partition"),
        ("--slurm", "jobs=none"),
        ("--slurm", "comment=two\nlines"),
        ("--ship",),
        ("--scheduler", "tcp://a:1", "--workers", "2"),
    ],
)
def test_words_that_cannot_be(world: World, tmp_path: Path, words: tuple[str, ...]) -> None:
    if "--slurm" in words:
        need("dask_jobqueue")
    assert shell("detect", world.scans, "-m", world.model, "-o", tmp_path, *words).status == 2


def test_workers_take_no_part_in_training_itself(world: World, tmp_path: Path) -> None:
    done = shell("train", world.normals, "-o", tmp_path / "model.invdetect", "--workers", "2")
    assert done.status == 2 and "--dry-run" in done.err


@pytest.mark.parametrize(("words", "module"), [({"workers": 1}, "distributed"), ({"slurm": "cores=1"}, "dask_jobqueue")])
def test_without_the_packages_the_extra_is_named(words: dict[str, str], module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InvDetectError, match=r'pip install "invdetect\[cluster\]"'), connect(**words):  # type: ignore[arg-type]
        pass


# Slurm


def test_words_for_slurm_are_understood() -> None:
    words = "partition=gpu,time=08:00:00,cores=8,memory=32GB,gres=gpu:1,nodelist=a1,a2,jobs=4"
    options, jobs = parse_slurm(words)
    assert jobs == 4 and options["queue"] == "gpu" and options["walltime"] == "08:00:00"
    assert (options["cores"], options["memory"], options["processes"]) == (8, "32GB", 1)
    assert options["job_extra_directives"] == ["--gres=gpu:1", "--nodelist=a1,a2"]
    with pytest.raises(WrongUse):
        parse_slurm("gres=gpu:1 --wrap=rm")


def test_jobs_of_slurm_compute(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slurm's commands are played by two scripts that start and end the job on this computer."""
    need("dask_jobqueue")
    tools, out = tmp_path / "tools", tmp_path / "out"
    tools.mkdir()
    script = '#!/bin/sh\ncp "$1" "$0.script"; setsid sh "$0.script" >/dev/null 2>&1 &\necho "Submitted batch job $!"\n'
    for name, text in (("sbatch", script), ("scancel", '#!/bin/sh\nkill -9 -- "-$1"\n')):
        (tools / name).write_text(text)
        (tools / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", str(tools), prepend=":")
    monkeypatch.chdir(tmp_path)
    words = "partition=short,cores=1,memory=2GB,gres=gpu:0,interface=lo"
    done = shell("detect", world.scans, "-m", world.model, "-o", out, "--device", "cpu", "--slurm", words, "--json")
    assert done.status == 0, done.err
    assert {row["status"] for row in done.json["scans"]} == {"done"}
    told = (tools / "sbatch.script").read_text()
    assert "#SBATCH -p short" in told and "#SBATCH --gres=gpu:0" in told
