"""Why the chosen finding is one: in words under the list, and as a picture of all findings in a window of its own."""

from __future__ import annotations

from typing import Any

import qt
from slicer.i18n import tr as _

from InvDetectLib.common import InvDetectError
from InvDetectLib.results import Finding

from ..scene import ResultNodes, findings_of, is_kept
from .options import OptionsPanel
from .pixmaps import pixmap_of
from .status import Status, show_text

_LARGEST = 1150, 850  # pixels of the window; larger pictures are scrolled
_FRAME = 40


class WhyPanel:
    """Owns `whyLabel` and `whyButton`."""

    def __init__(self, ui: Any, logic: Any, status: Status, options: OptionsPanel) -> None:
        """options: says on which device to compute"""
        self._ui, self._logic, self._status, self._options = ui, logic, status, options
        self._nodes: ResultNodes | None = None
        self._question: Any = None
        self._window: Any = None
        ui.whyButton.clicked.connect(status.guarded(self.draw))
        self.tell(None)

    def show(self, nodes: ResultNodes | None) -> None:
        """The findings are of this result now."""
        if nodes is None or self._nodes is None or nodes.table is not self._nodes.table:
            self.close()
        self._nodes = nodes
        there = nodes is not None and nodes.input is not None and is_kept(nodes) and bool(findings_of(nodes.table))
        self._ui.whyButton.visible = there

    def tell(self, finding: Finding | None) -> None:
        """Say of a finding why it is one; nothing where that is not known."""
        known = finding is not None and finding.reasons is not None
        show_text(self._ui.whyLabel, _("Why? {words}").format(words=finding.reasons.words()) if known else "")  # type: ignore[union-attr]

    def draw(self) -> None:
        """Ask the worker for the picture; it is shown when it is there."""
        if self._nodes is None:
            raise InvDetectError(_("There is no result yet. Examine a scan first."))
        callbacks = {"onFinished": self._status.guardedWith(self._drawn), "onFailed": self._failed}
        self._question = self._logic.explain(self._nodes, device=self._options.device(), **callbacks)
        self._ui.whyButton.enabled = False
        self._status.say(_("Drawing what speaks for each finding ..."))

    def close(self) -> None:
        """Take the picture away, and back what was asked."""
        if self._question is not None and self._question.running:
            self._question.cancel()
        self._question = None
        self._ui.whyButton.enabled = True
        if self._window is not None:
            self._window.close()
            self._window = None

    def _drawn(self, picture: bytes) -> None:
        self._ui.whyButton.enabled = True
        self._status.say("")
        if self._window is not None:
            self._window.close()
        self._window = _window_of(pixmap_of(picture), self._ui.whyButton)
        self._window.show()

    def _failed(self, failure: Any) -> None:
        self._ui.whyButton.enabled = True
        if failure.kind == "cancelled":
            self._status.say("")
        else:
            self._status.fail(failure)


def _window_of(pixmap: Any, parent: Any) -> Any:
    """A window that lets its caller go on, and scrolls what is too large for it."""
    window = qt.QDialog(parent)
    window.windowTitle = _("Why these findings?")
    layout = qt.QVBoxLayout(window)
    area, label = qt.QScrollArea(), qt.QLabel()
    label.accessibleName = _("One row a finding: the scan, what was expected there, and what each view says")
    label.setPixmap(pixmap)
    area.setWidget(label)
    layout.addWidget(area)
    window.resize(*(min(most, size + _FRAME) for most, size in zip(_LARGEST, (pixmap.width(), pixmap.height()))))
    return window
