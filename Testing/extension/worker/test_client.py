"""The client of the worker with real processes: how they start, stop, are lost and are replaced, and that nothing is left behind."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from InvDetectSlicerLib.worker import client as jobs
from InvDetectSlicerLib.worker.client import WorkerClient

from InvDetectLib.common.errors import InvDetectError
from Testing.support import REPOSITORY
from Testing.support.tiny_model import full_disk
from Testing.support.worker_clients import PATIENCE, ask, done, gone, launcher, until

NO_FOLDER = {"command": "inspect", "folder": "/nowhere/at/all"}  # is answered soon, and without torch


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where private folders are made, under a name that is hard to handle; it must be empty in the end."""
    folder = tmp_path / "Größe 测试 with spaces" / ("long" * 30)
    folder.mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


@pytest.fixture
def client(temporary: Path) -> Iterator[WorkerClient]:
    client = WorkerClient(sys.executable)
    yield client
    client.stop()


def test_what_a_client_that_was_killed_left_is_swept_by_the_next(temporary: Path) -> None:
    left, other, living = (temporary / f"invdetect-{name}" for name in ("left", "other", "living"))
    for folder in (left, other, living):
        folder.mkdir()
    for folder in (left, living):
        (folder / ".invdetect-private").touch()
        os.utime(folder / ".invdetect-private", (0, 0))
    with open(living / ".invdetect-private") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        client = WorkerClient(sys.executable)
        assert client.folder.parent == temporary
        assert not left.exists() and other.exists() and living.exists()
        client.stop()
    for folder in (other, living):
        shutil.rmtree(folder)


def started(client: WorkerClient) -> int:
    """Number of the worker's process, once it is there."""
    done(client, "inspect", folder="/nowhere/at/all")
    return worker_of(client)


def worker_of(client: WorkerClient) -> int:
    (pid,) = [int(p.name) for p in Path("/proc").glob("[0-9]*") if str(client.folder) in program(p)]
    return pid


def program(process: Path) -> str:
    """What it runs with its arguments; "" for a launcher's shell."""
    try:
        words = (process / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
        return ""
    return "" if words[0] == "/bin/sh" else " ".join(words)


# Starting


def test_nothing_is_started_before_it_is_needed(temporary: Path) -> None:
    client = WorkerClient(sys.executable)
    assert not client.running and not client.busy and list(temporary.iterdir()) == []
    client.poll()
    client.stop()


def test_the_client_needs_neither_torch_nor_slicer() -> None:
    code = "import sys; sys.path[:0] = ['InvDetect']; import InvDetectSlicerLib.worker.client; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout.split()
    assert "InvDetectSlicerLib.worker.client" in loaded and not {"torch", "sklearn", "scipy", "SimpleITK", "slicer", "qt"} & set(loaded)


def test_callbacks_come_from_poll_alone_and_in_order(client: WorkerClient) -> None:
    heard: list[Any] = []
    first = client.send(NO_FOLDER, heard.append, lambda reply: heard.append(("first", reply["message"])))
    second = client.send({"command": "nonsense"}, heard.append, lambda reply: heard.append(("second", reply["kind"])))
    time.sleep(1)
    assert heard == [] and client.busy and not first.finished
    client.wait(second, PATIENCE)
    assert heard == [("first", "done"), ("second", "error")]
    assert first.succeeded and not second.succeeded and not client.busy


def test_a_poll_with_a_budget_leaves_the_rest_for_the_next_one(client: WorkerClient) -> None:
    heard: list[str] = []

    def slow(reply: dict[str, Any]) -> None:
        heard.append(reply["message"])
        time.sleep(0.05)

    replies = [client.send({"command": "nonsense"}, None, slow) for _ in range(3)]
    until(lambda: heard, client)
    for job in replies:
        job.cancel()
    client.poll(budget=0.01)
    assert len(heard) == 2
    until(lambda: len(heard) == 3, client)


def test_a_callback_that_fails_harms_no_other(client: WorkerClient) -> None:
    heard: list[str] = []

    def fails(reply: dict[str, Any]) -> None:
        raise ValueError("of the panel")

    job = client.send({"command": "nonsense"}, None, fails)
    after = client.send({"command": "nonsense"}, None, lambda reply: heard.append(reply["kind"]))
    with pytest.raises(ValueError, match="of the panel"):
        client.wait(job, PATIENCE)
    client.wait(after, PATIENCE)
    assert heard == ["error"]


def test_an_executable_that_is_none_is_told_and_the_next_one_tried(temporary: Path) -> None:
    client = WorkerClient(temporary.parent / "no such python")
    for _ in range(2):
        reply = ask(client, "devices")
        assert reply["kind"] == "gone" and "cannot be started" in reply["text"] and "no such python" in reply["text"]
    client.stop()


def test_a_python_that_fails_at_its_start_is_told_with_its_last_words(temporary: Path) -> None:
    broken = temporary.parent / "broken"
    broken.write_text("#!/bin/sh\necho starting\necho 'ImportError: no module named numpy' >&2\nexit 3\n")
    broken.chmod(0o755)
    client = WorkerClient(broken)
    jobs = [client.send({"command": "devices"}) for _ in range(2)]
    replies = [client.wait(job, PATIENCE) for job in jobs]
    assert [reply["kind"] for reply in replies] == ["gone", "gone"]
    assert replies[0]["text"] == "The worker ended unexpectedly (exit code 3): ImportError: no module named numpy"
    assert "ImportError" in Path(replies[0]["log"]).read_text()
    report = client.report()
    assert "Log:\nstarting\nImportError" in report and "worker never started" in report
    assert "Exit code: 3" in report and "Last line: ImportError" in report
    client.stop()


def test_a_worker_that_says_nothing_is_given_up(temporary: Path) -> None:
    silent = temporary.parent / "silent"
    silent.write_text("#!/bin/sh\nsleep 100\n")
    silent.chmod(0o755)
    client = WorkerClient(silent, answer=0.1, start=0.5)
    reply = ask(client, "devices")
    assert reply["kind"] == "gone" and "did not answer within 0.5 s" in reply["text"] and not client.running
    client.stop()


def test_a_worker_of_another_version_of_the_protocol_is_refused(client: WorkerClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "PROTOCOL", 2)
    reply = ask(client, "devices")
    assert reply["kind"] == "error" and "version 1 of its protocol, and version 2 was asked for; update InvDetect" in reply["text"]
    assert not client.running


def test_the_environment_is_the_one_that_was_given(temporary: Path, tmp_path: Path) -> None:
    shows = tmp_path / "shows"
    shows.write_text('#!/bin/sh\nenv >&2\nexit 1\n')
    shows.chmod(0o755)
    client = WorkerClient(shows, environment={"PATH": os.environ["PATH"], "MINE": "yes"})
    log = ask(client, "devices")["log"]
    assert {"MINE=yes", "PYTHONUNBUFFERED=1", "PYTHONIOENCODING=utf-8"} <= set(Path(log).read_text().splitlines())
    assert "HOME=" not in Path(log).read_text()
    client.stop()


# Launchers


@pytest.mark.parametrize(("reads_input", "transport"), [(True, "stdin"), (False, "file")])
def test_a_launcher_is_spoken_to_by_whatever_it_passes_on(temporary: Path, reads_input: bool, transport: str) -> None:
    client = WorkerClient(launcher(temporary.parent / "python slicer", reads_input=reads_input), answer=0.5)
    pid = started(client)
    assert f"by {transport}" in client.report()
    assert ask(client, "nonsense")["kind"] == "error"
    client.stop()
    until(lambda: gone(pid), seconds=5)


@pytest.mark.parametrize("reads_input", [True, False])
def test_what_cannot_stop_is_ended_with_all_that_the_launcher_started(temporary: Path, reads_input: bool) -> None:
    client = WorkerClient(launcher(temporary.parent / "python slicer", reads_input=reads_input), grace=0.2, answer=0.5)
    pid = started(client)
    job = client.send({"command": "selfcheck"})  # importing torch hears nobody
    client.poll()
    time.sleep(0.3)
    before = time.monotonic()
    job.cancel()
    assert client.wait(job, PATIENCE)["kind"] == "cancelled" and time.monotonic() - before < 1
    until(lambda: gone(pid), seconds=5)
    assert started(client) != pid  # a fresh one, when there is something to do
    client.stop()


# Being lost


def test_a_worker_killed_from_outside_is_told_and_replaced(client: WorkerClient) -> None:
    pid = started(client)
    job, after = client.send({"command": "selfcheck"}), client.send(NO_FOLDER)
    client.poll()
    os.kill(pid, signal.SIGKILL)
    reply = client.wait(job, PATIENCE)
    assert reply["kind"] == "gone" and reply["text"].startswith("The worker ended unexpectedly (exit code -9)")
    assert client.wait(after, PATIENCE)["message"] == "done" and worker_of(client) != pid
    assert "Exit code: -9" in client.report()


def test_a_worker_that_is_lost_between_two_jobs_is_replaced(client: WorkerClient) -> None:
    pid = started(client)
    os.kill(pid, signal.SIGKILL)
    until(lambda: gone(pid))
    until(lambda: not client.running, client)
    assert started(client) != pid


PARENT = """
import sys, tempfile, time
sys.path[:0] = [{repository!r}, {modules!r}]
tempfile.tempdir = {temporary!r}
from InvDetectSlicerLib.worker import WorkerClient
client = WorkerClient({executable!r}, answer=0.5)
client.wait(client.send({{"command": "inspect", "folder": "/nowhere"}}), 60)
if {busy}:
    client.send({{"command": "selfcheck"}})
print(client._link.pid, flush=True)
time.sleep(100)
"""


@pytest.mark.parametrize(("reads_input", "busy"), [(True, False), (False, False), (True, True)])
def test_the_worker_and_its_folder_are_gone_when_the_parent_is_killed(temporary: Path, reads_input: bool, busy: bool) -> None:
    facts = {"repository": str(REPOSITORY), "modules": str(REPOSITORY / "InvDetect"), "temporary": str(temporary), "busy": busy}
    executable = str(launcher(temporary.parent / "python slicer", reads_input=reads_input))
    parent = subprocess.Popen([sys.executable, "-c", PARENT.format(executable=executable, **facts)], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    with parent.stdout:
        pid = int(parent.stdout.readline())
    assert not gone(pid) and list(temporary.iterdir()) != []
    parent.kill()
    parent.wait()
    until(lambda: gone(pid), seconds=10)
    until(lambda: not list(temporary.iterdir()), seconds=5)


def test_stopping_ends_the_process_and_forgets_the_jobs(client: WorkerClient) -> None:
    pid, heard = started(client), list[Any]()
    folder = client.folder
    jobs = [client.send({"command": "selfcheck"}, heard.append, heard.append) for _ in range(2)]
    client.stop()
    until(lambda: gone(pid), seconds=5)
    assert not folder.exists() and heard == [] and [job.reply["kind"] for job in jobs] == ["cancelled"] * 2
    assert started(client) != pid  # it can be used again


# Cancelling


def test_a_job_that_waits_is_cancelled_without_the_worker(client: WorkerClient) -> None:
    pid = started(client)
    first, second = client.send({"command": "selfcheck"}), client.send({"command": "selfcheck"})
    second.cancel()
    client.poll()
    assert second.reply["kind"] == "cancelled" and not first.finished
    assert client.wait(first, PATIENCE)["message"] == "done" and worker_of(client) == pid


# Files


def test_arrays_are_taken_once_and_only_from_the_private_folder(client: WorkerClient, tmp_path: Path) -> None:
    np.save(client.folder / "1-map.npy", np.arange(3))
    assert client.take("1-map.npy").tolist() == [0, 1, 2]
    with pytest.raises(InvDetectError, match="cannot be read"):
        client.take("1-map.npy")
    np.save(tmp_path / "other.npy", np.arange(3))
    for name in ("../other.npy", str(tmp_path / "other.npy"), "", "..", "a\\b"):
        with pytest.raises(InvDetectError, match="no plain file name"):
            client.take(name)
    (client.folder / "objects.npy").write_bytes(b"\x93NUMPY\x01\x00")
    with pytest.raises(InvDetectError, match="cannot be read"):
        client.take("objects.npy")


def test_the_private_folder_is_nobody_elses(client: WorkerClient) -> None:
    assert client.folder.stat().st_mode & 0o077 == 0


def test_no_room_for_commands_is_told(temporary: Path) -> None:
    client = WorkerClient(launcher(temporary.parent / "python slicer", reads_input=False), answer=0.3)
    started(client)
    with full_disk((client.folder / "commands.jsonl").stat().st_size):
        reply = ask(client, "devices")
    assert reply["kind"] == "error" and "make room on the disk" in reply["text"]
    assert ask(client, "nonsense")["kind"] == "error"
    client.stop()


def test_a_temporary_folder_that_cannot_be_made_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    client = WorkerClient(sys.executable)
    reply = ask(client, "devices")
    assert reply["kind"] == "gone" and "no place for temporary files" in reply["text"]
