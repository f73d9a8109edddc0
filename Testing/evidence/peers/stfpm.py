"""STFPM: a student that learned to see normal slices as its teacher does, and does not in others."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from ..imagenet import EfficientNetLite0, untrained
from .pyramid import Looked, OnPyramid, differences, enlarged, mean_inside


class STFPM(OnPyramid):
    """G. Wang, S. Han, E. Ding and D. Huang, Student-teacher feature pyramid matching for anomaly detection, BMVC 2021.

    The papers compared here cite S. Yamada and K. Hotta, Reconstruction student with attention for student-teacher pyramid matching, 2021,
    under this name; what those add (a student that goes from deep features to shallow ones, attention) is not here.

    The student has the teacher's architecture and begins at random; the loss is half the squared distance between the two networks'
    features of a cell, each of length 1, at three depths; the map is the product of these distances over the depths, enlarged.
    Deviations: EfficientNet-Lite0 at a quarter, an eighth and a sixteenth of an image of 256 pixels instead of ResNet-18 at the same;
    Adam with a falling rate and averaged weights instead of SGD at 0.4; fewer steps; cells that hold foreground only.
    """

    key = "stfpm"
    title = "STFPM"
    what = "where a student trained on normal slices sees other ImageNet features than its teacher"
    citation = "Wang et al., Student-teacher feature pyramid matching for anomaly detection, BMVC 2021; cited as Yamada and Hotta 2021"
    rate = 3e-3

    def _make(self, normals: Looked) -> nn.Module:
        return untrained()

    def _loss(self, network: nn.Module, seen: Looked, rng: np.random.Generator) -> torch.Tensor:
        return mean_inside(self._differences(network, seen), seen)

    def _score(self, network: nn.Module, seen: Looked) -> torch.Tensor:
        return torch.stack([enlarged(one) for one in self._differences(network, seen)]).prod(dim=0)

    @staticmethod
    def _differences(network: nn.Module, seen: Looked) -> list[torch.Tensor]:
        """1 - cosine is half the squared distance between features of length 1."""
        assert isinstance(network, EfficientNetLite0)
        return differences(seen, network.pyramid(seen.images))
