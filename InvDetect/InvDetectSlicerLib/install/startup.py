"""What the modules do besides showing a panel: once at the start of Slicer, and when a developer reloads them."""

from __future__ import annotations

import importlib
import logging
import sys

_PACKAGES = ("InvDetectSlicerLib", "InvDetectLib")


def at_startup() -> None:
    """Register sample data and terms, and leave our layout, with which Slicer may have been closed: it would be empty. What fails is
    logged: Slicer must start without it."""
    from InvDetectLib.common import for_log

    from ..models import register_sample_data
    from ..scene import load_terminology, side_by_side

    for step in (register_sample_data, load_terminology, side_by_side.leave):
        try:
            step()
        except Exception as error:
            logging.error("InvDetect: %s failed\n%s", step.__name__, for_log(error))


def forget_packages() -> None:
    """Drop both packages of InvDetect from memory, so that the next import reads their files again."""
    for name in [name for name in sys.modules if name.partition(".")[0] in _PACKAGES]:
        del sys.modules[name]
    importlib.invalidate_caches()
