"""Results of the scene lent to the worker, as files that do not outlive the question."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from InvDetectLib.common import InvDetectError

from ..scene import MISSING, ResultNodes, controls_of, is_kept, write_kept
from .client import WorkerClient
from .failures import RunFailed
from .run import Run


def lent(nodes: ResultNodes, folder: Path, name: str) -> tuple[dict[str, Any], list[Path]]:
    """What a command says of a result as it stands in the scene, and its files NAME.* in the worker's folder.

    Raises InvDetectError when the scene does not keep what refining needs, or there is no room.
    """
    controls = controls_of(nodes) if is_kept(nodes) else None
    if controls is None:
        raise InvDetectError(MISSING)
    files = write_kept(nodes, folder, name)
    point = {"rate": controls.rate} if controls.rate is not None else {"threshold": controls.threshold}
    return {"result": name, "contiguity": controls.contiguity, "scr": controls.scr, **point}, files


class Lending(Run):
    """One command of the worker that reads files which do not outlive it."""

    def __init__(self, client: WorkerClient, files: Sequence[Path] = (), **callbacks: Any) -> None:
        """files: what the command reads, in the client's folder"""
        super().__init__(client, **callbacks)
        self._files = files

    def fail(self, failure: RunFailed) -> None:
        """See `Run.fail`."""
        if self.running:
            self._delete_files()
            super().fail(failure)

    def _received(self) -> None:
        self._delete_files()
        self._sweep()
        self._succeed(self.facts)

    def _delete_files(self) -> None:
        for path in self._files:
            try:
                path.unlink(missing_ok=True)
            except OSError:
                pass  # the worker still reads it, and the folder goes with the worker
