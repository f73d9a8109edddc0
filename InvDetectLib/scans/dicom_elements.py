"""Elements of a DICOM data set as plain numbers and words, whatever a file's writer put there, and where a frame's own values stand.

Decimal strings, names and small whole numbers are taken as they stand in the file: pydicom's own conversion of the two dozen elements
that are wanted of each slice takes longer than reading the slice.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

_DECIMAL = (None, "DS", "IS", "UN")
_WORDS = (None, "UI", "CS", "UN")


def text(data: Dataset, keyword: str) -> str:
    """The words of a UID or code without padding; "" where there are none."""
    raw = _raw(data, keyword)
    if raw is not None and raw.VR in _WORDS:
        return (raw.value or b"").decode("ascii", "replace").strip(" \0")
    value = data.get(keyword, "") or ""
    return "\\".join(map(str, value)) if isinstance(value, MultiValue) else str(value).strip(" \0")


def whole(data: Dataset, keyword: str) -> int:
    """The whole number of an element with binary numbers; 0 where there is none."""
    raw = _raw(data, keyword)
    if raw is not None and raw.VR in (None, "US") and len(raw.value or b"") == 2:
        return int.from_bytes(raw.value or b"", "little" if raw.is_little_endian else "big")
    value = data.get(keyword)
    return int(value) if isinstance(value, (int, float)) else 0


def numbers(data: Dataset | None, keyword: str | int, count: int) -> tuple[float, ...] | None:
    """The `count` numbers of an element, by its keyword or tag; None where there are others, or none."""
    if data is None:
        return None
    try:
        raw = _raw(data, keyword)
        if raw is not None and raw.VR in _DECIMAL and isinstance(keyword, str):
            values = tuple(float(part.strip(b" \0")) for part in (raw.value or b"").split(b"\\"))
        else:
            value = data.get(keyword)
            value = value.value if isinstance(value, DataElement) else value
            values = tuple(float(part) for part in (value if isinstance(value, Iterable) and not isinstance(value, str) else (value,)))
    except (TypeError, ValueError, OverflowError):
        return None
    return values if len(values) == count and all(map(math.isfinite, values)) else None


def groups_of(data: Dataset, frames: int) -> list[tuple[Dataset, ...]]:
    """For each frame where its functional groups stand: (its own, those of all frames), as far as the file has them."""
    shared = items(data, "SharedFunctionalGroupsSequence")[:1]
    own = items(data, "PerFrameFunctionalGroupsSequence")
    return [(*own[k : k + 1], *shared) for k in range(frames)]


def in_groups(places: tuple[Dataset, ...], group: str) -> Dataset | None:
    """The item of a functional group, from the first of `places` that has it."""
    return next((found[0] for place in places if (found := items(place, group))), None)


def frame_count(data: Dataset) -> int:
    """How many frames there are, at least 1."""
    told = numbers(data, "NumberOfFrames", 1)
    return max(int(told[0]), 1) if told else 1


def items(data: Dataset, keyword: str) -> list[Dataset]:
    """The items of a sequence; none where there is no such sequence."""
    tag = tag_for_keyword(keyword)
    value = data.get(keyword) if tag is not None and tag in data else None
    return list(value) if value is not None and not isinstance(value, (str, bytes)) else []


def _raw(data: Dataset, keyword: str | int) -> RawDataElement | None:
    """An element that has not been converted yet."""
    tag = tag_for_keyword(keyword) if isinstance(keyword, str) else keyword
    element = data.get_item(tag) if tag is not None and tag in data else None
    return element if isinstance(element, RawDataElement) else None
