"""The table of methods. Everything to the right of a method knows none by name; each is loaded when it is asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..common import InvDetectError, WrongUse
from ..models import Settings
from .contract import Method, Slices

if TYPE_CHECKING:
    import torch

    from ..computing import Ranks


def make_method(settings: Settings, device: torch.device, ranks: Ranks | None = None) -> Method:
    """An untrained method as `settings` describe it.

    ranks  the processes that train it together, if there are several; `WrongUse` for a method that learns in one alone
    """
    if settings.method == "invdetect":
        from .invdetect import InvDetect

        return InvDetect(settings.invdetect, settings.preparation.channels, device, ranks)
    if ranks is not None and ranks.count > 1:
        raise WrongUse(f"The method {settings.method} is trained by one process; start it without torchrun, or choose invdetect.")
    if settings.method == "matchgen":
        from .matchgen import MatchGen

        if settings.preparation.grid is None:
            raise InvDetectError("MatchGen looks at whole slices, which must have one size; give a grid instead of a spacing.")
        return MatchGen(settings.matchgen, settings.preparation.channels, settings.preparation.grid, device)
    raise InvDetectError(f"This InvDetect does not know the method {settings.method!r}; a newer one may.")


def suited(settings: Settings, training: Sequence[Slices]) -> tuple[Settings, dict[str, Any]]:
    """`settings` as they suit the normal scans that are learned from, and facts for the card; `WrongUse` where they cannot."""
    if settings.method != "invdetect":
        return settings, {}
    from .invdetect import with_mirror_settled

    own, facts = with_mirror_settled(settings.invdetect, training)
    return dataclasses.replace(settings, invdetect=own), facts


def patches_of(settings: Settings, foreground: np.ndarray) -> tuple[np.ndarray, int]:
    """What the method would look at in one slice: (N, 2) int64 first rows and first columns of its patches, and their side in pixels.

    foreground  (row, column) bool. None and 0 where a method looks at whole slices.
    """
    if settings.whole_slices:
        return np.zeros((0, 2), np.int64), 0
    from .invdetect import PatchGrid

    patches = settings.invdetect.patches
    return PatchGrid.over(foreground.shape, patches).places(foreground[None], patches.min_foreground)[:, 1:], patches.size
