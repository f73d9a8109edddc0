"""Lines that no client should send: the worker answers each by one message, with a sentence where it refuses, and goes on."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from Testing.campaign.bases import GOLDEN
from Testing.campaign.mutations import anywhere, change_leaf, pick
from Testing.campaign.trying import SECONDS, Failure, Limit, Record, Trial, generator, one_sentence
from Testing.support import REPOSITORY

_PREFIX = b"@invdetect "
_MODEL = str(GOLDEN / "invdetect.invdetect")
_SCAN = str(GOLDEN / "scan.nii.gz")
_COMMANDS: list[dict[str, Any]] = [
    {"command": "hello", "protocol": 1},
    {"command": "cancel", "job": 5},
    {"command": "pause", "job": 5},
    {"command": "resume", "job": 5},
    {"command": "selfcheck"},
    {"command": "devices"},
    {"command": "load", "model": _MODEL, "device": "cpu", "direction": "both"},
    {"command": "check", "model": _MODEL, "device": "cpu", "scan": _SCAN, "modality": "MRI", "foreground": "auto"},
    {"command": "estimate", "model": _MODEL, "device": "cpu", "scan": _SCAN, "slices": [0, 2]},
    {"command": "detect", "model": _MODEL, "device": "cpu", "scan": _SCAN, "slices": [0, 2], "rate": 0.01, "contiguity": 1.0, "scr": True},
    {"command": "detect", "model": _MODEL, "device": "cpu", "scan": _SCAN, "threshold": 1.0, "foreground": "none", "adapt": "scan"},
    {"command": "refine", "result": "result-1", "rate": 0.02, "contiguity": 0.5, "scr": False},
    {"command": "refine", "result": str(GOLDEN / "result-invdetect" / "scan.result.json"), "threshold": 0.5},
    {"command": "inspect", "folder": str(GOLDEN / "normal"), "normals": str(GOLDEN / "normal"), "choices": {"preset": "quick", "grid": 48}},
    {"command": "preview", "scan": _SCAN, "choices": {"preset": "quick", "plane": "axial"}},
    {"command": "calibrate", "model": _MODEL, "normals": "nowhere", "target": "nowhere/b.invdetect", "device": "cpu"},
]
_LINES = [
    b"",
    b"{}",
    b"[]",
    b"null",
    b"{" * 5000,
    b"[" * 100_000,
    b'{"id": 1}',
    b'{"command": "load"}',
    b'"\\ud800"',
    b"\xff\xfe\0",
    b"9" * 9000,
]
_IDS: list[Any] = [-1, True, None, 1.5, "1", [], 10**400, 2**63]


class _Worker:
    """A worker, spoken to line by line."""

    def __init__(self, folder: Path) -> None:
        (folder / ".invdetect-private").touch()
        program = REPOSITORY / "InvDetectLib" / "worker" / "__main__.py"
        with open(folder / "worker.log", "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(program), "--folder", str(folder), "--parent", str(os.getpid())], bufsize=0,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1"},
            )  # fmt: skip
        self._pending = b""
        self.heard()
        self.say(b'{"id": 0, "command": "hello", "protocol": 1}')
        self.heard()

    def say(self, line: bytes) -> None:
        """Send a line; `Failure` when nobody reads it."""
        assert self.process.stdin is not None
        rest = memoryview(line + b"\n")
        try:
            while len(rest):
                rest = rest[self.process.stdin.write(rest) :]
        except OSError:
            raise Failure("the worker has ended") from None

    def heard(self, seconds: float = SECONDS) -> dict[str, Any]:
        """Its next hello, done or failed message; `Failure` when it ends, or says nothing in time."""
        assert self.process.stdout is not None
        until = time.monotonic() + seconds
        while True:
            line, newline, rest = self._pending.partition(b"\n")
            if newline:
                self._pending = rest
                if not line.startswith(_PREFIX):
                    raise Failure(f"no line of the protocol: {line[:200]!r}")
                message = json.loads(line[len(_PREFIX) :])
                if message["message"] in ("hello", "done", "failed"):
                    return message
                continue
            if not select.select([self.process.stdout], [], [], max(0.0, until - time.monotonic()))[0]:
                raise Failure(f"no answer within {seconds:.0f} s")
            got = os.read(self.process.stdout.fileno(), 1 << 16)
            if not got:
                raise Failure(f"the worker has ended ({self.process.wait()})")
            self._pending += got

    def end(self) -> None:
        """Kill it, if it still runs, and wait for its end."""
        self.process.kill()
        self.process.communicate()


def campaign(seed: int, limit: Limit, record: Record) -> None:
    """Say wrong lines until the limit, to a worker that is kept."""
    worker: _Worker | None = None
    with tempfile.TemporaryDirectory(prefix="campaign-") as work:
        while (number := limit.next()) is not None:
            worker = _one(seed, number, record, Path(work), worker)
        if worker is not None:
            worker.end()


def again(seed: int, number: int, record: Record, work: Path) -> None:
    """The trial of this number, with a worker of its own."""
    worker = _one(seed, number, record, work, None)
    if worker is not None:
        worker.end()


def _one(seed: int, number: int, record: Record, work: Path, worker: _Worker | None) -> _Worker | None:
    """One trial; the worker for the next, None when this one is not to be trusted any more."""
    kind, line = _line(generator("protocol", seed, number))
    words = ""
    try:
        if worker is None:
            shutil.rmtree(work / "private", ignore_errors=True)
            (work / "private").mkdir(parents=True)
            worker = _Worker(work / "private")
        worker.say(line)
        if line.strip():
            _check(worker.heard())
        worker.say(b'{"id": 987654321, "command": "resume", "job": -1}')
        if (answer := worker.heard()).get("id") != 987654321:
            raise Failure(f"a second answer to one line: {str(answer)[:300]}")
    except Failure as failure:
        words = str(failure)
        if worker is not None:
            worker.end()
        worker = None
    record.add(Trial("protocol", number, kind, words, {"line": line} if words else {}))
    return worker


def _check(answer: dict[str, Any]) -> None:
    if answer["message"] == "done":
        return
    if answer.get("kind") not in ("error", "memory", "cancelled"):
        raise Failure(f"nobody foresaw it: {str(answer)[:400]}")
    one_sentence(str(answer["text"]))


def _line(rng: np.random.Generator) -> tuple[str, bytes]:
    """A line that is wrong, or nearly right, and its kind."""
    command = json.loads(json.dumps(pick(rng, _COMMANDS)))
    kind = int(rng.integers(10))
    if kind == 0:
        return "no command", bytes(pick(rng, _LINES))
    if kind == 1:
        whole = json.dumps({"id": 1, **command}).encode()
        return "damaged", anywhere(whole, rng).replace(b"\n", b" ").replace(b'"quit"', b"")
    if kind == 2:
        return "numbers", json.dumps({"id": pick(rng, _IDS), **command}).encode()
    name = str(command["command"])
    for _ in range(int(rng.integers(0, 3))):
        change_leaf(command, rng)
    return name, json.dumps({"id": 1 + int(rng.integers(1000)), **command}).encode()
