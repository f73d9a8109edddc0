"""The worker: one process that scores and trains for a panel, a wizard or a script, and stays warm between their commands.

It speaks the protocol of `protocol`. Nothing heavy is imported before the first command that needs it.
"""

from __future__ import annotations

import argparse
import logging
import os
import platform
import shutil
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from ..common import Progress, __version__, shown
from .jobs import Job, Outlet, carry_out
from .protocol import COMMANDS, LONGEST_LINE, MARKER, PROTOCOL, Lines, parse

_AT_ONCE = 1 << 16  # bytes that are read at a time
_LISTEN = 0.05  # seconds between two looks into the file of commands
_WATCH = 1.0  # between two looks after the parent
_FAREWELL = 2.0  # for what is running to stop at a safe place (a training writes its checkpoint) before the process ends


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the worker until it is told to quit, or whoever started it is gone."""
    parser = argparse.ArgumentParser(prog="worker", description="InvDetect's worker; see InvDetectLib/worker/protocol.py.")
    parser.add_argument("--folder", required=True, type=Path, help="private folder for files that both sides share")
    parser.add_argument("--parent", type=int, default=os.getppid(), help="process without which the worker ends itself")
    options = parser.parse_args(arguments)
    run(options.folder, options.parent)


def run(folder: Path, parent: int) -> NoReturn:
    """The worker itself; takes over standard input and output of the process, which ends with it."""
    # Warnings reach the client as messages; the log, which people pass on with a report, must not name their scans.
    logging.getLogger("InvDetectLib").addHandler(logging.NullHandler())
    lines = os.dup(1)
    os.dup2(2, 1)  # whatever prints, in Python or below it, cannot get between the lines
    Worker(folder, parent, Outlet(lines)).work()


class Worker:
    """Commands come in by threads and are carried out one after the other by `work`."""

    def __init__(self, folder: Path, parent: int, outlet: Outlet) -> None:
        self._folder, self._outlet = folder, outlet
        self._alive = watch(parent)
        self._changed = threading.Condition()
        self._waiting: deque[Job] = deque()
        self._running: Job | None = None
        self._ending = False
        self._ended = threading.Event()
        self._transport = ""

    def work(self) -> NoReturn:
        """Carry out commands until `_leave` ends the process."""
        self._outlet.send(message="hello", **self._facts())
        for listen in (self._listen_input, self._listen_file, self._look_after_parent):
            threading.Thread(target=listen, daemon=True).start()
        while True:
            with self._changed:
                self._running = None
                while not self._waiting and not self._ending:
                    self._changed.wait()
                if self._ending:
                    break
                job = self._running = self._waiting.popleft()
            carry_out(job)
        self._ended.set()
        while True:
            time.sleep(_WATCH)

    def _facts(self) -> dict[str, Any]:
        return {"protocol": PROTOCOL, "version": __version__, "pid": os.getpid(), "python": platform.python_version()}

    def _listen_input(self) -> None:
        lines = Lines()
        while self._transport != "file":
            try:
                got = os.read(0, _AT_ONCE)
            except OSError:
                got = b""
            if not got:
                if self._transport == "stdin":
                    self._leave(forget=True)
                return
            for line in lines.add(got):
                self._take(line, "stdin")

    def _listen_file(self) -> None:
        path, place, lines = self._folder / COMMANDS, 0, Lines()
        while self._transport != "stdin":
            try:
                with open(path, "rb") as file:
                    file.seek(place)
                    got = file.read(_AT_ONCE)
            except OSError:
                got = b""
            place += len(got)
            for line in lines.add(got):
                self._take(line, "file")
            if len(got) < _AT_ONCE:
                time.sleep(_LISTEN)

    def _take(self, line: bytes | None, transport: str) -> None:
        """One line of commands, None for one that was too long. Where the first hello came from decides to whom is listened then."""
        if line is not None and not line.strip():
            return
        try:
            if line is None:
                raise ValueError(f"it is longer than {LONGEST_LINE} bytes")
            command = parse(line)
            number, name = command["id"], command["command"]
            if type(number) is not int or not isinstance(name, str):
                raise ValueError("id must be a whole number and command a text")
        except (ValueError, KeyError) as error:
            self._outlet.send(message="failed", id=None, kind="error", text=f"A line is no command ({shown(error)}).", log="")
            return
        with self._changed:
            if name == "hello" and not self._transport:
                self._transport = transport
            if self._transport not in ("", transport):
                return
        control = {"hello": self._hello, "cancel": self._cancel, "pause": self._pause, "resume": self._resume, "quit": self._quit}
        if name in control:
            control[name](number, command)
            return
        job = Job(number, command, self._folder, self._outlet)
        with self._changed:
            self._waiting.append(job)
            self._changed.notify()

    def _hello(self, number: int, command: dict[str, Any]) -> None:
        asked = command.get("protocol", PROTOCOL)
        if asked == PROTOCOL:
            self._outlet.send(message="done", id=number, transport=self._transport, **self._facts())
            return
        text = (
            f"The worker speaks version {PROTOCOL} of its protocol, and version {shown(asked)} was asked for; "
            "update InvDetect, so that both come from one version, and start again."
        )
        self._outlet.send(message="failed", id=number, kind="error", text=text, log="")

    def _cancel(self, number: int, command: dict[str, Any]) -> None:
        with self._changed:
            dropped = [job for job in self._waiting if job.id == command.get("job")]
            for job in dropped:
                self._waiting.remove(job)
            if progress := self._progress_of(command):
                progress.cancel()
        for job in dropped:
            job.failed("cancelled", "Stopped on request.")
        self._outlet.send(message="done", id=number)

    def _pause(self, number: int, command: dict[str, Any]) -> None:
        with self._changed:
            if progress := self._progress_of(command):
                progress.pause()
        self._outlet.send(message="done", id=number)

    def _resume(self, number: int, command: dict[str, Any]) -> None:
        with self._changed:
            if progress := self._progress_of(command):
                progress.resume()
        self._outlet.send(message="done", id=number)

    def _progress_of(self, command: dict[str, Any]) -> Progress | None:
        """Of the running job, if the command means that one."""
        return self._running.progress if self._running is not None and self._running.id == command.get("job") else None

    def _quit(self, number: int, command: dict[str, Any]) -> None:
        self._outlet.send(message="done", id=number)
        self._leave(forget=False)

    def _look_after_parent(self) -> None:
        while self._alive():
            time.sleep(_WATCH)
        self._leave(forget=True)

    def _leave(self, forget: bool) -> NoReturn:
        """End the process, after letting what runs stop at a safe place. `forget`: nobody else will delete the private folder."""
        with self._changed:
            self._ending = True
            if self._running is not None:
                self._running.progress.cancel()
            self._changed.notify()
        if self._running is not None:
            self._ended.wait(_FAREWELL)
        if forget and (self._folder / MARKER).is_file():
            shutil.rmtree(self._folder, ignore_errors=True)
        os._exit(0)  # threads of torch and of the listeners need no farewell


def watch(pid: int) -> Callable[[], bool]:
    """A function that tells whether the process `pid` still runs."""
    if sys.platform == "win32":
        import ctypes

        # os.kill would end the process here. A handle keeps its meaning also when the number is given to another process.
        kernel = ctypes.windll.kernel32
        kernel.OpenProcess.restype = ctypes.c_void_p
        handle = kernel.OpenProcess(0x00100000, False, pid)  # SYNCHRONIZE
        return lambda: handle is not None and kernel.WaitForSingleObject(ctypes.c_void_p(handle), 0) == 0x102  # WAIT_TIMEOUT

    first = _status(pid)
    child = pid == os.getppid()

    def runs() -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        if first is not None:
            now = _status(pid)
            return now is not None and now[0] not in "ZX" and now[1] == first[1]
        return not child or pid == os.getppid()  # whoever is a zombie has lost its children

    return runs


def _status(pid: int) -> tuple[str, str] | None:
    """State of a process ("Z": ended, and nobody has asked how) and when it started, where the system tells (Linux); else None."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    fields = text.rpartition(b")")[2].split()  # the name before may hold anything
    return (fields[0].decode(), fields[19].decode()) if len(fields) > 19 else None
