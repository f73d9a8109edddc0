"""A client whose worker answers when the test says so: it keeps what it was asked, and costs no process."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


class AskedJob:
    """One command that was sent, and what may be done to it."""

    def __init__(self, command: dict[str, Any], heard: Callable[[Any], None], ended: Callable[[Any], None], number: int) -> None:
        self.command, self.heard, self._ended, self.id = command, heard, ended, number
        self.finished = self.cancelled = self.paused = False

    def answer(self, **facts: Any) -> None:
        """The worker is done."""
        self.finished = True
        self._ended({"message": "done", "id": self.id, **facts})

    def progress(self, stage: str, done: int = 1, total: int = 10, **facts: Any) -> None:
        """The worker tells how far it is."""
        self.heard({"message": "progress", "stage": stage, "done": done, "total": total, "seconds_left": None, "facts": facts})

    def cancel(self) -> None:
        """Noted; the worker would say so a moment later."""
        self.cancelled = True

    def pause(self) -> None:
        """Noted."""
        self.paused = True

    def resume(self) -> None:
        """Noted."""
        self.paused = False


class SilentWorker:
    """Stands for a `WorkerClient`. `asked` are the jobs in their order."""

    def __init__(self) -> None:
        self.asked: list[AskedJob] = []
        self.running, self.busy, self.folder = False, False, Path(tempfile.gettempdir())

    def send(self, command: dict[str, Any], heard: Callable[[Any], None], ended: Callable[[Any], None]) -> AskedJob:
        """Keep a command."""
        self.asked.append(AskedJob(command, heard, ended, len(self.asked)))
        return self.asked[-1]

    def of(self, command: str) -> list[AskedJob]:
        """The jobs of one kind."""
        return [job for job in self.asked if job.command["command"] == command]

    def take(self, name: str) -> np.ndarray:
        """A small picture, whatever is asked for."""
        return np.zeros((8, 8), np.uint8)

    def poll(self, seconds: float) -> None:
        """Answers come when the test gives them."""

    def report(self) -> str:
        """Nothing to report."""
        return ""

    def stop(self) -> None:
        """Nothing to stop."""
