"""Simplex noise (Perlin 2001) of several octaves, the noise of AnoDDPM and pDDPM: clouds with parts as large as lesions.

Both papers take OpenSimplex noise instead, whose lattice and kernels are larger: at the same nominal period its clouds are about twice as
large, 2.2 times in the planes of three dimensions that AnoDDPM takes and 2.0 times in the two dimensions of pDDPM. So each peer says
how large and how strong its noise is, and a test holds it against what was measured of theirs.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from InvDetectLib.computing.tensors import to_tensor

OCTAVES, PERSISTENCE = 6, 0.8  # each octave has half the period of the one before and 0.8 of its amplitude (Wyatt et al. 2022)
_FIELDS = 8  # sides of an image: the extent of the field that an octave is cut from
_TABLE = 256


class SimplexNoise:
    """Images of noise, every pixel of mean 0 over all draws.

    period  of the first octave, in sides of the image;  spread  the standard deviation of a pixel over all draws

    Each octave is one large field, made once; a draw takes a window of each at a place and orientation of its own, so that no two
    draws are alike, at a thousandth of what evaluating the noise anew would cost.
    """

    def __init__(self, side: int, seed: int, period: float, spread: float) -> None:
        rng = np.random.default_rng([seed, 64])
        self._side = side
        weights = PERSISTENCE ** np.arange(OCTAVES)
        weights *= spread / math.sqrt((weights**2).sum())
        self._fields = [
            (weight * standard(field(_FIELDS * side, side * period / 2**octave, rng))).astype(np.float32)
            for octave, weight in enumerate(weights)
        ]

    def draw(self, count: int, channels: int, rng: np.random.Generator) -> torch.Tensor:
        """(count, channels, side, side) float32; channels are independent."""
        noise = np.empty((count * channels, self._side, self._side), np.float32)
        for one in noise:
            one[:] = sum(self._window(octave, rng) for octave in self._fields)
        return to_tensor(noise.reshape(count, channels, self._side, self._side))

    def _window(self, octave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        row, column = rng.integers(len(octave) - self._side + 1, size=2)
        part = octave[row : row + self._side, column : column + self._side]
        turned, mirrored, sign = rng.integers(2, size=3)
        part = part.T if turned else part
        return (part[::-1] if mirrored else part) * (1 if sign else -1)


def field(side: int, period: float, rng: np.random.Generator) -> np.ndarray:
    """(side, side) float64 simplex noise in two dimensions, its triangles `period` pixels a side (before they are skewed).

    Each corner of the triangle in which a point lies adds max(0, 1/2 - r^2)^4 times its gradient along the way r to the point. Gradients
    are unit vectors whose direction a random table gives.
    """
    table = rng.permutation(_TABLE)
    angles = rng.uniform(0, 2 * math.pi, _TABLE)
    start = rng.uniform(0, _TABLE, 2)
    y, x = (np.arange(side) / period + first for first in start)
    y, x = y[:, None], x[None, :]
    skew, unskew = (math.sqrt(3) - 1) / 2, (3 - math.sqrt(3)) / 6
    shift = (x + y) * skew
    i, j = np.floor(x + shift).astype(np.int64), np.floor(y + shift).astype(np.int64)
    x0, y0 = x - i + (i + j) * unskew, y - j + (i + j) * unskew
    lower = (x0 > y0).astype(np.int64)  # which of the square's two triangles
    total = np.zeros((side, side))
    for di, dj in ((0, 0), (lower, 1 - lower), (1, 1)):
        dx, dy = x0 - di + (di + dj) * unskew, y0 - dj + (di + dj) * unskew
        angle = angles[table[(i + di + table[(j + dj) % _TABLE]) % _TABLE]]
        total += np.maximum(0, 0.5 - dx**2 - dy**2) ** 4 * (np.cos(angle) * dx + np.sin(angle) * dy)
    return total


def standard(values: np.ndarray) -> np.ndarray:
    """The values less their mean, over their standard deviation."""
    return (values - values.mean()) / values.std()
