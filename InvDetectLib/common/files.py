"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from .errors import InvDetectError
from .owners import PREFIX, is_abandoned, owned

_ENDING = ".tmp"


def check_writable(folder: Path, what: str, name: str = "") -> None:
    """Make `folder` and try to write in it: better now than after hours of work. Raises `InvDetectError`; `what` as in `write_whole`.

    name  the longest one that a file there will have
    """
    probe = _temporary(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            probe.write_bytes(b"")
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise InvDetectError(f"The {what} cannot be written to {folder}: {reason}. Choose a folder that is writable.") from error
    if name_length(name) > longest_name(folder):
        raise InvDetectError(
            f"The {what} cannot be written to {folder}: a name such as {name} is too long there ({name_length(name)} of at most "
            f"{longest_name(folder)}). Give a shorter name."
        )


def longest_name(folder: Path) -> int:
    """How long the name of a file in the existing `folder` can be, as `name_length` counts."""
    try:
        return os.pathconf(folder, "PC_NAME_MAX")
    except (AttributeError, OSError, ValueError):  # Windows, or a file system that does not say
        return 255


def name_length(name: str) -> int:
    """The length of a file name as file systems count it: in bytes, or on Windows in its 16-bit letters."""
    return len(name.encode("utf-16-le", "surrogatepass")) // 2 if os.name == "nt" else len(os.fsencode(name))


def write_whole(target: Path, content: bytes, what: str, before: Callable[[int], None] = lambda file: None) -> None:
    """Write `content` to `target` through a temporary file beside it, so that no reader ever meets half of it.

    what    names the thing in the `InvDetectError` that a full disk or a read-only folder raises ("model", "checkpoint")
    before  called with the descriptor of the complete temporary file, just before it takes the target's place
    Missing folders are made; nothing is left behind on failure, and an older file stays as it was. What a killed process left in the folder
    is swept away.
    """
    temporary = _temporary(target.parent)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _sweep(target.parent)
        try:
            with owned(temporary) as descriptor:
                with open(descriptor, "wb", closefd=False) as file:
                    file.write(content)
                os.fsync(descriptor)
                before(descriptor)
                if os.name != "nt":  # where what is open cannot be moved
                    os.replace(temporary, target)
            if os.name == "nt":
                os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(what, target, error) from error


def read_regular(path: Path, most: int) -> bytes:
    """All bytes of a file that somebody else may have put there. OSError, whose `strerror` is for people, also for what is no regular
    file, such as a pipe, which would be waited for without end, and for one with more than `most` bytes."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(descriptor, "rb") as file:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        content = file.read(min(facts.st_size, most) + 1)  # one more, for a file that grows
        if len(content) > most:
            raise OSError(errno.EFBIG, f"it has more than the {most:,} bytes that it may have")
        return content


@dataclass(frozen=True)
class Scratch:
    """A file for work in hand; see `scratch`.

    path  where it was made;  file  its descriptor, to read and to write
    """

    path: Path
    file: int

    def hide(self) -> None:
        """Take its name away, where a file can do without: nobody else opens it from here on, and not even a kill leaves it behind."""
        if os.name != "nt":
            self.path.unlink(missing_ok=True)


@contextmanager
def scratch(folder: Path, what: str, size: int) -> Iterator[Scratch]:
    """An empty file in `folder` for the block, which goes with it; what killed processes left there is swept away first.

    what  as in `write_whole`;  size  bytes that it will have: `InvDetectError` where the disk has not as much room, before anything is done
    """
    path = _temporary(folder)
    with ExitStack() as stack:
        stack.callback(_remove, path)  # once it is closed, which Windows wants
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _sweep(folder)
            free = shutil.disk_usage(folder).free
            file = stack.enter_context(owned(path))
        except OSError as error:
            raise unwritable(what, folder, error) from error
        if free < size:
            raise InvDetectError(
                f"The {what} need {size / 1e9:.2g} GB in {folder} while the work goes on, and {free / 1e9:.2g} GB are free there; make "
                "room, or choose a folder on another disk."
            )
        yield Scratch(path, file)


def unwritable(what: str, where: Path, error: OSError) -> InvDetectError:
    """The error for what cannot be written to `where`; `what` as in `write_whole`."""
    remedy = "Choose a folder that is writable and has room."
    return InvDetectError(f"The {what} cannot be written to {where}: {error.strerror or error}. {remedy}")


def _remove(path: Path) -> None:
    """What is still in use elsewhere stays, and is swept away later."""
    with suppress(OSError):
        path.unlink(missing_ok=True)


def _temporary(folder: Path) -> Path:
    return folder / f"{PREFIX}{secrets.token_hex(8)}{_ENDING}"


def _sweep(folder: Path) -> None:
    """Remove what processes that were killed had half written."""
    with os.scandir(folder) as entries:
        left = [Path(entry.path) for entry in entries if entry.name.startswith(PREFIX) and entry.name.endswith(_ENDING)]
    for path in left:
        if not path.is_symlink() and is_abandoned(path, path):
            with suppress(OSError):
                path.unlink()
