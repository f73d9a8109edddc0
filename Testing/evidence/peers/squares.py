"""Slices of any size as the square images that a network looks at, and maps the way back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from InvDetectLib.computing.tensors import to_array, to_tensor
from InvDetectLib.methods.contract import Slices
from InvDetectLib.methods.matchgen.base import inside


class Squares:
    """Images of `side` pixels: larger slices are reduced to that, what is left is background (-1)."""

    def __init__(self, side: int, device: torch.device) -> None:
        self.side, self._device = side, device

    def image(self, values: np.ndarray) -> torch.Tensor:
        """(slice, row, column, channel) in [-1, 1] -> (slice, channel, side, side) on the device."""
        images = to_tensor(values, self._device).permute(0, 3, 1, 2)
        shape = self._reduced(values.shape[1:3])
        if shape != values.shape[1:3]:
            images = functional.interpolate(images, shape, mode="bilinear", antialias=True)
        rows, columns = inside(shape, self.side)
        return functional.pad(images, (columns.start, self.side - columns.stop, rows.start, self.side - rows.stop), value=-1.0)

    def back(self, scores: torch.Tensor, shape: tuple[int, int]) -> np.ndarray:
        """(side, side) -> (row, column) float32 of the slice's own size."""
        rows, columns = inside(self._reduced(shape), self.side)
        own = scores[None, None, rows, columns]
        return to_array(functional.interpolate(own, shape, mode="bilinear")[0, 0] if own.shape[2:] != shape else own[0, 0])

    def pool(self, scans: Sequence[Slices]) -> torch.Tensor:
        """(N, channel, side, side): all slices with foreground."""
        return torch.cat([self.image(scan.values[scan.foreground.any(axis=(1, 2))]) for scan in scans])

    def _reduced(self, shape: tuple[int, ...]) -> tuple[int, int]:
        scale = min(1.0, self.side / max(shape))
        return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))
