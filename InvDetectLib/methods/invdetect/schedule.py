"""The noise schedule, and the times at which an inversion evaluates the network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...common import InvDetectError
from ...models import Inversion


def alpha_bars(timesteps: int = 1000) -> np.ndarray:
    """abar[t] = prod(1 - beta) for linear betas from 1e-4 to 0.02 (Ho et al. 2020), shape (timesteps,), float64."""
    return np.cumprod(1.0 - np.linspace(1e-4, 0.02, timesteps))


def sigmas(abar: np.ndarray) -> np.ndarray:
    """s = sqrt((1 - abar) / abar): noise over signal, the variable in which DDIM is Euler's rule."""
    return np.sqrt((1.0 - abar) / abar)


@dataclass(frozen=True)
class Path:
    """The way of one inversion.

    times      increasing ints; the clean patch enters at times[0] = 0, the latent leaves at times[-1]
    euler      how many of the first steps are plain DDIM steps; the others are second order in log s
    abar       (timesteps,) float64, the schedule's
    """

    times: tuple[int, ...]
    euler: int
    abar: np.ndarray

    @property
    def evaluations(self) -> int:
        """Network passes an inversion costs."""
        return len(self.times) - 1


def inversion_path(settings: Inversion, timesteps: int = 1000) -> Path:
    """The path that `settings` describe.

    The grid is `settings.steps` DDIM steps, t = 0, 5, 10, ..., the last landing at timesteps - 1; a depth cuts it at the grid
    time whose abar is nearest, as a ratio. "multistep" keeps the first `first_steps` of the grid and spends its other evaluations on times
    equally spaced in log s, snapped to distinct trained integers.
    """
    abar = alpha_bars(timesteps)
    grid = [i * timesteps // settings.steps for i in range(settings.steps)] + [timesteps - 1]
    grid = sorted(set(grid))
    if settings.abar > 0:
        end = 1 + int(np.argmin(np.abs(np.log(abar[grid[1:]]) - np.log(settings.abar))))
        grid = grid[: end + 1]
    if settings.solver == "ddim":
        return Path(tuple(grid), len(grid) - 1, abar)
    if settings.solver != "multistep":
        raise InvDetectError(f"There is no inversion solver {settings.solver!r}; use ddim or multistep.")
    first, rest = settings.first_steps, settings.evaluations - settings.first_steps
    if settings.evaluations >= len(grid) - 1:
        return Path(tuple(grid), len(grid) - 1, abar)
    if first < 1 or rest < 1:
        raise InvDetectError("The multistep solver needs at least one DDIM step and one multistep evaluation.")
    log_s = np.log(sigmas(abar))
    wanted = np.linspace(log_s[grid[first]], log_s[grid[-1]], rest + 1)[1:]
    times = grid[: first + 1]
    for value in wanted:
        nearest = int(np.argmin(np.abs(log_s - value)))
        times.append(max(nearest, times[-1] + 1))
    times[-1] = grid[-1]
    return Path(tuple(times), first, abar)
