"""CFLOW: how likely a frozen network's features are where they lie, by normalising flows learned on normal slices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from InvDetectLib.computing.tensors import to_tensor

from ..imagenet import LEVELS
from .pyramid import Looked, OnPyramid

_BLOCKS = 8
_PLACE = 128  # numbers that tell a flow where a cell lies
_CLAMP = 1.9  # of the logarithm of what a block scales by
_CELLS = 4  # cells of each level in a step, for each pixel of a side of `effort.side`
_AT_ONCE = 4096
_LEAST = 1e-30  # of the likelihoods that are told apart


class CFLOW(OnPyramid):
    """Gudovskiy, Ishizaka and Kozuka 2022; see `contract.Peer`.

    As published: for each of three depths a flow of 8 affine couplings, told a cell's place by sines and cosines, brings the features of a
    cell to a normal distribution; the loss is -log sigmoid of the log-likelihood a channel. For the map, likelihoods of each depth are
    divided by the highest one, enlarged linearly, summed and turned round.
    Otherwise here: EfficientNet-Lite0 at a quarter, an eighth and a sixteenth of images of 256 pixels instead of a ResNet at an eighth to a
    thirty-second; channels standardised by their mean and spread in normal slices, instead of a learned scale in each block; 512 cells of
    each level in a step, of which there are about a hundredth as many as published, hence Adam at 0.001 with a falling rate and averaged
    weights instead of 0.0002; the highest likelihood is that of normal slices, not of the scans being scored, so that a threshold means the
    same in every scan; the sum is turned round by -log, which orders pixels as the original's difference does and lets none become alike;
    cells that hold foreground only. Size small: 500 slices, 2,000 steps of 8 or 15 minutes.
    """

    key, title = "cflow", "CFLOW"
    what = "unlikelihood of ImageNet features under normalising flows that know where a cell lies"
    citation = (
        "Gudovskiy, Ishizaka, Kozuka: CFLOW-AD: Real-Time Unsupervised Anomaly Detection with Localization via Conditional Normalizing "
        "Flows, WACV 2022"
    )
    rate = 1e-3

    def settings(self) -> dict[str, Any]:
        return super().settings() | {"blocks": _BLOCKS, "place": _PLACE, "clamp": _CLAMP, "cells": _CELLS * self._effort.side}

    def _make(self, normals: Looked) -> nn.Module:
        flows = []
        for level, inside in zip(normals.levels, normals.inside):
            rows = level.permute(0, 2, 3, 1)[inside].float()
            flows.append(_Flow(rows.mean(dim=0).cpu(), rows.std(dim=0).clamp_min(1e-3).cpu()))
        return nn.ModuleList(flows)

    def _loss(self, network: nn.Module, seen: Looked, rng: np.random.Generator) -> torch.Tensor:
        losses = []
        for flow, (rows, places) in zip(_of(network), _cells(seen)):
            chosen = to_tensor(rng.integers(len(rows), size=_CELLS * self._effort.side), self._device)
            losses.append(-functional.logsigmoid(flow(rows[chosen], places[chosen])).mean())
        return torch.stack(losses).sum()

    def _settle(self, normals: Looked) -> None:
        """The highest likelihood of each level in the normal slices."""
        highest = [torch.full((), -math.inf, device=self._device) for _ in LEVELS]
        for first in range(0, len(normals), self._effort.batch):
            seen = normals.some(np.arange(first, min(first + self._effort.batch, len(normals))))
            highest = [torch.maximum(one, found.max()) for one, found in zip(highest, self._likelihoods(self._network, seen))]
        self._highest = highest

    def _score(self, network: nn.Module, seen: Looked) -> torch.Tensor:
        total = torch.zeros((), device=self._device)
        for highest, found, inside in zip(self._highest, self._likelihoods(network, seen), seen.inside):
            shares = torch.ones(inside.shape, device=self._device)  # what holds no foreground is as normal as can be
            shares[inside] = (found - highest).clamp_max(0).exp()
            total = total + seen.enlarged(shares) / len(LEVELS)
        return -total.clamp_min(_LEAST).log()

    @staticmethod
    def _likelihoods(network: nn.Module, seen: Looked) -> list[torch.Tensor]:
        """Of each level: (cells that hold foreground,) log-likelihood a channel."""
        found = []
        for flow, (rows, places) in zip(_of(network), _cells(seen)):
            pairs = zip(rows.split(_AT_ONCE), places.split(_AT_ONCE))
            found.append(torch.cat([flow(*pair) for pair in pairs]))
        return found


class _Flow(nn.Module):
    """(N, channel) features at (N, 128) places -> (N,) log-likelihood of the standardised features, a channel."""

    mean: torch.Tensor
    spread: torch.Tensor
    orders: torch.Tensor

    def __init__(self, mean: torch.Tensor, spread: torch.Tensor) -> None:
        super().__init__()
        channels = len(mean)
        self.register_buffer("mean", mean)
        self.register_buffer("spread", spread)
        self.register_buffer("orders", torch.stack([torch.randperm(channels) for _ in range(_BLOCKS)]))
        half = channels // 2
        wide = 2 * (half + _PLACE)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(half + _PLACE, wide), nn.ReLU(), nn.Linear(wide, 2 * (channels - half))) for _ in range(_BLOCKS)
        )

    def forward(self, rows: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        z = (rows - self.mean) / self.spread
        grown = torch.zeros(len(rows), device=rows.device)
        for block, order in zip(self.blocks, self.orders):
            z = z[:, order]
            kept, moved = z[:, : z.shape[1] // 2], z[:, z.shape[1] // 2 :]
            scale, shift = block(torch.cat([kept, places], dim=1)).mul(0.1).chunk(2, dim=1)
            scale = _CLAMP * torch.tanh(scale)
            z = torch.cat([kept, moved * scale.exp() + shift], dim=1)
            grown = grown + scale.sum(dim=1)
        channels = z.shape[1]
        return (grown - 0.5 * z.square().sum(dim=1)) / channels - 0.5 * math.log(2 * math.pi)


def _of(network: nn.Module) -> Sequence[nn.Module]:
    assert isinstance(network, nn.ModuleList)
    return list(network)


def _cells(seen: Looked) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Of each level the (N, channel) features and (N, 128) places of cells that hold foreground."""
    found = []
    for level, inside in zip(seen.levels, seen.inside):
        places = _places(level.shape[2], level.device).expand(len(level), -1, -1, -1)
        found.append((level.permute(0, 2, 3, 1)[inside], places[inside]))
    return found


def _places(side: int, device: torch.device) -> torch.Tensor:
    """(side, side, 128): sines and cosines of column and row at geometric frequencies (Vaswani et al. 2017)."""
    quarter = _PLACE // 4
    steps = torch.arange(side, device=device)[:, None] * torch.exp(-math.log(10_000) * torch.arange(quarter, device=device) / quarter)
    waves = torch.cat([steps.sin(), steps.cos()], dim=1)
    return torch.cat([waves[None].expand(side, -1, -1), waves[:, None].expand(-1, side, -1)], dim=2)
