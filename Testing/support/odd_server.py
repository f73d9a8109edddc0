"""A real HTTP server on the loopback that answers what a test says, and closes the connection after each answer, done or not."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass(frozen=True)
class Question:
    """What arrived: "GET" or "POST", the path with its query, the headers by their names in lower case, the content."""

    method: str
    path: str
    headers: dict[str, str]
    content: bytes


@dataclass(frozen=True)
class Answer:
    """Status, content type and content; `headers` as they are sent, and nothing besides: without a length the end is where it closes."""

    content: bytes = b""
    kind: str = "application/dicom+json"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class OddServer:
    """`url`, and what was asked there, in order."""

    url: str
    asked: list[Question]


@contextlib.contextmanager
def odd_server(answer: Callable[[Question], Answer], certificate: Path | None = None) -> Iterator[OddServer]:
    """A server whose every answer is made by `answer`; with a `certificate` and its key in one PEM file it speaks TLS."""
    asked: list[Question] = []

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked.append(Question(self.command, self.path, {name.lower(): value for name, value in self.headers.items()}, content))
            told = answer(asked[-1])
            self.send_response(told.status)
            for name, value in {"Content-Type": told.kind, "Connection": "close", **told.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(ConnectionError):  # whoever asked may have heard enough
                self.wfile.write(told.content)

        do_GET = do_POST = _do

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
            server.handle_error = lambda *_: None  # whoever does not trust it says so, and leaves
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        try:
            yield OddServer(f"http{'s' if certificate else ''}://127.0.0.1:{server.server_port}/dicom-web", asked)
        finally:
            server.shutdown()
