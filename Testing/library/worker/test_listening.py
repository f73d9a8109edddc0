"""What comes to the worker as lines: long ones, endless ones, absurd numbers; and how it notices that nobody is there any more."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from InvDetectLib.worker.jobs import Job, Outlet, carry_out
from InvDetectLib.worker.process import watch
from InvDetectLib.worker.protocol import LONGEST_LINE, PREFIX, Lines
from Testing.support import REPOSITORY
from Testing.support.mutations import frugal

DETECT = {"command": "detect", "model": "GOLDEN", "device": "cpu", "scan": "SCAN"}
WORKER = str(REPOSITORY / "InvDetectLib" / "worker" / "__main__.py")


def test_lines_are_cut_wherever_they_arrive_in_pieces() -> None:
    text = b"one\n\ntwo three\nfour"
    for size in range(1, len(text) + 1):
        lines = Lines()
        found = [line for start in range(0, len(text), size) for line in lines.add(text[start : start + size])]
        assert found == [b"one", b"", b"two three"]
        assert list(lines.add(b"\n")) == [b"four"]


def test_a_long_line_takes_time_that_grows_with_its_length_alone() -> None:
    def seconds(pieces: int) -> float:
        lines, started = Lines(), time.process_time()
        for _ in range(pieces):
            assert not list(lines.add(b"x" * 64))
        assert list(lines.add(b"\n")) == [b"x" * 64 * pieces]
        return time.process_time() - started

    seconds(1000)
    assert seconds(LONGEST_LINE // 64) < 2.0  # with every piece added to what there is, it would be minutes


def test_a_line_without_an_end_is_dropped_and_takes_no_room() -> None:
    lines = Lines()
    with frugal("a line of 300 MB", seconds=30.0, megabytes=100.0):
        for number in range(300):
            assert not list(lines.add(bytes([65 + number % 26]) * (1 << 20)))
    assert list(lines.add(b"x\nnext\n")) == [None, b"next"]


@pytest.fixture(params=["stdin", "file"])
def said(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """A worker, and how lines come to it: a function of bytes that gives the next `count` messages."""
    command = [sys.executable, WORKER, "--folder", str(tmp_path), "--parent", str(os.getpid())]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path) as process:
        assert process.stdin is not None and process.stdout is not None
        stdin, stdout = process.stdin, process.stdout
        stdout.readline()  # its own hello

        def say(content: bytes, count: int) -> list[dict[str, Any]]:
            if request.param == "stdin":
                stdin.write(content)
                stdin.flush()
            else:
                with open(tmp_path / "commands.jsonl", "ab") as file:
                    file.write(content)
            return [json.loads(stdout.readline()[len(PREFIX) :]) for _ in range(count)]

        yield say
        process.kill()


def test_a_line_beyond_the_limit_is_told_and_the_next_one_is_read(said: Any) -> None:
    hello = json.dumps({"id": 1, "command": "hello"}).encode() + b"\n"
    assert said(hello, 1)[0]["message"] == "done"
    long = json.dumps({"id": 2, "command": "devices", "x": "y" * LONGEST_LINE}).encode() + b"\n"
    refused, next_one = said(long + hello, 2)
    assert refused["kind"] == "error" and f"it is longer than {LONGEST_LINE} bytes" in refused["text"]
    assert next_one["message"] == "done" and next_one["id"] == 1


@pytest.mark.parametrize(
    ("wish", "reason"),
    [
        ({"command": "preview", "scan": "SCAN", "slice": 10**400}, "as 'slice'"),
        ({"command": "preview", "scan": "SCAN", "slice": -1}, "as 'slice', which must be 0 or more"),
        ({"command": "estimate_training", "slices": -5}, "as 'slices', which must be 0 or more"),
        ({"command": "estimate_training", "spacing_mm": 10**400}, "as 'spacing_mm', which is no number"),
        ({"command": "estimate_training", "spacing_mm": float("nan")}, "as 'spacing_mm', which is no number"),
        ({"command": "estimate_training", "grid": 10**400}, "as 'grid', which is no number"),
        ({"command": "estimate_training", "settings": {"invdetect": {"training": {"batch": 0}}}}, "batch must be between 1 and 65536"),
        ({"command": "estimate_training", "settings": {"invdetect": {"network": {"widths": [10**9]}}}}, "must be between 1 and 8192"),
        ({**DETECT, "threshold": 10**400}, "as 'threshold', which is no number"),
        ({**DETECT, "rate": 10**400}, "as 'rate', which is no number"),
        ({**DETECT, "threshold": 1e29}, "The threshold must be a number"),
        ({"command": "preview", "scan": "/a\0b.nii"}, "as 'scan', which no file can be called"),
        ({"command": "preview", "scan": "/\ud800.nii"}, "as 'scan', which no file can be called"),
        ({**DETECT, "slices": [0, 10**400]}, "as 'slices', which must be two"),
        ({"command": "train", "normals": "/n", "out": "OUT", "seed": -1}, "as 'seed', which must be 0 or more"),
        ({"command": "train", "normals": "/n", "out": "OUT", "seed": 10**400}, "as 'seed', which is no number"),
        ({"command": "x" * 100_000}, "There is no command 'xxx"),
        ({"command": "detect", "model": "x" * 100_000}, "There is no model 'xxx"),
        ({"command": "detect", "model": "GOLDEN", "device": "x" * 100_000}, "The device 'xxx"),
    ],
)
def test_absurd_values_are_told_as_what_they_are(wish: dict[str, Any], reason: str, tmp_path: Path) -> None:
    golden = REPOSITORY / "Testing" / "golden"
    places = {"GOLDEN": str(golden / "invdetect.invdetect"), "SCAN": str(golden / "scan.nii.gz"), "OUT": str(tmp_path / "new.invdetect")}
    command = {name: places.get(value, value) if isinstance(value, str) else value for name, value in wish.items()}
    with open(tmp_path / "lines", "wb") as lines:
        carry_out(Job(7, {"id": 7, **command}, tmp_path, Outlet(lines.fileno())))
    reply = json.loads((tmp_path / "lines").read_bytes().splitlines()[-1].removeprefix(PREFIX))
    assert reply["message"] == "failed" and reply["kind"] == "error", reply
    assert reason in reply["text"] and len(reply["text"]) < 1000


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="this system does not tell the state of a process")
def test_a_parent_that_has_ended_without_being_waited_for_is_gone() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        alive = watch(process.pid)
        assert alive()
        process.send_signal(signal.SIGKILL)
        end = time.monotonic() + 10
        while alive():
            assert time.monotonic() < end, "a zombie counts as alive"
            time.sleep(0.01)
        os.kill(process.pid, 0)  # its number is still taken: it is a zombie


def test_a_parent_that_runs_is_there() -> None:
    assert watch(os.getppid())() and watch(os.getpid())()


def test_a_direct_child_notices_also_where_the_system_tells_no_states(tmp_path: Path) -> None:
    child = (
        "import os, sys, time\n"
        "from InvDetectLib.worker import process\n"
        "process._status = lambda pid: None\n"
        "alive = process.watch(os.getppid())\n"
        f"open({str(tmp_path / 'there')!r}, 'w').write(str(alive()))\n"
        "end = time.monotonic() + 20\n"
        "while alive() and time.monotonic() < end: time.sleep(0.01)\n"
        f"open({str(tmp_path / 'gone')!r}, 'w').write(str(alive()))\n"
    )
    parent = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", parent], cwd=REPOSITORY) as process:
        for name, said in (("there", "True"), ("gone", "False")):
            end = time.monotonic() + 20
            while not ((tmp_path / name).exists() and (tmp_path / name).read_text()):
                assert time.monotonic() < end, name
                time.sleep(0.01)
            assert (tmp_path / name).read_text() == said
            process.kill()  # nobody has waited for it: a zombie
