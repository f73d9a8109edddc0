"""One command of the worker while it is carried out: its words, its progress, its messages, and how it can fail."""

from __future__ import annotations

import errno
import importlib
import os
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from ..common import Cancelled, Event, InvDetectError, OutOfMemory, Progress, brief, for_log, is_shortage, shown
from .protocol import LOG, inside, message_line

_PAUSE = 0.05  # seconds between two messages about progress: more than a bar can show
_DISK = {getattr(errno, name, None) for name in ("ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EACCES", "EPERM")}
_NUMBER = (int, float)
_LARGEST, _LONGEST = 1e30, 2**63 - 1  # of a number, and of a whole one

# Where each command is carried out: a function of its name, from a `Job` to what its `done` message says.
_ROOMS = {
    **dict.fromkeys(("selfcheck", "devices", "load", "check", "estimate"), "commands"),
    **dict.fromkeys(("detect", "detect_folder", "explain", "chart", "dicom", "refine"), "commands"),
    "scheduler": "elsewhere",
    **dict.fromkeys(("inspect", "preview", "estimate_training", "train", "calibrate"), "training"),
}


class Outlet:
    """The worker's lines to the client, each written whole. Safe to use from several threads."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._lock = descriptor, threading.Lock()

    def send(self, **message: Any) -> None:
        """Write one message, if anybody still reads."""
        line = message_line(message)
        with self._lock:
            try:
                while line:
                    line = line[os.write(self._descriptor, line) :]
            except OSError:
                pass  # the client is gone, which others notice too, and end the process with what has to be done before


class Job:
    """One command.

    id, command  as they came;  folder  the private one that client and worker share
    progress     what it does is reported there, and pause and cancel arrive by it
    """

    def __init__(self, number: int, command: dict[str, Any], folder: Path, outlet: Outlet) -> None:
        self.id, self.command, self.folder, self._outlet = number, command, folder, outlet
        self.progress = Progress(self._tell)
        self._stage, self._told = "", 0.0

    def send(self, message: str, **content: Any) -> None:
        """Tell the client."""
        self._outlet.send(message=message, id=self.id, **content)

    def failed(self, kind: str, text: str, log: str = "") -> None:
        """The last message of a job that has no result."""
        self.send("failed", kind=kind, text=brief(text), log=log)

    def text(self, name: str) -> str:
        """A text that the command must have."""
        value = self.maybe(name, str)
        if not value:
            raise InvDetectError(f"The command {shown(self.command['command'])} needs its {name!r}.")
        return str(value)

    def maybe(self, name: str, *kinds: type) -> Any:
        """A value of one of these kinds that the command may have; None without it. Numbers are finite, and what a machine can hold."""
        value = self.command.get(name)
        if value is not None and (not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)):
            raise self._wrong(name, "which cannot be")
        if isinstance(value, _NUMBER) and not abs(value) <= (_LARGEST if float in kinds else _LONGEST):
            raise self._wrong(name, "which is no number that can be computed with")
        return value

    def whole(self, name: str) -> int | None:
        """A whole number of 0 or more that the command may have."""
        value = self.maybe(name, int)
        if value is not None and value < 0:
            raise self._wrong(name, "which must be 0 or more")
        return None if value is None else int(value)

    def _wrong(self, name: str, why: str) -> InvDetectError:
        return InvDetectError(f"The command {shown(self.command['command'])} has {shown(self.command[name])} as {name!r}, {why}.")

    def options(self, **kinds: tuple[type, ...]) -> dict[str, Any]:
        """Those of some values that the command has."""
        found = {name: self.maybe(name, *kind) for name, kind in kinds.items()}
        return {name: value for name, value in found.items() if value is not None}

    def operating_point(self) -> dict[str, Any]:
        """contiguity, rate, threshold and scr, as far as they were given."""
        return self.options(contiguity=_NUMBER, rate=_NUMBER, threshold=_NUMBER, scr=(bool,))

    def pair(self, name: str) -> tuple[int, int] | None:
        """Two whole numbers that the command may have."""
        value = self.maybe(name, list)
        if value is None:
            return None
        if len(value) != 2 or any(type(number) is not int or abs(number) > _LONGEST for number in value):
            raise self._wrong(name, "which must be two whole numbers")
        return value[0], value[1]

    def path(self, name: str) -> Path:
        """A file that the command must name: an absolute path, or a file in the private folder."""
        given = self.text(name)
        try:
            possible = b"\0" not in os.fsencode(given)
        except UnicodeEncodeError:
            possible = False
        if not possible:
            raise self._wrong(name, "which no file can be called")
        return Path(given) if os.path.isabs(given) else inside(self.folder, given)

    def store(self, name: str, array: Any) -> str:
        """Write an array into the private folder as `<id>-<name>.npy`; returns the file's name."""
        import numpy as np

        file = f"{self.id}-{name}.npy"
        try:
            np.save(self.folder / file, array, allow_pickle=False)
        except OSError as error:
            raise InvDetectError(
                f"What was found cannot be handed over: {error.strerror or 'the disk is full'} (in {self.folder}). "
                "Make room in the folder for temporary files, and start again."
            ) from error
        return file

    def _tell(self, event: Event) -> None:
        if event.text:
            self.send("warning", text=event.text)
            return
        now = time.monotonic()
        if event.stage == self._stage and now - self._told < _PAUSE and event.done != event.total and not event.facts:
            return
        self._stage, self._told = event.stage, now
        facts = {"stage": event.stage, "done": event.done, "total": event.total, "seconds_left": event.seconds_left, "facts": event.facts}
        self.send("progress", **facts)


def carry_out(job: Job) -> None:
    """Do what a command asks, and tell how it ended, whatever happens."""
    name = job.command["command"]
    try:
        job.progress.check()
        if name not in _ROOMS:
            raise InvDetectError(f"There is no command {shown(name)}; a newer worker may know it.")
        room = importlib.import_module(f".{_ROOMS[name]}", __package__)
        job.send("done", **getattr(room, name)(job))
    except Cancelled as error:
        job.failed("cancelled", str(error))
    except OutOfMemory as error:
        job.failed("memory", str(error))
    except InvDetectError as error:
        job.failed("error", str(error))
    except ImportError as error:
        _log(job, error)
        what = error.name.partition(".")[0] if error.name else "a package"
        job.failed("error", f"This Python cannot load {what}, which InvDetect needs ({error}); install it, or repair it.", LOG)
    except Exception as error:
        _log(job, error)
        if isinstance(error, OSError) and error.errno in _DISK:
            reason = error.strerror or "it is full or may not be written"
            job.failed("error", f"The disk does not take what has to be written: {reason}. Make room, or choose another folder.", LOG)
        elif isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
            job.failed("error", "The name of a file is too long for this disk. Give a shorter one.", LOG)
        elif is_shortage(error):
            job.failed("memory", "There is not enough memory for this; close other programs, or choose the CPU as device.", LOG)
        else:
            job.failed("bug", "".join(traceback.format_exception_only(error)).strip().splitlines()[-1], LOG)


def _log(job: Job, error: Exception) -> None:
    """Where it happened and what it was; see `for_log`."""
    names = [os.path.basename(value).partition(".")[0] for value in job.command.values() if isinstance(value, str)]
    try:
        with open(job.folder / LOG, "a", encoding="utf-8") as log:
            log.write(f"The command {job.command['command']!r} failed.\n{for_log(error, names)}\n")
    except OSError:
        pass  # the client is told in any case
