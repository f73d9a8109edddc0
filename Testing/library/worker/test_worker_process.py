"""The worker as a real process: its first words, lines that are no command, and trouble that it tells and lives through."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from InvDetectSlicerLib.worker.client import WorkerClient

from InvDetectLib.worker.jobs import Job, Outlet, carry_out
from InvDetectLib.worker.protocol import PREFIX
from Testing.support import REPOSITORY
from Testing.support.tiny_model import full_disk
from Testing.support.worker_clients import PATIENCE, ask, done


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


# Lines


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
