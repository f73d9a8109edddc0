"""The mask at other controls with no new inference: one slice at once, the whole in the background. Also after save and reload."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import slicer

from InvDetectLib.common import Cancelled, Event, InvDetectError, Progress
from InvDetectLib.results import Result

from ..scene import MISSING, ResultNodes, array_of, content_of, controls_of, show_mask, show_mask_slice, unpack
from ..worker import Background, RunFailed

_GONE = "This result is no longer whole in the scene, so it cannot be refined. Choose another one, or detect again."


@dataclass(eq=False)
class Refinement:
    """A wish for the whole mask of one result.

    wishes   those of contiguity, rate, threshold and scr that are given, as for `Result.refine`
    running  whether it has neither succeeded nor failed;  error  why not, when it failed ("cancelled" also when a newer wish came)
    said     sentences on reviews that could not follow their findings
    """

    nodes: ResultNodes
    wishes: dict[str, Any]
    on_finished: Callable[[list[str]], None] | None = None
    on_failed: Callable[[RunFailed], None] | None = None
    on_progress: Callable[[Event], None] | None = None
    running: bool = True
    error: RunFailed | None = None
    said: list[str] = field(default_factory=list)
    _latest: Event | None = None
    _stopped: bool = False

    def __post_init__(self) -> None:
        self._progress = Progress(self._hear)

    def cancel(self) -> None:
        """Leave the mask as it is; it fails as "cancelled" in a later `poll`."""
        self._stopped = True
        self._progress.cancel()

    def drop(self) -> None:
        """A newer wish takes its place: it is cancelled, and nobody is told."""
        self.on_finished = self.on_failed = self.on_progress = None
        self.cancel()

    def apply(self, result: Result) -> Result:
        """What the wish makes of a result. To be called in the background."""
        return result.refine(**self.wishes, progress=self._progress)

    def tell(self) -> None:
        """Pass on how far it is."""
        event, self._latest = self._latest, None
        if event is not None and self.on_progress is not None:
            self.on_progress(event)

    def finish(self, result: Result) -> None:
        """Put what came of it into the scene, unless it is not wanted any more. Raises InvDetectError."""
        if self._stopped:
            raise Cancelled("Stopped on request.")
        if not whole(self.nodes):
            raise RunFailed(_GONE, "scene")
        self.said, self.running = show_mask(self.nodes, result), False

    def fail(self, error: InvDetectError) -> None:
        """End it without a new mask."""
        if self.running:
            kind = "cancelled" if isinstance(error, Cancelled) else "error"
            self.running, self.error = False, error if isinstance(error, RunFailed) else RunFailed(str(error), kind)
            if self.on_failed is not None:
                self.on_failed(self.error)

    def _hear(self, event: Event) -> None:
        self._latest = event


class Refining:
    """Holds one result in memory, the one that was detected or refined last, and carries out the newest wish; older ones are dropped."""

    def __init__(self) -> None:
        self._stored: Any = None  # the node that keeps the result in memory
        self._result: Result | None = None
        self._task: Background | None = None
        self._at_work: Refinement | None = None  # what the task does; None: it loads
        self._wish: Refinement | None = None
        self._again: Callable[[], Any] | None = None  # what waits for a result to be loaded

    def keep(self, nodes: ResultNodes, result: Result) -> None:
        """Remember a result that is in memory anyway."""
        self._stored, self._result = nodes.stored, result

    def prepare(self, nodes: ResultNodes) -> bool:
        """Bring a result into memory, so that sliders follow at once; False: it will be there after some `poll`.

        Raises InvDetectError when the scene does not keep what is needed, or it is damaged.
        """
        self._again = None
        if self._load(nodes) is not None:
            return True
        self._again = lambda: self.prepare(nodes)
        return False

    def show_slice(self, nodes: ResultNodes, axis: int, index: int, wishes: dict[str, Any]) -> bool:
        """Show the mask of one slice at other controls. False: not now. While the result is being loaded, it is shown when that is done;
        a slice across the model's own, or outside of the scan, never is. Raises as `prepare`, and for wishes that cannot be."""
        self._again = None
        result = self._load(nodes)
        if result is None:
            self._again = lambda: self.show_slice(nodes, axis, index, wishes)
            return False
        controls = result.wished(**wishes)
        if axis != result.slice_axis or not 0 <= index < result.geometry.shape[axis]:
            return False
        show_mask_slice(nodes, axis, index, result.refine_slice(index, controls))
        return True

    def refine(self, wish: Refinement) -> None:
        """Make the whole mask anew, in the background. Raises as `prepare`."""
        _check(wish.nodes)
        for older in (self._wish, self._at_work):
            if older is not None:
                older.drop()
        if self._wish is not None:
            self._wish.fail(Cancelled("Another wish took its place."))
        self._wish = wish
        self._go_on()

    def poll(self) -> None:
        """Deliver what has been done, and start what is to be done next."""
        if self._at_work is not None:
            self._at_work.tell()
        if self._task is not None:
            if not self._task.poll():
                return
            self._task = self._at_work = None
        if self._stored is not None and not _in_scene(self._stored):
            self._stored = self._result = None  # the scene was closed
        self._go_on()

    def close(self) -> None:
        """Drop everything."""
        for wish in (self._wish, self._at_work):
            if wish is not None:
                wish.drop()
                wish.fail(Cancelled("Stopped on request."))
        self._wish = self._at_work = self._task = self._again = self._result = self._stored = None

    def _load(self, nodes: ResultNodes) -> Result | None:
        """The result if it is in memory; else it is on its way, unless the thread is busy with something else."""
        _check(nodes)
        if self._result is not None and self._stored is nodes.stored:
            return self._result
        if self._task is not None:
            return None
        content, controls = content_of(nodes), controls_of(nodes)
        assert content is not None
        anomaly_map, labels = array_of(nodes.map).copy(), array_of(nodes.labels).copy()

        def load() -> Result:
            # Its findings and the mask on the model's grid are as old as `content`: refining makes new ones and looks at neither.
            return replace(unpack(content, anomaly_map, labels > 0), controls=controls)

        self._task = Background(load, lambda result: self.keep(nodes, result), self._not_loaded)
        return None

    def _not_loaded(self, error: InvDetectError) -> None:
        wish, self._wish, self._again = self._wish, None, None
        if wish is not None:
            wish.fail(error)

    def _go_on(self) -> None:
        """Start what waits, if the thread is free."""
        if self._task is None and (again := self._again) is not None:
            try:
                again()
            except InvDetectError:
                self._again = None  # its scene is gone, or the wish cannot be; a wish for the whole mask says so
        if self._task is not None or (wish := self._wish) is None:
            return
        try:
            result = self._load(wish.nodes)
            if result is None:
                return
            result.wished(**wish.wishes)
        except InvDetectError as error:
            self._wish = None
            wish.fail(error)
            return
        self._wish, self._at_work, ready = None, wish, result
        self._task = Background(lambda: wish.apply(ready), lambda refined: self._refined(wish, refined), wish.fail)

    def _refined(self, wish: Refinement, result: Result) -> None:
        try:
            wish.finish(result)
        except InvDetectError as error:
            wish.fail(error)
            return
        self.keep(wish.nodes, result)
        if wish.on_finished is not None:
            wish.on_finished(wish.said)


def whole(nodes: ResultNodes) -> bool:
    """Whether all nodes of a result but its scan are in the scene."""
    return all(map(_in_scene, (nodes.map, nodes.segmentation, nodes.table, nodes.labels, nodes.stored)))


def _check(nodes: ResultNodes) -> None:
    if nodes.stored is None or not _in_scene(nodes.stored) or nodes.stored.GetImageData() is None:
        raise InvDetectError(MISSING)
    if not whole(nodes) or nodes.map.GetImageData() is None:
        raise RunFailed(_GONE, "scene")


def _in_scene(node: Any) -> bool:
    return node is not None and node.GetScene() is slicer.mrmlScene
