"""Windows of raw slices for baselines: cut on one lattice, scored, and put together again by Eq. 1, as InvDetect's own windows are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from InvDetectLib.computing.tensors import to_array, to_tensor
from InvDetectLib.methods.contract import Slices
from InvDetectLib.methods.invdetect.patches import aggregate, cut, holds_foreground, starts

WINDOW, SPACING = 16, 4  # pixels; InvDetect's own windows in METHOD.md 7.8
_LEAST = 0.05  # share of foreground that a window needs, as InvDetect's
_BLOCK = 512  # windows scored at once


class Windows:
    """The windows of one scan that hold foreground."""

    def __init__(self, foreground: np.ndarray, size: int = WINDOW, spacing: int = SPACING) -> None:
        self.foreground, self._size = foreground, size
        rows, columns = (starts(length, size, spacing) for length in foreground.shape[1:])
        corners = [(k, row, column) for k in range(len(foreground)) for row in rows for column in columns]
        every = np.array(corners, dtype=np.int64).reshape(-1, 3)
        self.places = every[holds_foreground(foreground, every, size, _LEAST)]

    def spread(self, score: Callable[[torch.Tensor], np.ndarray], values: torch.Tensor) -> np.ndarray:
        """(slice, row, column) float32 map of `score`, which gets (N, channel, side, side) and gives (N,).

        Foreground that no window reaches gets the lowest score.
        """
        blocks = [self.places[first : first + _BLOCK] for first in range(0, len(self.places), _BLOCK)]
        scores = np.concatenate([score(cut(values, block, self._size)) for block in blocks] or [np.zeros(1)]).astype(np.float32)
        if not blocks:
            return np.zeros(self.foreground.shape, np.float32)
        weights = torch.ones(len(scores))
        averaged, reached = aggregate(to_tensor(scores)[:, None], weights, to_tensor(self.places), self._size, self.foreground.shape)
        return np.where(to_array(reached), to_array(averaged)[..., 0], scores.min())


def sample(scans: Sequence[Slices], count: int, rng: np.random.Generator) -> np.ndarray:
    """(N, channel * side * side) float32: at most `count` windows of normal scans, drawn without replacement."""
    lattices = [Windows(scan.foreground) for scan in scans]
    owner = np.repeat(np.arange(len(scans)), [len(lattice.places) for lattice in lattices])
    places = np.concatenate([lattice.places for lattice in lattices])
    chosen = np.sort(rng.permutation(len(places))[:count])
    rows = []
    for number in np.unique(owner[chosen]):
        mine = places[chosen[owner[chosen] == number]]
        rows.append(cut(to_tensor(scans[number].values), mine, WINDOW).flatten(1))
    return to_array(torch.cat(rows))
