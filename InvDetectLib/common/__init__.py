"""What every wing needs and none of them is about: errors in a user's words, files written whole, progress, versions.

In: nothing of InvDetect. Out: the exceptions that a user can meet, `Progress`, which tells and cancels, and `write_whole`.
"""

from .environment import __version__, beyond_locale, check_address_space, check_loadable, versions
from .errors import Cancelled, InvDetectError, OutOfMemory, WrongUse, brief, for_log, reason, shown
from .files import Scratch, check_writable, longest_name, name_length, read_regular, scratch, unwritable, write_whole
from .launched import Launched
from .lazily import on_first_use
from .owners import PREFIX, in_turn, is_abandoned, lock, owned, private_folder
from .progress import Event, Progress
from .shortages import is_shortage, shortage
from .strict_json import parse_json

__all__ = [
    "Cancelled",
    "Event",
    "InvDetectError",
    "Launched",
    "OutOfMemory",
    "PREFIX",
    "Progress",
    "Scratch",
    "WrongUse",
    "__version__",
    "beyond_locale",
    "brief",
    "check_address_space",
    "check_loadable",
    "check_writable",
    "for_log",
    "in_turn",
    "is_abandoned",
    "is_shortage",
    "lock",
    "longest_name",
    "name_length",
    "on_first_use",
    "owned",
    "parse_json",
    "private_folder",
    "read_regular",
    "reason",
    "scratch",
    "shortage",
    "shown",
    "unwritable",
    "versions",
    "write_whole",
]
