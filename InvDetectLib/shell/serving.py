"""`invdetect serve`: from its words to a node that goes on until it is stopped, or to the status of its queue."""

from __future__ import annotations

import argparse
import json
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ..common import Progress, WrongUse, check_address_space, check_loadable, check_writable
from ..worker import NEEDED
from .streams import complain
from .terminal import stoppable

if TYPE_CHECKING:
    import ssl

    from ..dicom.node import Queue, Sink, Source

_PORT = 11112
_OWN_THREADS = ("watch", "poll", "receiver", "sender")
_ALSO = {"pynetdicom": "pynetdicom", "highdicom": "highdicom"}


def serve(options: argparse.Namespace) -> int:
    """Receive, watch, examine and send until Ctrl-C or SIGTERM, which end it well; or tell how the queue stands. The exit status."""
    if options.status:
        return _status(options)
    if options.model is None:
        raise WrongUse("A node needs a model: give its file, or the name of an installed one, with --model.")
    if options.json:
        raise WrongUse("--json belongs to --status; a node tells what it does in lines on standard error.")
    check_address_space()
    check_loadable({package: module for package, (module, _) in NEEDED.items()})
    check_loadable(_ALSO, "dicom")
    from ..dicom.node import Limits, Node, Queue
    from ..remembering import Remembering
    from ..scans import get_ready

    folder = Path(options.folder)
    results = Path(options.output) if options.output is not None else folder / "results"
    receiving, sending = _tls(options)
    _check_apart(options.watch, folder, results)
    sink = _sink(options, results, sending)
    filters = _filters(options)
    get_ready()
    detector = Remembering(options.model, options.device)
    queue = Queue(folder, Limits(options.most, int(options.room * 1e9)))
    progress = Progress()
    hook, threading.excepthook = threading.excepthook, _broken
    try:
        check_writable(results, "results")
        node = Node(queue, detector, _sources(options, queue, receiving, filters), sink, results, options.quiet_time, _say)
        with stoppable(progress):
            node.run(progress)
    finally:
        queue.close()
        threading.excepthook = hook
    return 0


def _status(options: argparse.Namespace) -> int:
    from ..dicom.node import read_status

    found = read_status(Path(options.folder))
    print(json.dumps(asdict(found)) if options.json else "\n".join(found.words()))
    return 0


def _say(text: str) -> None:
    complain(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} {text}")


def _broken(what: threading.ExceptHookArgs) -> None:
    """A stranger's nonsense can end the thread of its connection; threads of our own have names."""
    name, kind = what.thread.name if what.thread is not None else "", what.exc_type.__name__
    if name in _OWN_THREADS:
        _say(f"The part of the node called '{name}' has broken off ({kind}), and does nothing more. Start the node again.")
    else:
        _say(f"A connection broke off ({kind}); the others go on.")


def _tls(options: argparse.Namespace) -> tuple[ssl.SSLContext | None, ssl.SSLContext | None]:
    files = (options.tls_cert, options.tls_key, options.tls_ca)
    if all(file is None for file in files):
        return None, None
    if any(file is None for file in files):
        raise WrongUse("TLS needs three files: --tls-cert, --tls-key and --tls-ca; give all of them, or none.")
    from ..dicom.node import tls_contexts

    return tls_contexts(*map(Path, files))


def _sink(options: argparse.Namespace, results: Path, tls: ssl.SSLContext | None) -> Sink:
    from ..dicom.node import Archive, Folder, Peer

    if options.send_to is not None:
        return Archive(Peer.parse(options.send_to), options.ae, tls)
    if options.dicomweb is not None:
        from ..dicom.web import DicomWeb, WebArchive

        return WebArchive(DicomWeb(options.dicomweb, options.ca))
    return Folder(results)


def _filters(options: argparse.Namespace) -> dict[str, str] | None:
    """Of the series that are to be fetched from a server; None when none are."""
    if options.dicomweb is None and (options.query is not None or options.ca is not None):
        raise WrongUse("--query and --ca belong to a server; give its address with --dicomweb.")
    if options.query is None:
        return None
    from ..dicom.web import parse_query

    return parse_query(options.query)


def _sources(options: argparse.Namespace, queue: Queue, tls: ssl.SSLContext | None, filters: dict[str, str] | None) -> list[Source]:
    from ..dicom.node import Door, Receiver, Watch

    sources: list[Source] = []
    if options.watch is not None:
        sources.append(Watch(Path(options.watch), queue, options.quiet_time, _say))
    if filters is not None:
        from ..dicom.web import DicomWeb, Poll

        sources.append(Poll(DicomWeb(options.dicomweb, options.ca), filters, queue, options.quiet_time, _say))
    if options.port is not None or not sources:
        port = _PORT if options.port is None else options.port
        sources.append(Receiver(Door(options.ae, port, options.address, options.allow, tls), queue, _say))
    return sources


def _check_apart(watched: str | None, *others: Path) -> None:
    """Raise `WrongUse` for a watched folder that what is written there would come into."""
    for other in others:
        if watched is not None and Path(watched).resolve() in (other.resolve(), *other.resolve().parents):
            raise WrongUse(f"{other} lies in the watched folder {watched}; give another --folder or --output.")
