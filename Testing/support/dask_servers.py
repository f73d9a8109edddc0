"""A Dask scheduler and its workers as processes of their own, on the loopback address."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import REPOSITORY

_PATIENCE = 60.0
_HERE = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}


@contextmanager
def scheduler(workers: int, folder: Path) -> Iterator[str]:
    """The address of a scheduler with so many workers, which live in `folder` and end with the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    quiet = ("--no-dashboard",)
    programs = [("scheduler", "--host", "127.0.0.1", "--port", str(port), *quiet)]
    programs += [("worker", address, "--nthreads", "1", "--host", "127.0.0.1", "--local-directory", str(folder), *quiet)] * workers
    running = []
    try:
        for program in programs:
            log = (folder / f"dask-{len(running)}.log").open("wb")
            command = [sys.executable, "-m", "distributed.cli.dask_" + program[0], *program[1:]]
            running.append(subprocess.Popen(command, env={**os.environ, **_HERE}, stdout=log, stderr=log, cwd=folder))
            if len(running) == 1:
                _wait_for(port, running[0])
        yield address
    finally:
        for process in reversed(running):
            process.terminate()
        for process in running:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert process.poll() is None, "the scheduler ended at once"
            time.sleep(0.05)
    raise AssertionError("the scheduler does not listen")
