"""Objects go to a server by STOW: those of a result, or, as a node's sink, those of its jobs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from ...common import InvDetectError
from ...results import SUFFIXES
from ..node import Job, Unreachable
from ..objects import lacking
from .server import DicomWeb
from .session import NoAnswer

_KINDS = ("dicom_segmentation", "dicom_map", "dicom_report")


def store_result(server: DicomWeb, folder: Path, name: str) -> None:
    """Store the DICOM objects of the result NAME in `folder`; each is tried.

    Raises InvDetectError when one was not stored, and when there is none, with the reason that the result names.
    """
    files = [path for kind in _KINDS if (path := folder / f"{name}{SUFFIXES[kind]}").exists()]
    if not files:
        raise InvDetectError(f"There is nothing to store. {lacking(folder / (name + SUFFIXES['result']))}".strip())
    problems = []
    for path in files:
        try:
            server.store(path.read_bytes())
        except InvDetectError as error:
            problems.append(str(error))
    if problems:
        raise InvDetectError(" ".join(dict.fromkeys(problems)))


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
