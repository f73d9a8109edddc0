"""What lies in a node's queue, and the states that it goes through; the table of them in words:

receiving   images of the series are still coming
complete    none came for the quiet time: it waits to be examined
detecting   it is being examined
detected    its objects lie on the disk
sending     some of them may have been sent
done        all were sent; its images and objects are gone
left        it does not fit the model, or cannot be read; `reason` says why
failed      its examination broke off, or the archive refused an object; it is tried again when the node starts anew
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...common import InvDetectError

STATES = ("receiving", "complete", "detecting", "detected", "sending", "done", "left", "failed")
WAITING = STATES[:5]  # what there is still to do
ENDED = STATES[5:]


@dataclass(frozen=True)
class Image:
    """One DICOM image on its way into the queue: its file with the meta information, and what was read in it."""

    content: bytes
    series: str
    uid: str


@dataclass(frozen=True)
class Job:
    """A series, or a watched scan.

    number   unlike that of every other job of this queue; logs name jobs by it, and never by what is in them
    series   SeriesInstanceUID; "" for a watched scan
    path     the folder with the images, or the watched scan
    below    where the watched scan lies below its folder; None for a series that was received
    images   how many the queue holds
    digest   of the UIDs of its images, "" for a watched scan
    """

    number: int
    series: str
    path: Path
    below: Path | None
    images: int
    digest: str

    def __str__(self) -> str:
        return f"job {self.number}"


@dataclass(frozen=True)
class Earlier:
    """The last job of the same series that was done: how many images it had, the digest of their UIDs, the model's checksum."""

    number: int
    images: int
    digest: str
    model: str


class Full(InvDetectError):
    """There is no room for more; what is there already will make some."""


class Conflict(InvDetectError):
    """Another image has the same UID."""


@dataclass(frozen=True)
class Limits:
    """most  jobs that may wait at once;  room  bytes of images and objects on the disk"""

    most: int = 1000
    room: int = 50 * 10**9
