"""Training of the noise predictor on normal patches: mean squared error of the predicted noise at a random time."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.nn import functional

from ...computing import Trainer, to_tensor
from ...models import InvDetectSettings, Patches
from ..contract import Slices
from .noise import check_noise, draw_noise
from .patches import PatchGrid, cut, frame
from .schedule import alpha_bars
from .unet import UNet

_VALIDATION = 256  # patches of held-out scans, each with one fixed time and noise


def framed(slices: Slices, side: int) -> Slices:
    """Slices of at least `side` pixels either way, in the middle of background (-1) where they are smaller."""
    around = ((0, 0), *(frame(length, side) for length in slices.foreground.shape[1:]))
    if not any(before + after for before, after in around):
        return slices
    values = np.pad(slices.values, (*around, (0, 0)), constant_values=-1)
    return dataclasses.replace(slices, values=values, foreground=np.pad(slices.foreground, around))


class PatchPool:
    """All usable patches of some scans, on the device once.

    slices  one scan each; places are found with `patches`, and slices smaller than these are framed
    """

    def __init__(self, slices: Sequence[Slices], patches: Patches, device: torch.device) -> None:
        self._size = patches.size
        large = [framed(scan, patches.size) for scan in slices]
        self._values = [to_tensor(scan.values, device) for scan in large]
        places = []
        for number, scan in enumerate(large):
            found = PatchGrid.over(scan.values.shape[1:3], patches).places(scan.foreground, patches.min_foreground)
            places.append(np.column_stack([np.full(len(found), number, dtype=np.int64), found]))
        self.places = np.concatenate(places) if places else np.zeros((0, 4), dtype=np.int64)

    def __len__(self) -> int:
        return len(self.places)

    def take(self, numbers: np.ndarray) -> torch.Tensor:
        """Patches of the given numbers, (N, channel, size, size)."""
        places = self.places[numbers]
        return torch.cat([cut(self._values[place[0]], place[None, 1:], self._size) for place in places])


class NoiseTrainer(Trainer[UNet]):
    """A noise predictor in training; `network` is the moving average of the weights, which is what a model keeps.

    Times and noises, too, depend on the seed and the step alone, and not on the portions in which a batch is taken.
    """

    def __init__(self, settings: InvDetectSettings, channels: int, seed: int, device: torch.device) -> None:
        check_noise(settings.noise)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = UNet(channels, settings.network)
        super().__init__(network, settings.training, seed, device, "patches")
        self._abar = to_tensor(alpha_bars(settings.network.timesteps).astype(np.float32), device)
        self._timesteps, self._noise = settings.network.timesteps, settings.noise

    @property
    def network(self) -> UNet:
        """The averaged network."""
        return self.average

    def loss(self, pool: PatchPool) -> float:
        """Loss of the averaged network on a fixed draw of patches, times and noises."""
        total, count = 0.0, 0
        for start in range(0, _VALIDATION, 64):
            for clean, t, noise in self._split(pool, 64, -1 - start):
                with torch.inference_mode():
                    total += float(functional.mse_loss(self.network(self._noisy(clean, t, noise), t), noise, reduction="sum"))
                count += noise.numel()
        return total / count

    def _portions(self, pool: PatchPool, part: int) -> Iterator[tuple[torch.Tensor, int]]:
        for clean, t, noise in self._split(pool, self._training.batch, self.step):
            yield functional.mse_loss(self.raw(self._noisy(clean, t, noise), t), noise), len(t)

    def _split(self, pool: PatchPool, count: int, step: int) -> Iterator[tuple[torch.Tensor, ...]]:
        """Patches, times and noises of one step, from (seed, step) alone, in portions."""
        clean, rng = self._draw(pool, count, step)
        t = to_tensor(rng.integers(self._timesteps, size=count), self._device)
        noise = draw_noise(tuple(clean.shape), self._noise, int(rng.integers(2**62)), self._device)
        return zip(*(part.split(self.portion) for part in (clean, t, noise)))

    def _noisy(self, clean: torch.Tensor, t: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        abar = self._abar[t][:, None, None, None]
        noisy = abar.sqrt() * clean + (1 - abar).sqrt() * noise
        return noisy.contiguous(memory_format=torch.channels_last)
