"""Training of the noise predictor on normal patches: mean squared error of the predicted noise at a random time."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from ..checkpoint import Checkpoint
from ..errors import Cancelled, InvDetectError
from ..memory import halved, is_shortage, release
from ..patches import PatchGrid, cut
from ..progress import Progress
from ..settings import InvDetectSettings, Patches
from ..tensors import to_array, to_tensor
from .schedule import alpha_bars
from .unet import UNet

_REPORT = 20  # steps between two reports: a loss averaged over fewer is mostly noise
_KEEP = 100  # steps between two losses that the card keeps
_LEAST_PORTION = 2  # patches of a batch that are looked at together where memory is short
_VALIDATION = 256  # patches of held-out scans, each with one fixed time and noise


class PatchPool:
    """All usable patches of some scans, on the device once.

    slices  one scan each: values (slice, row, column, channel) and foreground; places are found with `patches`
    """

    def __init__(self, slices: Sequence[Any], patches: Patches, device: torch.device) -> None:
        self._size = patches.size
        self._values = [to_tensor(scan.values, device) for scan in slices]
        places = []
        for number, scan in enumerate(slices):
            found = PatchGrid.over(scan.values.shape[1:3], patches).places(scan.foreground, patches.min_foreground)
            places.append(np.column_stack([np.full(len(found), number, dtype=np.int64), found]))
        self.places = np.concatenate(places) if places else np.zeros((0, 4), dtype=np.int64)

    def __len__(self) -> int:
        return len(self.places)

    def take(self, numbers: np.ndarray) -> torch.Tensor:
        """Patches of the given numbers, (N, channel, size, size)."""
        places = self.places[numbers]
        return torch.cat([cut(self._values[place[0]], place[None, 1:], self._size) for place in places])


class NoiseTrainer:
    """A noise predictor in training; `network` is the moving average of the weights, which is what a model keeps.

    Batches, times and noises depend on the seed and the step alone, so a resumed run sees what the unbroken one would have seen.
    """

    def __init__(self, settings: InvDetectSettings, channels: int, seed: int, device: torch.device) -> None:
        self._training, self._seed, self._device = settings.training, seed, device
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = UNet(channels, settings.network)
        self._raw = network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network = copy.deepcopy(self._raw).requires_grad_(False).eval()
        self._optimizer = torch.optim.Adam(self._raw.parameters(), lr=settings.training.learning_rate)
        self._abar = to_tensor(alpha_bars(settings.network.timesteps).astype(np.float32), device)
        self._timesteps = settings.network.timesteps
        self._portion = settings.training.batch
        self.step = 0
        self.losses: list[float] = []

    def train(self, pool: PatchPool, validation: PatchPool, checkpoint: Checkpoint, progress: Progress) -> dict[str, Any]:
        """Train to the end, from the checkpoint if there is one; returns losses for the card.

        Where memory is short, the patches of a batch go through the network in portions, which changes no result but for rounding.
        Raises `Cancelled`, and the device's own error when its memory is not enough for portions either, both after saving a
        checkpoint; `InvDetectError` when the loss is no longer a number.
        """
        self._resume(checkpoint)
        recent: list[torch.Tensor] = []
        try:
            while self.step < self._training.steps:
                recent.append(self._step(pool, progress))
                self.step += 1
                if self.step % _REPORT == 0 or self.step == self._training.steps:
                    loss = float(torch.stack(recent[-_REPORT:]).mean())
                    if not math.isfinite(loss):
                        raise InvDetectError("The training diverged (the loss is no longer a number); use a smaller learning rate.")
                    progress.report("training", self.step, self._training.steps, loss=loss, samples=self.step * self._training.batch)
                progress.check()
                if self.step % _KEEP == 0:
                    self.losses.append(float(torch.stack(recent[-_KEEP:]).mean()))
                    recent = recent[-_REPORT:]
                if checkpoint.due():
                    self._save(checkpoint)
        except (Cancelled, RuntimeError, MemoryError) as error:
            if isinstance(error, Cancelled) or is_shortage(error):
                self._save(checkpoint)
            raise
        self._save(checkpoint)
        return {"losses": self.losses, "loss_every": _KEEP, "validation_loss": self.loss(validation), "steps": self.step}

    def pace(self, pool: PatchPool, progress: Progress) -> float:
        """Seconds that a step takes with these patches, the better of two. The network is then no longer good for training."""
        seconds = []
        for _ in range(3):  # the first one also prepares the device
            progress.check()
            started = time.perf_counter()
            float(self._step(pool, progress))  # waits for the device
            seconds.append(time.perf_counter() - started)
        return min(seconds[1:])

    def loss(self, pool: PatchPool) -> float:
        """Loss of the averaged network on a fixed draw of patches, times and noises."""
        total, count = 0.0, 0
        for start in range(0, _VALIDATION, 64):
            for clean, t, noise in zip(*(part.split(self._portion) for part in self._draw(pool, 64, -1 - start))):
                with torch.inference_mode():
                    total += float(functional.mse_loss(self.network(self._noisy(clean, t, noise), t), noise, reduction="sum"))
                count += noise.numel()
        return total / count

    def _step(self, pool: PatchPool, progress: Progress) -> torch.Tensor:
        """One optimiser step; the mean loss of its batch."""
        for group in self._optimizer.param_groups:
            group["lr"] = self._learning_rate()
        loss = None
        while loss is None:
            self._optimizer.zero_grad(set_to_none=True)
            try:
                loss = self._gradients(pool)
            except (RuntimeError, MemoryError) as error:
                if not is_shortage(error) or self._portion <= _LEAST_PORTION:
                    raise
            if loss is None:
                release(self._device)
                self._portion //= 2
                progress.warn(halved(self._device, self._portion))
        self._optimizer.step()
        decay = min(self._training.ema_decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for average, value in zip(self.network.parameters(), self._raw.parameters()):
                average.lerp_(value, 1 - decay)
        return loss

    def _gradients(self, pool: PatchPool) -> torch.Tensor:
        """Add the gradients of this step's batch, portion by portion; returns its mean loss."""
        batch = self._draw(pool, self._training.batch, self.step)
        total = torch.zeros((), device=self._device)
        for clean, t, noise in zip(*(part.split(self._portion) for part in batch)):
            loss = functional.mse_loss(self._raw(self._noisy(clean, t, noise), t), noise) * (len(t) / self._training.batch)
            loss.backward()
            total += loss.detach()
        return total

    def _draw(self, pool: PatchPool, count: int, step: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Patches, times and noises of one step, from (seed, step) alone."""
        rng = np.random.default_rng([self._seed, step % 2**32])
        clean = pool.take(rng.integers(len(pool), size=count))
        if self._training.mirror:
            mirrored = to_tensor(rng.random(count) < 0.5, self._device)
            clean = torch.where(mirrored[:, None, None, None], clean.flip(3), clean)
        t = to_tensor(rng.integers(self._timesteps, size=count), self._device)
        generator = torch.Generator(self._device).manual_seed(int(rng.integers(2**62)))
        noise = torch.randn(clean.shape, generator=generator, device=self._device)
        return clean, t, noise

    def _noisy(self, clean: torch.Tensor, t: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        abar = self._abar[t][:, None, None, None]
        noisy = abar.sqrt() * clean + (1 - abar).sqrt() * noise
        return noisy.contiguous(memory_format=torch.channels_last)

    def _learning_rate(self) -> float:
        rate, steps = self._training.learning_rate, self._training.steps
        if not self._training.cosine:
            return rate
        warmup = max(1, min(200, steps // 20))
        if self.step < warmup:
            return rate * (self.step + 1) / warmup
        return rate * 0.5 * (1 + math.cos(math.pi * (self.step - warmup) / max(1, steps - warmup)))

    def _save(self, checkpoint: Checkpoint) -> None:
        arrays = {f"raw/{name}": to_array(value) for name, value in self._raw.state_dict().items()}
        arrays |= {f"average/{name}": to_array(value) for name, value in self.network.state_dict().items()}
        for number, state in self._optimizer.state_dict()["state"].items():
            arrays |= {f"adam/{number}/{name}": to_array(state[name]) for name in ("exp_avg", "exp_avg_sq")}
        checkpoint.save(arrays, {"step": self.step, "losses": self.losses})

    def _resume(self, checkpoint: Checkpoint) -> None:
        saved = checkpoint.load()
        if saved is None:
            return
        arrays, facts = saved
        for prefix, network in (("raw/", self._raw), ("average/", self.network)):
            network.load_state_dict({name: to_tensor(arrays[prefix + name]) for name in network.state_dict()})
        self.step, self.losses = int(facts["step"]), list(facts["losses"])
        state = self._optimizer.state_dict()
        if self.step:
            for number, parameter in enumerate(self._raw.parameters()):
                moments = {name: to_tensor(arrays[f"adam/{number}/{name}"], self._device) for name in ("exp_avg", "exp_avg_sq")}
                moments = {name: value.reshape(parameter.shape) for name, value in moments.items()}
                state["state"][number] = {"step": torch.tensor(float(self.step)), **moments}
            self._optimizer.load_state_dict(state)
