"""The convolutional backbone that the bases share: stages that halve an image, stages that double it again, with and without skips.

Both forms give stage number i (from 0) its width at side / 2 ** (i + 1). Group norms throughout, never batch norms: what a slice becomes
must not depend on the slices beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

_GROUPS = 8


class Halving(nn.Sequential):
    """(N, channels, H, W) -> (N, widths[-1], H / 2 ** n, W / 2 ** n) by strided convolutions of 4 x 4 pixels.

    As in Radford, Metz and Chintala, Unsupervised representation learning with deep convolutional GANs, ICLR 2016.
    """

    def __init__(self, channels: int, widths: Sequence[int]) -> None:
        layers: list[nn.Module] = []
        for number, (before, width) in enumerate(zip((channels, *widths[:-1]), widths)):
            layers.append(nn.Conv2d(before, width, 4, stride=2, padding=1))
            if number:  # the first stage keeps the image's own brightness
                layers.append(nn.GroupNorm(_GROUPS, width))
            layers.append(nn.LeakyReLU(0.2))
        super().__init__(*layers)


class Doubling(nn.Sequential):
    """The mirror image of `Halving`; the values that leave it lie in (0, 1), as those of images do."""

    def __init__(self, channels: int, widths: Sequence[int]) -> None:
        layers: list[nn.Module] = []
        for width, after in zip(widths[::-1], widths[-2::-1]):
            layers += [nn.ConvTranspose2d(width, after, 4, stride=2, padding=1), nn.GroupNorm(_GROUPS, after), nn.LeakyReLU(0.2)]
        layers += [nn.ConvTranspose2d(widths[0], channels, 4, stride=2, padding=1), nn.Sigmoid()]
        super().__init__(*layers)


class DenseEncoder(nn.Module):
    """Images to `numbers` numbers each, (N, channels, side, side) -> (N, numbers)."""

    def __init__(self, channels: int, side: int, widths: Sequence[int], numbers: int) -> None:
        super().__init__()
        self.stages = Halving(channels, widths)
        self.code = nn.Linear(widths[-1] * (side >> len(widths)) ** 2, numbers)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.code(self.stages(images).flatten(1))


class DenseDecoder(nn.Module):
    """A code to an image, (N, numbers) -> (N, channels, side, side) in (0, 1)."""

    def __init__(self, channels: int, side: int, widths: Sequence[int], numbers: int) -> None:
        super().__init__()
        self._width, self._side = widths[-1], side >> len(widths)
        self.spread = nn.Linear(numbers, self._width * self._side**2)
        self.stages = Doubling(channels, widths)

    def forward(self, code: torch.Tensor) -> torch.Tensor:
        return self.stages(functional.leaky_relu(self.spread(code), 0.2).unflatten(1, (self._width, self._side, self._side)))


class Block(nn.Module):
    """Two convolutions with a skip around them; a condition (N, condition), if there is any, scales and shifts what is between."""

    def __init__(self, inputs: int, outputs: int, condition: int = 0) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm = nn.GroupNorm(_GROUPS, outputs)
        self.condition = nn.Linear(condition, 2 * outputs) if condition else None
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        nn.init.zeros_(self.second.weight)

    def forward(self, x: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
        hidden = self.norm(self.first(functional.silu(x)))
        if self.condition is not None:
            scale, shift = self.condition(condition)[:, :, None, None].chunk(2, dim=1)
            hidden = hidden * (1 + scale) + shift
        return self.skip(x) + self.second(functional.silu(hidden))


class UNet(nn.Module):
    """An encoder and a decoder with a skip connection from each stage to its mirror image (Ronneberger et al. 2015).

    inputs, outputs  channels; 2 x 2 pixels become channels before the first stage and pixels again after the last, which costs a quarter
                     of stages at full size. The head starts at zero
    condition        numbers that every block receives beside the features; 0: none
    """

    def __init__(self, inputs: int, outputs: int, widths: Sequence[int], condition: int = 0) -> None:
        super().__init__()
        self.stem = nn.Conv2d(4 * inputs, widths[0], 3, padding=1)
        self.encoder = nn.ModuleList(Block(before, width, condition) for before, width in zip((widths[0], *widths[:-1]), widths))
        self.middle = Block(widths[-1], widths[-1], condition)
        mirrored = zip(widths[::-1], (*widths[-2::-1], widths[0]))
        self.decoder = nn.ModuleList(Block(2 * width, after, condition) for width, after in mirrored)
        self.head = nn.Conv2d(widths[0], 4 * outputs, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def down(self, x: torch.Tensor, condition: torch.Tensor | None = None) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """(bottleneck, skips from the first stage to the last)."""
        x, skips = self.stem(functional.pixel_unshuffle(x, 2)), []
        for number, block in enumerate(self.encoder):
            x = block(functional.avg_pool2d(x, 2) if number else x, condition)
            skips.append(x)
        return self.middle(x, condition), skips

    def up(self, x: torch.Tensor, skips: Sequence[torch.Tensor], condition: torch.Tensor | None = None) -> torch.Tensor:
        """(N, outputs, H, W) from what `down` gave."""
        for number, (block, skip) in enumerate(zip(self.decoder, skips[::-1])):
            x = functional.interpolate(x, scale_factor=2.0, mode="nearest") if number else x
            x = block(torch.cat([x, skip], dim=1), condition)
        return functional.pixel_shuffle(self.head(functional.silu(x)), 2)

    def forward(self, x: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
        return self.up(*self.down(x, condition), condition)
