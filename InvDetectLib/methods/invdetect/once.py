"""Once at a level: the noise that the network sees in a clean slice when it is told that the slice is a noisy one.

Handed sqrt(abar) x, without any noise, and the time of abar, the network calls noise whatever it cannot explain as anatomy at that level.
What it predicts is the map, in one pass of the network instead of the many of an inversion, over the whole slice.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch.nn import functional

from ...common import InvDetectError
from .inverter import Inverter
from .patches import frame
from .schedule import alpha_bars

_TILE = 1024  # pixels a side up to which a slice is taken whole


class NoiseSeen:
    """A network, and the levels at which it is asked."""

    def __init__(self, levels: tuple[float, ...], timesteps: int, least: int, tile: int = _TILE) -> None:
        """levels: abar of each, between 0 and 1; least: side of what the network learned from; tile: of the largest piece taken at once.

        Raises `InvDetectError` for levels that cannot be.
        """
        if not levels or not all(0 < level < 1 for level in levels):
            raise InvDetectError(f"The levels {levels} cannot be; give at least one between 0 (all noise) and 1 (none).")
        abar = alpha_bars(timesteps)
        times = [int(np.abs(abar - level).argmin()) for level in levels]
        self._levels = [(time, math.sqrt(float(abar[time]))) for time in times]
        self._least, self._tile = least, tile

    def __call__(self, inverter: Inverter, slices: torch.Tensor) -> torch.Tensor:
        """Predicted noise of clean slices, averaged over the levels; both (N, row, column, channel) float32, of any size, on one device.

        Sides below what the network learned from, and those that it cannot halve evenly, are framed with background (-1). Slices beyond
        the tile are taken in tiles that overlap.
        """
        rows, columns = slices.shape[1:3]
        above, left = (frame(length, self._least, inverter.multiple) for length in (rows, columns))
        images = functional.pad(slices.permute(0, 3, 1, 2), (*left, *above), value=-1.0)
        images = images.contiguous(memory_format=torch.channels_last)
        seen = torch.zeros_like(images)
        for time, scale in self._levels:
            seen += inverter.once(images * scale, time, self._tile)
        seen /= len(self._levels)
        return seen[:, :, above[0] : above[0] + rows, left[0] : left[0] + columns].permute(0, 2, 3, 1)
