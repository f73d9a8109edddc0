"""DICOMweb: series from a server, whole or not at all, and objects to it, by dicomweb-client, which loads on first use.

In: the address of a server, and filters or UIDs. Out: folders with the images of a series; objects stored in their study.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...common import on_first_use

if TYPE_CHECKING:
    from .polling import Poll as Poll
    from .server import DicomWeb as DicomWeb
    from .server import WebSeries as WebSeries
    from .server import parse_query as parse_query
    from .session import NoAnswer as NoAnswer
    from .storing import WebArchive as WebArchive
    from .storing import store_result as store_result

_ROOMS = {
    "DicomWeb": "server",
    "NoAnswer": "session",
    "Poll": "polling",
    "WebArchive": "storing",
    "WebSeries": "server",
    "parse_query": "server",
    "store_result": "storing",
}
__getattr__ = on_first_use(__name__, _ROOMS)
__all__ = [*_ROOMS]
