"""The command `invdetect`: everything it does, the orchestrators do.

In: words. Out: files, tables and an exit status.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..common import on_first_use

if TYPE_CHECKING:
    from .cli import main as main
    from .cli import program as program

__all__ = ["main", "program"]
__getattr__ = on_first_use(__name__, {"main": "cli", "program": "cli"})
