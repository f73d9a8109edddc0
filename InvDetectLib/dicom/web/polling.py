"""A node's source on the web: a server is asked again and again, and series that match are fetched into the queue."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from ...common import Cancelled, InvDetectError, Progress, private_folder
from ..node import TAIL, Full, Image, Looking, Queue, Say, image_of
from .server import DicomWeb, WebSeries
from .session import NoAnswer

_SLOWEST = 5.0  # seconds that the end of the thread is waited for


class Poll:
    """A `Source`: looks every `quiet` seconds for series that match `filters`, from `start` to `stop`.

    A series is fetched when a look finds as many images in it as the one before, and again when it has more images than the queue knows.
    It comes into the queue whole, or not at all. A server that fails, and a queue that is full, are told once, and tried again.
    """

    def __init__(self, server: DicomWeb, filters: Mapping[str, str], queue: Queue, quiet: float, say: Say) -> None:
        self._server, self._filters, self._queue, self._quiet, self._say = server, dict(filters), queue, quiet, say
        self._progress = Progress()
        self._looking = Looking("poll", self._look, self._problem, quiet, say)
        self._before: dict[str, int] = {}
        self._not_taken: set[WebSeries] = set()

    def start(self) -> None:
        """Begin."""
        self._say(f"looking for series at {self._server.url}")
        self._looking.start()

    def stop(self) -> None:
        """End; what is being fetched is given up."""
        self._progress.cancel()
        self._looking.stop(_SLOWEST)

    def _problem(self, error: Exception) -> str:
        if isinstance(error, InvDetectError):
            problem = str(error)
        elif isinstance(error, OSError):
            problem = "The queue's disk cannot be written just now."
        else:
            problem = f"A look at the server broke off ({type(error).__name__})."
        return f"{problem} It is tried again every {self._quiet:g} s."

    def _look(self) -> None:
        """Fetch what is due. Raises what keeps all series from coming, and goes on after what keeps one."""
        found = self._server.find(self._filters)
        due = [one for one in found if self._before.get(one.series) == one.images and one not in self._not_taken and self._is_new(one)]
        self._before = {one.series: one.images for one in found}
        for series in due:
            self._progress.check()
            try:
                self._fetch(series)
            except (NoAnswer, Full, Cancelled):
                raise
            except InvDetectError as error:
                self._not_taken.add(series)
                self._say(f"A series (...{series.series[-TAIL:]}) is not taken: {str(error).replace(series.series, 'it')}")

    def _is_new(self, series: WebSeries) -> bool:
        known = self._queue.images_of(series.series)
        return known is None or known < series.images

    def _fetch(self, series: WebSeries) -> None:
        with private_folder(self._queue.folder) as private:
            self._server.fetch(series, private / "series", self._progress)
            self._queue.add_all(_images(private / "series"))


def _images(folder: Path) -> Iterator[Image]:
    for path in sorted(folder.iterdir()):
        yield image_of(path.read_bytes())
