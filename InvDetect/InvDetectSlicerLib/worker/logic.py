"""What the logics of both modules share: a worker of their own, questions to it that wait or call back, and its end. No Qt, no torch."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import slicer

from InvDetectLib.models import resolve_model

from ..install import pythons
from .client import WorkerClient
from .drawing import Drawing
from .failures import RunFailed
from .run import OnFailed, OnProgress, OnText, Run

_STEP = 0.03  # seconds of messages that one `poll` delivers: the windows must stay alive
_PAUSE = 0.005  # seconds between two looks while waiting


class UnderWay(Protocol):
    """Something that a `poll` brings to its end: a `Run`, or what goes on in the background."""

    @property
    def running(self) -> bool: ...

    @property
    def error(self) -> RunFailed | None: ...

    def cancel(self) -> None: ...


class Polled(UnderWay, Protocol):
    """Something that the logic itself brings to its end."""

    def poll(self) -> None: ...

    def fail(self, failure: RunFailed) -> None: ...


AnyRun = TypeVar("AnyRun", bound=UnderWay)


class WorkerLogic:
    """One worker process and what is under way in it. A question waits for its answer, and raises `InvDetectError` when there is none; or,
    given `onFinished`, returns what is under way (with `running`, `cancel()` and `error`) and calls back from `poll`."""

    def __init__(self, client: WorkerClient | None = None, executable: str | os.PathLike[str] | None = None) -> None:
        """client: to be used instead of one of its own; executable: the Python that computes. Without it the one that the user chose,
        else Slicer's own (`pythons.computing_python`); outside of Slicer the one that runs. The worker starts with the first question."""
        self._client, self._executable, self._lent = client, executable, client is not None
        self._runs: list[Polled] = []

    @property
    def client(self) -> WorkerClient:
        """The worker's client, made when first asked for."""
        if self._client is None:
            executable, environment = _computing(self._executable)
            self._client = WorkerClient(executable, environment)
        return self._client

    @property
    def busy(self) -> bool:
        """Whether the worker has something to do."""
        return any(run.running for run in self._runs)

    def devices(self, onFinished: Callable[[dict[str, str]], None] | None = None, onFailed: OnFailed | None = None) -> Any:
        """What can compute: {name to ask for: description}, the fastest first."""
        return self._ask({"command": "devices"}, onFinished, onFailed, pick=lambda facts: facts["devices"])

    def scheduler(self, address: str, onFinished: Callable[[dict[str, Any]], None] | None = None, onFailed: OnFailed | None = None) -> Any:
        """What a Dask scheduler has to compute with: {text: one sentence, ...}. Such an address can be given wherever a device can."""
        return self._ask({"command": "scheduler", "address": address}, onFinished, onFailed)

    def chart(
        self,
        modelPath: str | os.PathLike[str],
        *,
        dark: bool = False,
        width: int = 800,
        onFinished: Callable[[bytes], None] | None = None,
        onFailed: OnFailed | None = None,
    ) -> Any:
        """What a model can see of made lesions, by its card alone: a chart as the content of a PNG, so many pixels wide; or the run.

        modelPath  a path, or the name of an installed model;  dark  light letters on a dark ground
        Without an answer for a model that was not rehearsed, and where the Python that computes has no matplotlib.
        """
        command = {"command": "chart", "model": os.path.abspath(resolve_model(modelPath)), "dark": dark, "width": width}
        return self._begin(Drawing(self.client, onFinished=onFinished, onFailed=onFailed), command, onFinished is None)

    def report(self) -> str:
        """What to copy into a bug report. It holds no images; an error in it may name a file."""
        return self.client.report()

    def poll(self) -> None:
        """Deliver what has come: to be called on the main thread, some ten times a second. Takes some hundredths of a second at most,
        but for the moment when a result enters the scene."""
        if self._client is not None:
            self._client.poll(_STEP)
        for run in [*self._runs]:
            run.poll()
        self._runs = [run for run in self._runs if run.running]

    def close(self) -> None:
        """Stop everything, take away what is not finished, and end the worker. A later question starts a new one."""
        for run in [*self._runs]:
            run.fail(RunFailed("Stopped on request.", "cancelled"))
        self._runs = []
        if self._client is not None:
            self._client.stop()
            if not self._lent:
                self._client = None  # another Python may have been chosen meanwhile

    def _ask(
        self,
        command: dict[str, Any],
        onFinished: Callable[[Any], None] | None,
        onFailed: OnFailed | None,
        onProgress: OnProgress | None = None,
        onWarning: OnText | None = None,
        pick: Callable[[dict[str, Any]], Any] = lambda facts: facts,
    ) -> Any:
        finished = None if onFinished is None else lambda facts: onFinished(pick(facts))
        run = Run(self.client, finished, onFailed, onProgress, onWarning)
        outcome = self._begin(run, command, onFinished is None)
        return outcome if onFinished is not None else pick(outcome)

    def _begin(self, run: Run, command: dict[str, Any], wait: bool, interactive: bool = False) -> Any:
        self._runs.append(run)
        run.start(command)
        return self._wait(run, interactive).outcome if wait else run

    def _wait(self, run: AnyRun, interactive: bool = False) -> AnyRun:
        try:
            while run.running:
                self.poll()
                if interactive:
                    slicer.app.processEvents()
                time.sleep(_PAUSE)
        except BaseException:  # Ctrl-C among them
            run.cancel()
            raise
        if run.error is not None:
            raise run.error
        return run


def _computing(executable: str | os.PathLike[str] | None) -> tuple[str, dict[str, str] | None]:
    """The Python that computes, and the environment to start it in (None: the own one)."""
    if hasattr(getattr(slicer, "app", None), "userSettings"):
        return os.fspath(executable) if executable else pythons.computing_python(), pythons.environment()
    return os.fspath(executable) if executable else sys.executable, None


def given(**values: Any) -> dict[str, Any]:
    """Those that are not None."""
    return {name: value for name, value in values.items() if value is not None}
