"""Apply and Cancel, the bar, and the time left: for one scan and for a folder alike. One run at a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from . import wording
from .status import Status, show_text


class RunPanel:
    """Owns `progressBar` and `warningLabel`, and the words on the buttons that start a run."""

    def __init__(self, ui: Any, status: Status, onIdle: Callable[[], None]) -> None:
        """onIdle: called when a run has ended, in whatever way"""
        self._ui, self._status, self._on_idle = ui, status, onIdle
        self._run: Any = None
        self._button: Any = None
        self._words = ""
        self._started = 0.0
        self._said: list[str] = []

    @property
    def running(self) -> bool:
        """Whether something is under way."""
        return self._run is not None

    def start(self, button: Any, begin: Callable[..., Any], onDone: Callable[[Any], None]) -> None:
        """Start a run by `button`, which cancels it from now on.

        begin  is called with onProgress, onWarning, onFinished and onFailed and returns the run; what it raises is no run
        """
        self._started = time.monotonic()

        def finished(outcome: Any) -> None:
            self._ended()
            onDone(outcome)

        self._run = begin(
            onProgress=self._progress,
            onWarning=self.warn,
            onFinished=self._status.guardedWith(finished),
            onFailed=self._failed,
        )
        self._button, self._words = button, button.text
        button.text = _("Cancel")
        self._ui.progressBar.maximum = 0
        self._ui.progressBar.format = _("Starting")
        self._ui.progressBar.visible = True
        self._status.say("")

    def cancel(self) -> None:
        """Stop what is under way; nothing of it stays."""
        if self._run is not None:
            self._ui.progressBar.format = _("Stopping")
            self._run.cancel()

    def seconds(self) -> float:
        """Since the last start."""
        return time.monotonic() - self._started

    def warn(self, text: str) -> None:
        """Say it once, and let it stand until `forgetWarnings`."""
        if text and text not in self._said:
            self._said.append(text)
            show_text(self._ui.warningLabel, "\n".join(self._said))

    def forgetWarnings(self) -> None:
        """Scan or model is another one."""
        self._said = []
        show_text(self._ui.warningLabel, "")

    def _progress(self, event: Any) -> None:
        bar, stage = self._ui.progressBar, event.stage.capitalize()
        if event.total:
            left = _(", {time} left").format(time=wording.duration(event.seconds_left)) if event.seconds_left else ""
            stage = _("{stage}: {done} of {total}").format(stage=stage, done=event.done, total=event.total) + left
        bar.format = stage
        bar.maximum, bar.value = event.total, event.done

    def _failed(self, failure: Any) -> None:
        self._ended()
        if failure.kind == "cancelled":
            self._status.say(_("Cancelled. Nothing was kept."))
        else:
            self._status.fail(failure)

    def _ended(self) -> None:
        self._run = None
        if self._button is not None:
            self._button.text = self._words
        self._ui.progressBar.visible = False
        self._on_idle()
