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
from .matching import Matched, match

# Radius over sqrt(dim z): the mean change of one number of the code. The paper's range, 0 to 0.6, depends on the model's code.
_SHARES = tuple(float(share) for share in np.geomspace(1e-4, 0.3, 9))
_SHARES_OF_REACH = (0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8)  # of the distance that a search without a ball goes
_NO_BALL = 1e9  # a radius that nothing reaches


def candidates(base: Base, images: torch.Tensor) -> list[float]:
    """Radii to try for a base, ascending."""
    with torch.no_grad():
        numbers = base.encode(images[:1]).z[0].numel()
    return [share * math.sqrt(numbers) for share in _SHARES]


def choose_epsilon(base: Base, images: torch.Tensor, matching: Matching, progress: Progress) -> tuple[float, dict[str, list[float]]]:
    """The radius at the elbow of the residual, and what was tried, for the card: "epsilon" (0 is the base alone) and "residual".

    The largest radius that means anything is where a search without a ball comes to rest: that one is the end of the curve, and the
    others are shares of it, whatever the scale of the base's codes is.

    images   (N, C, H, W) held-out normal slices, float32 in [0, 1]; a residual is the mean of |x - s| over their pixels
    """
    stage, total = "choosing epsilon", len(_SHARES_OF_REACH) + 2
    radii, residuals = [0.0], [_residual(match(base, images, replace(matching, way="none"), 0.0), images)]
    progress.report(stage, 1, total)
    free = match(base, images, replace(matching, way="penalty"), _NO_BALL, progress.check)  # nothing to penalise: Adam alone
    reach = float(free.distance.median())
    for done, share in enumerate(_SHARES_OF_REACH, 2):
        progress.report(stage, done, total)
        if reach > 0:
            radii.append(share * reach)
            residuals.append(_residual(match(base, images, matching, radii[-1], progress.check), images))
    if reach == 0:  # nothing fits better than what the base gives: any radius is as good
        return candidates(base, images)[0], {"epsilon": radii, "residual": residuals}
    radii.append(reach)
    residuals.append(_residual(free, images))
    return radii[elbow(radii, residuals)], {"epsilon": radii, "residual": residuals}


def elbow(radii: Sequence[float], residuals: Sequence[float]) -> int:
    """Number of the point that lies farthest below the chord of a falling curve (Satopaa et al. 2011), never the first.

    radii  ascending from 0, the last one the end of the chord. Not their logarithms: what the best of a ball leaves unexplained falls
           ever more slowly with its radius, which a logarithm would bend the other way
    """
    x = np.asarray(radii, np.float64)
    y = np.asarray(residuals, np.float64)
    height = y[0] - y[-1]
    if height <= 0:
        return 1  # no ball explains more than the base: the smallest is as good as any
    below = (1 - x / x[-1]) - (y - y[-1]) / height
    return 1 + int(np.argmax(below[1:]))


def _residual(matched: Matched, images: torch.Tensor) -> float:
    return float(matched.objective.sum()) / images.numel()
