"""InvDetect: finds what does not belong in a medical scan after seeing only normal ones.

    import InvDetectLib as invdetect
    model = invdetect.train("normals/", preset="standard", on_progress=print)
    model.save("brain.invdetect")
    result = invdetect.detect("scan.nii.gz", model="brain.invdetect")
    result.save("out/")

Importing this package is cheap: every name below is loaded from its room on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .detection import detect as detect
    from .errors import Cancelled as Cancelled
    from .errors import InvDetectError as InvDetectError
    from .errors import WrongUse as WrongUse
    from .evaluation import evaluate as evaluate
    from .model import Model as Model
    from .model import load_model as load_model
    from .results import Result as Result
    from .scans import Scan as Scan
    from .training import train as train

_ROOMS = {
    "train": "training",
    "detect": "detection",
    "evaluate": "evaluation",
    "load_model": "model",
    "Model": "model",
    "Result": "results",
    "Scan": "scans",
    "InvDetectError": "errors",
    "WrongUse": "errors",
    "Cancelled": "errors",
}
__all__ = [*_ROOMS, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_ROOMS[name]}", __name__), name)
