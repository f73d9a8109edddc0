"""THOR: partial diffusion that is led by its own anomaly maps on the way back, so that what is healthy stays as it was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch.nn import functional

from InvDetectLib.common.progress import Progress
from InvDetectLib.computing.tensors import to_array, to_tensor
from InvDetectLib.methods.contract import Slices

from ..imagenet import CHANNELS, pretrained
from .contract import Effort
from .diffusing import ABAR, clean_from, earlier, noise_loss, noisy, times_from, train_unet, white
from .squares import Squares
from .training import Kept

_DEPTH = 350  # time up to which a slice is noised, of 1000
_HARMONISED = (300, 150, 50)  # times at which healthy parts are taken from the slice again
_LOOKED_AT = (300, 250, 200, 150, 100, 50, 0)  # times whose anomaly maps are joined
_NEAR = 40  # of the features' channels, from the first of the two depths
_REGION = 13  # pixels by which an abnormal region is closed and widened
_SIGMA = 2.0  # pixels, of the perceptual distance


class THOR:
    """Bercea et al. 2024; see `contract.Peer`.

    As published: normal noise, T = 1000, a depth of 350 steps. At t = 300, 150 and 50 the image estimated so far is mixed with the slice by
    its own anomaly map, averaged with itself closed and widened by 13 pixels, and noised again with the noise of the way in. An anomaly map
    is the absolute difference times a perceptual distance, smoothed; the result is the harmonic mean of the maps at seven times.
    Otherwise here: the perceptual distance is that of EfficientNet-Lite0 with ImageNet weights (squared difference of normalised features
    of two depths, unweighted) instead of LPIPS over SqueezeNet; the maps that are joined are not divided by their own maximum, as the
    authors' code does (that would give a normal slice as high a peak as any): only the map that mixes is; slices have values in [-1, 1]
    instead of the [0, 1] of the authors' code, so that the noise of a time is half as strong against them; the library's U-Net (no
    attention, narrower); noise of a slice follows from the seed. Size small: widths 24 to 96, 2,000 steps of 8 slices or 15 minutes, and
    about 50 passes on the way back instead of 350.
    """

    key, title = "thor", "THOR"
    what = "partial diffusion guided by its own anomaly maps, difference times perceptual distance"
    citation = "Bercea, Wiestler, Rueckert, Schnabel: Diffusion Models with Implicit Guidance for Medical Anomaly Detection, MICCAI 2024"

    def __init__(self, effort: Effort, device: torch.device) -> None:
        self._effort, self._device = effort, device
        self._squares = Squares(effort.side, device)
        self._times = times_from(_DEPTH, effort.passes, _LOOKED_AT)

    def settings(self) -> dict[str, Any]:
        numbers = {"depth": _DEPTH, "harmonised": _HARMONISED, "looked at": _LOOKED_AT, "region": _REGION, "sigma": _SIGMA}
        return numbers | {"passes": len(self._times), "perceptual": f"EfficientNet-Lite0, {CHANNELS} channels"}

    def fit(self, scans: Sequence[Slices], seed: int, kept: Kept, progress: Progress) -> dict[str, Any]:
        self._features = pretrained(self._device)
        pool = self._squares.pool(scans)
        self._seed, self._draw = seed, white(self._effort.side)
        loss = noise_loss(pool, self._effort, self._draw)
        self._network, facts = train_unet(pool.shape[1], loss, self._effort, seed, self._device, kept, progress)
        return facts

    @torch.inference_mode()
    def map(self, values: np.ndarray, foreground: np.ndarray) -> np.ndarray:
        image = self._squares.image(values[None])
        rng = np.random.default_rng([self._seed, _DEPTH])
        noise = self._draw(1, image.shape[1], rng).to(self._device)
        z = noisy(image, noise, float(ABAR[_DEPTH]))
        known, maps = self._normalised(image), []
        for t, before in zip(self._times, [*self._times[1:], None]):
            clean = clean_from(z, self._network(z, to_tensor(np.array([t]), self._device)), t)
            if t in _LOOKED_AT:
                maps.append(self._anomaly(image, clean, known))
            if t in _HARMONISED:
                clean = _mixed(image, clean, maps[-1])
                z = noisy(clean, noise, float(ABAR[t]))
            if before is not None:
                z = earlier(z, clean, t, before, self._draw(1, image.shape[1], rng).to(self._device))
        harmonic = len(maps) / (1 / (np.stack(maps) + 1e-6)).sum(axis=0)
        return self._squares.back(to_tensor(harmonic.astype(np.float32)), foreground.shape)

    def _anomaly(self, image: torch.Tensor, clean: torch.Tensor, known: torch.Tensor) -> np.ndarray:
        """(side, side) float32, 0 or more; `known` the features of the image."""
        apart = (self._normalised(clean) - known).square().sum(dim=1, keepdim=True) / 2  # the mean of two depths, each from 0 to 4
        seen = to_array(functional.interpolate(apart, image.shape[2:], mode="bilinear")[0, 0])
        difference = to_array((clean - image).abs().mean(dim=1)[0] / 2)
        return difference * np.clip(ndimage.gaussian_filter(seen, _SIGMA), 0, 1)

    def _normalised(self, image: torch.Tensor) -> torch.Tensor:
        """(1, channel, row, column) features of an image, those of each depth of length 1 at every position."""
        parts = self._features.features(image.permute(0, 2, 3, 1)).split([_NEAR, CHANNELS - _NEAR], dim=1)
        return torch.cat([functional.normalize(part, dim=1) for part in parts], dim=1)


def _mixed(image: torch.Tensor, clean: torch.Tensor, anomaly: np.ndarray) -> torch.Tensor:
    """The estimate where the map says that the slice is abnormal, the slice elsewhere."""
    part = anomaly / (anomaly.max() + 1e-8)
    region = ndimage.grey_dilation(ndimage.grey_closing(part, _REGION, mode="nearest"), _REGION, mode="nearest")
    share = to_tensor(np.clip((region + part) / 2, 0, 1).astype(np.float32), image.device)
    return share * clean + (1 - share) * image
