"""Training of the noise predictor on normal patches: mean squared error of the predicted noise at a random time."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.nn import functional

from ...computing import ALONE, Ranks, Trainer, to_tensor
from ...models import InvDetectSettings, Patches
from ..contract import Slices
from .noise import check_noise, draw_noise
from .patches import PatchGrid, frame
from .schedule import alpha_bars
from .unet import UNet

_VALIDATION = 256  # patches of held-out scans, each with one fixed time and noise


def framed(slices: Slices, side: int) -> Slices:
    """Slices of at least `side` pixels either way, in the middle of background (-1) where they are smaller."""
    around = _around(slices.foreground, side)
    if not any(before + after for before, after in around):
        return slices
    values = np.pad(slices.values, (*around, (0, 0)), constant_values=-1)
    return dataclasses.replace(slices, values=values, foreground=np.pad(slices.foreground, around))


class PatchPool:
    """All usable patches of some scans, cut out of them as they are asked for.

    slices  one scan each; places are found with `patches`, and slices smaller than these are framed
    places  (N, 4) int32: scan, slice, first row and first column in the framed slice
    """

    def __init__(self, slices: Sequence[Slices], patches: Patches, device: torch.device) -> None:
        self._slices, self._size, self._device = slices, patches.size, device
        places = [np.zeros((0, 4), np.int32)]
        for number, scan in enumerate(slices):
            foreground = self._framed(scan.foreground)
            found = PatchGrid.over(foreground.shape[1:], patches).places(foreground, patches.min_foreground)
            places.append(np.column_stack([np.full(len(found), number), found]).astype(np.int32))
        self.places = np.concatenate(places)

    def __len__(self) -> int:
        return len(self.places)

    def take(self, numbers: np.ndarray) -> torch.Tensor:
        """Patches of the given numbers, (N, channel, size, size) float32 on the device, channels-last in memory."""
        patches = np.stack([self._patch(*place) for place in self.places[numbers].tolist()])
        return to_tensor(patches, self._device).permute(0, 3, 1, 2)

    def foreground(self, number: int) -> np.ndarray:
        """(1, row, column) bool: of the framed slice in which the patch of this number lies."""
        scan, k = self.places[number, :2]
        return self._framed(self._slices[scan].foreground[k : k + 1])

    def _patch(self, scan: int, k: int, top: int, left: int) -> np.ndarray:
        one = self._slices[scan]
        above, before = (frame(length, self._size)[0] for length in one.foreground.shape[1:])
        return one.square(k, top - above, left - before, self._size)

    def _framed(self, foreground: np.ndarray) -> np.ndarray:
        return np.pad(foreground, _around(foreground, self._size))


def _around(foreground: np.ndarray, side: int) -> tuple[tuple[int, int], ...]:
    """What `framed` adds before and after each axis of (slice, row, column)."""
    return ((0, 0), *(frame(length, side) for length in foreground.shape[1:]))


class NoiseTrainer(Trainer[UNet]):
    """A noise predictor in training; `network` is the moving average of the weights, which is what a model keeps.

    Times and noises, too, depend on the seed and the step alone, and not on the portions in which a batch is taken.
    """

    def __init__(
        self, settings: InvDetectSettings, channels: int, seed: int, device: torch.device, ranks: Ranks = ALONE
    ) -> None:
        check_noise(settings.noise)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = UNet(channels, settings.network)
        super().__init__(network, settings.training, seed, device, "patches", ranks=ranks)
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
            yield functional.mse_loss(self._shared(self._noisy(clean, t, noise), t), noise), len(t)

    def _split(self, pool: PatchPool, count: int, step: int) -> Iterator[tuple[torch.Tensor, ...]]:
        """Patches, times and noises of one step, from (seed, step) alone, in portions."""
        clean, rng = self._draw(pool, count, step)
        mine = self._ranks.share(count)
        t = to_tensor(rng.integers(self._timesteps, size=count)[mine], self._device)
        noise = draw_noise((count, *clean.shape[1:]), self._noise, int(rng.integers(2**62)), self._device, mine)
        return zip(*(part.split(self.portion) for part in (clean, t, noise)))

    def _noisy(self, clean: torch.Tensor, t: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        abar = self._abar[t][:, None, None, None]
        noisy = abar.sqrt() * clean + (1 - abar).sqrt() * noise
        return noisy.contiguous(memory_format=torch.channels_last)
