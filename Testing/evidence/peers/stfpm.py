"""STFPM: a student that learned to see normal slices as its teacher does, and does not in others."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from ..imagenet import EfficientNetLite0, untrained
from .pyramid import Looked, OnPyramid, differences, mean_inside


class STFPM(OnPyramid):
    """Wang et al. 2021; see `contract.Peer`. The papers compared here cite Yamada and Hotta 2021 under this name, who turn the student into
    a network that rebuilds, with attention: that is not here.

    As published: a student of the teacher's architecture begins at random; the loss is half the squared distance between the two networks'
    features of a cell, each of length 1, at three depths; the map is the product of these distances over the depths, enlarged linearly.
    Otherwise here: EfficientNet-Lite0 instead of ResNet-18, at the same quarter, eighth and sixteenth of images of 256 pixels; Adam at
    0.003 with a falling rate and averaged weights instead of SGD at 0.4 with decaying weights; cells that hold foreground only. Size small:
    500 slices, 2,000 steps of 8 or 15 minutes.
    """

    key, title = "stfpm", "STFPM"
    what = "where a student trained on normal slices sees other ImageNet features than its teacher"
    citation = (
        "Wang, Han, Ding, Huang: Student-Teacher Feature Pyramid Matching for Anomaly Detection, BMVC 2021; in the papers "
        "Yamada, Hotta: Reconstruction Student with Attention for Student-Teacher Pyramid Matching, arXiv 2021"
    )
    rate = 3e-3

    def _make(self, normals: Looked) -> nn.Module:
        return untrained()

    def _loss(self, network: nn.Module, seen: Looked, rng: np.random.Generator) -> torch.Tensor:
        return mean_inside(self._differences(network, seen), seen)

    def _score(self, network: nn.Module, seen: Looked) -> torch.Tensor:
        return torch.stack([seen.enlarged(one) for one in self._differences(network, seen)]).prod(dim=0)

    @staticmethod
    def _differences(network: nn.Module, seen: Looked) -> list[torch.Tensor]:
        """1 - cosine is half the squared distance between features of length 1."""
        assert isinstance(network, EfficientNetLite0)
        return differences(seen, network.pyramid(seen.images))
