"""AnoDDPM: a slice is noised part of the way with simplex noise, a diffusion model leads it back, and what changed is abnormal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from InvDetectLib.common.progress import Progress
from InvDetectLib.computing.tensors import to_tensor
from InvDetectLib.methods.contract import Slices

from .contract import Effort
from .diffusing import ABAR, clean_from, earlier, noise_loss, noisy, times_from, train_unet
from .simplex import OCTAVES, PERSISTENCE, SimplexNoise
from .squares import Squares
from .training import Kept

_DEPTH = 250  # time up to which a slice is noised, of 1000
_PERIOD, _SPREAD = 0.555, 0.51  # of the noise, as the authors' OpenSimplex noise has them that starts at 64 of 256 pixels


class AnoDDPM:
    """Wyatt et al. 2022; see `contract.Peer`.

    As published: simplex noise of six octaves with persistence 0.8 in training, on the way in and at every step back, its clouds as large
    (in shares of the image) and as strong as those of the authors' code; T = 1000, linear betas; a depth of 250 steps; the square of the
    difference is the map.
    Otherwise here: the library's U-Net (no attention, narrower) on slices of at most 128 pixels instead of 256; the noise is cut from
    fields of two dimensions instead of planes of three, and channels have noise of their own; on the way back the image in z is held to
    [-1, 1], and noise is added with the variance of Ho et al.'s posterior instead of beta; no rotations and shifts of the training
    slices; noise of a slice follows from the seed. Size small: widths 24 to 96, 2,000 steps of 8 slices or 15 minutes, and 50 passes on
    the way back instead of 250.
    """

    key, title = "anoddpm", "AnoDDPM"
    what = "partial diffusion with simplex noise, squared error of what comes back"
    citation = (
        "Wyatt, Leach, Schmon, Willcocks: AnoDDPM: Anomaly Detection with Denoising Diffusion Probabilistic Models using Simplex Noise, "
        "CVPR Workshops 2022"
    )

    def __init__(self, effort: Effort, device: torch.device) -> None:
        self._effort, self._device = effort, device
        self._squares = Squares(effort.side, device)
        self._times = times_from(_DEPTH, effort.passes)

    def settings(self) -> dict[str, Any]:
        return {"depth": _DEPTH, "simplex": [OCTAVES, PERSISTENCE, _PERIOD, _SPREAD], "passes": len(self._times)}

    def fit(self, scans: Sequence[Slices], seed: int, kept: Kept, progress: Progress) -> dict[str, Any]:
        pool = self._squares.pool(scans)
        self._seed, self._noise = seed, SimplexNoise(self._effort.side, seed, _PERIOD, _SPREAD)
        loss = noise_loss(pool, self._effort, self._noise.draw)
        self._network, facts = train_unet(pool.shape[1], loss, self._effort, seed, self._device, kept, progress)
        return facts

    @torch.inference_mode()
    def map(self, values: np.ndarray, foreground: np.ndarray) -> np.ndarray:
        image = self._squares.image(values[None])
        rng = np.random.default_rng([self._seed, _DEPTH])
        z = noisy(image, self._draw(image, rng), float(ABAR[_DEPTH]))
        clean = image
        for t, before in zip(self._times, [*self._times[1:], None]):
            clean = clean_from(z, self._network(z, to_tensor(np.array([t]), self._device)), t)
            if before is not None:
                z = earlier(z, clean, t, before, self._draw(image, rng))
        return self._squares.back((clean - image).square().mean(dim=1)[0], foreground.shape)

    def _draw(self, image: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        return self._noise.draw(1, image.shape[1], rng).to(self._device)
