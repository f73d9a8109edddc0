"""A picture on its way from the worker."""

from __future__ import annotations

from InvDetectLib.common import InvDetectError

from .failures import as_failure
from .lending import Lending


class Drawing(Lending):
    """One command of the worker that draws; its outcome is the content of a PNG. The files that it was given do not outlive it."""

    def _received(self) -> None:
        try:
            picture = (self._client.folder / self.facts["picture"]).read_bytes()
        except OSError as error:
            self.fail(as_failure(InvDetectError(f"The picture cannot be read ({error.strerror or error}); ask for it again.")))
            return
        self._delete_files()
        self._sweep()
        self._succeed(picture)
