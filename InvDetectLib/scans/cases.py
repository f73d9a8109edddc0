"""A scan beside the mask that belongs to it, and all files that are opened to read one: what has to travel when a scan does."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..common import InvDetectError, WrongUse
from .finding import Found, Paths, ending, find_masks, find_scans, is_own_mask, stem
from .pairing import pairs

_HEADERS = (".hdr", ".mhd", ".nhdr")
_LONGEST_HEADER = 1 << 20


@dataclass(frozen=True)
class Case:
    """A scan that has, or wants, a mask.

    mask     its path; None where none is wanted
    lacking  why there is none although one is wanted, as a sentence, or ""
    """

    found: Found
    mask: Path | None = None
    lacking: str = ""

    def wanted_mask(self) -> Path | None:
        """`mask`; `InvDetectError` where one is wanted and there is none."""
        if self.lacking:
            raise InvDetectError(self.lacking)
        return self.mask


def paired_cases(found: Sequence[Found], masks: Sequence[Found]) -> list[Case]:
    """All scans of a folder with their masks; of those that have one name, folders tell which mask belongs to which, see `pairs`.

    What is a scan is no mask. `WrongUse` where nothing but the scans was given as masks.
    """
    scans = {os.path.realpath(entry.path) for entry in found}
    others = [mask for mask in masks if os.path.realpath(mask.path) not in scans]
    if masks and not others:
        given = masks[0].path
        raise WrongUse(f"All that was given as masks, such as {given}, is among the scans; give scans and masks in folders of their own.")
    names = {stem(entry.path) for entry in found}
    return [
        Case(entry, mask) if isinstance(mask, Path) else Case(entry, lacking=str(mask))
        for entry, mask in zip(found, pairs("mask", found, others, names), strict=True)
    ]


def annotated_cases(scans: Paths, masks: Paths, warn: Callable[[str], None]) -> list[Case]:
    """`paired_cases` of scans and masks of their lesions; `warn` gets a sentence where such are parts of results of InvDetect."""
    cases = paired_cases(find_scans(scans)[0], find_masks(masks)[0])
    own = [case.mask for case in cases if case.mask is not None and is_own_mask(case.mask)]
    if own:
        which = f"{own[0]} is" if len(own) == 1 else f"{len(own)} masks, such as {own[0]}, are"
        warn(f"{which} part of what InvDetect found itself; unless corrected by hand, that tells how far InvDetect agrees with itself.")
    return cases


def files_of(path: Path) -> list[Path]:
    """All files that are opened to read the scan or mask at `path`: those of a DICOM folder, and what a header names beside it.

    Raises OSError when the path cannot be read.
    """
    if path.is_dir():
        return sorted(entry for entry in path.iterdir() if entry.is_file() and not entry.name.startswith("."))
    if ending(path) not in _HEADERS:
        return [path]
    with path.open("rb") as file:
        words = file.read(_LONGEST_HEADER).decode("utf-8", "replace")
    patterned = "%" in words  # a name for each slice is made from a pattern
    beside = (entry for entry in path.parent.iterdir() if entry != path and entry.is_file() and ending(entry) not in _HEADERS)
    return [path, *sorted(entry for entry in beside if entry.name in words or entry.stem == path.stem or patterned)]
