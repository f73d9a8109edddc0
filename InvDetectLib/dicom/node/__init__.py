"""The DICOM node: receives series, or watches a folder, examines what fits its model, and sends back what it found.

In: images by C-STORE, or scans in a folder. Out: DICOM objects, sent to an archive or written into a folder; a queue on the disk between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...common import on_first_use

if TYPE_CHECKING:
    from .images import image_of as image_of
    from .jobs import Full as Full
    from .jobs import Image as Image
    from .jobs import Job as Job
    from .jobs import Limits as Limits
    from .looking import Looking as Looking
    from .node import Node as Node
    from .node import Source as Source
    from .queue import Queue as Queue
    from .receiving import Door as Door
    from .receiving import Receiver as Receiver
    from .say import TAIL as TAIL
    from .say import Say as Say
    from .sending import Archive as Archive
    from .sending import Folder as Folder
    from .sending import Peer as Peer
    from .sending import Sink as Sink
    from .sending import Unreachable as Unreachable
    from .status import Status as Status
    from .status import read_status as read_status
    from .tls import tls_contexts as tls_contexts
    from .watching import Watch as Watch

_ROOMS = {
    "Archive": "sending",
    "Door": "receiving",
    "Folder": "sending",
    "Full": "jobs",
    "Image": "jobs",
    "Job": "jobs",
    "Limits": "jobs",
    "Looking": "looking",
    "Node": "node",
    "Peer": "sending",
    "Queue": "queue",
    "Receiver": "receiving",
    "Say": "say",
    "Sink": "sending",
    "Source": "node",
    "Status": "status",
    "TAIL": "say",
    "Unreachable": "sending",
    "Watch": "watching",
    "image_of": "images",
    "read_status": "status",
    "tls_contexts": "tls",
}
__getattr__ = on_first_use(__name__, _ROOMS)
__all__ = [*_ROOMS]
