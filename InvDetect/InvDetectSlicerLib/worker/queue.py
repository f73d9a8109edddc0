"""Several scans of the scene, examined one after the other: each succeeds or fails for itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import slicer

from InvDetectLib.common import InvDetectError

from ..scene import ResultNodes
from .failures import RunFailed, as_bug, as_failure

Begin = Callable[[Any, Callable[[ResultNodes], None], Callable[[RunFailed], None]], Any]


@dataclass(eq=False)
class Examined:
    """What became of one scan of a queue.

    volume  the scan;  name  of it, when the queue was made
    nodes   its result; None without one
    error   why there is none, of kind "cancelled" when it was taken out; None with a result, and while it waits
    """

    volume: Any
    name: str
    nodes: ResultNodes | None = None
    error: RunFailed | None = None

    @property
    def waiting(self) -> bool:
        """Whether it has neither a result nor an error."""
        return self.nodes is None and self.error is None


class ScanQueue:
    """Scans on their way, one at a time. As a whole it does not fail: `error` stays None.

    running   whether a scan still waits or is under way
    outcomes  one `Examined` a scan, in the order in which they were given
    """

    def __init__(
        self,
        volumes: Sequence[Any],
        begin: Begin,
        onScan: Callable[[int, int, Examined], None],
        onResult: Callable[[Examined], None],
        onFinished: Callable[[list[Examined]], None],
    ) -> None:
        """begin: starts one scan, with what to call when it has finished or failed; returns its run, or raises `InvDetectError`

        onScan      called with the number of the scan that begins (from 1), how many there are, and which it is
        onResult    called when a scan has its result or its error
        onFinished  called once, when no scan is left
        """
        self.running, self.error = True, None
        self.outcomes = [Examined(volume, volume.GetName()) for volume in volumes]
        self._begin, self._on_scan, self._on_result, self._on_finished = begin, onScan, onResult, onFinished
        self._current: Examined | None = None
        self._run: Any = None

    error: RunFailed | None

    @property
    def current(self) -> Examined | None:
        """The scan that is under way."""
        return self._current

    def poll(self) -> None:
        """Begins the next scan when none is under way, and ends with the last one."""
        if not self.running or self._current is not None:
            return
        waiting = [number for number, one in enumerate(self.outcomes) if one.waiting]
        if waiting:
            self._start(waiting[0])
        else:
            self.running = False
            self._on_finished(self.outcomes)

    def skip(self, volume: Any) -> None:
        """Take one scan out, whether it waits or is under way; the others go on. A scan that is done stays so."""
        for one in self.outcomes:
            if one.volume is not volume or not one.waiting:
                continue
            if one is self._current and self._run is not None:
                self._run.cancel()
            else:
                self._over(one, RunFailed("Stopped on request.", "cancelled"))

    def cancel(self) -> None:
        """Take all out that have no result yet; those that have keep it. It ends in a later `poll`."""
        for volume in [one.volume for one in self.outcomes[::-1] if one.waiting]:
            self.skip(volume)

    def fail(self, failure: RunFailed) -> None:
        """End at once, because what computes goes away."""
        if self.running:
            self.running = False
            if self._run is not None:
                self._run.fail(failure)
            for one in self.outcomes:
                self._over(one, failure)
            self._on_finished(self.outcomes)

    def _start(self, number: int) -> None:
        one = self._current = self.outcomes[number]
        self._on_scan(number + 1, len(self.outcomes), one)
        if not one.waiting:  # it was taken out just now
            return

        def finished(nodes: ResultNodes) -> None:
            one.nodes = nodes
            self._ended(one)

        try:
            if one.volume.GetScene() is not slicer.mrmlScene:
                raise InvDetectError(f'"{one.name}" was taken out of the scene before it was examined.')
            self._run = self._begin(one.volume, finished, lambda failure: self._over(one, failure))
        except InvDetectError as error:
            self._over(one, as_failure(error))
        except Exception as error:  # a fault of ours costs this scan, not the others
            self._over(one, as_bug("a scan could not be examined", error, [one.name]))

    def _over(self, one: Examined, failure: RunFailed) -> None:
        if one.waiting:
            one.error = failure
            self._ended(one)

    def _ended(self, one: Examined) -> None:
        if one is self._current:
            self._current = self._run = None
        self._on_result(one)
