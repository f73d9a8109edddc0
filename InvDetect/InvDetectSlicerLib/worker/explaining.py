"""Which model can tell why the findings of a stored result are findings."""

from __future__ import annotations

from pathlib import Path

from InvDetectLib.common import InvDetectError
from InvDetectLib.models import find_models, read_header

from ..scene import ResultNodes, provenance_of


def model_of(nodes: ResultNodes) -> Path:
    """The installed model that found this result. InvDetectError when there is none."""
    made_by = provenance_of(nodes).get("model")
    checksum = made_by.get("checksum") if isinstance(made_by, dict) else None
    for path in find_models():
        try:
            if checksum is not None and read_header(path)["checksum"] == checksum:
                return path
        except InvDetectError:
            continue  # a file that is no model
    raise InvDetectError("The model that found this result is not among the installed ones. Import it, or detect again.")
