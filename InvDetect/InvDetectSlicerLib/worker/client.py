"""The client of the worker: sends commands, gives back what comes of them, and ends the process when it must.

Knows neither Slicer nor Qt: a timer of the host calls `WorkerClient.poll`, which delivers everything on the thread that calls it.

    client = WorkerClient(shutil.which("PythonSlicer"), environment=slicer.util.startupEnvironment())
    job = client.send({"command": "load", "model": "brain"}, onFinished=lambda reply: print(reply["message"]))
    client.poll()              # by a QTimer, some ten times a second
    reply = client.wait(job)   # or, in a script, wait for it
    client.stop()
"""

from __future__ import annotations

import atexit
import os
import platform
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import InvDetectLib.worker
from InvDetectLib.common import InvDetectError, is_abandoned, owned
from InvDetectLib.worker import LOG, MARKER, PROTOCOL, inside

from .job import Job, OnMessage
from .link import WorkerLink, log_tail

_FOLDER = "invdetect-"  # how names of private folders begin
_FAREWELL = 2.5  # seconds that a worker gets at `stop` to bring a training to a safe place
_REPORTED = 40  # lines of the log in a report


class WorkerClient:
    """Starts the worker when it is first needed, keeps it warm, and starts a fresh one after it ended. All methods on one thread.

    executable   a Python with what InvDetect needs, or a launcher of one
    environment  for the process; None: that of this process
    grace        seconds that a cancelled job gets to stop by itself
    answer       seconds after which commands go by a file, for launchers that keep standard input to themselves
    start        seconds after which a worker that says nothing is given up
    """

    def __init__(
        self,
        executable: str | os.PathLike[str],
        environment: Mapping[str, str] | None = None,
        grace: float = 1.0,
        answer: float = 2.0,
        start: float = 120.0,
    ) -> None:
        self._executable = os.fspath(executable)
        # unbuffered and in UTF-8: what the worker's log says must be there when it dies
        more = {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}
        self._environment = {**(os.environ if environment is None else environment), **more}
        self._grace, self._answer, self._start_wait = grace, answer, start
        self._folder: Path | None = None
        self._ours = ExitStack()
        self._link: WorkerLink | None = None
        self._started = 0.0
        self._asked_by_file = False
        self._transport = ""
        self._worker: dict[str, Any] = {}
        self._ended_with: int | None = None
        self._last_id = 0
        self._waiting: deque[Job] = deque()
        self._current: Job | None = None
        self._deadline: float | None = None
        self._ready: deque[tuple[Job, dict[str, Any]]] = deque()
        self._delivering = False

    @property
    def folder(self) -> Path:
        """The private folder that this process and the worker share; made when first asked for, removed by `stop`."""
        if self._folder is None:
            try:
                _sweep(Path(tempfile.gettempdir()))
                folder = Path(tempfile.mkdtemp(prefix=_FOLDER))
                self._ours.enter_context(owned(folder / MARKER))
                self._folder = folder
            except OSError as error:
                reason = error.strerror or error
                raise InvDetectError(f"There is no place for temporary files ({reason}); make room on the disk, and try again.") from error
            atexit.register(self.stop)
        return self._folder

    @property
    def running(self) -> bool:
        """Whether there is a process."""
        return self._link is not None

    @property
    def busy(self) -> bool:
        """Whether some job is not finished."""
        return bool(self._current or self._waiting or self._ready)

    def send(self, command: Mapping[str, Any], onMessage: OnMessage | None = None, onFinished: OnMessage | None = None) -> Job:
        """Queue a command, {"command": name, ...} as in `InvDetectLib.worker.protocol`; they are carried out one after the other.

        onMessage is called with its progress, warning and slice messages, onFinished once with its done or failed one, by `poll`.
        """
        self._last_id += 1
        job = Job(self, self._last_id, {**command, "id": self._last_id}, onMessage, onFinished)
        self._waiting.append(job)
        self._go_on()
        return job

    def cancel(self, job: Job) -> None:
        """See `Job.cancel`."""
        if job in self._waiting:
            self._waiting.remove(job)
            self._ready.append((job, job.failure("cancelled", "Stopped on request.")))
        elif job is self._current and self._deadline is None:
            self._deadline = time.monotonic() + self._grace
            self.tell(job, "cancel")

    def tell(self, job: Job, what: str) -> None:
        """Tell the worker to cancel, pause or resume the job, if that is the one that it works at."""
        if job is self._current and self._link is not None:
            self._write(self._link, {"command": what, "job": job.id})

    def take(self, name: str) -> Any:
        """The array in a file that a message named; the file is deleted. `InvDetectError` when it is not there or damaged."""
        import numpy as np

        path = inside(self.folder, name)
        try:
            array = np.load(path, allow_pickle=False)
            path.unlink()
        except (OSError, ValueError, EOFError) as error:
            raise InvDetectError(f"What the worker handed over cannot be read ({error}); start again.") from error
        return array

    def poll(self, budget: float | None = None) -> None:
        """Deliver what has come, on this thread, and keep watch over times.

        budget  seconds after which the rest is left for the next call, so that a user interface stays alive
        """
        if self._delivering:
            return  # called from a callback, by an event loop that runs in it
        until = None if budget is None else time.monotonic() + budget
        self._delivering = True
        try:
            while (until is None or time.monotonic() < until) and (self._deliver_ready() or self._read_one()):
                pass
        finally:
            self._delivering = False
        self._look_at_the_clock()
        self._go_on()

    def wait(self, job: Job, timeout: float | None = None) -> dict[str, Any]:
        """The job's reply, polling until it is there. Raises TimeoutError; RuntimeError when called from a callback."""
        if self._delivering:
            raise RuntimeError("a callback of a job cannot wait for another job")
        until = None if timeout is None else time.monotonic() + timeout
        while not job.finished:
            self.poll()
            if job.finished:
                break
            if until is not None and time.monotonic() > until:
                raise TimeoutError(f"the worker did not answer the command {job.command['command']!r} in time")
            time.sleep(0.01)
        return job.reply

    def stop(self) -> None:
        """End the worker and remove the private folder. Unfinished jobs become cancelled ones; their callbacks are not called."""
        for job in (self._current, *self._waiting, *(job for job, _ in self._ready)):
            if job is not None:
                job.reply = job.failure("cancelled", "Stopped on request.")
        if self._link is not None:
            self._write(self._link, {"command": "quit"})
            if not self._link.wait(_FAREWELL if self._transport else 0):
                self._link.kill()
                self._link.wait(_FAREWELL)
        self._forget_process()
        self._current = self._deadline = None
        self._waiting.clear()
        self._ready.clear()
        if self._folder is not None:
            self._ours.close()
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
            atexit.unregister(self.stop)

    def report(self) -> str:
        """What to copy into a bug report: versions, how the worker ended, the end of its log. Names of scans are in none of it."""
        log = [] if self._folder is None else log_tail(self._folder)
        facts = {
            "InvDetect": f"{InvDetectLib.__version__}, worker {self._worker.get('version', 'never started')}",
            "Protocol": f"{PROTOCOL}, by {self._transport or 'nothing yet'}",
            "Python": f"{platform.python_version()}, worker {self._worker.get('python', '?')}",
            "System": platform.platform(),
            "Executable": os.path.basename(self._executable),
            "Exit code": "none" if self._ended_with is None else self._ended_with,
            "Last line": log[-1] if log else "",
        }
        return "\n".join([*(f"{name}: {fact}" for name, fact in facts.items()), "Log:", *log[-_REPORTED:]])

    def _go_on(self) -> None:
        """Start what can be started."""
        if self._current is not None or not self._waiting:
            return
        if self._link is None:
            self._start()
        elif self._transport:
            self._current = self._waiting.popleft()
            self._write(self._link, self._current.command)

    def _start(self) -> None:
        program = Path(InvDetectLib.worker.__file__).with_name("__main__.py")
        try:
            command = [self._executable, str(program), "--folder", str(self.folder), "--parent", str(os.getpid())]
            self._link = WorkerLink(command, self.folder, self._environment)
        except (OSError, InvDetectError) as error:
            reason = str(error) if isinstance(error, InvDetectError) else f"{self._executable}: {error.strerror or error}"
            self._fail_all("gone", f"The worker cannot be started ({reason}).")
            return
        self._started, self._asked_by_file = time.monotonic(), False
        self._link.write(self._hello(), by_file=False)

    def _hello(self) -> dict[str, Any]:
        return {"id": 0, "command": "hello", "protocol": PROTOCOL}

    def _write(self, link: WorkerLink, command: dict[str, Any]) -> None:
        try:
            link.write({"id": 0, **command}, by_file=self._transport == "file")
        except OSError as error:
            if self._current is not None and command is self._current.command:
                text = f"The command cannot be handed to the worker ({error.strerror or error}); make room on the disk, and try again."
                self._finish(self._current.failure("error", text))

    def _deliver_ready(self) -> bool:
        if not self._ready:
            return False
        job, reply = self._ready.popleft()
        job.deliver(reply)
        return True

    def _read_one(self) -> bool:
        """Take one message from the worker; False when there is none."""
        if self._link is None or self._link.messages.empty():
            return False
        message = self._link.messages.get()
        kind, number = message.get("message"), message.get("id")
        if kind == "ended":
            self._process_ended(message["code"])
        elif kind == "hello":
            self._worker = message
        elif number == 0:
            self._answered(message)
        elif self._current is not None and number == self._current.id:
            if kind in ("done", "failed"):
                if message.get("log"):
                    message["log"] = str(self.folder / LOG)
                self._finish(message)
            else:
                self._current.deliver(message)
        return True

    def _answered(self, message: dict[str, Any]) -> None:
        """The answer to `hello`; those to cancel, pause and resume say nothing new."""
        if self._transport or self._link is None:
            return
        if message["message"] == "done" and message.get("transport") in ("stdin", "file"):
            self._transport = message["transport"]
            return
        self._link.kill()
        self._forget_process()
        self._fail_all("error", str(message.get("text", "The worker's answer cannot be understood.")))

    def _process_ended(self, code: int) -> None:
        self._ended_with, at_work = code, bool(self._transport)
        self._forget_process()
        if self._current is not None and self._deadline is not None:
            self._finish(self._current.failure("cancelled", "Stopped on request."))
            return
        last = (log_tail(self.folder) or ["it left no word"])[-1]
        text = f"The worker ended unexpectedly (exit code {code}): {last}"
        if self._current is not None:
            self._finish(self._current.failure("gone", text, str(self.folder / LOG)))
        elif not at_work:  # a fresh one would fail in the same way
            self._fail_all("gone", text, str(self.folder / LOG))

    def _look_at_the_clock(self) -> None:
        now = time.monotonic()
        if self._link is None:
            return
        if self._current is not None and self._deadline is not None and now > self._deadline:
            self._link.kill()
            self._forget_process()
            self._finish(self._current.failure("cancelled", "Stopped on request."))
        elif not self._transport and not self._asked_by_file and now - self._started > self._answer:
            self._asked_by_file = True
            try:
                self._link.write(self._hello(), by_file=True)
            except OSError:
                pass  # then it has to come by standard input
        elif not self._transport and now - self._started > self._start_wait:
            self._link.kill()
            self._forget_process()
            self._fail_all("gone", f"The worker did not answer within {self._start_wait:g} s.", str(self.folder / LOG))

    def _forget_process(self) -> None:
        self._link, self._transport = None, ""

    def _finish(self, reply: dict[str, Any]) -> None:
        """The current job has its reply."""
        assert self._current is not None
        job, self._current, self._deadline = self._current, None, None
        self._ready.append((job, reply))

    def _fail_all(self, kind: str, text: str, log: str = "") -> None:
        while self._waiting:
            job = self._waiting.popleft()
            self._ready.append((job, job.failure(kind, text, log)))


def _sweep(place: Path) -> None:
    """Remove the private folders of clients that ended without a farewell, and whose workers did, too."""
    for folder in place.glob(_FOLDER + "*"):
        marker = folder / MARKER
        if not folder.is_symlink() and marker.is_file() and is_abandoned(marker, marker):
            shutil.rmtree(folder, ignore_errors=True)
