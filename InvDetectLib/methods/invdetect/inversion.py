"""Deterministic DDIM inversion: from a clean patch to its noise latent (Song et al. 2020, Eq. 12, run towards noise).

Notation   z   the patch on its way, z_t            abar  cumulative product of 1 - beta at t
           eps predicted noise eps_theta(z_t, t)    s     sqrt((1 - abar) / abar)
           y   z / sqrt(abar)                       the flow is dy/ds = eps
Nothing is clipped on the way: clipping the predicted patch would hide the very deviation that is looked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from .schedule import Path, sigmas

Predict = Callable[[torch.Tensor, int], torch.Tensor]
"""(patches (N, C, b, b), time t) -> predicted noise of the same shape."""


def ddim_step(z: torch.Tensor, eps: torch.Tensor, abar_from: float, abar_to: float) -> torch.Tensor:
    """One step between two noise levels, either way: predict the clean patch, then put it at the other level. Any shape."""
    clean = (z - math.sqrt(1 - abar_from) * eps) / math.sqrt(abar_from)
    return math.sqrt(abar_to) * clean + math.sqrt(1 - abar_to) * eps


def multistep_increment(
    eps: torch.Tensor, eps_before: torch.Tensor, s_before: float, s_from: float, s_to: float
) -> torch.Tensor:
    """Integral of eps from s_from to s_to, with eps extended linearly in log s through its last two values.

    eps_before, eps  predictions at s_before and s_from; second order where DDIM, eps * (s_to - s_from), is first.
    """
    slope = (eps - eps_before) / math.log(s_from / s_before)
    return eps * (s_to - s_from) + slope * (s_to * math.log(s_to / s_from) - (s_to - s_from))


def invert(
    predict: Predict,
    patches: torch.Tensor,
    path: Path,
    on_noise: Callable[[torch.Tensor], None] | None = None,
    on_step: Callable[[], None] | None = None,
) -> torch.Tensor:
    """Map patches to their noise latents z at the end of `path`.

    patches   (N, C, b, b) float32 in [-1, 1]; they enter at t = 0 as they are
    predict   evaluated at the time a step starts from (not where it lands)
    on_noise  gets each predicted noise, (N, C, b, b), in the order of the path: the trajectory
    on_step   called before each network pass; may raise `Cancelled`
    Returns   (N, C, b, b) float32
    """
    abar = path.abar
    s = sigmas(abar)
    z = patches
    before: tuple[torch.Tensor, float] | None = None
    for number, (start, end) in enumerate(zip(path.times[:-1], path.times[1:])):
        if on_step:
            on_step()
        eps = predict(z, start)
        if on_noise:
            on_noise(eps)
        if number < path.euler or before is None:
            z = ddim_step(z, eps, float(abar[start]), float(abar[end]))
        else:
            increment = multistep_increment(eps, before[0], before[1], float(s[start]), float(s[end]))
            z = math.sqrt(float(abar[end])) * (z / math.sqrt(float(abar[start])) + increment)
        before = (eps, float(s[start]))
    return z
