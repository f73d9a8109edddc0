"""The worker's process as its client holds it: started apart, listened to by a thread, ended as a whole tree.

Standard library alone. The executable may be a launcher (PythonSlicer is one) that starts the real Python and only waits for it.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from InvDetectLib.worker import COMMANDS, LOG, PREFIX, command_line, parse

_LINGER = 1.0  # seconds that a process may live after it has closed its output
_PRINTED = "worker-output.log"  # apart from what it said as errors, of which the last line counts
_TAIL = 20_000  # bytes of the log that are looked at


class WorkerLink:
    """One process of the worker, from its start to its end.

    messages  what it said, in order: its lines as objects, and last {"message": "ended", "code": exit code}
    pid       of the worker itself, once it has said so; 0 before. The process that was started may be another, a launcher
    Raises OSError when the executable cannot be started.
    """

    def __init__(self, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        self.messages: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.pid = 0
        self._folder = folder
        (folder / COMMANDS).unlink(missing_ok=True)  # of an earlier process
        with open(folder / LOG, "ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, bufsize=0, env=dict(environment), **_apart()
            )
        self._reader = threading.Thread(target=self._read, name="InvDetect worker", daemon=True)
        self._reader.start()

    def write(self, command: Mapping[str, Any], by_file: bool) -> None:
        """Send one command by standard input, or by the file; OSError when the file cannot be written."""
        line = command_line(dict(command))
        if by_file:
            with open(self._folder / COMMANDS, "ab") as file:
                file.write(line)
            return
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line)
        except (OSError, ValueError):
            pass  # it is ending, which `messages` will tell

    def wait(self, seconds: float) -> bool:
        """Whether the process has ended, waiting so long for it."""
        self._reader.join(seconds)
        return not self._reader.is_alive()

    def kill(self) -> None:
        """End the process and all that it started, at once."""
        if sys.platform == "win32":
            for pid in {self._process.pid, self.pid or self._process.pid}:
                end = ["taskkill", "/PID", str(pid), "/T", "/F"]
                subprocess.run(end, creationflags=_NO_WINDOW, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        elif self._reader.is_alive():  # else it has ended, and its numbers may be others' by now
            _signal(os.killpg, self._process.pid)
            if self.pid:
                _signal(os.kill, self.pid)
        self._close(self._process.stdin)

    def _read(self) -> None:
        pending = b""
        assert self._process.stdout is not None
        while got := self._process.stdout.read(65536):
            *lines, pending = (pending + got).split(b"\n")
            for line in lines:
                self._line(line)
        self._line(pending)
        self._close(self._process.stdout)
        try:
            code = self._process.wait(_LINGER)
        except subprocess.TimeoutExpired:
            self.kill()
            code = self._process.wait()
        self._close(self._process.stdin)
        self.messages.put({"message": "ended", "code": code})

    def _line(self, line: bytes) -> None:
        """A message, or something for the log (what the launcher may print is not under the worker's control)."""
        other, prefix, content = line.partition(PREFIX)
        if prefix:
            try:
                message = parse(content)
                if message.get("message") == "hello" and not self.pid:
                    self.pid = int(message["pid"])
                self.messages.put(message)
            except (ValueError, KeyError, TypeError):
                other = line
        if other.strip():
            try:
                with open(self._folder / _PRINTED, "ab") as log:
                    log.write(other.rstrip() + b"\n")
            except OSError:
                pass  # a full disk must not end the listening

    @staticmethod
    def _close(file: IO[bytes] | None) -> None:
        try:
            if file is not None:
                file.close()
        except OSError:
            pass


def log_tail(folder: Path) -> list[str]:
    """The last lines that were printed by the worker and its launcher, less empty ones; what was said as errors comes last."""
    lines: list[str] = []
    for name in (_PRINTED, LOG):
        try:
            with open(folder / name, "rb") as log:
                log.seek(max(0, os.fstat(log.fileno()).st_size - _TAIL))
                text = log.read().decode("utf-8", "replace")
        except OSError:
            continue
        lines += [line.rstrip() for line in text.splitlines() if line.strip()]
    return lines


_NO_WINDOW = 0x08000000


def _apart() -> dict[str, Any]:
    """Arguments of Popen that make a group of its own, which can be ended as a whole, and open no console window."""
    if sys.platform == "win32":
        return {"creationflags": _NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def _signal(send: Any, number: int) -> None:
    try:
        send(number, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass  # it has ended in the meantime
