"""CFA: features moved so that normal ones lie near centres of their own, by the distance from which others are told."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ..imagenet import CHANNELS, LEVELS
from .pyramid import Looked, OnPyramid, blurred

_NEAR, _HARD = 3, 3  # centres that attract, and those after them that repel
_RADIUS = 1e-5  # of the balls, to begin with
_MARGIN = 0.1


class CFA(OnPyramid):
    """Lee, Lee and Song 2022; see `contract.Peer`.

    As published: a 1 x 1 convolution that also knows a cell's place turns features into others. One centre for each place is the mean of
    these over the normal slices before any training; then every feature is drawn into a ball around each of its 3 nearest centres and
    pushed out of those around the next 3, by a margin, and the balls' radius is learned as well. The map is the distance to the nearest
    centre, times the softmin of the nearest three, enlarged linearly and smoothed by a Gaussian of 4 pixels. The authors' code divides the
    features of an EfficientNet by the number of channels of their depth, since radius and margin suit no larger ones: so here.
    Otherwise here: 152 channels of EfficientNet-Lite0 at an eighth of images of 256 pixels, hence at most 1,024 centres, instead of 1,792
    channels of WideResNet-50 and 3,136 centres; centres at places where normal slices have foreground, and only cells that hold
    foreground; Adam with a falling rate and averaged weights instead of AdamW. Size small: 500 slices, 2,000 steps of 8 or 15 minutes.
    """

    key, title = "cfa", "CFA"
    what = "distance to the nearest centre of ImageNet features that were drawn to centres on normal slices"
    citation = (
        "Lee, Lee, Song: CFA: Coupled-Hypersphere-Based Feature Adaptation for Target-Oriented Anomaly Localization, IEEE Access 2022"
    )
    rate = 1e-3

    def settings(self) -> dict[str, Any]:
        return super().settings() | {"neighbours": [_NEAR, _HARD], "radius": f"{_RADIUS}, learned", "margin": _MARGIN, "divided": True}

    def _make(self, normals: Looked) -> _Adapted:
        network = _Adapted()
        total = count = torch.zeros(())
        with torch.no_grad():
            for first in range(0, len(normals), self._effort.batch):
                seen = normals.some(np.arange(first, min(first + self._effort.batch, len(normals))))
                found, inside = network(seen.features().cpu()), seen.inside[1].cpu()
                total, count = total + (found * inside[:, None]).sum(dim=0), count + inside.sum(dim=0)
        used = count.flatten() > 0
        network.register_buffer("centres", (total.flatten(1)[:, used] / count.flatten()[used]).T.contiguous())
        return network

    def _loss(self, network: nn.Module, seen: Looked, rng: np.random.Generator) -> torch.Tensor:
        assert isinstance(network, _Adapted)
        adapted = network(seen.features()).permute(0, 2, 3, 1)[seen.inside[1]]
        nearest = _nearest(adapted, network.centres, _NEAR + _HARD).square()
        pulled = (nearest[:, :_NEAR] - network.radius**2).clamp_min(0).mean()
        pushed = (network.radius**2 - nearest[:, _NEAR:] - _MARGIN).clamp_min(0)
        return pulled + (pushed.mean() if pushed.numel() else 0)

    def _score(self, network: nn.Module, seen: Looked) -> torch.Tensor:
        assert isinstance(network, _Adapted)
        scores = torch.zeros(seen.inside[1].shape, device=self._device)
        adapted = network(seen.features()).permute(0, 2, 3, 1)[seen.inside[1]]
        if len(adapted):
            nearest = _nearest(adapted, network.centres, _NEAR)
            scores[seen.inside[1]] = functional.softmin(nearest, dim=1)[:, 0] * nearest[:, 0]
        return blurred(seen.enlarged(scores))


class _Adapted(nn.Module):
    """The 1 x 1 convolution, the radius, and the (centre, channel) centres, which stay as they are made."""

    centres: torch.Tensor
    numbers: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(CHANNELS + 2, CHANNELS, 1)
        self.radius = nn.Parameter(torch.tensor(_RADIUS))
        numbers = torch.cat([torch.full((channels,), float(channels)) for channels, _ in LEVELS[1:]])
        self.register_buffer("numbers", numbers[:, None, None])  # of the channels of each one's depth

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        side = torch.linspace(-1, 1, features.shape[2], device=features.device)
        place = torch.stack(torch.meshgrid(side, side, indexing="ij")).expand(len(features), -1, -1, -1)
        return self.layer(torch.cat([features / self.numbers, place], dim=1))


def _nearest(rows: torch.Tensor, centres: torch.Tensor, count: int) -> torch.Tensor:
    """(N, count) Euclidean distances to the nearest centres, in order."""
    return torch.cdist(rows, centres).topk(min(count, len(centres)), dim=1, largest=False).values
