"""What the shell command shows while it works: a bar on a terminal, plain lines elsewhere. Always on standard error."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..common import Event, Progress
from .streams import complain, line

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

_PAUSE = 15.0  # seconds between two plain lines of one stage: enough for a log file


class Reporter:
    """Shows events; a context manager that leaves the terminal clean."""

    def __init__(self) -> None:
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self._stage, self._shown = "", 0.0
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
            from rich.progress import Progress as Bar

            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[facts]}"))
            self._bar = Bar(*columns, console=Console(stderr=True), transient=True)

    def __enter__(self) -> Reporter:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar:
            self._bar.stop()

    def __call__(self, event: Event) -> None:
        """Show one event."""
        if event.text:
            self._line(str(event))
        elif self._bar:
            self._show(event)
        elif event.stage != self._stage or time.monotonic() - self._shown > _PAUSE or (event.total and event.done == event.total):
            self._stage, self._shown = event.stage, time.monotonic()
            self._line(str(event))

    def _show(self, event: Event) -> None:
        assert self._bar is not None
        facts = ", ".join(f"{name} {value:.4g}" for name, value in event.facts.items())
        if event.pace:
            facts += f"  {event.pace:.3g} a second"
        if event.seconds_left is not None:
            facts += f"  {_duration(event.seconds_left)} left"
        if event.stage != self._stage and self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None
        self._stage = event.stage
        if self._task is None:
            self._task = self._bar.add_task(event.stage, total=None, facts="")
        self._bar.update(self._task, completed=event.done, total=event.total or None, facts=facts.strip())

    def _line(self, text: str) -> None:
        if self._bar:
            self._bar.console.print(line(text), markup=False, highlight=False)
        else:
            complain(text)


@contextmanager
def stoppable(progress: Progress) -> Iterator[None]:
    """For the block, the first Ctrl-C asks the work to stop at a safe place, and the second ends it."""

    def stop(*_: Any) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        progress.cancel()
        complain("stopping at the next safe place (Ctrl-C again to end at once)")

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
