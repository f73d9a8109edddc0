"""What the diffusion peers share: the library's noise predictor and schedule, its training on whole slices, and the way back from noise."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from InvDetectLib.common.progress import Progress
from InvDetectLib.computing.tensors import to_tensor
from InvDetectLib.methods.invdetect.schedule import alpha_bars
from InvDetectLib.methods.invdetect.unet import UNet
from InvDetectLib.models.method_settings import Network, Training

from .contract import Effort
from .training import Kept, Loss, train

T = 1000
ABAR = alpha_bars(T)
Draw = Callable[[int, int, np.random.Generator], torch.Tensor]
"""(count, channels, draws) -> (count, channels, side, side) noise of mean 0."""


def unet(channels: int, effort: Effort) -> UNet:
    """The library's U-Net: no attention, one block a stage; two pixels a side become channels before the first stage."""
    return UNet(channels, Network(widths=effort.widths, fold=2, timesteps=T))


def schedule(effort: Effort) -> Training:
    """Adam at 1e-3 with cosine decay, and the moving average of the weights."""
    decay = 0.999 if effort.steps > 10_000 else 0.99
    return Training(steps=effort.steps, batch=effort.batch, learning_rate=1e-3, ema_decay=decay, cosine=True)


def train_unet(
    channels: int, loss: Loss, effort: Effort, seed: int, device: torch.device, kept: Kept, progress: Progress
) -> tuple[torch.nn.Module, dict[str, Any]]:
    """`unet` trained by `schedule`, and facts; see `training.train`."""
    return train(lambda: unet(channels, effort), loss, schedule(effort), seed, device, kept, progress)


def white(side: int) -> Draw:
    """Normal noise, each pixel by itself."""

    def draw(count: int, channels: int, rng: np.random.Generator) -> torch.Tensor:
        return to_tensor(rng.standard_normal((count, channels, side, side), np.float32))

    return draw


def noise_loss(pool: torch.Tensor, effort: Effort, draw: Draw) -> Loss:
    """Mean squared error of the predicted noise at a random time, of images drawn from the pool (N, channel, side, side)."""
    abar = to_tensor(ABAR.astype(np.float32), pool.device)

    def loss(network: torch.nn.Module, rng: np.random.Generator) -> torch.Tensor:
        clean = pool[to_tensor(rng.integers(len(pool), size=effort.batch), pool.device)]
        t = to_tensor(rng.integers(T, size=effort.batch), pool.device)
        noise = draw(effort.batch, clean.shape[1], rng).to(pool.device)
        return functional.mse_loss(network(noisy(clean, noise, abar[t][:, None, None, None]), t), noise)

    return loss


def noisy(clean: torch.Tensor, noise: torch.Tensor, level: torch.Tensor | float) -> torch.Tensor:
    """sqrt(abar) x + sqrt(1 - abar) n at the level abar."""
    level = torch.as_tensor(level, dtype=clean.dtype, device=clean.device)
    return level.sqrt() * clean + (1 - level).sqrt() * noise


def times_from(start: int, passes: int, through: Sequence[int] = ()) -> list[int]:
    """Decreasing times from `start` to 0 at which the network is asked: all of them, or `passes` evenly spread; with those of `through`."""
    spread = np.linspace(start, 0, min(passes, start + 1)).round().astype(int).tolist()
    return sorted({*spread, *(t for t in through if t <= start)}, reverse=True)


def clean_from(z: torch.Tensor, noise: torch.Tensor, t: int) -> torch.Tensor:
    """The image that noise `noise` would have made z of, at time t, in [-1, 1]."""
    return ((z - math.sqrt(1 - ABAR[t]) * noise) / math.sqrt(ABAR[t])).clamp(-1, 1)


def earlier(z: torch.Tensor, clean: torch.Tensor, t: int, before: int, fresh: torch.Tensor) -> torch.Tensor:
    """A draw of z at the time `before` < t from z at t and the image in it (Ho et al. 2020, Eq. 7, between any two times).

    fresh  noise of the kind that is in z
    """
    far, near = float(ABAR[t]), float(ABAR[before])
    step = far / near
    mean = math.sqrt(near) * (1 - step) / (1 - far) * clean + math.sqrt(step) * (1 - near) / (1 - far) * z
    return mean + math.sqrt((1 - step) * (1 - near) / (1 - far)) * fresh
