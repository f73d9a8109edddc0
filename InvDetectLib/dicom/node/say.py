"""How a node tells what happens: a sentence at a time, which names jobs by their numbers and nobody's scans."""

from collections.abc import Callable

Say = Callable[[str], None]

TAIL = 12  # characters of a series' UID that are told: enough to find it again, and nobody's name
