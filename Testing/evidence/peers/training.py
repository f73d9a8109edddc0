"""The one training loop of all peers: the library's own, bounded in seconds as well, with any loss."""

from __future__ import annotations

import dataclasses
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from InvDetectLib.common.progress import Progress
from InvDetectLib.computing.checkpoint import Checkpoint
from InvDetectLib.computing.optimisation import Trainer
from InvDetectLib.models.method_settings import Training

_PACED = 50  # steps before whose end nobody knows how long the others will take
Loss = Callable[[nn.Module, np.random.Generator], torch.Tensor]
"""(network, this step's draws) -> what a step minimises, a scalar. Draws follow from seed and step alone."""


class Kept(Checkpoint):
    """The checkpoint of a training that also remembers the seconds that were spent on it, in this run and in those before.

    limit   seconds that may be spent in all
    before  seconds that were spent in the runs before this one, once `load` was called
    """

    def __init__(self, path: Path | None, fingerprint: str, limit: float = math.inf) -> None:
        super().__init__(path, fingerprint)
        self.limit = limit
        self.before, self._started = 0.0, time.monotonic()

    @property
    def seconds(self) -> float:
        """Spent so far."""
        return self.before + time.monotonic() - self._started

    def load(self) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        """See `Checkpoint`; the clock goes on from what was spent before."""
        saved = super().load()
        self.before, self._started = 0.0, time.monotonic()
        if saved is None:
            return None
        arrays, facts = saved
        self.before = float(facts.pop("seconds"))
        return arrays, facts

    def save(self, arrays: dict[str, np.ndarray], facts: dict[str, Any]) -> None:
        """See `Checkpoint`."""
        super().save(arrays, facts | {"seconds": self.seconds})


def train(
    network: Callable[[], nn.Module], loss: Loss, training: Training, seed: int, device: torch.device, kept: Kept, progress: Progress
) -> tuple[nn.Module, dict[str, Any]]:
    """Train until the steps or the seconds are over, from where `kept` stands; returns the network for inference, and facts.

    network   makes it; its first weights follow from the seed. All its parameters are trained, and each must have a part in the loss:
              what stays as it is belongs elsewhere
    training  steps, learning rate and its decay, and the decay of the moving average of the weights, which is the network that is
              returned (with the running statistics of the last step, where it has such). The loss draws and mirrors the batch itself
    Facts are "steps", "loss" (the mean over the last hundred steps or fewer) and "seconds". Raises `Cancelled` after saving.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = network()
    trainer = _Bounded(made, loss, training, seed, device, kept)
    losses = trainer.train(None, None, kept, progress)["losses"]
    recent = [float(one) for one in trainer.recent] or losses[-1:]
    last = round(float(np.mean(recent)), 6) if recent else None
    return trainer.average, {"steps": trainer.step, "loss": last, "seconds": round(kept.seconds, 1)}


class _Bounded(Trainer[nn.Module]):
    """Any network with any loss, in bounded time."""

    def __init__(self, network: nn.Module, loss: Loss, training: Training, seed: int, device: torch.device, kept: Kept) -> None:
        super().__init__(network, training, seed, device, "slices")
        self._loss, self._kept = loss, kept
        self.recent: deque[torch.Tensor] = deque(maxlen=100)

    def loss(self, pool: Any) -> float:
        """Not asked for: nothing here is chosen by how well it is trained."""
        return math.nan

    def _portions(self, pool: Any, part: int) -> Iterator[tuple[torch.Tensor, int]]:
        yield self._loss(self.raw, np.random.default_rng([self._seed, self.step])), self._training.batch

    def _step(self, pool: Any, progress: Progress) -> torch.Tensor:
        found = super()._step(pool, progress)
        with torch.no_grad():
            for average, value in zip(self.average.buffers(), self.raw.buffers()):
                average.copy_(value)
        self.recent.append(found.detach())
        if self._kept.seconds >= self._kept.limit:
            self._end(self.step + 1)
        return found

    def _resume(self, checkpoint: Checkpoint) -> None:
        super()._resume(checkpoint)
        if self._kept.seconds >= self._kept.limit:
            self._end(self.step)

    def _end(self, steps: int) -> None:
        self._training = dataclasses.replace(self._training, steps=steps)

    def _learning_rate(self) -> float:
        """Where the steps will not be done in time, the decay follows the seconds: a rate that never fell leaves a noisy network."""
        seconds, limit, done = self._kept.seconds, self._kept.limit, self.step / max(1, self._training.steps)
        if not self._training.cosine or self.step < _PACED or seconds <= limit * done:
            return super()._learning_rate()
        return self._training.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, seconds / limit)))
