"""A picture on its way from the worker."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from InvDetectLib.common import InvDetectError

from .client import WorkerClient
from .failures import RunFailed, as_failure
from .run import Run


class Drawing(Run):
    """One command of the worker that draws; its outcome is the content of a PNG. The files that it was given do not outlive it."""

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
        try:
            picture = (self._client.folder / self.facts["picture"]).read_bytes()
        except OSError as error:
            self.fail(as_failure(InvDetectError(f"The picture cannot be read ({error.strerror or error}); ask for it again.")))
            return
        self._delete_files()
        self._sweep()
        self._succeed(picture)

    def _delete_files(self) -> None:
        for path in self._files:
            try:
                path.unlink(missing_ok=True)
            except OSError:
                pass  # the worker still reads it, and the folder goes with the worker
