"""A node's sink on the web: objects go to a server by STOW."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ...common import InvDetectError
from ..node import Job, Unreachable
from .server import DicomWeb
from .session import NoAnswer


class WebArchive:
    """A `Sink`: a DICOMweb server."""

    def __init__(self, server: DicomWeb) -> None:
        self.words = f"the archive {server.url}"
        self._server = server

    def send(self, job: Job, objects: Mapping[str, bytes], sent: Callable[[str], None]) -> None:
        """See `Sink`."""
        refusals = []
        for kind, content in objects.items():
            try:
                self._server.store(content)
            except NoAnswer as error:
                raise Unreachable(str(error).rstrip(".")) from error
            except InvDetectError as error:
                refusals.append(str(error))
            else:
                sent(kind)
        if refusals:
            raise InvDetectError(f"{' '.join(refusals)} Start the node again, and it sends what is left.")
