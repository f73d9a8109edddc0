"""Arrays that a network, or whatever else was learned, is brought back from: compared with what it needs before any of it is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from ..common import InvDetectError, shown
from .tensors import to_tensor

Network = TypeVar("Network", bound=nn.Module)


def unfit(arrays: Mapping[str, np.ndarray], wanted: Mapping[str, tuple[int, ...]]) -> str:
    """Which of the wanted arrays, shapes by name, is missing, of another shape, no number or not finite, as a phrase; "" when all fit."""
    for name, shape in wanted.items():
        if name not in arrays:
            return f"{name} is missing"
        if arrays[name].shape != shape:
            return f"{name} is of shape {arrays[name].shape} where {shape} belongs"
        if arrays[name].dtype.kind not in "fiu" or not np.isfinite(arrays[name]).all():
            return f"{name} holds what is no number"
    return ""


def load_network(make: Callable[[], Network], arrays: Mapping[str, np.ndarray], prefix: str) -> Network:
    """The network that `make` makes, with the weights called PREFIX..., on the CPU.

    It is made only when all weights are there and finite: until then nothing of the size that its settings ask for is allocated.
    Raises `InvDetectError` for weights that do not fit and settings that no network can have.
    """
    try:
        with torch.device("meta"):
            wanted = {name: tuple(value.shape) for name, value in make().state_dict().items()}
        if misfit := unfit(arrays, {prefix + name: shape for name, shape in wanted.items()}):
            raise unfitting(misfit)
        network = make()
        network.load_state_dict({name: to_tensor(arrays[prefix + name]) for name in wanted})
    except (ValueError, RuntimeError) as error:
        raise unfitting(shown(error)) from None
    return network


def unfitting(why: str) -> InvDetectError:
    """The error for arrays of a model that are not those that its settings need."""
    return InvDetectError(f"The model's arrays do not fit its settings ({why}); the file is damaged, get it again.")
