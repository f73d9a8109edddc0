"""What is under way: a question to the worker, or the detection of one scan, from the scan handed over to the result in the scene."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import slicer

from InvDetectLib.calibration import Calibration
from InvDetectLib.common import Event, InvDetectError
from InvDetectLib.results import Result

from ..scene import MapInProgress, ResultNodes, begin_map
from .background import Background
from .client import WorkerClient
from .failures import RunFailed, as_bug, as_failure
from .job import Job

OnProgress = Callable[[Event], None]
OnText = Callable[[str], None]
OnFailed = Callable[[RunFailed], None]


def nothing(*_: Any) -> None:
    """A callback for those who want none."""


class Run:
    """One command of the worker on its way.

    running   whether it has neither succeeded nor failed
    facts     what the worker's reply says; {} before
    warnings  sentences that were said on the way
    error     why there is no result, when there is none
    """

    def __init__(
        self,
        client: WorkerClient,
        onFinished: Callable[[Any], None] | None = None,
        onFailed: OnFailed | None = None,
        onProgress: OnProgress | None = None,
        onWarning: OnText | None = None,
    ) -> None:
        self.running, self.error = True, None
        self.facts: dict[str, Any] = {}
        self.warnings: list[str] = []
        self.outcome: Any = None
        self._client, self._job = client, None
        self._on_finished, self._on_failed = onFinished or nothing, onFailed or nothing
        self._on_progress, self._on_warning = onProgress or nothing, onWarning or nothing

    running: bool
    error: RunFailed | None
    _job: Job | None

    def start(self, command: dict[str, Any]) -> None:
        """Send the command."""
        self._job = self._client.send(command, self._heard, self._ended)

    def cancel(self) -> None:
        """Stop it. It fails as "cancelled" at once or in a later `poll`, within a second or so."""
        if not self.running or self._job is None:
            return
        if self._job.finished:  # the worker is ready, but nothing was made of its answer yet
            self.fail(RunFailed("Stopped on request.", "cancelled"))
        else:
            self._job.cancel()

    def pause(self) -> None:
        """Let it wait, as soon as it reaches a place where it can."""
        if self._job is not None:
            self._job.pause()

    def resume(self) -> None:
        """Let it go on."""
        if self._job is not None:
            self._job.resume()

    def poll(self) -> None:
        """What has to be looked after besides the worker's messages."""

    def fail(self, failure: RunFailed) -> None:
        """End it without a result."""
        if self.running:
            self.running, self.error = False, failure
            if self._job is not None and not self._job.finished:
                self._job.cancel()
            self._on_failed(failure)

    def _succeed(self, outcome: Any) -> None:
        self.running, self.outcome = False, outcome
        self._on_finished(outcome)

    def _heard(self, message: dict[str, Any]) -> None:
        if not self.running:
            return
        kind = message["message"]
        if kind == "progress":
            names = ("stage", "done", "total", "seconds_left", "facts")
            self._progressed(Event(**{name: message[name] for name in names}))
        elif kind == "warning":
            self.warnings.append(message["text"])
            self._on_warning(message["text"])

    def _progressed(self, event: Event) -> None:
        self._on_progress(event)

    def _ended(self, reply: dict[str, Any]) -> None:
        if not self.running:
            self._sweep()
            return
        if reply["message"] != "done":
            self.fail(RunFailed.of(reply))
            return
        self.facts = {name: value for name, value in reply.items() if name not in ("message", "id")}
        self._received()

    def _received(self) -> None:
        self._succeed(self.facts)

    def _sweep(self) -> None:
        """Delete what the worker wrote for this run and nobody needs any more."""
        if self._job is not None and self._client.running:
            for pattern in (f"{self._job.id}-*", f"result-{self._job.id}.*"):
                for path in self._client.folder.glob(pattern):
                    path.unlink(missing_ok=True)


class Detection(Run):
    """The detection of one scan; its outcome are `ResultNodes`. Whatever happens, there is a whole result in the scene or none."""

    def __init__(
        self,
        client: WorkerClient,
        volume: Any,
        calibration: Calibration,
        into: ResultNodes | None,
        show: bool,
        onSlice: Callable[[int, int, int, int], None] | None = None,
        onResult: Callable[[ResultNodes, Result], None] = nothing,
        entering: Callable[[], AbstractContextManager[Any]] = nullcontext,
        **callbacks: Any,
    ) -> None:
        """onSlice: called with the number of slices shown, how many there will be, and axis and index of the latest in the scan's array.

        onResult  called with nodes and result before `onFinished` is called
        entering  within it the result is put into the scene, which takes up to a second: a wait cursor

        Raises InvDetectError for a volume without image data.
        """
        super().__init__(client, **callbacks)
        self._volume, self._title, self._into = volume, volume.GetName(), into
        self._on_slice, self._on_result, self._entering = onSlice or nothing, onResult, entering
        self._loading: Background | None = None
        self._read = False  # whether the files of the result are no longer needed
        self._map: MapInProgress = begin_map(volume, calibration, show)

    def poll(self) -> None:
        """Ends the run when scan or map have left the scene; puts the result there when it is loaded."""
        if self.running and self._is_in_scene() and self._loading is not None:
            self._loading.poll()

    def _is_in_scene(self) -> bool:
        """Whether scan and map are still there; the run ends when they are not."""
        if _in_scene(self._volume) and _in_scene(self._map.node):
            return True
        text = f'"{self._title}" or its anomaly map was taken out of the scene while it was examined. Load the scan and detect again.'
        self.fail(RunFailed(text, "scene"))
        return False

    def fail(self, failure: RunFailed) -> None:
        """See `Run.fail`; takes away what the run had put into the scene."""
        if self.running:
            self._map.discard()
            super().fail(failure)
            if self._loading is None or self._read:
                self._sweep()

    def _heard(self, message: dict[str, Any]) -> None:
        super()._heard(message)
        if not self.running or message["message"] != "slice" or not self._is_in_scene():
            return
        try:
            values = self._client.take(message["file"])
            self._map.put_slice(message["slice_axis"], message["index"], values)
        except InvDetectError as error:
            self.fail(as_failure(error))
            return
        self._on_slice(message["number"], message["of"], message["slice_axis"], message["index"])

    def _received(self) -> None:
        folder, facts = self._client.folder, self.facts

        def load() -> Result:
            try:
                anomaly_map, mask = (np.load(folder / facts[name], allow_pickle=False) for name in ("map", "mask"))
                result = Result.load(self._file(), anomaly_map, mask)
                if facts["pseudo_normal"] is not None:
                    result = replace(result, pseudo_normal=np.load(folder / facts["pseudo_normal"], allow_pickle=False))
                return result
            except (OSError, ValueError, EOFError) as error:
                raise InvDetectError(f"What the worker handed over cannot be read ({error}); detect again.") from error
            finally:
                self._read = True
                if not self.running:  # it failed meanwhile, and left the files to be read to the end
                    self._sweep()

        self._loading = Background(load, self._show, lambda error: self.fail(as_failure(error)))

    def _show(self, result: Result) -> None:
        self._loading = None
        into = self._into
        if into is not None:  # outputs that were deleted meanwhile are made anew
            there = {role: node for role in ("map", "segmentation", "table") if _in_scene(node := getattr(into, role))}
            into = ResultNodes(**there)
        try:
            with self._entering():  # which lets events in, and any of them may have ended the run
                if not self.running:
                    return
                nodes = self._map.finish(result, into, self._file())
        except InvDetectError as error:
            self.fail(as_failure(error))
            return
        except Exception as error:
            self.fail(as_bug("the result could not be shown", error))
            return
        self._sweep()
        self._on_result(nodes, result)
        self._succeed(nodes)

    def _file(self) -> Path:
        return self._client.folder / f"{self.facts['result']}.result.json"


def _in_scene(node: Any) -> bool:
    return node is not None and node.GetScene() is slicer.mrmlScene
