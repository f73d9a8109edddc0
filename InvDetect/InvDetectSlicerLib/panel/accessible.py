"""Names for screen readers, where a .ui file cannot give them."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _


def name_parts(*widgets: Any) -> None:
    """Hand the accessible name of widgets that are put together of others (paths, sliders with a number, boxes of nodes) on to their parts.

    The focus goes to the parts, so a screen reader never says what the whole is called. A button inside is there to browse.
    """
    for widget in widgets:
        _hand_on(widget, widget.accessibleName)


def _hand_on(widget: Any, name: str) -> None:
    for part in widget.children():
        if part.isWidgetType():
            part.accessibleName = _("Browse: {name}").format(name=name) if part.inherits("QAbstractButton") else name
            _hand_on(part, name)
