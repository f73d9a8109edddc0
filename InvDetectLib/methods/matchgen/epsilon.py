"""The radius of MatchGen's ball: from held-out normal slices alone, by the elbow of what a larger ball still explains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from ...common import Progress
from ...models import Matching
from .base import Base
from .matching import match

_SHARES_OF_SPREAD = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8)


def candidates(base: Base, images: torch.Tensor) -> list[float]:
    """Radii to try for a base, ascending: shares of how far the codes of held-out normal slices lie from their middle.

    A ball of that size already holds other normal slices. So the radii mean the same whatever the scale of a base's codes, which the
    paper's range, 0 to 0.6, does not.

    images   (N, C, H, W) float32 in [0, 1]
    """
    with torch.no_grad():
        codes = base.encode(images).z.flatten(1)
    spread = _typical(codes - codes.mean(dim=0)) or _typical(codes) or 1.0  # one slice alone has no spread
    return [share * spread for share in _SHARES_OF_SPREAD]


def choose_epsilon(
    base: Base, images: torch.Tensor, radii: Sequence[float], matching: Matching, progress: Progress
) -> tuple[float, dict[str, list[float]]]:
    """The one of `radii` at the elbow of the residual, and what was tried, for the card: "epsilon" (0 is the base alone) and "residual".

    images   (N, C, H, W) held-out normal slices, float32 in [0, 1]; a residual is the mean of |x - s| over their pixels
    """
    radii, residuals = [0.0, *radii], []
    for done, radius in enumerate(radii):
        progress.report("choosing epsilon", done, len(radii))
        way = replace(matching, way="none") if radius == 0 else matching
        residuals.append(float(match(base, images, way, radius, progress.check).objective.sum()) / images.numel())
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


def _typical(codes: torch.Tensor) -> float:
    return float(torch.linalg.vector_norm(codes, dim=1).median())
