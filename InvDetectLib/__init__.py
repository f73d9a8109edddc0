"""InvDetect: finds what does not belong in a medical scan after seeing only normal ones.

    import InvDetectLib as invdetect
    model = invdetect.train("normals/", preset="standard", on_progress=print)
    model.save("brain.invdetect")
    result = invdetect.detect("scan.nii.gz", model="brain.invdetect")
    result.save("out/")

Importing this package is cheap: every name below is loaded from its wing on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .common import __version__, on_first_use

if TYPE_CHECKING:
    from .adaptation import adapt as adapt
    from .common import Cancelled as Cancelled
    from .common import InvDetectError as InvDetectError
    from .common import WrongUse as WrongUse
    from .detection import detect as detect
    from .detection import explain as explain
    from .evaluation import evaluate as evaluate
    from .models import Model as Model
    from .models import load_model as load_model
    from .rehearsal import rehearse as rehearse
    from .results import Result as Result
    from .scans import Scan as Scan
    from .training import train as train

_WINGS = {
    "train": "training",
    "detect": "detection",
    "explain": "detection",
    "adapt": "adaptation",
    "evaluate": "evaluation",
    "rehearse": "rehearsal",
    "load_model": "models",
    "Model": "models",
    "Result": "results",
    "Scan": "scans",
    "InvDetectError": "common",
    "WrongUse": "common",
    "Cancelled": "common",
}
__getattr__ = on_first_use(__name__, _WINGS)
__all__ = [*_WINGS, "__version__"]
