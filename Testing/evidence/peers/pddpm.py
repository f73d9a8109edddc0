"""pDDPM: one patch of a slice at a time is drowned in noise and estimated from the rest of the slice, which stays clean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy import ndimage

from InvDetectLib.common.progress import Progress
from InvDetectLib.computing.tensors import to_array, to_tensor
from InvDetectLib.methods.contract import Slices

from .contract import Effort
from .diffusing import T, noisy, train_unet
from .simplex import OCTAVES, PERSISTENCE, SimplexNoise
from .squares import Squares
from .training import Kept

_TIME = 500  # at which a slice is looked at
_MEDIAN = 5  # pixels of the filter over the difference
_PERIOD, _SPREAD = 1.3, 0.59  # of the noise, as the authors' OpenSimplex noise has them that starts at 64 of 96 pixels
_OFFSET = 0.008  # of the cosine


def _cosine_bars() -> np.ndarray:
    """abar[t] of the cosine schedule (Nichol and Dhariwal 2021), (T,) float64: half of the signal's power is left in the middle."""
    shares = np.cos((np.arange(T + 1) / T + _OFFSET) / (1 + _OFFSET) * np.pi / 2) ** 2
    return np.cumprod(np.maximum(shares[1:] / shares[:-1], 0.001))


_ABAR = _cosine_bars()


class PatchedDDPM:
    """Behrendt et al. 2024; see `contract.Peer`.

    As published: simplex noise within a patch of half the image's side at a place of a fixed grid, the rest clean, the noise's clouds as
    large (in shares of the image) and as strong as those of the authors' code, which has the cosine schedule; the network gives the image
    itself, in one pass; L1 loss in the patch; at test time every patch of the grid at t = 500 of 1000, put together; absolute difference,
    smoothed by a median over 5 pixels.
    Otherwise here: the library's U-Net (no attention, narrower), slices of at most 128 pixels instead of 96; places of the grid overlap
    by half, nine in all, and are averaged where they do; the difference is taken, and smoothed within the slice instead of the volume,
    before it is enlarged; noise of a slice follows from the seed. The authors' cleaning of the mask (eroded brain, small components left
    out) is not part of the map and is not done. Size small: widths 24 to 96, 2,000 steps of 8 slices or 15 minutes.
    """

    key, title = "pddpm", "pDDPM"
    what = "patches estimated from their clean surroundings by diffusion, absolute difference"
    citation = (
        "Behrendt, Bhattacharya, Krüger, Opfer, Schlaefer: Patched Diffusion Models for Unsupervised Anomaly Detection in Brain MRI, "
        "MIDL 2024"
    )

    def __init__(self, effort: Effort, device: torch.device) -> None:
        self._effort, self._device = effort, device
        self._squares = Squares(effort.side, device)
        half, step = effort.side // 2, effort.side // 4
        self._windows = torch.zeros((9, 1, effort.side, effort.side), device=device)
        for number, window in enumerate(self._windows):
            row, column = (place * step for place in divmod(number, 3))
            window[:, row : row + half, column : column + half] = 1

    def settings(self) -> dict[str, Any]:
        simplex = [OCTAVES, PERSISTENCE, _PERIOD, _SPREAD]
        return {"time": _TIME, "abar": float(_ABAR[_TIME]), "simplex": simplex, "median": _MEDIAN, "patches": len(self._windows)}

    def fit(self, scans: Sequence[Slices], seed: int, kept: Kept, progress: Progress) -> dict[str, Any]:
        pool = self._squares.pool(scans)
        self._seed, self._noise = seed, SimplexNoise(self._effort.side, seed, _PERIOD, _SPREAD)
        abar, batch = to_tensor(_ABAR.astype(np.float32), self._device), self._effort.batch

        def loss(network: torch.nn.Module, rng: np.random.Generator) -> torch.Tensor:
            clean = pool[to_tensor(rng.integers(len(pool), size=batch), self._device)]
            window = self._windows[to_tensor(rng.integers(len(self._windows), size=batch), self._device)]
            t = to_tensor(rng.integers(T, size=batch), self._device)
            noise = self._noise.draw(batch, clean.shape[1], rng).to(self._device)
            seen = clean + window * (noisy(clean, noise, abar[t][:, None, None, None]) - clean)
            return ((network(seen, t) - clean).abs() * window).sum() / (window.sum() * clean.shape[1])

        self._network, facts = train_unet(pool.shape[1], loss, self._effort, seed, self._device, kept, progress)
        return facts

    @torch.inference_mode()
    def map(self, values: np.ndarray, foreground: np.ndarray) -> np.ndarray:
        image = self._squares.image(values[None])
        noise = self._noise.draw(1, image.shape[1], np.random.default_rng([self._seed, _TIME])).to(self._device)
        drowned = noisy(image, noise, float(_ABAR[_TIME]))
        seen = image + self._windows * (drowned - image)
        made = self._network(seen, to_tensor(np.array([_TIME]), self._device))
        whole = (made * self._windows).sum(dim=0) / self._windows.sum(dim=0)
        difference = to_array((whole - image[0]).abs().mean(dim=0))
        return self._squares.back(to_tensor(ndimage.median_filter(difference, _MEDIAN)), foreground.shape)
