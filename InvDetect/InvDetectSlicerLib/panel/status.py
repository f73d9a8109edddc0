"""What the panel says: one line of words, never a pop-up, and a report to copy when InvDetect itself is to blame."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

import qt
from slicer.i18n import tr as _

from InvDetectLib.common import InvDetectError

from ..worker import RunFailed, as_bug, as_failure

_WORTH_REPORTING = ("bug", "gone", "memory")


class Status:
    """Owns `statusLabel` and `reportButton`."""

    def __init__(self, ui: Any, report: Callable[[], str]) -> None:
        """report: what the logic has to say of the worker"""
        self._ui, self._report, self._trace = ui, report, ""
        ui.reportButton.clicked.connect(self.guarded(self.copyReport))
        self.say("")

    def say(self, text: str) -> None:
        """Something plain; "" clears the line."""
        self._show(text, False)

    def fail(self, error: InvDetectError) -> None:
        """Why something did not work, and what to do."""
        self._fail(as_failure(error), "")

    def _fail(self, failure: RunFailed, trace: str) -> None:
        self._trace = trace  # of this failure, not of one before
        self._show(str(failure), failure.kind in _WORTH_REPORTING)

    def guarded(self, function: Callable[[], Any]) -> Callable[..., None]:
        """`function` as a slot: the signal's arguments are left out, and whatever it raises is said here."""
        return self.guardedWith(lambda *arguments: function())

    def guardedWith(self, function: Callable[..., Any]) -> Callable[..., None]:
        """`function` with its arguments; whatever it raises is said here."""

        def call(*arguments: Any) -> None:
            try:
                function(*arguments)
            except InvDetectError as error:
                self.fail(error)
            except Exception as error:
                self._fail(as_bug(f"{function} failed", error), traceback.format_exc())

        return call

    def copyReport(self) -> None:
        """Put the report into the clipboard."""
        try:
            report = self._report()
        except InvDetectError as error:
            report = str(error)
        qt.QApplication.clipboard().setText("\n".join(part for part in (self._ui.statusLabel.text, report, self._trace) if part))
        self.say(_("The report is in the clipboard. It holds no images, but it may name files: read it before you send it on."))

    def _show(self, text: str, report: bool) -> None:
        self._ui.statusLabel.text = text
        self._ui.statusLabel.visible = bool(text)
        self._ui.reportButton.visible = report


def show_text(label: Any, text: str) -> None:
    """A label that takes no room while it has nothing to say."""
    label.text = text
    label.visible = bool(text)


def even_font() -> Any:
    """A small font whose letters are all of one width, for cards."""
    font = qt.QFont("monospace")
    font.setStyleHint(qt.QFont.TypeWriter)
    font.setPointSize(8)
    return font
