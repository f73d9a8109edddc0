"""Asking where a file is to be written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _


def ask_where(parent: Any, title: str, name: str, kinds: str, ending: str) -> Path | None:
    """The file that the user wants to write, whose name ends in `ending`; None when there is to be none.

    parent, title, name, kinds  of the dialog, as for `QFileDialog.getSaveFileName`

    The dialog asks before a file is replaced only for the name that was typed: for one that the ending makes of it, it is asked here.
    """
    typed = qt.QFileDialog.getSaveFileName(parent, title, name, kinds)
    if not typed:
        return None
    if typed.lower().endswith(ending):
        return Path(typed)
    target = Path(typed + ending)
    question = _("{path} is there already. Replace it?").format(path=target)
    return target if not target.exists() or slicer.util.confirmYesNoDisplay(question) else None
