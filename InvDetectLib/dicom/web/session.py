"""How InvDetect speaks HTTP with a DICOMweb server: trust, token, bounded answers, and every way in which it fails as one sentence."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import requests
from pydicom.errors import InvalidDicomError
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from requests.utils import get_environ_proxies

from ...common import InvDetectError, WrongUse, shown

TOKEN = "INVDETECT_DICOMWEB_TOKEN"  # the environment variable; command lines can be read by everybody on a machine
_SCHEMES = ("Bearer ", "Basic ")
_TAIL = 256  # bytes kept of an answer's end; a boundary has at most 70
_KINDS = ("application/dicom+json", "application/json", "application/dicom+xml", "application/xml")
# The transfer syntax in the head of a DICOM file that is deflated: pydicom would inflate a megabyte of it to gigabytes while it reads.
_DEFLATED = re.compile(rb"\x02\x00\x10\x00.{4,16}?1\.2\.840\.10008\.1\.2\.1\.99", re.DOTALL)
_TALK = 32 << 20  # bytes of an answer that is no series
_TIMEOUT = (10.0, 60.0)  # seconds to connect, and between two pieces of an answer
_LATER = (408, 425, 429, 500, 502, 503, 504)


class Strange(InvDetectError):
    """An answer that is none of DICOMweb."""


class NoAnswer(InvDetectError):
    """The archive is down, busy, or broke off: the same may succeed later."""


class Body:
    """What comes of an answer: counted, and its end remembered.

    most  bytes after decompression that one answer may have;  seen  how many came so far
    """

    def __init__(self, raw: Any, most: int) -> None:
        self._raw, self._most = raw, most
        self.seen, self.tail = 0, b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    def stream(self, amount: int, decode_content: bool) -> Iterator[bytes]:
        """The content in pieces, as `requests` asks for it. Stops as soon as there is too much of it, or an object that is deflated."""
        for piece in self._raw.stream(amount, decode_content=decode_content):
            self.seen += len(piece)
            if self.seen > self._most:
                raise _TooMuch(self._most)
            if _DEFLATED.search(self.tail + piece):
                raise _Deflated
            self.tail = (self.tail + piece)[-_TAIL:]
            yield piece


class Session(requests.Session):
    """A session with one server: no redirects, no credentials but the token, proxies of the environment, certificates that are checked.

    most  bytes that the next answer may have
    """

    def __init__(self, url: str, ca: Path | None) -> None:
        super().__init__()
        self.trust_env = False  # or the environment's bundle would win over `ca`, and ~/.netrc over the token
        self.proxies.update(get_environ_proxies(url))
        self.verify = str(ca) if ca is not None else True
        self.auth = _Token(os.environ.get(TOKEN, ""))
        self.hooks["response"] = [self._bound]
        self.mount("https://", _Trusting(ca))
        self.headers["Accept"] = "application/dicom+json"
        self.most = _TALK
        self.body: Body | None = None
        self.boundary: str = ""

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """As of every session, within our own time: not every dicomweb-client has one."""
        return super().send(request, **(options | {"timeout": _TIMEOUT}))

    @contextmanager
    def allowing(self, most: int) -> Iterator[None]:
        """Answers of up to `most` bytes for the block."""
        self.most = most
        try:
            yield
        finally:
            self.most = _TALK

    def is_whole(self) -> bool:
        """Whether the last answer, if it has several parts, came with its end: some servers only close the connection, done or not."""
        return not self.boundary or (self.body is not None and f"--{self.boundary}--".encode() in self.body.tail)

    def _bound(self, response: requests.Response, **options: Any) -> requests.Response:
        self.body = Body(response.raw, self.most)
        response.raw = cast(Any, self.body)
        media, _, parameters = response.headers.get("Content-Type", "").partition(";")
        media = media.strip().lower()
        if media in _KINDS:
            response.headers["Content-Type"] = media  # dicomweb-client takes it for another where a charset follows
        named = [value for name, _, value in (part.strip().partition("=") for part in parameters.split(";")) if name.lower() == "boundary"]
        self.boundary = named[0].strip('"') if named and media == "multipart/related" else ""
        if response.is_redirect:
            raise _Elsewhere(response.headers["Location"])
        return response


class _Elsewhere(Exception):
    """The server asks to go to another address: what goes to one must not go to another because an answer says so."""


class _TooMuch(Exception):
    """An answer has more than this many bytes."""


class _Deflated(Exception):
    """An answer holds a DICOM object that is deflated."""


class _Trusting(HTTPAdapter):
    """Trusts the authorities of the system, as a hospital installs its own there; or those of one file, and no others."""

    def __init__(self, ca: Path | None) -> None:
        self._ca = ca
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options, ssl_context=self._context())

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        return super().proxy_manager_for(proxy, **options, ssl_context=self._context())

    def _context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self._ca)


class _Token(AuthBase):
    """The token, which is never part of an address or of what is logged."""

    def __init__(self, token: str) -> None:
        token = token.strip()
        if any(not 32 <= ord(letter) < 127 for letter in token):
            raise WrongUse(f"The environment variable {TOKEN} holds signs that a token cannot have. Set it to the token alone.")
        self._value = token if not token or token.startswith(_SCHEMES) else f"Bearer {token}"

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.pop("Host", None)  # dicomweb-client leaves the port out of it
        if self._value:
            request.headers["Authorization"] = self._value
        return request


def checked_url(url: str) -> str:
    """The address without a slash at its end. `WrongUse` for what is none, and for one with a password or a query in it."""
    parts = urlsplit(url)
    try:
        named = bool(parts.hostname) and parts.port != 0
    except ValueError:
        named = False
    if parts.scheme not in ("http", "https") or not named or not url.isascii() or any(letter <= " " for letter in url):
        raise WrongUse(f"{shown(url)} is no address of a DICOMweb server. Give one such as https://pacs.example.org/dicom-web.")
    if parts.username is not None or parts.password is not None:
        raise WrongUse(f"The address of a DICOMweb server must not hold a password. Set {TOKEN} in the environment, and leave it out.")
    if parts.query or parts.fragment:
        raise WrongUse("The address of a DICOMweb server ends with its path. Leave out what begins with ? or #.")
    return url.rstrip("/")


def checked_ca(ca: str | Path) -> Path:
    """The path of a file with certificates of authorities (PEM). `WrongUse` for one that cannot be read or holds none."""
    try:
        ssl.create_default_context(cafile=ca)
    except (OSError, ValueError) as error:  # SSLError is an OSError
        reason = getattr(error, "strerror", None) or "it holds none"
        raise WrongUse(f"{ca} cannot be taken for certificates of authorities ({reason}). Give a PEM file.") from error
    return Path(ca)


@contextmanager
def troubles(url: str) -> Iterator[None]:
    """Turns what goes wrong with the server at `url` during the block into `NoAnswer`, or `InvDetectError` where trying again is no use."""
    try:
        yield
    except _Elsewhere as error:
        raise InvDetectError(f"{url} sends elsewhere ({shown(error)}), which is not followed. Give the address that is meant.") from error
    except _TooMuch as error:
        raise InvDetectError(f"What {url} sends has more than the {error.args[0]:,} bytes that are taken. Ask for less.") from error
    except _Deflated as error:
        raise InvDetectError(f"{url} sends objects that are deflated, which are not taken. Let it send another transfer syntax.") from error
    except requests.exceptions.SSLError as error:
        if not (why := _certificate(error)):
            raise InvDetectError(f"{url} speaks no TLS. Check the address and its port.") from error
        remedy = "Give the file of the authority that signed it with --ca, and the name that stands in it"
        raise InvDetectError(f"The certificate of {url} is not trusted ({why}). {remedy}.") from error
    except requests.exceptions.ProxyError as error:
        raise NoAnswer(f"The proxy that the environment names does not lead to {url}. Check https_proxy and no_proxy.") from error
    except requests.exceptions.HTTPError as error:
        raise refused(url, 0 if error.response is None else error.response.status_code) from error
    except requests.exceptions.Timeout as error:
        raise NoAnswer(f"{url} did not answer in time. Check the address, or try again later.") from error
    except (requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError) as error:
        raise NoAnswer(f"The answer of {url} was cut in the middle. Try again.") from error
    except requests.exceptions.JSONDecodeError as error:
        raise strange(url) from error
    except requests.exceptions.ConnectionError as error:
        if "timed out" in str(error):
            raise NoAnswer(f"{url} stopped answering in the middle. Try again.") from error
        raise NoAnswer(f"No server answers at {url}. Check the address, and that the server runs.") from error
    except (requests.exceptions.RequestException, InvalidDicomError) as error:
        raise strange(url) from error
    except (ValueError, TypeError, KeyError, AttributeError, EOFError, RecursionError, NotImplementedError) as error:
        raise strange(url) from error  # what dicomweb-client and pydicom make of answers that nobody foresaw


def strange(url: str) -> Strange:
    """The sentence on an answer that is none of DICOMweb."""
    return Strange(f"What {url} answers is not DICOMweb. Check the address: it often ends in /dicom-web, /dicomweb or /rs.")


def refused(url: str, code: int) -> InvDetectError:
    """The sentence on an answer that says no, by its status code."""
    if code in (401, 403):
        how = "takes no other token than" if os.environ.get(TOKEN) else "wants a token, to be set as"
        return InvDetectError(f"{url} refuses the access ({code}): it {how} the environment variable {TOKEN}.")
    if code == 404:
        return InvDetectError(f"{url} has no such thing (404). Check the UIDs, and the address of the server.")
    if code == 413:
        return InvDetectError(f"{url} takes nothing of this size (413). Let its administrator allow larger requests.")
    if code in _LATER:
        return NoAnswer(f"{url} cannot answer just now ({code}). Try again later.")
    return InvDetectError(f"{url} refuses the request ({code}). Check the address and what is asked for.")


def _certificate(error: BaseException) -> str:
    """What is wrong with a certificate, in OpenSSL's words; "" when it was not about one."""
    cause: Any = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = getattr(cause, "reason", None) or (cause.args[0] if cause.args and isinstance(cause.args[0], BaseException) else None)
    return str(cause.verify_message) if isinstance(cause, ssl.SSLCertVerificationError) else ""
