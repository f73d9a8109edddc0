"""MatchGen's optimisation at test time: the pseudo-normal image that fits the slice best, not far from the one its base gives (Ma et al.).

Eq. 1:  min over z of |x - g(z)|_1  subject to  |z - z0|_2 <= epsilon,  z0 = phi(x); the 1-norm is the sum over the pixels of the slice.
Eq. 2:  min over z of |x - g(z)|_1 + lambda max(|z - z0|_2 - epsilon, 0),  lambda from 1 upwards until z is feasible.

Two ways: "penalty" is Eq. 2 as printed; "projection" solves Eq. 1 by putting z back on to the ball after each step, without the detour
through codes outside of it. In both, a step is at most a tenth of the radius long: Adam's first step has the norm 1e-3 sqrt(dim z), which
for a large z is outside of any ball that is of use, and for a small z hardly moves. So projection chooses Adam's learning rate such that
its first step is a tenth of the radius long, and once a slice has settled goes on with steps a tenth of that until it settles again; the
penalty method keeps the paper's. The answer is the best feasible z on the way, and z0 is one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from ...common import InvDetectError
from ...models import Matching
from .base import Base, Code

WAYS = ("projection", "penalty", "none")
_WINDOW = 10  # steps over which the objective must have settled
_ROUND = 50  # steps after which lambda is doubled at the latest, while z is not feasible
_LONGEST = 0.1  # step, of the radius
_FINE = 0.1  # of the steps of projection, for a slice that has settled with long ones
_SLACK = 1e-5  # of the radius: rounding of float32


@dataclass(frozen=True)
class Matched:
    """What was found for N slices.

    pseudo     (N, C, H, W) float32 pseudo-normal images, g(z*)
    objective  (N,) float32: |x - g(z*)|_1;  distance  (N,) float32: |z* - z0|_2;  steps  (N,) int64
    """

    pseudo: torch.Tensor
    objective: torch.Tensor
    distance: torch.Tensor
    steps: torch.Tensor


def match(
    base: Base, images: torch.Tensor, matching: Matching, epsilon: float, on_step: Callable[[], None] | None = None
) -> Matched:
    """Solve Eq. 1 for each image on its own: what else is in the batch changes nothing but rounding.

    images   (N, C, H, W) float32 in [0, 1];  base  in evaluation, its weights not learning
    epsilon  radius of the ball, above 0; "none" does without
    on_step  called before each step; may raise `Cancelled`
    Raises `InvDetectError` for an unknown way, for a radius that is none, and for a decoder that gives no numbers.
    """
    if matching.way not in WAYS:
        raise InvDetectError(f"There is no way {matching.way!r} to match; choose one of {', '.join(WAYS)}.")
    if matching.way != "none" and not 0 < epsilon < float("inf"):
        raise InvDetectError(f"The radius epsilon of MatchGen must be a number above 0, not {epsilon:g}.")
    with torch.no_grad():
        start = base.encode(images)
        found = _Found(start.z.clone(), _objective(base, images, start), torch.zeros(len(images), dtype=torch.int64, device=images.device))
    if matching.way != "none" and len(images):
        _walk(base, images, start, matching, epsilon, found, on_step)
    with torch.no_grad():
        pseudo = base.decode(Code(found.z, start.held))
    return Matched(pseudo, found.objective, _norms(found.z - start.z), found.steps)


@dataclass
class _Found:
    """The best feasible code of each slice so far, its objective, and the steps that were taken."""

    z: torch.Tensor
    objective: torch.Tensor
    steps: torch.Tensor


def _walk(
    base: Base,
    images: torch.Tensor,
    start: Code,
    matching: Matching,
    epsilon: float,
    found: _Found,
    on_step: Callable[[], None] | None,
) -> None:
    """Improve `found` until every slice has settled; those that have leave the batch."""
    penalised = matching.way == "penalty"
    active = torch.arange(len(images), device=images.device)
    z = start.z.clone().requires_grad_(True)
    longest = _LONGEST * epsilon
    rate = matching.learning_rate if penalised else longest / math.sqrt(z[0].numel())
    optimizer = torch.optim.Adam([z], lr=rate)
    weight = torch.ones(len(images), device=images.device)  # lambda
    stride = torch.ones_like(weight)  # share of Adam's step that is taken
    before, since = found.objective.clone(), torch.zeros_like(found.steps)
    for step in range(1, matching.most_steps + 1):
        if on_step:
            on_step()
        centre = start.z[active]
        objective = _objective(base, images[active], Code(z, tuple(part[active] for part in start.held)))
        distance = _norms(z - centre)
        total = objective + weight * (distance - epsilon).clamp_min(0) if penalised else objective
        (z.grad,) = torch.autograd.grad(total.sum(), z)
        feasible = distance.detach() <= epsilon * (1 + _SLACK)
        _keep_better(found, active, z.detach(), objective.detach(), feasible)
        old = z.detach().clone()
        optimizer.step()
        with torch.no_grad():
            z.copy_(old + _within((z - old) * stride.reshape(-1, *[1] * (z.dim() - 1)), longest))
            if not penalised:
                z.copy_(centre + _within(z - centre, epsilon))
        found.steps[active] = step
        since += 1
        if step % _WINDOW:
            continue
        now = total.detach() if penalised else found.objective[active]
        settled = (before - now).abs() <= matching.tolerance * before.abs()
        done = settled & feasible & (penalised | (stride < 1))
        if penalised:
            heavier = ~feasible & (settled | (since >= _ROUND))
            weight = torch.where(heavier, 2 * weight, weight)
            since = torch.where(heavier, 0, since)
            now = torch.where(heavier, torch.inf, now)  # another objective: nothing to compare with
        else:
            stride = torch.where(settled, _FINE, stride)
        before = now
        if done.all():
            break
        if done.any():
            keep = ~done
            active, weight, stride, before, since = active[keep], weight[keep], stride[keep], before[keep], since[keep]
            z, optimizer = _fewer(z, optimizer, keep, rate)
    with torch.no_grad():  # where the steps run out, the last code may be the best
        last = Code(start.z[active] + _within(z - start.z[active], epsilon), tuple(part[active] for part in start.held))
        _keep_better(found, active, last.z, _objective(base, images[active], last), torch.ones_like(active, dtype=torch.bool))


def _objective(base: Base, images: torch.Tensor, code: Code) -> torch.Tensor:
    """(N,): |x - g(z)|_1. Raises `InvDetectError` where it is no number."""
    objective = (images - base.decode(code)).abs().flatten(1).sum(dim=1)
    if not bool(objective.isfinite().all()):
        raise InvDetectError(
            "The decoder of this model gives images that are no numbers, so nothing can be compared with them; train the model anew."
        )
    return objective


def _keep_better(found: _Found, active: torch.Tensor, z: torch.Tensor, objective: torch.Tensor, feasible: torch.Tensor) -> None:
    better = feasible & (objective < found.objective[active])
    found.z[active[better]], found.objective[active[better]] = z[better], objective[better]


def _norms(codes: torch.Tensor) -> torch.Tensor:
    """(N,): the 2-norm of each code, whatever its shape."""
    return torch.linalg.vector_norm(codes.flatten(1), dim=1)


def _within(moves: torch.Tensor, longest: float) -> torch.Tensor:
    """Moves, (N, ...), shortened to a length where they are longer."""
    scale = (longest / _norms(moves).clamp_min(1e-30)).clamp_max(1.0)
    return moves * scale.reshape(-1, *[1] * (moves.dim() - 1))


def _fewer(
    z: torch.Tensor, optimizer: torch.optim.Adam, keep: torch.Tensor, learning_rate: float
) -> tuple[torch.Tensor, torch.optim.Adam]:
    """The codes that go on, with what Adam knows of them."""
    fewer = z.detach()[keep].requires_grad_(True)
    following = torch.optim.Adam([fewer], lr=learning_rate)
    known = optimizer.state[z]
    following.state[fewer] = {name: value[keep] if value.dim() else value for name, value in known.items()}
    return fewer, following
