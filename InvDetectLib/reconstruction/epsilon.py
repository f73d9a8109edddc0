"""The radius of MatchGen's ball: from held-out normal slices alone, by the elbow of what a larger ball still explains."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from ..progress import Progress
from ..settings import Matching
from .base import Base
from .matching import match

# Radius over sqrt(dim z): the mean change of one number of the code. The paper's range, 0 to 0.6, depends on the model's code.
_SHARES = tuple(float(share) for share in np.geomspace(1e-4, 0.3, 9))


def candidates(base: Base, images: torch.Tensor) -> list[float]:
    """Radii to try for a base, ascending."""
    with torch.no_grad():
        numbers = base.encode(images[:1]).z[0].numel()
    return [share * math.sqrt(numbers) for share in _SHARES]


def choose_epsilon(base: Base, images: torch.Tensor, matching: Matching, progress: Progress) -> tuple[float, dict[str, list[float]]]:
    """The radius at the elbow of the residual, and what was tried, for the card: "epsilon" (0 is the base alone) and "residual".

    images   (N, C, H, W) held-out normal slices, float32 in [0, 1]; a residual is the mean of |x - s| over their pixels
    """
    radii = [0.0, *candidates(base, images)]
    residuals = []
    for done, radius in enumerate(radii):
        progress.report("choosing epsilon", done, len(radii))
        way = replace(matching, way="none") if radius == 0 else matching
        residuals.append(float(match(base, images, way, radius, progress.check).objective.sum()) / images.numel())
    return radii[elbow(radii, residuals)], {"epsilon": radii, "residual": residuals}


def elbow(radii: Sequence[float], residuals: Sequence[float]) -> int:
    """Number of the point that lies farthest below the chord of a falling curve (Satopaa et al. 2011), never the first.

    radii  ascending from 0; the logarithm of 1 + radius over the smallest one above 0 is what the chord is drawn over
    """
    x = np.log1p(np.asarray(radii) / radii[1])
    y = np.asarray(residuals, np.float64)
    height = y[0] - y[-1]
    if height <= 0:
        return 1  # no ball explains more than the base: the smallest is as good as any
    below = (1 - x / x[-1]) - (y - y[-1]) / height
    return 1 + int(np.argmax(below[1:]))
