"""The button that lays scan, map and pseudo-normal image beside each other, and takes them away again."""

from __future__ import annotations

from typing import Any

import qt
import vtk
from slicer.util import VTKObservationMixin

from ..scene import ResultNodes, side_by_side
from .delay import Delay
from .status import Status


class SideBySidePanel:
    """Owns `sideBySideButton`, which is down as long as the views lie beside each other, whoever ends that."""

    def __init__(self, ui: Any, status: Status, keysOn: Any) -> None:
        """keysOn: the widget within which the key works"""
        self._ui = ui
        self._nodes: ResultNodes | None = None
        self._framing = Delay(0, side_by_side.frame)  # new views have their size only after the window was laid out
        self._observations = VTKObservationMixin()
        ui.sideBySideButton.clicked.connect(status.guarded(self._pressed))
        self._shortcut = qt.QShortcut(qt.QKeySequence("S"), keysOn)
        self._shortcut.context = qt.Qt.WidgetWithChildrenShortcut
        self._shortcut.activated.connect(lambda: ui.sideBySideButton.click())
        layout = side_by_side.layout_node()
        if layout is not None:
            self._observations.addObserver(layout, vtk.vtkCommand.ModifiedEvent, self._layoutChanged)

    def show(self, nodes: ResultNodes | None) -> None:
        """This result is the one to lay out; where that is on, it takes the place of the one before, or ends it if it cannot."""
        self._nodes = nodes
        try:
            if side_by_side.is_shown():
                self._lay()
        finally:
            self._say()

    def close(self) -> None:
        """The panel goes; the layout stays as it is."""
        self._framing.stop()
        self._observations.removeObservers()

    def _pressed(self) -> None:
        try:
            if side_by_side.is_shown():
                side_by_side.leave()
            else:
                self._lay()
        finally:
            self._say()

    def _lay(self) -> None:
        if self._nodes is None or not side_by_side.can_show(self._nodes):
            side_by_side.leave()
            return
        anew = not side_by_side.is_shown()
        side_by_side.show(self._nodes)
        if anew:
            self._framing.start()

    def _layoutChanged(self, caller: Any, event: Any) -> None:
        self._say()

    def _say(self) -> None:
        self._ui.sideBySideButton.enabled = side_by_side.can_show(self._nodes)
        self._ui.sideBySideButton.checked = side_by_side.is_shown()
