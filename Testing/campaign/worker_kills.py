"""The worker of a panel is killed, whoever started it, or both at once: no process stays, no folder, and the same command ends well."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np

from Testing.campaign import shells
from Testing.campaign.bases import GOLDEN
from Testing.campaign.comparing import age, same
from Testing.campaign.trying import Failure, children
from Testing.support import REPOSITORY

_PATIENCE = 60.0
_FAREWELL = 15.0  # seconds within which everything is gone


def kill(whom: str, folder: Path, work: Path, rng: np.random.Generator) -> None:
    """whom  "worker", "parent" or "both"; work  keeps what an undisturbed worker makes. Raises `Failure`."""
    whole = work / "by-worker"
    if not (whole / "seconds").exists():
        started = time.monotonic()
        _end(_begin(whole / "out", whole, _places(whole)))
        (whole / "seconds").write_text(str(time.monotonic() - started))
    places = _places(folder)
    parent = _begin(folder / "out", folder, places)
    workers = _wait_for_worker(parent)
    time.sleep(rng.uniform(0, float((whole / "seconds").read_text())))
    if whom in ("worker", "both"):
        for worker in workers:
            _signal(worker)
    if whom in ("parent", "both"):
        _signal(parent)
    if whom == "worker":
        _end(parent)  # its client has started another one
    else:
        os.waitpid(parent, 0)
    deadline = time.monotonic() + _FAREWELL
    while left := [pid for worker in workers for pid in shells.group(worker)]:
        if time.monotonic() > deadline:
            for pid in left:
                _signal(pid)
            raise Failure("processes of the worker outlive it")
        time.sleep(0.05)
    for marker in places.rglob(".invdetect-private"):
        os.utime(marker, (time.time() - 60,) * 2)
    age(folder / "out")
    _end(_begin(folder / "out", folder, places))
    if forgotten := [path.name for path in places.iterdir()]:
        raise Failure(f"private folders are left: {forgotten}")
    same(folder / "out", whole / "out")


def _places(folder: Path) -> Path:
    """Where the client and its worker put temporary files."""
    (folder / "places").mkdir(parents=True, exist_ok=True)
    return folder / "places"


def _begin(out: Path, folder: Path, places: Path) -> int:
    """A process that lets a worker examine the normal scans; its number."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        os.setsid()
        nowhere = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(nowhere, number)
        status = _examine(out, places, folder / "replies.json")
    finally:
        os._exit(status)


def _examine(out: Path, places: Path, told: Path) -> int:
    """What that process does: the status with which it ends. A worker that went away is asked once more, as a user would."""
    import tempfile

    tempfile.tempdir = str(places)
    sys.path.insert(0, str(REPOSITORY / "InvDetect"))
    from InvDetectSlicerLib.worker.client import WorkerClient

    client = WorkerClient(sys.executable, environment={**os.environ, "TMPDIR": str(places), "MPLBACKEND": "Agg"})
    words = {"command": "detect_folder", "model": str(GOLDEN / "invdetect.invdetect"), "device": "cpu", "out": str(out)}
    scans = told.parent / "scans"
    scans.mkdir(exist_ok=True)
    for name in ("head-0000.nii.gz", "head-0001.nii.gz"):
        shutil.copy(GOLDEN / "normal" / name, scans)
    replies = []
    for _ in range(2):
        job = client.send({**words, "scans": str(scans)})
        replies.append(client.wait(job, _PATIENCE))
        if replies[-1].get("kind") != "gone":
            break
    told.write_text(json.dumps(replies))
    client.stop()
    last = replies[-1]
    return 0 if last["message"] == "done" and all(row["status"] != "failed" for row in last["scans"]) else 1


def _wait_for_worker(parent: int) -> list[int]:
    deadline = time.monotonic() + _PATIENCE
    while not (found := children(parent)):
        if time.monotonic() > deadline:
            raise Failure("no worker is started")
        time.sleep(0.01)
    return found


def _end(pid: int) -> None:
    """Wait for a process that has to end well."""
    deadline = time.monotonic() + 2 * _PATIENCE
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            break
        if time.monotonic() > deadline:
            _signal(pid)
            os.waitpid(pid, 0)
            raise Failure("the worker's client does not end")
        time.sleep(0.02)
    if code := os.waitstatus_to_exitcode(status):
        raise Failure(f"the worker's client ended with {code}")


def _signal(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
