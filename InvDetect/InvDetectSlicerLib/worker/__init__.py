"""The worker seen from Slicer: its process and client, what is asked of it, and runs whose outcome a timer's `poll` delivers.

In: nodes and a user's choices. Out: `Run`s that finish with nodes or facts, or fail with a sentence (`RunFailed`). `WorkerClient` knows
neither Slicer nor Qt; names are loaded on first use, so that it works without them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from InvDetectLib.common import on_first_use

if TYPE_CHECKING:
    from .background import Background as Background
    from .client import WorkerClient as WorkerClient
    from .drawing import Drawing as Drawing
    from .explaining import model_of as model_of
    from .failures import RunFailed as RunFailed
    from .failures import as_bug as as_bug
    from .failures import as_failure as as_failure
    from .handing_over import HandingOver as HandingOver
    from .lending import Lending as Lending
    from .lending import lent as lent
    from .logic import WorkerLogic as WorkerLogic
    from .logic import given as given
    from .queue import Examined as Examined
    from .queue import ScanQueue as ScanQueue
    from .run import Detection as Detection
    from .run import OnFailed as OnFailed
    from .run import OnProgress as OnProgress
    from .run import OnText as OnText
    from .run import Run as Run
    from .training_choices import TrainingChoices as TrainingChoices
    from .training_choices import slices_along as slices_along
    from .training_kept import KeptTraining as KeptTraining
    from .training_kept import Store as Store

_PLACES = {
    "Background": "background",
    "WorkerClient": "client",
    "Drawing": "drawing",
    "model_of": "explaining",
    "RunFailed": "failures",
    "as_bug": "failures",
    "as_failure": "failures",
    "HandingOver": "handing_over",
    "Lending": "lending",
    "lent": "lending",
    "WorkerLogic": "logic",
    "given": "logic",
    "Examined": "queue",
    "ScanQueue": "queue",
    "Detection": "run",
    "OnFailed": "run",
    "OnProgress": "run",
    "OnText": "run",
    "Run": "run",
    "TrainingChoices": "training_choices",
    "slices_along": "training_choices",
    "KeptTraining": "training_kept",
    "Store": "training_kept",
}
__getattr__ = on_first_use(__name__, _PLACES)
__all__ = [*_PLACES]
