"""The process behind the panels of 3D Slicer, which stays warm between commands.

In: commands as JSON lines. Out: messages as JSON lines, arrays as files in a private folder. `protocol` is the contract with whoever
starts it, `selfcheck` tells whether a Python can run it; both need the standard library alone. `__main__` starts it by its path.
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
