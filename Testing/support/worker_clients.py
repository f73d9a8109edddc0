"""What the tests of the worker and of its client share."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from InvDetectSlicerLib.worker.client import WorkerClient

PATIENCE = 120.0  # seconds for what takes a few, on a machine that does other things too


class Polled(Protocol):
    """A client, or a logic that has one."""

    def poll(self) -> Any:
        """Hear what has come."""


def ask(client: WorkerClient, command: str, **values: Any) -> dict[str, Any]:
    """The reply to one command, with every message before it as "messages"."""
    messages: list[dict[str, Any]] = []
    job = client.send({"command": command, **values}, messages.append)
    return {**client.wait(job, PATIENCE), "messages": messages}


def done(client: WorkerClient, command: str, **values: Any) -> dict[str, Any]:
    """The same for a command that has to succeed."""
    reply = ask(client, command, **values)
    assert reply["message"] == "done", reply
    return reply


def until(what: Callable[[], Any], client: Polled | None = None, seconds: float = PATIENCE) -> Any:
    """Wait for something to be true, polling the client, or the logic that has one, meanwhile."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "it did not happen in time"
        if client is not None:
            client.poll()
        time.sleep(0.01)
    return found


def gone(pid: int) -> bool:
    """Whether a process has ended, even if nobody has asked for its exit code yet."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (ProcessLookupError, FileNotFoundError):
        return True


def launcher(path: Path, *, reads_input: bool) -> Path:
    """An executable that starts Python as a child and waits for it, as PythonSlicer does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\n"{sys.executable}" "$@" {"" if reads_input else "</dev/null"}\nexit $?\n')
    path.chmod(0o755)
    return path
