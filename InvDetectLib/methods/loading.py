"""A model that came from a file, brought back as a method that can score: what it holds is checked before anything is computed with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..common import InvDetectError
from ..models import Model
from .choosing import make_method
from .contract import Method

if TYPE_CHECKING:
    import torch


_INTENSITY = {"landmarks": ("landmarks", 9), "full": ("range", 2)}  # what `scans.intensity` learns under each rule, ascending


def load_method(model: Model, device: torch.device) -> Method:
    """The method of a trained model, ready to score.

    Raises `InvDetectError` where its arrays do not fit its settings, or one of them holds NaN or infinity: such a model would give every
    scan a map without saying that it means nothing.
    """
    for name, values in model.arrays.items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise InvDetectError(f"The model's array {name[:80]} holds what is no number; the file is damaged, get it again.")
    _check_intensity(model)
    method = make_method(model.settings, device)
    method.load_arrays(model.arrays)
    return method


def _check_intensity(model: Model) -> None:
    rule = model.settings.preparation.intensity
    if rule not in _INTENSITY:
        return
    name, length = _INTENSITY[rule]
    learned = model.part("intensity").get(name)
    if learned is None or learned.shape != (length,) or learned.dtype.kind not in "fiu" or not (np.diff(learned) > 0).all():
        raise InvDetectError(
            f"The model's arrays do not fit its settings (intensity/{name} is not {length} ascending numbers); the file is damaged, "
            "get it again."
        )
