"""A panel by the keyboard alone: where Tab leads to, what a screen reader says there, and keys that are typed.

Works on real Qt widgets that are shown. A widget that is put together of others (a path, a slider with its number, a box of nodes) has the
name that its .ui file gives it, wherever in it the focus is.
"""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

from .slicer_host.qt_host import process_events, true_properties

true_properties(__name__)

_TAB = QtCore.Qt.FocusPolicy.TabFocus.value
_MOST = 500  # presses of Tab, after which it is going round somewhere inside
_NOTHING = "...", "", ">", "<"  # texts of buttons that tell nobody what they do


def tab_order(window: Any) -> list[str]:
    """Names of the controls that Tab leads to, from the first one until it comes back there or stays in one, which is then the last."""
    return list(dict.fromkeys(name_of(widget) for widget in _walk(window)))


def controls(window: Any) -> list[str]:
    """Names of all controls that can be used now: shown, enabled, and made to take the focus; in no order that means anything."""
    return list(dict.fromkeys(name_of(widget) for widget in window.findChildren(QtWidgets.QWidget) if _can_take_focus(widget)))


def unnamed(window: Any) -> list[str]:
    """Names of the controls on the way of Tab of which a screen reader cannot say what they are for."""
    return [name_of(widget) for widget in _walk(window) if not spoken_name(widget)]


def jumps(window: Any) -> list[tuple[str, str]]:
    """Where Tab goes against the way of reading, as (from, to): to a control above, or in the same row to one on the left."""
    passed = [(name_of(widget), QtCore.QRect(widget.mapTo(window, QtCore.QPoint(0, 0)), widget.size)) for widget in _walk(window)]
    found = []
    for (before, a), (after, b) in zip(passed, passed[1:]):
        if b.bottom() < a.top() or (b.top() <= a.bottom() and b.right() < a.left()):
            found.append((before, after))
    return found


def spoken_name(widget: Any) -> str:
    """What a screen reader calls a widget that has the focus: its own name, that of the label whose buddy it is, or what is on it."""
    if widget.accessibleName:
        return str(widget.accessibleName)
    labels = widget.window().findChildren(QtWidgets.QLabel)
    label = next((one for one in labels if one.buddy() is widget), None)
    text = label if label is not None else widget if isinstance(widget, (QtWidgets.QAbstractButton, QtWidgets.QLabel)) else None
    said = str(text.text).replace("&", "").strip() if text is not None else ""
    return "" if said in _NOTHING else said


def name_of(widget: Any) -> str:
    """The name of a widget in its .ui file, or of the one that it is a part of."""
    while widget is not None and (not widget.objectName or widget.objectName.startswith("qt_")):
        widget = widget.parent()
    return "" if widget is None else str(widget.objectName)


def type_text(line: Any, text: str) -> None:
    """Key by key into a line, as a person types; what was there stays."""
    for letter in text:
        press(line, letter)


def press(widget: Any, letter: str) -> None:
    """One key goes down on a widget and up again: a letter, a space, or "\\t" for Tab."""
    key = {" ": QtCore.Qt.Key.Key_Space, "\t": QtCore.Qt.Key.Key_Tab}.get(letter, QtCore.Qt.Key.Key_unknown)
    for kind in (QtCore.QEvent.Type.KeyPress, QtCore.QEvent.Type.KeyRelease):
        event = QtGui.QKeyEvent(kind, key.value, QtCore.Qt.KeyboardModifier.NoModifier, letter)
        QtWidgets.QApplication.sendEvent(widget, event)


def _walk(window: Any) -> list[Any]:
    """The widgets themselves."""
    window.activateWindow()
    process_events()
    first = window.nextInFocusChain()
    while not _can_take_focus(first):
        first = first.nextInFocusChain()
        assert first is not window, "nothing here takes the focus"
    first.setFocus(QtCore.Qt.FocusReason.TabFocusReason)
    assert QtWidgets.QApplication.focusWidget() is first, "the window is not active, so it has no focus"
    passed = [first]
    for _ in range(_MOST):
        press(QtWidgets.QApplication.focusWidget(), "\t")
        now = QtWidgets.QApplication.focusWidget()
        if now in passed:
            break
        passed.append(now)
    return passed


def _can_take_focus(widget: Any) -> bool:
    if widget.focusPolicy.value & _TAB != _TAB or widget.focusProxy() is not None:
        return False
    return bool(widget.enabled and widget.visible)
