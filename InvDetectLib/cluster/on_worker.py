"""What runs in a worker's process: it says what it is, keeps one model, and does one thing after the other.

Loaded by schedulers, too, which only pass it on: whatever is heavy is imported where it is needed.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..common import InvDetectError, Progress, lock, versions
from .errands import Answer, Wanted

if TYPE_CHECKING:
    from ..detection import Detector

_MOST_MODELS = 2  # that a process keeps, for two who ask in turn
_POLL = 0.05
_PATIENCE = 5.0  # seconds in which what runs reaches a place where it can stop


@dataclass
class _Process:
    """What this process keeps between two calls."""

    turn: threading.Lock = field(default_factory=threading.Lock)
    detectors: dict[Wanted, Detector] = field(default_factory=dict)
    running: dict[str, Progress] = field(default_factory=dict)


_here = _Process()


def introduce(paths: tuple[str, ...], probe: str) -> dict[str, Any]:
    """What is known at once of this process.

    versions  see `common.versions`;  unseen  those of `paths` and `probe` that do not exist from here
    unheld    whether the file `probe` could be locked from here although somebody holds it: results would be taken for abandoned, then
    """
    unseen = [path for path in (*paths, probe) if path and not os.path.exists(path)]
    return {"versions": versions(), "unseen": unseen, "unheld": bool(probe) and not unseen and _can_lock(probe)}


def greet(wanted: Wanted | None) -> dict[str, Any]:
    """What it can do.

    id       of the process;  threads  of the CPU that it may use;  cards  names of its accelerators
    holds    whether `wanted` is loaded already
    """
    worker = _worker()
    from ..computing import describe_device, find_device, list_devices

    cards = [describe_device(find_device(name)) for name in list_devices() if name != "cpu"]
    return {"id": worker.id, "threads": worker.state.nthreads, "cards": cards, "holds": wanted in _here.detectors}


def hold(wanted: Wanted, content: bytes) -> None:
    """Load a model for all that comes.

    content  of its file
    Raises `InvDetectError` for a device that is not there, or when the model arrived damaged.
    """
    from ..computing import compute_on_threads
    from ..detection import Detector
    from ..models import SUFFIX, Model

    with _here.turn:
        if wanted in _here.detectors:
            return
        while len(_here.detectors) >= _MOST_MODELS:
            del _here.detectors[next(iter(_here.detectors))]
        compute_on_threads(_worker().state.nthreads)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / f"model{SUFFIX}"
            file.write_bytes(content)
            model = Model.load(file)
        if model.checksum != wanted.checksum:
            raise InvDetectError("The model arrived with another checksum than it was sent with.")
        _here.detectors[wanted] = Detector(model, wanted.device, wanted.direction, wanted.deterministic)


def carry(process: str, run: str, wanted: Wanted | None, task: bytes, item: bytes) -> Answer:
    """Do one thing, once nothing else is being done in this process.

    process  the `id` of the one that is asked;  run  who asks, for `stop`
    wanted   the detector that the work takes, which this process holds; None: it takes none
    task     work and what it shares as bytes: what cannot be made of them again costs this one thing, and not the worker
    item     as bytes; the work is called with it, what is shared, the detector if there is one, and a progress
    Raises `Cancelled` after `stop`.
    """
    from distributed.protocol import deserialize_bytes

    if _worker().id != process:
        return Answer(lacking="process")
    with _here.turn:
        if wanted is not None and wanted not in _here.detectors:  # others had their own models loaded meanwhile
            return Answer(lacking="model")
        progress = Progress().silent()
        _here.running[run] = progress
        try:
            detector = () if wanted is None else (_here.detectors[wanted],)
            work, shared = deserialize_bytes(task)
            outcome = work(deserialize_bytes(item), shared, *detector, progress)
        finally:
            del _here.running[run]
    return Answer(outcome, tuple(progress.warnings))


async def stop(run: str) -> bool:
    """Let what is being done for a run end at its next safe place; whether it has."""
    waited = 0.0
    while (progress := _here.running.get(run)) is not None:
        progress.cancel()
        if waited > _PATIENCE:
            return False
        await asyncio.sleep(_POLL)
        waited += _POLL
    return True


def _can_lock(path: str) -> bool:
    try:
        with open(path, "rb+") as file:
            lock(file.fileno())
        return True
    except OSError:  # held by somebody, or there are no locks at all, and then nothing young counts as abandoned
        return False


def _worker() -> Any:
    from distributed import get_worker

    return get_worker()
