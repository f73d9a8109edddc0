"""Paths that are typed into the wizard: when one is taken for what is meant, and why nothing is read from it."""

from __future__ import annotations

import os

from slicer.i18n import tr as _

TYPING = 500  # milliseconds without a key, after which a path is taken for what is meant


def folder_problem(path: str) -> str:
    """Why nothing is read from a folder that was chosen; "" when it can be, and when none was chosen.

    A whole disk is never read through: its name stands at the beginning of every path that is typed.
    """
    if not path:
        return ""
    if not os.path.isdir(path):
        kind = _("{path} is no folder; choose the folder it lies in.") if os.path.exists(path) else _("There is no folder {path}.")
        return kind.format(path=path)
    whole = os.path.abspath(path)
    return _("{path} is a whole disk; choose a folder in it.").format(path=path) if whole == os.path.dirname(whole) else ""
