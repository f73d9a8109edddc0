"""Strangers' files are read in a process of their own, which is kept: what crashes it or never ends costs one file, and no more.

The process sees a path and gives back voxels, a geometry and warnings, in plain JSON and bytes; nothing that it says is executed here.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from ..common import InvDetectError, WrongUse, shortage
from .geometry import Geometry
from .itk import COPY, unreadable
from .limits import LENGTH, largest_image

if TYPE_CHECKING:
    from .dicom import Pixels  # loads pydicom

_PATIENCE = 60.0  # seconds for a file
_OUT_OF_TIME = 24  # the signal of a process that has used up its time, where there are such
_SLOWEST = 1e6  # and for each so many bytes one more: a slow network
# The search path of this process and no working folder, in which anybody may have put modules.
_START = "import sys; sys.path[:] = sys.argv[1:]; from InvDetectLib.scans.reader_process import serve; serve()"


class Reader:
    """A process that reads files, one after the other; it starts with the first and ends with this one.

    Raises InvDetectError where no more processes, or open files, can be had.

    patience  seconds until a file that is still being read counts as one that never ends; large ones get more
    """

    def __init__(self, patience: float = _PATIENCE) -> None:
        self._patience = patience
        self._process: subprocess.Popen[bytes] | None = None
        self._turn = threading.RLock()

    @property
    def process(self) -> int | None:
        """The number of the process that reads, None before the first file."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the process, if it does not run yet, so that it is ready when the first file comes."""
        with self._turn:
            if self._process is not None and self._process.poll() is None:
                return
            self.end()
            places = [place for place in sys.path if place]
            isolated = ["-I"] if sys.flags.isolated else []  # else it would heed the environment that this process was told not to
            environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # threads would take address space
            try:
                self._process = subprocess.Popen(
                    [sys.executable, *isolated, "-c", _START, *places],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,  # what readers print there names files, and no user asked for it
                    env=environment,
                    bufsize=0,
                )
            except OSError as error:
                why = shortage(error) or f"{error.strerror or error}. Install InvDetect again."
                raise InvDetectError(f"The process that reads scans cannot be started: {why}") from error

    def read(self, path: Path, series: str | None, vectors: bool = False) -> Pixels:
        """Voxels with all their channels but transparency, geometry and warnings of any supported input; see `read_scan`.

        vectors  see `nifti.read_nifti`
        """
        with self._turn:
            before = self.process
            self.start()
            try:
                answer, array = self._ask(path, series, vectors)
            except EOFError:
                if self.process == before is not None:  # it may have died of something before this file
                    self.end()
                    return self.read(path, series, vectors)
                raise self._broken(path, None) from None
        if array is None:
            raise (WrongUse if answer.get("wrong_use") else InvDetectError)(str(answer["error"]))
        return array, Geometry.from_dict(answer["geometry"]), tuple(str(text) for text in answer["warnings"])

    def _ask(self, path: Path, series: str | None, vectors: bool) -> tuple[dict[str, Any], np.ndarray | None]:
        """The answer of the process, which runs; EOFError when it ends instead, `InvDetectError` when it has to be ended."""
        process, late = self._process, threading.Event()
        assert process is not None and process.stdin is not None and process.stdout is not None

        def stop() -> None:
            late.set()
            process.kill()

        seconds = self._patience + _bytes_below(path) / _SLOWEST
        question = {"path": os.fspath(path), "series": series, "vectors": vectors, "seconds": seconds}
        watch = threading.Timer(seconds, stop)
        watch.daemon = True
        watch.start()
        try:
            process.stdin.write(json.dumps(question).encode() + b"\n")
            answer = json.loads(_exactly(process.stdout, int.from_bytes(_exactly(process.stdout, LENGTH), "little")))
            return answer, _array(process.stdout, answer) if "shape" in answer else None
        except (OSError, EOFError):
            if late.is_set():
                raise self._broken(path, seconds) from None
            raise EOFError from None
        except ValueError:
            raise self._broken(path, None) from None
        except BaseException:  # Ctrl-C between question and answer: the next answer would be that of this question
            self.end()
            raise
        finally:
            watch.cancel()

    def _broken(self, path: Path, seconds: float | None) -> InvDetectError:
        """What is said of a file on which the process broke off, or that took longer than so many seconds; the process is ended."""
        process = self._process
        self.end()
        if seconds is not None:
            return unreadable(path, f"reading it does not end ({seconds:.0f} s were allowed)", COPY)
        if process is not None and process.returncode == -_OUT_OF_TIME:
            return unreadable(path, "reading it does not end", COPY)
        return unreadable(path, "it is damaged in a way that its reader breaks on, or takes more memory than there is", COPY)

    def forget(self) -> None:
        """Leave the process to another owner, such as the process that this one was forked from; the next file starts another."""
        process, self._process = self._process, None
        self._turn = threading.RLock()  # the thread that held the old one may not exist here
        if process is not None:
            _close(process)

    def end(self) -> None:
        """End the process; the next file starts another."""
        with self._turn:
            process, self._process = self._process, None
            if process is None:
                return
            process.kill()
            process.wait()
            _close(process)


def _close(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


_reader = Reader()
atexit.register(_reader.end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reader.forget)  # two processes on one pipe would get each other's answers


def read_voxels(path: Path, series: str | None, vectors: bool = False) -> Pixels:
    """Voxels with all their channels but transparency, geometry and warnings of any supported input, read by a process that is kept.

    vectors  see `nifti.read_nifti`
    Raises InvDetectError for what cannot be read, also where reading crashes, takes too much memory, or does not end.
    """
    return _reader.read(path, series, vectors)


def get_ready() -> None:
    """Start the process that reads, while something else is still being loaded."""
    _reader.start()


def _bytes_below(path: Path) -> int:
    try:
        files = [entry for entry in path.iterdir()] if path.is_dir() else [path]
        return sum(file.stat().st_size for file in files)
    except (OSError, ValueError):  # ValueError: no file can be called so
        return 0


def _exactly(pipe: IO[bytes], count: int) -> bytearray:
    """So many bytes; EOFError when the process ends before, ValueError for more than an image may have."""
    if count > largest_image():
        raise ValueError(count)
    data = bytearray(count)
    _fill(pipe, memoryview(data))
    return data


def _fill(pipe: IO[bytes], space: memoryview) -> None:
    done = 0
    while done < len(space):
        count = pipe.readinto(space[done:])  # type: ignore[attr-defined]  # a raw pipe has it
        if not count:
            raise EOFError
        done += count


def _array(pipe: IO[bytes], answer: dict[str, Any]) -> np.ndarray:
    dtype, shape = np.dtype(str(answer["dtype"])), tuple(int(length) for length in answer["shape"])
    if dtype.kind not in "biuf" or len(shape) not in (3, 4) or min(shape) < 1:
        raise ValueError(dtype, shape)
    array = np.empty(shape, dtype)
    _fill(pipe, array.reshape(-1).view(np.uint8).data)
    return array
