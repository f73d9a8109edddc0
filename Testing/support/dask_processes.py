"""A Dask scheduler and workers as processes of their own, on the loopback address; and what can be told to go wrong in one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from InvDetectLib.results import Result
from InvDetectLib.scans import Scan
from Testing.support.tiny_model import REPOSITORY, wait_for

_MARK = "TEST_MARK"  # in a worker's environment: a file
# What a worker lacks is told to Python before anything else is loaded.
OTHER_VERSION = "import InvDetectLib.common.environment as known; known.__version__ = '0.0.9'"
NO_INVDETECT = "import sys; sys.modules['InvDetectLib'] = None"
NO_LOCKS_BETWEEN_HOSTS = "import fcntl; fcntl.flock = lambda *_: None"
BLIND = "import os; see = os.path.exists; os.path.exists = lambda path: 'unseen' not in str(path) and see(path)"


class Scheduler:
    """A scheduler and its workers, which end with the block by their process ids."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.workers = folder, list[subprocess.Popen[bytes]]()
        self._file = folder / "scheduler.json"

    def __enter__(self) -> Scheduler:
        pages = ("--no-dashboard", "--dashboard-address", "127.0.0.1:0")
        self._process = self._start("scheduler", "--host", "127.0.0.1", "--port", "0", *pages, "--scheduler-file", self._file)
        wait_for(self._file.exists)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for process in (*self.workers, self._process):
            process.kill()
            process.wait()

    @property
    def address(self) -> str:
        """Where clients find it."""
        import json

        return str(json.loads(self._file.read_text())["address"])

    def ensure(self, count: int, mark: Path | None = None) -> None:
        """So many workers of one thread each; dead ones are replaced. mark  the file that `dies_once` asks for."""
        self.workers = [process for process in self.workers if process.poll() is None]
        for _ in range(count - len(self.workers)):
            self.workers.append(self._worker("", **({} if mark is None else {_MARK: str(mark)})))

    @contextmanager
    def odd(self, told: str = "") -> Iterator[subprocess.Popen[bytes]]:
        """One more worker, that is told something before all else."""
        process = self._worker(told)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def _worker(self, told: str, **environment: str) -> subprocess.Popen[bytes]:
        place = self._folder / f"python-{len(list(self._folder.iterdir()))}"
        place.mkdir()
        (place / "sitecustomize.py").write_text(told)
        path = os.pathsep.join([str(place), str(REPOSITORY)])
        words = ("--no-nanny", "--nthreads", "1", "--no-dashboard", "--dashboard-address", "127.0.0.1:0", "--local-directory", place)
        return self._start("worker", self.address, *words, PYTHONPATH=path, **environment)

    def _start(self, what: str, *words: str | Path, **environment: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.dask_{what}", *map(str, words)]
        environment = {"PYTHONPATH": str(REPOSITORY), **environment}
        with open(self._folder / f"{what}.log", "ab") as log:
            return subprocess.Popen(command, env={**os.environ, **environment}, cwd=self._folder, stdout=log, stderr=log)


def dies_once(result: Result, scan: Scan, path: Path) -> dict[str, bytes]:
    """A maker of further files, by which the first process that comes to it in a worker dies."""
    mark = os.environ.get(_MARK)
    if mark and _is_first(Path(mark)):
        os.kill(os.getpid(), signal.SIGKILL)
    return {}


def dies_of_the_second(result: Result, scan: Scan, path: Path) -> dict[str, bytes]:
    """One by which every process dies that comes to a scan called so."""
    if "second" in path.name:
        os.kill(os.getpid(), signal.SIGKILL)
    return {}


def tells_place(result: Result, scan: Scan, path: Path) -> dict[str, bytes]:
    """One that writes down where the scan was read."""
    return {"dicom_report": str(path).encode()}


def _is_first(mark: Path) -> bool:
    try:
        mark.touch(exist_ok=False)
        return True
    except FileExistsError:
        return False


def same(one: Path, other: Path) -> bool:
    """Whether two folders hold the same files, but for the seconds that results took."""
    return _content(one) == _content(other)


def _content(folder: Path) -> dict[str, Any]:
    import json

    content: dict[str, Any] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = str(path.relative_to(folder))
        content[name] = path.read_bytes()
        if name.endswith(".result.json"):
            content[name] = told = json.loads(content[name])
            assert told["provenance"].pop("seconds") >= 0
    return content
