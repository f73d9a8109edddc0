"""A scan on its way to a worker: the place where it lies on a disk that both see, or all of its files."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ..common import InvDetectError, Progress
from ..scans import Case, files_of
from .errands import Lost


@dataclass(frozen=True)
class Files:
    """What is opened to read one scan or mask: contents by name, all in one folder; is_folder  whether that is what is read."""

    contents: dict[str, bytes]
    is_folder: bool

    @classmethod
    def of(cls, path: Path) -> Files:
        """Raises OSError."""
        return cls({file.name: file.read_bytes() for file in files_of(path)}, path.is_dir())

    def unpack(self, path: Path, folder: Path) -> Path:
        """Write them below `folder`; what is to be read there is called as `path` is."""
        inside = folder / path.name if self.is_folder else folder
        inside.mkdir(parents=True)
        for name, content in self.contents.items():
            if name != os.path.basename(name) or name in ("", ".", ".."):
                raise InvDetectError("One of its files has a name that leads elsewhere.")
            (inside / name).write_bytes(content)
        return folder / path.name


@dataclass(frozen=True)
class Parcel:
    """One scan, and the mask that belongs to it.

    case   as whoever asks knows it;  place  the same with whole paths
    scan, mask  their files, where a worker does not see these paths
    """

    case: Case
    place: Case
    scan: Files | None = None
    mask: Files | None = None

    @property
    def nbytes(self) -> int:
        """Bytes that travel."""
        return sum(len(content) for files in (self.scan, self.mask) if files for content in files.contents.values())


@dataclass(frozen=True)
class Opened:
    """A parcel where it can be read.

    case      with paths that can be opened here;  out  a private folder for what comes of a scan whose files came along, else None
    progress  for the work
    told      a text with the paths that whoever asks knows
    """

    case: Case
    out: Path | None
    progress: Progress
    parcel: Parcel

    def told(self, text: str) -> str:
        known = self.parcel.case
        for here, there in ((self.case.found.path, known.found.path), (self.case.mask, known.mask)):
            text = text.replace(str(here), str(there)) if here is not None else text
        return text


def packed(case: Case, ship: bool) -> Parcel | Lost:
    """The parcel of a scan; ship  with its files. `Lost` when these cannot be read."""
    path, mask = Path(os.path.abspath(case.found.path)), case.mask and Path(os.path.abspath(case.mask))
    parcel = Parcel(case, replace(case, found=replace(case.found, path=path), mask=mask))
    if not ship:
        return parcel
    try:
        return replace(parcel, scan=Files.of(path), mask=None if mask is None else Files.of(mask))
    except OSError as error:
        return Lost(f"cannot be read: {error.strerror or error}. Check the path and its permissions.")


@contextmanager
def opened(parcel: Parcel, progress: Progress) -> Iterator[Opened]:
    """A parcel where it can be read, for the block; what came with it lies in a private folder, which vanishes with the block.

    Warnings of the block are told to `progress` at its end, with the paths that whoever asks knows.
    """
    place = parcel.place
    with tempfile.TemporaryDirectory(prefix="invdetect-") as name:
        folder = Path(name)
        out = folder / "out" if parcel.scan else None
        if out is not None:
            out.mkdir()
        scan = parcel.scan.unpack(place.found.path, folder / "scan") if parcel.scan else place.found.path
        mask = parcel.mask.unpack(place.mask, folder / "mask") if parcel.mask and place.mask else place.mask
        one = Opened(replace(place, found=replace(place.found, path=scan), mask=mask), out, progress.silent(), parcel)
        yield one
        for text in one.progress.warnings:
            progress.warn(one.told(text))
