"""Headers that name other files as their voxels: which of these may be opened, and which numbers may stand in them."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath, PureWindowsPath

from .itk import COPY, unreadable

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|nan|[-+]?inf(?:inity)?", re.IGNORECASE)
_FARTHEST = 1e9  # mm; no scan lies a thousand kilometres away, and SimpleITK loops on far greater numbers


def beside(header: Path, name: str) -> Path:
    """The file that a header names as its voxels; InvDetectError unless it lies in the header's folder, or below it, and is a file."""
    if PurePosixPath(name).is_absolute() or PureWindowsPath(name).drive or ".." in re.split(r"[/\\]", name) or name == "-":
        reason = "it names voxels that do not lie beside it, and only files beside a header are opened"
        raise unreadable(header, reason, "Put both into one folder and name the file alone")
    path = header.parent / name
    if not path.exists():
        raise unreadable(header, f"its data file {path.name} is missing", "Copy the data file beside it")
    if not path.is_file():
        raise unreadable(header, f"its data file {path.name} is no regular file", COPY)
    return path


def check_place(header: Path, words: str) -> None:
    """InvDetectError when one of the numbers in the words of a header says a place that no scan has."""
    for word in _NUMBER.findall(words):
        if abs(float(word)) > _FARTHEST:  # NaN is told later, with what it spoils
            raise unreadable(header, f"it is said to lie at an impossible place ({word} mm)", COPY)
