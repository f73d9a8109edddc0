"""A model that came from a file, brought back as a method that can score: what it holds is checked before anything is computed with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..models import Model
from .choosing import make_method
from .contract import Method

if TYPE_CHECKING:
    import torch

_INTENSITY = {"landmarks": ("landmarks", 9), "full": ("range", 2)}  # what `scans.intensity` learns under each rule, ascending


def load_method(model: Model, device: torch.device) -> Method:
    """The method of a trained model, ready to score.

    Raises `InvDetectError` where its arrays, those of its intensity rule among them, are not those that its settings need, or hold NaN or
    infinity: such a model would give every scan a map without saying that it means nothing.
    """
    _check_intensity(model)
    method = make_method(model.settings, device)
    method.load_arrays(model.arrays)
    return method


def _check_intensity(model: Model) -> None:
    rule = model.settings.preparation.intensity
    if rule not in _INTENSITY:
        return
    from ..computing import unfit, unfitting  # torch, which nobody needs who only shows results

    name, length = _INTENSITY[rule]
    name = f"intensity/{name}"
    if misfit := unfit(model.arrays, {name: (length,)}):
        raise unfitting(misfit)
    if not (np.diff(model.arrays[name]) > 0).all():
        raise unfitting(f"{name} does not ascend")
