"""Layers that several peers' networks are built from."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class Residual(nn.Module):
    """Two convolutions with a skip around them, batch norms as in ResNets (He et al. 2016); the first one strides."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.first, self.second = convolution(inputs, outputs, stride), convolution(outputs, outputs)
        self.norms = nn.ModuleList([nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)])
        self.skip = nn.Conv2d(inputs, outputs, 1, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.norms[1](self.second(functional.relu(self.norms[0](self.first(x)))))
        return functional.relu(hidden + self.skip(x))


def convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    """3 x 3 pixels, for a norm behind it."""
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
