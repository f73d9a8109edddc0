"""Progress, warnings, pausing and cancelling: one small object that is passed down through every stage."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from .errors import Cancelled

log = logging.getLogger("InvDetectLib")


@dataclass(frozen=True)
class Event:
    """One thing that happened.

    stage         what is being done, in words a user understands ("training", "inverting")
    done, total   how far it is, in units of the stage (steps, slices); total 0 means "not counted"
    seconds_left  estimate from the stage's own pace; None while unknown
    text          a warning or a remark; empty for plain progress
    facts         numbers of the stage, such as ``{"loss": 0.03}``
    """

    stage: str
    done: int = 0
    total: int = 0
    seconds_left: float | None = None
    text: str = ""
    facts: dict[str, float] = field(default_factory=dict)

    @property
    def pace(self) -> float:
        """How many of `total` were done a second since the stage began; 0 while nobody knows, and at its end."""
        return (self.total - self.done) / self.seconds_left if self.seconds_left else 0.0

    def __str__(self) -> str:
        if self.text:
            return f"{self.stage}: {self.text}" if self.stage else self.text
        parts = [f"{self.stage} {self.done}/{self.total}" if self.total else self.stage]
        parts += [f"{name} {value:.4g}" for name, value in self.facts.items()]
        if self.pace:
            parts.append(f"{self.pace:.3g} a second")
        if self.seconds_left is not None:
            parts.append(f"{self.seconds_left:.0f} s left")
        return ", ".join(parts)


class Progress:
    """Carries progress and warnings up, and the wish to stop down. Safe to pause and to cancel from another thread.

    on_event   called with each `Event`; None for silence.
    warnings   every distinct warning so far, in order: results store them, so that nothing stays silent.
    """

    def __init__(self, on_event: Callable[[Event], None] | None = None) -> None:
        self._on_event = on_event or (lambda event: None)
        self._cancelled, self._going = threading.Event(), threading.Event()
        self._going.set()
        self._stage = ""
        self._started = 0.0
        self._first = 0
        self._tell = self._told
        self.warnings: list[str] = []

    def report(self, stage: str, done: int = 0, total: int = 0, **facts: float) -> None:
        """Say how far `stage` is, and raise `Cancelled` if somebody asked to stop."""
        self.check()
        now = time.monotonic()
        if stage != self._stage or done < self._first:
            self._stage, self._started, self._first = stage, now, done
        left = None
        if total and done > self._first:
            left = (now - self._started) / (done - self._first) * (total - done)
        self._on_event(Event(stage, done, total, left, facts=facts))

    def part(self, called: object = "") -> Progress:
        """One for a part of the work, with warnings of its own. What it reports and warns arrives here too; pause and cancel reach both.

        called  the name of the part ("scan.nii.gz"), which leads its warnings here and not there: results must not name their scans
        """
        part = Progress(self._on_event)
        part._cancelled, part._going = self._cancelled, self._going
        if called:
            part._tell = lambda text: self.warn(f"{called}: {text}")
        return part

    def silent(self) -> Progress:
        """One for a part of the work of which nothing is told, neither here nor in the log; pause and cancel reach it."""
        part = Progress()
        part._cancelled, part._going = self._cancelled, self._going
        part._tell = lambda text: None
        return part

    def warn(self, text: str) -> None:
        """Say `text` once, to the log and to the user."""
        if text in self.warnings:
            return
        self.warnings.append(text)
        self._tell(text)

    def _told(self, text: str) -> None:
        log.warning(text)
        self._on_event(Event("warning", text=text))

    def pause(self) -> None:
        """Let the work wait at the next `report` or `check`, until `resume` or `cancel`."""
        if not self._cancelled.is_set():
            self._going.clear()

    def resume(self) -> None:
        """Let it go on."""
        self._going.set()

    def cancel(self) -> None:
        """Ask the work to stop at the next `report` or `check`, also while it is paused."""
        self._cancelled.set()
        self._going.set()

    @property
    def is_cancelled(self) -> bool:
        """Whether somebody asked to stop."""
        return self._cancelled.is_set()

    def check(self) -> None:
        """Wait while paused; raise `Cancelled` if `cancel` was called."""
        if not self._going.is_set():
            paused = time.monotonic()
            self._going.wait()
            self._started += time.monotonic() - paused  # no part of the stage's pace
        if self._cancelled.is_set():
            raise Cancelled("Stopped on request.")
