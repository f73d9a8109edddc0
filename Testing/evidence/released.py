"""The setting of the paper's released code, which differs from the paper (METHOD.md 7.3), written plainly.

As described there: T = 100 steps with the betas of a thousand (1e-4 to 0.02), so that the path ends at abar = 0.36 and the "latent" still
carries most of the image; a noise predictor of four plain 3 x 3 convolutions; patches of 32 every 16 pixels; a one-class SVM on the whole
latent; plain averaging where patches overlap; no SCR. Not known to us and chosen here: 32 channels, the time as one more input channel.
The threshold follows the study's 1 % rule, as every row's does.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from InvDetectLib.common.errors import Cancelled
from InvDetectLib.common.progress import Progress
from InvDetectLib.computing.checkpoint import Checkpoint
from InvDetectLib.computing.tensors import to_array, to_tensor
from InvDetectLib.methods.contract import Slices
from InvDetectLib.methods.invdetect.inversion import invert
from InvDetectLib.methods.invdetect.noise_training import PatchPool
from InvDetectLib.methods.invdetect.normality import OneClassSVM
from InvDetectLib.methods.invdetect.patches import PatchGrid, cut
from InvDetectLib.methods.invdetect.schedule import alpha_bars, inversion_path
from InvDetectLib.models.method_settings import Inversion, Patches

T = 100
_WIDTH = 32
_BATCH, _RATE = 64, 1e-3  # as in the paper
_NU = 0.1
_TOGETHER = 256  # patches inverted at once


class FourConvolutions(nn.Module):
    """eps(z, t) of (N, C, b, b) patches at one time or (N,) times."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        widths = (channels + 1, _WIDTH, _WIDTH, _WIDTH, channels)
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in zip(widths, widths[1:]))

    def forward(self, z: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        time = (t.to(z.dtype) / T).reshape(-1, 1, 1, 1).expand(len(z), 1, *z.shape[2:])
        x = torch.cat([z, time], dim=1)
        for number, layer in enumerate(self.layers):
            x = layer(functional.relu(x) if number else x)
        return x


class Released:
    """A baseline (see `baselines.Baseline`) with its own training, which resumes from `checkpoint`.

    patches  side and stride;  steps  of training;  inversion  steps of the path of 100;  samples  latents that the SVM is fitted to
    """

    def __init__(
        self, patches: Patches, steps: int, inversion: int, samples: int, device: torch.device, checkpoint: Path, progress: Progress
    ) -> None:
        self._patches, self._steps, self._samples = patches, steps, samples
        self._device, self._checkpoint, self._progress = device, checkpoint, progress
        self._path = inversion_path(Inversion(solver="ddim", steps=inversion), T)

    def settings(self) -> dict[str, Any]:
        steps = [self._steps, len(self._path.times) - 1, self._samples]
        return {"released": steps, "width": _WIDTH, "patch": [self._patches.size, self._patches.stride]}

    def fit(self, scans: Sequence[Slices]) -> None:
        pool = PatchPool(scans, self._patches, self._device)
        self._train(pool, scans[0].values.shape[3])
        rng = np.random.default_rng(0)
        chosen = np.sort(rng.permutation(len(pool))[: self._samples])
        latents = [self._invert(pool.take(block)) for block in np.array_split(chosen, -(-len(chosen) // _TOGETHER))]
        self._normality = OneClassSVM.fit(to_array(torch.cat(latents)), _NU)

    def map(self, scan: Slices) -> np.ndarray:
        grid = PatchGrid.over(scan.values.shape[1:3], self._patches)
        places = grid.places(scan.foreground, self._patches.min_foreground)
        total, count = np.zeros(scan.foreground.shape), np.zeros(scan.foreground.shape)
        values = to_tensor(scan.values, self._device)
        for first in range(0, len(places), _TOGETHER):
            block = places[first : first + _TOGETHER]
            scores = to_array(self._normality.score(self._invert(cut(values, block, grid.size))))
            for (k, row, column), score in zip(block.tolist(), scores):
                total[k, row : row + grid.size, column : column + grid.size] += score
                count[k, row : row + grid.size, column : column + grid.size] += 1
        return (total / np.maximum(count, 1)).astype(np.float32)

    def _train(self, pool: PatchPool, channels: int) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = FourConvolutions(channels).to(self._device)
        optimizer = torch.optim.Adam(network.parameters(), lr=_RATE)
        abar = to_tensor(alpha_bars(T).astype(np.float32), self._device)
        checkpoint = Checkpoint(self._checkpoint, "released")
        first = self._resume(checkpoint, network, optimizer)
        try:
            for step in range(first, self._steps):
                rng = np.random.default_rng([0, step])
                clean = pool.take(rng.integers(len(pool), size=_BATCH))
                t = to_tensor(rng.integers(T, size=_BATCH), self._device)
                noise = to_tensor(rng.standard_normal(tuple(clean.shape), np.float32), self._device)
                level = abar[t][:, None, None, None]
                loss = functional.mse_loss(network(level.sqrt() * clean + (1 - level).sqrt() * noise, t), noise)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                first = step + 1
                if first % 20 == 0:
                    self._progress.report("training the released code's network", first, self._steps, loss=float(loss.detach()))
                if checkpoint.due():
                    _save(checkpoint, network, optimizer, first)
        except Cancelled:
            _save(checkpoint, network, optimizer, first)
            raise
        _save(checkpoint, network, optimizer, first)
        self._network = network.requires_grad_(False).eval()

    def _invert(self, patches: torch.Tensor) -> torch.Tensor:
        """(N, C, b, b) -> (N, C * b * b)."""

        def predict(z: torch.Tensor, t: int) -> torch.Tensor:
            return self._network(z, torch.tensor([t], device=z.device))

        with torch.inference_mode():
            return invert(predict, patches, self._path, on_step=self._progress.check).flatten(1)

    def _resume(self, checkpoint: Checkpoint, network: nn.Module, optimizer: torch.optim.Optimizer) -> int:
        saved = checkpoint.load()
        if saved is None:
            return 0
        arrays, facts = saved
        network.load_state_dict({name: to_tensor(arrays[f"network/{name}"], self._device) for name in network.state_dict()})
        state = optimizer.state_dict()
        for number, _ in enumerate(network.parameters()):
            moments = {name: to_tensor(arrays[f"adam/{number}/{name}"], self._device) for name in ("exp_avg", "exp_avg_sq")}
            state["state"][number] = {"step": torch.tensor(float(facts["step"])), **moments}
        optimizer.load_state_dict(state)
        return int(facts["step"])


def _save(checkpoint: Checkpoint, network: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
    arrays = {f"network/{name}": to_array(value) for name, value in network.state_dict().items()}
    for number, state in optimizer.state_dict()["state"].items():
        arrays |= {f"adam/{number}/{name}": to_array(state[name]) for name in ("exp_avg", "exp_avg_sq")}
    checkpoint.save(arrays, {"step": step})
