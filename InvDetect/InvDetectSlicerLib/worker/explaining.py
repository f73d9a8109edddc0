"""The question why the findings of a stored result are findings, on its way to the worker; and which model can answer it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from InvDetectLib.common import InvDetectError
from InvDetectLib.models import find_models, read_header

from ..scene import ResultNodes, provenance_of
from .client import WorkerClient
from .failures import RunFailed, as_failure
from .run import Run


class Explaining(Run):
    """One `explain` of the worker; its outcome is the content of a PNG. The files that it was given do not outlive it."""

    def __init__(self, client: WorkerClient, files: list[Path], **callbacks: Any) -> None:
        """files: those of the stored result, in the client's folder"""
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


def model_of(nodes: ResultNodes) -> Path:
    """The installed model that found this result. InvDetectError when there is none."""
    made_by = provenance_of(nodes).get("model")
    checksum = made_by.get("checksum") if isinstance(made_by, dict) else None
    for path in find_models():
        try:
            if checksum is not None and read_header(path)["checksum"] == checksum:
                return path
        except InvDetectError:
            continue  # a file that is no model
    raise InvDetectError("The model that found this result is not among the installed ones. Import it, or detect again.")
