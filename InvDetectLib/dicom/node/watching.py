"""A watched folder: scans that come into it are examined where they lie, once nothing has changed there for a while."""

from __future__ import annotations

import hashlib
import os
import time
from collections import Counter
from pathlib import Path

from ...common import InvDetectError, WrongUse
from ...scans import Found, find_scans, stem
from .jobs import Full
from .looking import Looking
from .queue import Queue
from .say import Say

_SELDOM = 5.0  # seconds between two looks, at most


class Watch:
    """A source: offers the queue what it finds in `folder` and all folders below, from `start` to `stop`.

    A scan is found anew when its files change; nothing in the folder is ever touched.
    """

    def __init__(self, folder: Path, queue: Queue, quiet: float, say: Say) -> None:
        """quiet  seconds for which a scan's files have to stay as they are. Raises `WrongUse` for what is no folder."""
        if not folder.is_dir():
            raise WrongUse(f"{folder} cannot be watched: it is no folder. Make it, or give another one.")
        self._folder, self._queue, self._quiet, self._say = folder, queue, quiet, say
        self._looking = Looking("watch", self._look, _problem, min(quiet / 2, _SELDOM), say)
        self._young: dict[Path, tuple[str, float]] = {}  # since when each has been as it is
        self._last, self._strange, self._alike = "", 0, 0

    def start(self) -> None:
        """Begin."""
        self._say("watching a folder for scans")
        self._looking.start()

    def stop(self) -> None:
        """End."""
        self._looking.stop(_SELDOM)

    def _look(self) -> None:
        now = _signature(sorted(Path(top, name) for top, _, names in os.walk(self._folder) for name in names))
        if now == self._last and not self._young:
            return  # without opening all files there once more
        self._last = ""  # until all that is there was offered
        try:
            found, left_out = find_scans(self._folder)
        except InvDetectError:  # nothing there
            found, left_out = [], []
        if len(left_out) > self._strange:
            self._say(f"files in the watched folder that are no scans: {len(left_out)}")
        self._strange = len(left_out)
        found = self._apart(found)
        self._young = {entry.relative: young for entry in found if (young := self._still_young(entry)) is not None}
        self._last = now

    def _apart(self, found: list[Found]) -> list[Found]:
        """Without scans that would write the same files."""
        names = Counter((entry.relative.parent, stem(entry.path)) for entry in found)
        apart = [entry for entry in found if names[entry.relative.parent, stem(entry.path)] == 1]
        alike = len(found) - len(apart)
        if alike > self._alike:
            self._say(f"scans in the watched folder that are called the same but for their endings, and are left: {alike}")
        self._alike = alike
        return apart

    def _still_young(self, entry: Found) -> tuple[str, float] | None:
        """What the scan is like, and since when; None once the queue knows it."""
        files = sorted(path for path in entry.path.iterdir() if path.is_file()) if entry.path.is_dir() else [entry.path]
        signature = _signature(files)
        if self._queue.knows(entry.relative, signature):
            return None
        before, since = self._young.get(entry.relative, ("", 0.0))
        if before != signature:
            return signature, time.monotonic()
        if time.monotonic() - since >= self._quiet and self._queue.offer(entry.path.absolute(), entry.relative, signature):
            return None
        return before, since


def _problem(error: Exception) -> str:
    if isinstance(error, Full):
        return str(error)
    kind = "" if isinstance(error, (InvDetectError, OSError)) else f" ({type(error).__name__})"
    return f"the watched folder, or the queue, cannot be used just now{kind}"


def _signature(files: list[Path]) -> str:
    """What changes when files do: names, sizes, times."""
    digest = hashlib.sha256()
    for path in files:
        try:
            facts = path.stat()
            digest.update(f"{os.fsencode(path)!r} {facts.st_size} {facts.st_mtime_ns}\n".encode())
        except OSError:  # gone in the meantime
            continue
    return digest.hexdigest()
