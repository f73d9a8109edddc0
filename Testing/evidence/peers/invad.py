"""InvAD: features of a slice are inverted to noise in three steps, and where the noise is not what it should be, the slice is abnormal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from InvDetectLib.common.progress import Progress
from InvDetectLib.computing.tensors import to_array, to_tensor
from InvDetectLib.methods.contract import Slices
from InvDetectLib.methods.invdetect.inversion import invert
from InvDetectLib.methods.invdetect.schedule import Path
from InvDetectLib.methods.invdetect.unet import UNet
from InvDetectLib.models.method_settings import Network

from ..imagenet import CHANNELS
from ..imagenet_rows import OnFeatures
from .contract import Effort
from .diffusing import ABAR, T, noise_loss, schedule, white
from .training import Kept, train

_TIMES = (0, 333, 666, 999)  # three steps of DDIM inversion
_WIDER = 3  # by which the network is wider than one for images of one channel: it sees 152


class InvAD:
    """Sakai et al. 2026; see `contract.Peer`.

    As published: a diffusion model of the features of a frozen ImageNet network, trained with white noise, T = 1000 and linear betas;
    DDIM inversion of a slice's features in three steps to t = 999; the map is the length of the latent at each position, enlarged
    linearly.
    Otherwise here: 152 channels of EfficientNet-Lite0 instead of 272 of EfficientNet-B4, both on 32 x 32 positions; each channel less its
    mean over its standard deviation in normal foreground; the library's U-Net over the feature map instead of a diffusion transformer,
    which is wider than the features: here a linear guess of the noise, and a convolution of all channels, go around the U-Net; Adam at
    0.001 with a falling rate and averaged weights instead of AdamW at 0.00005; one class, so no label. The image-level score of the
    original is not used. Features of at most 1,000 slices (full) or 500 (small) are learned from. Size small: widths 72, 144 and 216,
    2,000 steps of 8 slices or 15 minutes.
    """

    key, title = "invad", "InvAD"
    what = "DDIM inversion of ImageNet features in three steps, length of the latent"
    citation = (
        "Sakai, He, Gu, Sigal, Hasegawa: InvAD: Inversion-based Reconstruction-Free Anomaly Detection with Diffusion Models, CVPR 2026"
    )

    def __init__(self, effort: Effort, device: torch.device) -> None:
        self._effort, self._device = effort, device
        self._on = OnFeatures(effort.slices, device)
        self._widths = tuple(_WIDER * width for width in effort.widths[:3])

    def settings(self) -> dict[str, Any]:
        return {"times": _TIMES, "widths": self._widths, "around": "linear guess and 3 x 3 convolution"}

    def fit(self, scans: Sequence[Slices], seed: int, kept: Kept, progress: Progress) -> dict[str, Any]:
        found, within = [], []
        for features, inside in self._on.learn_from(scans):
            progress.check()
            found.append(features)
            within.append(features.permute(0, 2, 3, 1)[inside])
        normal = torch.cat(within)
        self._mean, self._spread = (part[:, None, None] for part in (normal.mean(dim=0), normal.std(dim=0).clamp_min(1e-6)))
        pool = self._standard(torch.cat(found))
        loss = noise_loss(pool, self._effort, white(pool.shape[2]))
        self._network, facts = train(
            lambda: Denoiser(self._widths),
            loss,
            schedule(self._effort),
            seed,
            self._device,
            kept,
            progress,
        )
        return facts

    def map(self, values: np.ndarray, foreground: np.ndarray) -> np.ndarray:
        features, _ = self._on.features(Slices(values[None], foreground[None]))
        with torch.inference_mode():
            latent = invert(self._predict, self._standard(features), Path(_TIMES, len(_TIMES) - 1, ABAR))
            length = latent.square().sum(dim=1, keepdim=True).sqrt()
            return to_array(functional.interpolate(length, foreground.shape, mode="bilinear")[0, 0])

    def _predict(self, z: torch.Tensor, t: int) -> torch.Tensor:
        return self._network(z, to_tensor(np.array([t]), self._device))

    def _standard(self, features: torch.Tensor) -> torch.Tensor:
        return (features - self._mean) / self._spread


class Denoiser(nn.Module):
    """Noise predicted in features of `CHANNELS` channels of mean 0 and variance 1, (N, channel, row, column), at times (N,) or (1,).

    White noise has as many independent channels as the features, of which a U-Net of fewer can tell no more than it has. So the U-Net, and
    a convolution around it, foretell only what the best guess by one factor leaves over (Salimans and Ho 2022 call it v).

    widths  of the U-Net's stages
    """

    levels: torch.Tensor

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.unet = UNet(CHANNELS, Network(widths=widths, fold=1, timesteps=T))
        self.around = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
        nn.init.zeros_(self.around.weight)
        nn.init.zeros_(self.around.bias)  # type: ignore[arg-type]
        self.register_buffer("levels", torch.from_numpy(ABAR.astype(np.float32)))

    def forward(self, z: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        level = self.levels[t][:, None, None, None]
        signal, noise = level.sqrt(), (1 - level).sqrt()
        return noise * z + signal * (self.unet(z, t) + noise * self.around(z))
