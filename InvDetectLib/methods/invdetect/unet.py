"""The noise predictor: a time-conditioned U-Net with as many encoder and decoder stages as it has widths (four in the paper)."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from ...common import InvDetectError
from ...models import Network

_TIME_FEATURES = 64


class _Block(nn.Module):
    """Two convolutions with a skip; the time scales and shifts the features between them (one norm: it is the costly part on CPUs)."""

    def __init__(self, inputs: int, outputs: int, time_width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm = WholeNorm(8, outputs)
        self.time = nn.Linear(time_width, 2 * outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        nn.init.zeros_(self.second.weight)

    def forward(self, x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        scale, shift = self.time(time)[:, :, None, None].chunk(2, dim=1)
        hidden = self.norm(self.first(functional.silu(x))) * (1 + scale) + shift
        return self.skip(x) + self.second(functional.silu(hidden))


class WholeNorm(nn.GroupNorm):
    """GroupNorm, whose statistics can be told where only a piece of an image is in hand.

    whole  (N, groups) mean and variance of the whole images; None: of what comes in
    """

    whole: tuple[torch.Tensor, torch.Tensor] | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.whole is None:
            return super().forward(x)
        each = x.shape[1] // self.num_groups
        mean, variance = (part.repeat_interleave(each, dim=1)[:, :, None, None] for part in self.whole)
        scale = torch.rsqrt(variance + self.eps) * self.weight[:, None, None]
        return ((x - mean) * scale + self.bias[:, None, None]).to(x.dtype)


class UNet(nn.Module):
    """eps_theta(z, t).

    multiple  what the sides of its input must be divided by
    channels  of the patches (1 or 3)
    network   widths of the encoder stages, each half as large as the one before; the decoder mirrors them. `fold` pixels a side become
              channels before the first stage, which keeps the stages of patches of 64 at the paper's 32, 16, 8 and 4 pixels
    """

    def __init__(self, channels: int, network: Network) -> None:
        super().__init__()
        widths = network.widths
        if len(widths) < 2 or any(width < 8 or width % 8 for width in widths):
            raise InvDetectError(f"The network's widths must be at least two multiples of 8, not {widths}.")
        time_width = 2 * _TIME_FEATURES
        self.time = nn.Sequential(nn.Linear(_TIME_FEATURES, time_width), nn.SiLU(), nn.Linear(time_width, time_width), nn.SiLU())
        self.fold = network.fold
        self.multiple = network.fold * 2 ** (len(widths) - 1)
        folded = channels * network.fold**2
        self.stem = nn.Conv2d(folded, widths[0], 3, padding=1)
        self.encoder = nn.ModuleList(
            _Block(before, width, time_width) for before, width in zip((widths[0], *widths[:-1]), widths)
        )
        self.middle = _Block(widths[-1], widths[-1], time_width)
        self.decoder = nn.ModuleList(
            _Block(2 * width, after, time_width) for width, after in zip(widths[::-1], (*widths[-2::-1], widths[0]))
        )
        self.head = nn.Conv2d(widths[0], folded, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def forward(self, z: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """Predicted noise.

        z  (N, C, row, column) float, both sides divisible by `multiple`;  t  (N,) or (1,) times (one for all patches)
        """
        time = self.time(time_features(t).to(z.dtype))
        x = self.stem(functional.pixel_unshuffle(z, self.fold))
        skips = []
        for number, block in enumerate(self.encoder):
            x = block(functional.avg_pool2d(x, 2) if number else x, time)
            skips.append(x)
        x = self.middle(x, time)
        for number, block in enumerate(self.decoder):
            x = functional.interpolate(x, scale_factor=2.0, mode="nearest") if number else x
            x = block(torch.cat([x, skips.pop()], dim=1), time)
        return functional.pixel_shuffle(self.head(functional.silu(x)), self.fold)


def time_features(t: torch.Tensor) -> torch.Tensor:
    """Sines and cosines of t at geometric frequencies (Vaswani et al. 2017), (N,) -> (N, 64) float32."""
    half = _TIME_FEATURES // 2
    frequencies = torch.exp(-math.log(10_000) * torch.arange(half, device=t.device, dtype=torch.float32) / half)
    angles = t.to(torch.float32)[:, None] * frequencies
    return torch.cat([torch.sin(angles), torch.cos(angles)], dim=1)
