"""Which Python computes: Slicer's own or one that the user chose outside Slicer; and whether it can, asked in a child process."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from InvDetectLib.common import InvDetectError
from InvDetectLib.worker import selfcheck

SETTING = "InvDetect/Python"
_PATIENCE = 180  # seconds; the first import of torch from a slow disk takes a while


def slicer_python() -> str:
    """The program that runs Slicer's own Python (a launcher, which starts the real one)."""
    return shutil.which("PythonSlicer") or sys.executable


def chosen_python() -> str:
    """The Python outside Slicer that the user chose, or ""; it may have gone since."""
    import slicer

    return str(slicer.app.userSettings().value(SETTING, "") or "")


def choose_python(path: str) -> None:
    """Let another Python compute from now on, one that `Check` found usable; "" for Slicer's own."""
    import slicer

    slicer.app.userSettings().setValue(SETTING, path)


def computing_python() -> str:
    """The Python to start the worker with. Raises `InvDetectError` when the chosen one has gone."""
    chosen = chosen_python()
    if chosen and not os.path.isfile(chosen):
        raise InvDetectError(f"The Python you chose, {chosen}, is not there any more; choose another one, or Slicer's own.")
    return chosen or slicer_python()


def environment() -> dict[str, str]:
    """The environment that children start in: the one Slicer itself was started in, since Slicer's own breaks other Pythons."""
    import slicer.util

    plain = {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}
    return {**slicer.util.startupEnvironment(), **plain}


@dataclass(frozen=True)
class Report:
    """What a Python can do. `text` is one sentence, or two with the remedy; `devices` are what it can compute on."""

    usable: bool
    text: str
    versions: dict[str, str] = field(default_factory=dict)
    devices: tuple[str, ...] = ()


class Check:
    """Asks a Python, in a child process, whether it can compute: it imports what is needed and converts one array there and back.

    `poll` is for a timer, `wait` for scripts; a check that takes longer than `patience` seconds is ended.
    """

    def __init__(self, python: str, environment: dict[str, str], patience: float = _PATIENCE) -> None:
        self._python, self._until = python, time.monotonic() + patience
        self._output = tempfile.TemporaryFile()
        self._process: subprocess.Popen[bytes] | None = None
        self._report: Report | None = None
        try:
            self._process = subprocess.Popen(
                [python, os.path.abspath(selfcheck.__file__)],
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,  # a launcher's child must be ended with it; without effect on Windows
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except (OSError, ValueError) as error:
            self._end(Report(False, f"{python} cannot be started: {getattr(error, 'strerror', None) or error}. Choose a Python program."))

    def poll(self) -> Report | None:
        """The report, or None while there is none yet."""
        if self._report is None and self._process is not None:
            if self._process.poll() is not None:
                self._end(self._read())
            elif time.monotonic() > self._until:
                self.cancel()
                self._end(Report(False, f"{self._python} did not answer in time. Choose another Python program."))
        return self._report

    def wait(self) -> Report:
        """The report, however long it takes (within the patience)."""
        while (report := self.poll()) is None:
            time.sleep(0.02)
        return report

    def cancel(self) -> None:
        """End the child, and what it started. Does nothing after the end."""
        if self._process is None or self._process.poll() is not None:
            return
        if sys.platform == "win32":
            subprocess.run(["taskkill", "/PID", str(self._process.pid), "/T", "/F"], capture_output=True)
        else:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _end(self, report: Report) -> None:
        self._report = report
        self._output.close()

    def _read(self) -> Report:
        self._output.seek(0)
        lines = self._output.read(2**20).decode("utf-8", "replace").splitlines()
        for line in lines:
            if line.startswith(selfcheck.PREFIX):
                try:
                    return _report(self._python, json.loads(line.removeprefix(selfcheck.PREFIX)))
                except (ValueError, KeyError, TypeError, AttributeError):
                    break
        last = next((line.strip()[:200] for line in reversed(lines) if line.strip()), "")
        said = f" (it said: {last})" if last else ""
        return Report(False, f"{self._python} is not a Python that InvDetect can use{said}. Choose a Python program of 3.10 to 3.13.")


def _report(python: str, values: dict[str, Any]) -> Report:
    versions = {str(name): str(found) for name, found in values["versions"].items()}
    if values["usable"]:
        text = f"Python {versions['python']} with torch {versions['torch']} computes on {', '.join(values['devices'])}."
        return Report(True, text, versions, tuple(values["devices"]))
    text = str(values["problem"])
    if values["missing"]:
        wanted = " ".join(f'"{name}>={selfcheck.NEEDED[name][1]}"' for name in values["missing"])
        text += f' Install what it lacks: "{Path(python)}" -m pip install {wanted}'
    return Report(False, text, versions)
