"""Pictures of the worker as pixmaps."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import qt


def pixmap_of(png: bytes) -> Any:
    """The content of a PNG as a pixmap; by a file, the one way that works with every Qt that Slicer may have."""
    with tempfile.TemporaryDirectory(prefix="invdetect-") as folder:
        path = Path(folder) / "picture.png"
        path.write_bytes(png)
        return qt.QPixmap(str(path))
