"""How large an image may be: known before a byte of it is read, so that four kilobytes of header cannot ask for eight gigabytes."""

from __future__ import annotations

import os
from collections.abc import Iterable
from math import prod
from pathlib import Path

from .itk import unreadable

LENGTH = 8  # bytes that say how long an answer of the reading process is
_LARGEST = 4 << 30  # bytes of voxels: 1,000 slices of 1,000 x 1,000 in 32 bits
_SHARE = 4  # of the memory that the machine has; whatever computes needs several copies


def largest_image() -> int:
    """Bytes of voxels that an image may have here: 4 GiB, or a quarter of this machine's memory where that is less."""
    try:
        return min(_LARGEST, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // _SHARE)
    except (AttributeError, ValueError, OSError):  # Windows
        return _LARGEST


def check_size(path: Path, sizes: Iterable[int], bytes_a_voxel: int) -> None:
    """Raise InvDetectError when a header promises more voxels than can be taken. `sizes` along all axes, channels among them."""
    needed, most = prod(int(size) for size in sizes) * bytes_a_voxel, largest_image()
    if needed > most:
        reason = f"it is said to have {in_words(needed)} of voxels, and at most {in_words(most)} can be read here"
        raise unreadable(path, reason, "If it is not damaged, crop it or save it with fewer voxels")


def in_words(count: int) -> str:
    """A number of bytes for people."""
    return f"{count / (1 << 30):.3g} GiB" if count >= 1 << 30 else f"{count / (1 << 20):.3g} MiB"
