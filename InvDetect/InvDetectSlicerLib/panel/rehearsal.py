"""What a model can see of made lesions: its chart in a label, drawn by the worker from the model's card."""

from __future__ import annotations

from typing import Any

import qt
from slicer.i18n import tr as _

from InvDetectLib.common import InvDetectError
from InvDetectLib.models import NOT_REHEARSED, ContrastDetail

from ..models import InstalledModel
from .pixmaps import pixmap_of
from .status import Status, show_text

_NARROWEST, _WIDEST = 340, 800  # pixels: of Slicer's module panel, and of the chart as it was laid out
_MARGIN = 40
_MIDDLE = 128  # of lightness: a darker ground is a dark theme's

_Key = tuple[ContrastDetail, bool, int]  # all that a picture depends on


class RehearsalChart:
    """Owns a label. What was drawn once is kept."""

    def __init__(self, label: Any, frame: Any, logic: Any, status: Status) -> None:
        """frame: a widget around the label, whose width the chart takes up;  logic: a `WorkerLogic`"""
        self._label, self._frame, self._logic, self._status = label, frame, logic, status
        self._wanted: _Key | None = None
        self._question: Any = None
        self._asked = 0  # questions so far: one that was taken back may still answer, and is not listened to
        self._known: dict[_Key, Any] = {}
        self._say("")

    def show(self, model: InstalledModel | None) -> None:
        """The chart of a model, or why there is none; None: nothing, and nothing is asked any more."""
        detail = None if model is None or model.problem else ContrastDetail.of_card(model.card)
        key = None if detail is None else (detail, self._dark(), self._width())
        if key is not None and key == self._wanted and self._question is not None and self._question.running:
            return
        self._wanted = key
        if self._question is not None and self._question.running:
            self._question.cancel()
        self._question = None
        if key is None:
            self._say("" if model is None or model.problem else _(NOT_REHEARSED))
        elif key in self._known:
            self._show(key)
        else:
            assert model is not None
            self._ask(model, key)

    def _ask(self, model: InstalledModel, key: _Key) -> None:
        self._asked += 1
        number = self._asked

        def finished(picture: bytes) -> None:
            self._known[key] = pixmap_of(picture)
            if self._wanted == key:
                self._show(key)

        def failed(failure: Any) -> None:
            if self._wanted == key and number == self._asked:
                self._wanted = None
                self._say("" if failure.kind == "cancelled" else str(failure))

        self._say(_("Drawing what this model can see ..."))
        _detail, dark, width = key
        callbacks = {"onFinished": self._status.guardedWith(finished), "onFailed": failed}
        try:
            self._question = self._logic.chart(model.path, dark=dark, width=width, **callbacks)
        except InvDetectError as error:
            self._say(str(error))

    def _show(self, key: _Key) -> None:
        picture = self._known[key]
        self._label.pixmap = picture
        self._label.minimumHeight = picture.height()  # a label that wraps words asks for no height for a picture
        self._label.visible = True
        self._label.accessibleName = self._label.toolTip = key[0].words()

    def _say(self, text: str) -> None:
        show_text(self._label, text)
        self._label.minimumHeight = 0
        self._label.accessibleName = self._label.toolTip = ""

    def _dark(self) -> bool:
        return bool(self._label.palette.color(qt.QPalette.Window).lightness() < _MIDDLE)

    def _width(self) -> int:
        return min(max(int(self._frame.width) - _MARGIN, _NARROWEST), _WIDEST)
