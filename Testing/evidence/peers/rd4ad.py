"""RD4AD: a decoder that learned to rebuild a frozen network's features of normal slices from a narrow embedding of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ..imagenet import LEVELS
from .blocks import Residual, convolution
from .pyramid import Looked, OnPyramid, blurred, differences, mean_inside

_EMBEDDED = 192  # channels of the embedding, which has half the side of the deepest level
_WIDEST = 64  # channels of the decoder's stages at least


class RD4AD(OnPyramid):
    """Deng and Li 2022; see `contract.Peer`.

    As published: features of three depths are brought to the resolution of the deepest, joined, and pressed into one embedding of half that
    resolution; a decoder that mirrors the encoder foretells the three levels from it, deepest first. The loss is 1 - cosine of each cell,
    averaged over cells and summed over depths; the map is their sum, enlarged linearly and smoothed by a Gaussian of 4 pixels.
    Otherwise here: EfficientNet-Lite0 instead of WideResNet-50, both on images of 256 pixels; an embedding of 192 channels and a decoder of
    one residual block a level, each with a linear way to the level's channels, instead of the mirrored ResNet; Adam at 0.003 with a falling
    rate, averaged weights and the usual moments instead of 0.005 and a first moment of 0.5; cells that hold foreground only. Size small:
    500 slices, 2,000 steps of 8 or 15 minutes.
    """

    key, title = "rd4ad", "RD4AD"
    what = "error of ImageNet features rebuilt from an embedding that was learned on normal slices"
    citation = "Deng, Li: Anomaly Detection via Reverse Distillation from One-Class Embedding, CVPR 2022"
    rate = 3e-3

    def settings(self) -> dict[str, Any]:
        return super().settings() | {"embedded": _EMBEDDED, "widest": _WIDEST}

    def _make(self, normals: Looked) -> nn.Module:
        return _Rebuilder()

    def _loss(self, network: nn.Module, seen: Looked, rng: np.random.Generator) -> torch.Tensor:
        return mean_inside(differences(seen, network(seen.levels)), seen)

    def _score(self, network: nn.Module, seen: Looked) -> torch.Tensor:
        return blurred(torch.stack([seen.enlarged(one) for one in differences(seen, network(seen.levels))]).sum(dim=0))


class _Rebuilder(nn.Module):
    """Levels to an embedding, and the embedding to levels."""

    def __init__(self) -> None:
        super().__init__()
        deepest = LEVELS[-1][0]
        ways, stages, heads = [], [], []
        for channels, cell in LEVELS[:-1]:
            way: list[nn.Module] = []
            while cell < LEVELS[-1][1]:
                way += [convolution(channels, deepest, stride=2), nn.BatchNorm2d(deepest), nn.ReLU()]
                channels, cell = deepest, 2 * cell
            ways.append(nn.Sequential(*way))
        self.ways = nn.ModuleList(ways)
        self.embed = Residual(deepest * len(LEVELS), _EMBEDDED, stride=2)
        before = _EMBEDDED
        for channels, _ in LEVELS[::-1]:
            width = max(channels, _WIDEST)
            stages.append(Residual(before, width))
            heads.append(nn.Conv2d(width, channels, 1))
            before = width
        self.stages, self.heads = nn.ModuleList(stages), nn.ModuleList(heads)

    def forward(self, levels: tuple[torch.Tensor, ...]) -> list[torch.Tensor]:
        """The levels again, in their order."""
        hidden = self.embed(torch.cat([way(level) for way, level in zip(self.ways, levels)] + [levels[-1]], dim=1))
        found = []
        for stage, head in zip(self.stages, self.heads):
            hidden = stage(functional.interpolate(hidden, scale_factor=2.0, mode="nearest"))
            found.append(head(hidden))
        return found[::-1]
