"""Where objects go: to an archive by C-STORE, or into a folder. Both are a `Sink`."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Protocol

from pydicom import dcmread
from pynetdicom import AE
from pynetdicom.association import Association

from ...common import InvDetectError, WrongUse, shown, write_whole
from ...results import SUFFIXES
from .jobs import Job

_PATIENCE = 30.0  # seconds for an answer
_SLOWEST_LINE = 1e5  # bytes a second that a line carries: large objects get more time
_TRANSIENT = 2  # of a rejected association
_TAKEN = (0x0000, 0xB000, 0xB006, 0xB007)  # stored; the others with a remark on what was changed
_BUSY = range(0xA700, 0xA800)  # out of resources
_TITLE = re.compile(r"[ -\[\]-~]{1,16}")  # printable, without the backslash


class Unreachable(Exception):
    """Nobody takes objects just now; to be tried again, for as long as that takes."""


class BrokenOff(Unreachable):
    """An association came about, and was ended before the objects were taken: once a line that broke, again and again a refusal."""


class Sink(Protocol):
    """Takes the objects of jobs, one job after the other.

    words  what it is, for the log
    """

    words: str

    def send(self, job: Job, objects: Mapping[str, bytes], sent: Callable[[str], None]) -> None:
        """Send DICOM files, given by kind, and call `sent` with the kind of each as soon as it has been taken.

        Raises `Unreachable` when it is worth trying again, InvDetectError when an object was refused; the others are sent before that.
        """


@dataclass(frozen=True)
class Peer:
    """Another application entity: its title, its host, its port."""

    title: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Peer:
        """From "TITLE@host:port", an IPv6 address in brackets. Raises `WrongUse`."""
        title, at, place = text.rpartition("@")
        host, colon, port = place.rpartition(":")
        if not (at and colon and host and port.isdecimal() and 0 < int(port) < 65536):
            raise WrongUse(f"{shown(text)} is not an archive's address; write it as TITLE@host:port, such as ARCHIVE@10.0.0.5:104.")
        return cls(check_title(title), host.strip("[]"), int(port))

    def __str__(self) -> str:
        return f"{self.title}@{self.host}:{self.port}"


def check_title(title: str) -> str:
    """The title of an application entity without padding. Raises `WrongUse` for what DICOM does not allow."""
    if not _TITLE.fullmatch(title) or not title.strip():
        raise WrongUse(f"{shown(title)} is no title of a DICOM application; it has 1 to 16 plain characters and no backslash.")
    return title.strip()


class Archive:
    """A `Sink`: an archive that takes objects by C-STORE, with TLS where there is a context for it."""

    def __init__(self, peer: Peer, own_title: str, tls: ssl.SSLContext | None = None) -> None:
        self.words = f"the archive {peer}"
        self._peer, self._tls = peer, tls
        self._own = AE(ae_title=own_title)
        self._own.acse_timeout = self._own.connection_timeout = _PATIENCE

    def send(self, job: Job, objects: Mapping[str, bytes], sent: Callable[[str], None]) -> None:
        """See `Sink`."""
        sets = {kind: dcmread(BytesIO(content)) for kind, content in objects.items()}
        # Counted from when an object begins to be sent.
        self._own.dimse_timeout = self._own.network_timeout = _PATIENCE + max(map(len, objects.values())) / _SLOWEST_LINE
        self._own.requested_contexts = []
        for data in sets.values():
            self._own.add_requested_context(data.SOPClassUID, data.file_meta.TransferSyntaxUID)
        link = self._associate()
        if link is None:
            raise self._refused(f"{_words(kind)}: it takes no such objects" for kind in sets)
        refusals = []
        try:
            for kind, data in sets.items():
                try:
                    status = link.send_c_store(data).get("Status")
                except ValueError:  # no context for it was accepted
                    refusals.append(f"{_words(kind)}: it takes no such objects")
                    continue
                except RuntimeError as error:  # the association has ended
                    raise BrokenOff("it ended the association") from error
                if status is None:
                    raise BrokenOff("it ended the association")
                if status in _BUSY:
                    raise Unreachable(f"it is out of resources (status {status:#06x})")
                if status in _TAKEN:
                    sent(kind)
                else:
                    refusals.append(f"{_words(kind)}: status {status:#06x}")
        finally:
            link.release() if link.is_established else link.abort()
        if refusals:
            raise self._refused(refusals)

    def _refused(self, refusals: Iterable[str]) -> InvDetectError:
        return InvDetectError(
            f"{self.words} refused {'; '.join(refusals)}. Let it accept these objects from the title {self._own.ae_title}, and start the "
            "node again: it sends what is left."
        )

    def _associate(self) -> Association | None:
        """An association; None with an archive that takes no such objects at all. Raises as `send` does."""
        tls = (self._tls, self._peer.host) if self._tls is not None else None
        link = self._own.associate(self._peer.host, self._peer.port, ae_title=self._peer.title, tls_args=tls)
        if link.is_established:
            return link
        if link.rejected_contexts:
            return None
        answer = link.acceptor.primitive
        if not link.is_rejected or answer is None:
            raise Unreachable(self._why_not())
        if answer.result == _TRANSIENT:
            raise Unreachable("it rejects associations for now")
        raise InvDetectError(
            f"{self.words} rejects the association ({answer.reason_str}). Make {self._own.ae_title} known to it, check its title, and "
            "start the node again: it sends what is left."
        )

    def _why_not(self) -> str:
        """What stands in the way of a connection, which pynetdicom does not tell."""
        try:
            with socket.create_connection((self._peer.host, self._peer.port), _PATIENCE) as plain:
                if self._tls is not None:
                    self._tls.wrap_socket(plain, server_hostname=self._peer.host).close()
        except ssl.SSLCertVerificationError as error:
            return f"its certificate does not fit ({error.verify_message})"
        except OSError as error:
            return error.strerror or shown(error)
        return "it does not answer" if self._tls is None else "it does not answer, or does not take the certificate of this node"


class Folder:
    """A `Sink`: a folder into which objects are written as UID-OF-THE-SERIES.seg.dcm and so on, whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self.words = f"the folder {folder}"
        self._folder = folder

    def send(self, job: Job, objects: Mapping[str, bytes], sent: Callable[[str], None]) -> None:
        """See `Sink`; the UID was held against its pattern when the series came."""
        for kind, content in objects.items():
            write_whole(self._folder / f"{job.series}{SUFFIXES[kind]}", content, "object")
            sent(kind)


def _words(kind: str) -> str:
    return "the " + kind.removeprefix("dicom_")
