"""What a DICOM UID is, before one that a stranger gave names anything."""

from __future__ import annotations

import re

_UID = re.compile(r"(?=.{1,64}$)[0-9]+(\.[0-9]+)+")  # zeros in front, which the standard forbids, are met in hospitals


def is_uid(text: str) -> bool:
    """Whether it is a UID: at most 64 characters, numbers with dots between them."""
    return _UID.fullmatch(text) is not None
