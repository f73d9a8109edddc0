"""What lies half done on a disk, and whether whoever made it still lives: a lock that ends with its process, however that ends."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

PREFIX = ".invdetect-"  # of the names of all that is not finished
_YOUNG = 1.0  # seconds in which something may have been made and not locked yet
_POLL = 0.05
_OWNER = "owner"  # the file that holds a private folder


@contextmanager
def owned(path: Path) -> Iterator[int]:
    """Make the file `path` and hold it for the block, which gets its descriptor. Raises OSError when it cannot be made.

    Where the file system knows no locks, nothing is held, and `is_abandoned` says so only of what is a day old.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        with suppress(OSError):
            lock(file)
        yield file
    finally:
        os.close(file)


def is_abandoned(path: Path, made: Path) -> bool:
    """Whether whoever holds the file `path` has ended. `made` is what they made first, and may be all that they came to make."""
    try:
        file = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return _age(made) > _YOUNG
    except OSError:  # of another user
        return False
    try:
        lock(file)
        return _age(path) > _YOUNG
    except (BlockingIOError, PermissionError):
        return False
    except OSError:  # no locks here
        return _age(path) > 24 * 3600
    finally:
        os.close(file)


@contextmanager
def private_folder(parent: Path) -> Iterator[Path]:
    """A new folder in `parent`, which nobody else may read, for the block; it goes with it, unless it was moved away.

    What killed processes left there goes, too. Missing folders are made. Raises OSError.
    """
    parent.mkdir(parents=True, exist_ok=True)
    for left in parent.glob(f"{PREFIX}*"):
        if left.is_dir() and not left.is_symlink() and is_abandoned(left / _OWNER, left):
            shutil.rmtree(left, ignore_errors=True)
    private = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    try:
        with owned(private / _OWNER):
            yield private
    finally:
        shutil.rmtree(private, ignore_errors=True)


@contextmanager
def in_turn(path: Path, patience: float = 10.0) -> Iterator[None]:
    """One process after the other does what is in the block, as long as all name the same existing `path`, which may be a folder.

    After `patience` seconds, and where there are no locks, it is done all the same: somebody who was stopped must not stop all.
    """
    file, deadline = -1, time.monotonic() + patience
    try:
        with suppress(OSError):
            file = os.open(path, os.O_RDONLY)
            while True:
                try:
                    lock(file)
                    break
                except (BlockingIOError, PermissionError):
                    if time.monotonic() > deadline:
                        break
                    time.sleep(_POLL)
        yield
    finally:
        if file >= 0:
            os.close(file)


def lock(file: int) -> None:
    """Take the lock of an open file, until it is closed; BlockingIOError (on Windows PermissionError) when another process has it."""
    if sys.platform == "win32":
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0
