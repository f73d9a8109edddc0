"""The door for DICOM: answers C-ECHO, and takes images by C-STORE into the queue."""

from __future__ import annotations

import errno
import ipaddress
import socketserver
import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from pynetdicom import AE, evt
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]
from pynetdicom.transport import ThreadedAssociationServer

from ...common import InvDetectError, WrongUse, shown
from ...scans import largest_image
from .images import IMAGE_CLASSES, SYNTAXES, image_of
from .jobs import Conflict, Full, Image
from .queue import Queue
from .say import TAIL, Say
from .sending import check_title

_SUCCESS, _NO_ROOM, _MISMATCH, _NOT_UNDERSTOOD, _CONFLICT = 0x0000, 0xA700, 0xA900, 0xC000, 0xC001
_HANDSHAKE = 10.0  # seconds that a peer may take to show its certificate
_GREETING = 10.0  # seconds until a peer has said what it wants; one that says nonsense is kept for as long
_PEERS = 25  # associations at once
_LONGEST_UNIT = 16 << 20  # bytes of one unit of the protocol (PDU); peers are told to keep to 16 kB
_HEADERS = 64 << 20  # bytes that an object may have besides the voxels of an image
_IDLE = 120.0  # seconds without a word after which an association ends


@dataclass(frozen=True)
class Door:
    """Where a node receives.

    title    its own application entity title, which has to be called
    port     0 for any that is free
    address  on which it listens
    allowed  titles that may call; none: all, which only the loopback may
    tls      context of a server, or None for connections without TLS
    """

    title: str
    port: int
    address: str = "127.0.0.1"
    allowed: Sequence[str] = ()
    tls: ssl.SSLContext | None = None

    def check(self) -> None:
        """Raise `WrongUse` for what cannot be, or is not safe."""
        for title in (self.title, *self.allowed):
            check_title(title)
        if not self.allowed and not _is_loopback(self.address):
            raise WrongUse(f"At {shown(self.address)} others can reach this node; name with --allow the titles that may send to it.")


class Receiver:
    """A source: receives from `start` to `stop`."""

    def __init__(self, door: Door, queue: Queue, say: Say) -> None:
        door.check()
        self._door, self._queue, self._say = door, queue, say
        self._own = AE(ae_title=door.title)
        self._own.require_called_aet = True
        self._own.require_calling_aet = list(door.allowed)
        self._own.network_timeout, self._own.acse_timeout, self._own.maximum_associations = _IDLE, _GREETING, _PEERS
        self._own.add_supported_context(Verification)
        for storage in IMAGE_CLASSES:
            self._own.add_supported_context(storage, SYNTAXES)
        self._server: _Server | None = None
        self._is_full, self._conflict = False, ""
        self._measured: WeakKeyDictionary[Any, _Measured] = WeakKeyDictionary()  # by the association

    @property
    def port(self) -> int:
        """On which it listens, once it was started."""
        assert self._server is not None
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Listen. Raises InvDetectError when the address cannot be had."""
        handlers: list[Any] = [
            *((evt.EVT_CONN_OPEN, self._connected), (evt.EVT_C_STORE, self._store)),
            *((evt.EVT_REJECTED, self._rejected), (evt.EVT_ABORTED, self._aborted)),
        ]
        address = (self._door.address, self._door.port)
        try:
            server = self._own.make_server(address, ssl_context=self._door.tls, evt_handlers=handlers, server_class=_Server)
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or shown(error).rstrip(".")
            raise InvDetectError(f"Nothing can be received at {address[0]}, port {address[1]}: {why}. Choose another --port.") from error
        assert isinstance(server, _Server)
        server.say = self._say
        self._server = server
        threading.Thread(target=server.serve_forever, args=(0.1,), name="receiver", daemon=True).start()
        tls = " with TLS" if self._door.tls else ""
        self._say(f"{self._door.title} receives at {self._door.address}, port {self.port}{tls}")

    def stop(self) -> None:
        """Receive no more; associations that are open are aborted."""
        if self._server is not None:
            self._server.shutdown()
            for link in self._server.active_associations:
                link.abort()

    def _connected(self, event: evt.Event) -> None:
        link: Any = event.assoc.dul.socket
        link.recv = self._measured[event.assoc] = _Measured(link.recv, largest_image() + _HEADERS, self._too_much)

    def _too_much(self) -> None:
        self._say("A peer sent more than an object may have, and is no longer listened to; send images of a size that can be examined.")

    def _store(self, event: evt.Event) -> int:
        if (measured := self._measured.get(event.assoc)) is not None:
            measured.seen = 0
        try:
            image = image_of(event.encoded_dataset())
            if getattr(event.request, "AffectedSOPInstanceUID", None) != image.uid:
                return _MISMATCH
        except Exception as error:  # a stranger's data set may lead pydicom to anything
            self._say(str(error) if isinstance(error, InvDetectError) else f"An object cannot be understood ({type(error).__name__}).")
            return _NOT_UNDERSTOOD
        try:
            self._queue.add(image)
        except Conflict as error:
            if self._conflict != image.series:  # once, and not for every image of a series
                self._say(f"{error} (series ...{image.series[-TAIL:]})")
            self._conflict = image.series
            return _CONFLICT
        except InvDetectError as error:
            self._refuse(image, error)
            return _NO_ROOM
        self._is_full = False
        return _SUCCESS

    def _refuse(self, image: Image, why: InvDetectError) -> None:
        if not self._is_full:  # once, and not for every image of a study
            self._say(str(why))
        self._is_full = isinstance(why, Full)
        try:
            self._queue.refused(image)
        except InvDetectError as error:
            self._say(str(error))

    def _rejected(self, event: evt.Event) -> None:
        peer = event.assoc.requestor
        why = "its title is not allowed (--allow), it calls another one, or too many are connected"
        self._say(f"An association of {shown(peer.ae_title)} from {peer.address} was rejected: {why}.")

    def _aborted(self, event: evt.Event) -> None:
        self._say(f"The association with {shown(event.assoc.requestor.ae_title)} was aborted; what it had sent is kept.")


class _Measured:
    """Reads from a connection, as pynetdicom does for each unit of the protocol, whose length a stranger names, also before its title is
    known. OSError, after `tell`, for a unit that is too long, and for more than `most` bytes since `seen` was 0; nothing is read then."""

    def __init__(self, read: Callable[[int], bytearray], most: int, tell: Callable[[], None]) -> None:
        self._read, self._most, self._tell = read, most, tell
        self.seen = 0

    def __call__(self, count: int) -> bytearray:
        self.seen += count
        if count > _LONGEST_UNIT or self.seen > self._most:
            self._tell()
            raise OSError(errno.EMSGSIZE, "more than is taken")
        return self._read(count)


class _Server(ThreadedAssociationServer):
    """Shakes hands in the thread of each connection, so that whoever shows no certificate keeps nobody else waiting."""

    say: Say

    def get_request(self) -> Any:
        """A connection as it comes."""
        assert self.socket is not None
        return self.socket.accept()

    def shutdown(self) -> None:
        """Take no more connections."""
        socketserver.BaseServer.shutdown(self)
        self.server_close()

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """One connection."""
        if self.ssl_context is not None:
            try:
                request.settimeout(_HANDSHAKE)
                request = self.ssl_context.wrap_socket(request, server_side=True)
                request.settimeout(None)
            except OSError as error:
                why = error.reason if isinstance(error, ssl.SSLError) and error.reason else error.strerror or str(error)
                words = str(why).lower().replace("_", " ")
                self.say(f"A connection from {client_address[0]} was refused: no certificate that fits was shown ({words}).")
                self.shutdown_request(request)
                return
        super().process_request_thread(request, client_address)


def _is_loopback(address: str) -> bool:
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
