"""The base `dae`: a U-Net that takes coarse noise out of its images."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from .backbone import UNet
from .base import Base, Code

if TYPE_CHECKING:
    from ...models import MatchGenSettings

_CELLS = 16  # of the noise along a side
_DEVIATION = 0.2


class DAE(Base):
    """Kascenas, Pugeault and O'Neil, Denoising autoencoders for unsupervised anomaly detection in brain MRI, MIDL 2022.

    In training, normal noise of deviation 0.2 on 16 x 16 cells, brought to the image's size linearly and shifted round by a random number
    of pixels, is added to what is not background; the loss is the squared error to the image without it. Scans are given as they are.
    z is all that the decoder receives, hence the bottleneck and the skips. `matching.skips` decides how much of it moves: "held" the
    bottleneck alone, the skips staying as encoded; "moved" all, as one flat vector.
    Deviations: background is what is 0 in every channel; the shift is drawn for each image; 2 x 2 pixels are folded into channels, which
    makes it fast enough for a search at test time; group norms; the published median filter of the map is left to the refinement.
    """

    def __init__(self, settings: MatchGenSettings, channels: int, side: int) -> None:
        super().__init__(settings, channels, side)
        widths = settings.network.widths
        self.network = UNet(channels, channels, widths)
        self._moved = settings.matching.skips == "moved"
        places = [(width, side >> (number + 1), side >> (number + 1)) for number, width in enumerate(widths)]
        self._shapes = [places[-1], *places]

    def loss(self, images: torch.Tensor, part: int, generator: torch.Generator) -> torch.Tensor:
        noise = coarse_noise(images.shape, generator) * (images > 0).any(dim=1, keepdim=True)
        return functional.mse_loss(self.network(images + noise), images)

    def encode(self, images: torch.Tensor) -> Code:
        bottleneck, skips = self.network.down(images)
        if self._moved:
            return Code(torch.cat([part.flatten(1) for part in (bottleneck, *skips)], dim=1))
        return Code(bottleneck, tuple(skips))

    def decode(self, code: Code) -> torch.Tensor:
        """Images, near [0, 1] but not held in it."""
        if not self._moved:
            return self.network.up(code.z, code.held)
        parts = code.z.split([math.prod(shape) for shape in self._shapes], dim=1)
        bottleneck, *skips = (part.unflatten(1, shape) for part, shape in zip(parts, self._shapes))
        return self.network.up(bottleneck, skips)


def coarse_noise(shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
    """Noise of the given (N, C, side, side), another draw and another shift for each image."""
    count, channels, side = shape[:3]
    device = generator.device
    cells = torch.randn((count, channels, min(_CELLS, side), min(_CELLS, side)), generator=generator, device=device) * _DEVIATION
    noise = functional.interpolate(cells, size=(side, side), mode="bilinear", align_corners=True)
    shifts = torch.randint(side, (2, count, 1), generator=generator, device=device)
    rows, columns = (torch.arange(side, device=device) + shifts) % side
    numbers = torch.arange(count, device=device)[:, None, None]
    return noise.permute(0, 2, 3, 1)[numbers, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
