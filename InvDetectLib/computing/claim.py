"""One training a checkpoint: a claim that lasts as long as the process that made it, and not a moment longer, however it ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..common import InvDetectError, lock


class Claim:
    """The right to write a checkpoint; see `claim`."""

    def __init__(self, path: Path) -> None:
        self._path, self._file = path, -1

    def hand_over(self, file: int) -> None:
        """Let the claim go on with the open `file`, which is about to take the checkpoint's place."""
        if sys.platform != "win32":
            taken = os.dup(file)  # shares the lock, and stays open when `file` is closed
            lock(taken)
            self._release()
            self._file = taken

    def _take(self) -> None:
        """Raises BlockingIOError or FileExistsError when somebody else has it, other OSErrors where there are no locks."""
        if sys.platform == "win32":  # where an open file cannot be replaced, but one can be made to vanish with its process
            self._file = os.open(self._path.with_name(self._path.name + ".lock"), os.O_CREAT | os.O_EXCL | os.O_TEMPORARY)
            return
        while True:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
            lock(self._file)
            try:
                if os.path.samestat(os.fstat(self._file), os.stat(self._path)):
                    return
            except FileNotFoundError:
                pass
            self._release()  # it was replaced or removed in between

    def _release(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _give_back(self) -> None:
        """Nothing stays of a claim under which nothing was saved."""
        if self._file >= 0 and sys.platform != "win32" and _is_empty(self._path):
            self._path.unlink(missing_ok=True)
        self._release()


@contextmanager
def claim(path: Path | None) -> Iterator[Claim | None]:
    """Hold the checkpoint at `path` for the block; None claims nothing.

    Until something is saved an empty file stands for it. Raises `InvDetectError` when another training, in this process or another one,
    holds it. Where the file system knows no locks, nothing is held.
    """
    if path is None:
        yield None
        return
    held = Claim(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        held._take()
    except (BlockingIOError, FileExistsError) as error:
        held._release()
        raise _running(path) from error
    except OSError:  # what cannot be written is told when it is written
        held._release()
    try:
        yield held
    finally:
        held._give_back()


def is_left(path: Path) -> bool:
    """Whether the checkpoint of a training that did not finish lies at `path`; `InvDetectError` when that training is still running."""
    if sys.platform == "win32":
        if path.with_name(path.name + ".lock").exists():
            raise _running(path)
    elif path.exists():
        with claim(path):
            pass
    return path.exists() and not _is_empty(path)


def _running(path: Path) -> InvDetectError:
    return InvDetectError(f"{path} belongs to a training that is running; wait until it is done, or give this one another name.")


def _is_empty(path: Path) -> bool:
    try:
        return path.stat().st_size == 0
    except OSError:
        return False
