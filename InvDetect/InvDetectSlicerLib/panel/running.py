"""Apply and Cancel, the bar, and the time left: for one scan, several and a folder alike. One run at a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _

from . import wording
from .status import Status, show_text


class RunPanel:
    """Owns `progressBar` and `warningLabel`, and the words on the buttons that start a run."""

    def __init__(self, ui: Any, status: Status, onChanged: Callable[[], None]) -> None:
        """onChanged: called when a run begins, is under way, and has ended, in whatever way"""
        self._ui, self._status, self._on_changed = ui, status, onChanged
        self._begun = self._beginning = self._stopping = False
        self._run: Any = None
        self._button: Any = None
        self._words = self._title = self._told = ""
        self._started = 0.0
        self._said: list[str] = []

    @property
    def running(self) -> bool:
        """Whether something is under way, or begins."""
        return self._begun

    def cancelledBy(self, button: Any) -> bool:
        """Whether a press on this button ends what is under way; not while it begins: a press that comes then was meant to start it."""
        return self._begun and not self._beginning and button == self._button

    def start(self, button: Any, begin: Callable[..., Any], onDone: Callable[[Any], None]) -> None:
        """Start a run by `button`, which cancels it from now on. Nothing, while another one is under way.

        begin  is called with onProgress, onWarning, onFinished and onFailed and returns the run; what it raises is no run
        """
        if self._begun:
            return
        self._begun = self._beginning = True  # before the wait cursor lets in what waits, a second press among it
        self._started = time.monotonic()
        self._button, self._words = button, button.text
        button.text = _("Cancel")
        self._ui.progressBar.maximum = 0
        self._ui.progressBar.visible = True
        self._status.say("")
        self._tell(_("Starting ..."))
        self._on_changed()

        def finished(outcome: Any) -> None:
            self._ended()
            onDone(outcome)

        try:
            with slicer.util.WaitCursor():
                if not self._stopping:
                    self._run = begin(
                        onProgress=self._progress,
                        onWarning=self.warn,
                        onFinished=self._status.guardedWith(finished),
                        onFailed=self._failed,
                    )
        except BaseException:
            self._ended()
            raise
        if self._run is None:
            self._cancelled()
            return
        self._beginning = False
        self._on_changed()

    def cancel(self) -> None:
        """Stop what is under way; nothing of it stays."""
        if not self._begun:
            return
        self._stopping = True
        self._tell(_("Stopping ..."))
        if self._run is not None:
            self._run.cancel()

    def seconds(self) -> float:
        """Since the last start."""
        return time.monotonic() - self._started

    def name(self, title: str) -> None:
        """Which part of the run it is that the bar shows from now on."""
        self._title = title
        self._ui.progressBar.maximum = 0
        self._tell(title)

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
        if self._title:
            stage = _("{part}: {stage}").format(part=self._title, stage=stage)
        if event.total:
            left = _(", {time} left").format(time=wording.duration(event.seconds_left)) if event.seconds_left else ""
            bar.format = _("{stage}: {done} of {total}").format(stage=stage, done=event.done, total=event.total) + left
        bar.maximum, bar.value = event.total, event.done
        if not self._stopping:
            self._tell("" if event.total else stage)

    def _tell(self, text: str) -> None:
        """What the bar cannot say: it shows no words while it does not know how long. What others said meanwhile stands."""
        if self._ui.statusLabel.text in ("", self._told) or self._stopping:
            self._told = text
            self._status.say(text)

    def _failed(self, failure: Any) -> None:
        if failure.kind == "cancelled":
            self._cancelled()
        else:
            self._ended()
            self._status.fail(failure)

    def _cancelled(self) -> None:
        self._ended()
        self._status.say(_("Cancelled. Nothing was kept."))

    def _ended(self) -> None:
        self._tell("")
        self._run, self._title, self._told = None, "", ""
        self._begun = self._beginning = self._stopping = False
        self._button.text = self._words
        self._ui.progressBar.visible = False
        self._on_changed()
