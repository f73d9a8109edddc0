"""The process behind the panels of 3D Slicer: commands as JSON lines in, messages and files in a private folder out.

`protocol` is the contract with whoever starts it, `selfcheck` tells whether a Python can run it; both need the standard library alone.
It is started by the path of its folder: `python .../InvDetectLib/worker --folder DIR --parent PID`.
"""

from . import selfcheck
from .process import run
from .protocol import COMMANDS, LOG, MARKER, PREFIX, PROTOCOL, command_line, inside, parse
from .selfcheck import NEEDED, at_least

__all__ = [
    "COMMANDS",
    "LOG",
    "MARKER",
    "NEEDED",
    "PREFIX",
    "PROTOCOL",
    "at_least",
    "command_line",
    "inside",
    "parse",
    "run",
    "selfcheck",
]
