"""The node: sources fill the queue, one model examines what is in it, one series after the other, and a sink takes the objects."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from ...common import Cancelled, Event, InvDetectError, Progress, reason
from ...detection import Detector
from .examining import Examined, Unfit, examine, nameless
from .jobs import Job
from .queue import Queue
from .say import TAIL, Say
from .sending import BrokenOff, Sink, Unreachable

_POLL = 0.2  # seconds between two looks at an empty queue
_SOON = 3.0  # seconds until what the disk did not take is tried again
_SLOWEST = 30.0  # seconds between two tries at a sink that cannot be reached
_BREAKS = 3  # times that an archive may end the association over the same objects, until that counts as a refusal


class Source(Protocol):
    """Fills a queue from `start` to `stop`, in threads of its own."""

    def start(self) -> None:
        """Begin. Raises InvDetectError when it cannot."""

    def stop(self) -> None:
        """End."""


class Node:
    """What goes on between sources and a sink."""

    def __init__(
        self, queue: Queue, detector: Detector, sources: Sequence[Source], sink: Sink, results: Path, quiet: float, say: Say
    ) -> None:
        """results  folder for those of watched scans;  quiet  seconds without a new image after which a series is complete"""
        self._queue, self._detector, self._sources, self._sink = queue, detector, sources, sink
        self._results, self._quiet, self._say = results, quiet, say
        self._stopped = threading.Event()
        self._breaks = 0

    def run(self, progress: Progress) -> None:
        """Go on until `progress` is cancelled; what is being done then is done anew at the next start. Raises as `Source.start` does."""
        sender = threading.Thread(target=self._send_all, name="sender", daemon=True)
        started: list[Source] = []
        try:
            for source in self._sources:
                source.start()
                started.append(source)
            sender.start()
            self._examine_all(progress)
        except Cancelled:
            pass
        finally:
            for source in started:
                source.stop()
            self._stopped.set()
            if sender.ident is not None:
                sender.join(_SLOWEST)

    # Examining

    def _examine_all(self, progress: Progress) -> None:
        while True:
            progress.check()
            try:
                for job in self._queue.settle(self._quiet):
                    self._say(f"{job}: {job.images} image{'s' if job.images != 1 else ''} of a series (...{job.series[-TAIL:]}), complete")
                due = self._queue.next("complete", "detecting")
                if due is not None:
                    self._examine(due, progress)
                    continue
            except Cancelled:
                raise
            except InvDetectError as error:  # a full disk; others may make room
                self._say(str(error))
                self._stopped.wait(_SOON)
            self._stopped.wait(_POLL)

    def _examine(self, job: Job, progress: Progress) -> None:
        def heard(event: Event) -> None:
            progress.check()
            if event.text:
                self._say(f"{job}: {nameless(event.text, job)}")

        try:
            examined = examine(job, self._detector, self._queue.lacks(job), self._queue.earlier(job), Progress(heard))
            self._keep(job, examined)
        except Cancelled:
            self._queue.put_back(job)
            raise
        except Unfit as error:
            self._say(f"{job} is left: {error}")
            self._queue.leave(job, str(error), error.wait)
        except Exception as error:  # among thousands of strangers' series one will bring such, and it must not cost the others
            self._fail(job, error)

    def _keep(self, job: Job, examined: Examined) -> None:
        count = len(examined.result.findings)
        words = f"{count} finding{'s' if count != 1 else ''}"
        if job.below is not None:
            examined.result.save(self._results / job.below.parent, overwrite=True, more=examined.objects)
            self._queue.done(job)
            self._say(f"{job} is done: {words}")
        elif self._queue.detected(job, examined.objects, self._detector.model.checksum):
            self._say(f"{job} is examined: {words}")
        else:
            self._say(f"{job}: more images have come while it was examined; it is examined again with these")

    def _fail(self, job: Job, error: Exception) -> None:
        why = nameless(reason(error, job.path), job)
        why = why[:1].upper() + why[1:]
        self._say(f"{job} has failed: {why}")
        self._queue.fail(job, why)

    # Sending

    def _send_all(self) -> None:
        pause = 0.0
        while not self._stopped.wait(max(pause, _POLL)):
            try:
                job = self._queue.next("detected", "sending")
                if job is None:
                    continue
                pause = self._send(job, pause)
            except Exception as error:  # such as a full disk: the thread has to live on
                self._say(f"Sending waits: {reason(error, '')}")
                pause = _SOON

    def _send(self, job: Job, pause: float) -> float:
        """Send a job's objects; the pause before the next one, after one of `pause`."""
        try:
            if objects := self._queue.unsent(job):  # else the node was killed between the last one and its end
                self._sink.send(job, objects, lambda kind: self._queue.sent(job, kind))
            self._breaks = 0
        except Unreachable as error:
            self._breaks += isinstance(error, BrokenOff)
            if self._breaks == _BREAKS:
                self._breaks = 0
                words = f"{self._sink.words} ended the association {_BREAKS} times over its objects, and stored none or not all of them."
                self._fail(job, InvDetectError(f"{words} Look into its log, and start the node again: it sends what is left."))
                return 0.0
            self._queue.put_back(job)
            if not pause:
                self._say(f"{job} waits: {self._sink.words} cannot be reached ({error}); it is tried again until it is there")
            return min(max(2 * pause, 1.0), _SLOWEST)
        except Exception as error:
            self._fail(job, error)
            return 0.0
        if self._queue.done(job):
            self._say(f"{job} is done: sent to {self._sink.words}")
        return 0.0
