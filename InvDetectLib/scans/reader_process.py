"""The other side of `reader`: reads the files that it is told to, within limits of time and memory, until nobody asks any more."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np

from ..common import InvDetectError, WrongUse
from .itk import COPY, unreadable
from .limits import LENGTH, largest_image
from .voxels import read_voxels

_COPIES = 4  # of an image, in the worst of the readers
_BASE = 4 << 30  # address space of Python and its libraries, most of which is never touched


def serve() -> NoReturn:
    """Answer until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever asks
    questions, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # whatever a reader prints must not get between the answers
    _limit("RLIMIT_AS", _BASE + _COPIES * largest_image())
    for line in questions:
        question = json.loads(line)
        _limit("RLIMIT_CPU", int(_used() + question["seconds"]) + 1)
        told, array = _answer(Path(question["path"]), question["series"], question["vectors"])
        head = json.dumps(told).encode()
        _write(answers, len(head).to_bytes(LENGTH, "little") + head)
        if array is not None:
            _write(answers, array.reshape(-1).view(np.uint8).data)
    sys.exit(0)


def _answer(path: Path, series: str | None, vectors: bool) -> tuple[dict[str, Any], np.ndarray | None]:
    try:
        array, geometry, warnings = read_voxels(path, series, vectors)
    except InvDetectError as error:
        return {"error": str(error), "wrong_use": isinstance(error, WrongUse)}, None
    except MemoryError:
        remedy = "Use a computer with more memory, or crop it; if it is a small file, it is damaged"
        return {"error": str(unreadable(path, "it takes more memory than there is", remedy))}, None
    except Exception as error:  # readers raise what they like on damaged bytes
        return {"error": str(unreadable(path, f"it is damaged ({type(error).__name__})", COPY))}, None
    array = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
    told = {"dtype": array.dtype.str, "shape": array.shape, "geometry": geometry.as_dict(), "warnings": warnings}
    return told, array


def _write(pipe: IO[bytes], data: bytes | memoryview) -> None:
    space = memoryview(data)
    while len(space):
        space = space[pipe.write(space) :]


def _used() -> float:
    """Seconds of processor time that this process has taken."""
    times = os.times()
    return times.user + times.system


def _limit(name: str, most: int) -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    kind = getattr(resource, name)
    _, hard = resource.getrlimit(kind)
    allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
    try:
        resource.setrlimit(kind, (allowed, hard))
    except (ValueError, OSError):  # macOS refuses some
        pass
