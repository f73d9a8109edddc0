"""What the peers share that learn to foretell a frozen network's features of normal slices, at three depths.

All look at EfficientNet-Lite0 (`imagenet.py`), where the originals take ResNets, whose weights no package holds, on images of 256 pixels
(at size tiny 64). What the originals learn from whole images is learned here from cells that hold foreground, and other cells score
nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from InvDetectLib.common.progress import Progress
from InvDetectLib.computing.tensors import to_array, to_tensor
from InvDetectLib.methods.contract import Slices
from InvDetectLib.models.method_settings import Training

from ..imagenet import joined, pretrained, to_images
from ..imagenet_rows import cells, smoothed, spread_evenly
from .contract import Effort
from .training import Kept, train


@dataclass(frozen=True)
class Looked:
    """Slices as the frozen network sees them, on one device.

    images  (N, 1 or 3, side, side) float
    levels  (N, channels, cells, cells) float, of each of `imagenet.LEVELS`
    inside  (N, cells, cells) bool, of each level: cells that hold foreground
    """

    images: torch.Tensor
    levels: tuple[torch.Tensor, ...]
    inside: tuple[torch.Tensor, ...]

    def __len__(self) -> int:
        return len(self.images)

    def features(self) -> torch.Tensor:
        """(N, 152, cells, cells) of an eighth of the images, as PatchCore has them."""
        return joined(*self.levels[1:])

    def enlarged(self, values: torch.Tensor) -> torch.Tensor:
        """(N, cells, cells) -> (N, side, side)."""
        return functional.interpolate(values[:, None], self.images.shape[2:], mode="bilinear")[:, 0]

    def some(self, numbers: np.ndarray) -> Looked:
        """Those of the given numbers, in float32."""
        which = to_tensor(numbers, self.images.device)
        return Looked(
            self.images[which].float(), tuple(one[which].float() for one in self.levels), tuple(one[which] for one in self.inside)
        )


class OnPyramid(ABC):
    """A `contract.Peer` whose network is trained on what the frozen one sees.

    rate, ema  learning rate of Adam, which falls to zero along a cosine; decay of the moving average of the weights
    """

    rate: ClassVar[float]
    ema: ClassVar[float] = 0.99

    def __init__(self, effort: Effort, device: torch.device) -> None:
        self._effort, self._device, self._side = effort, device, 2 * effort.side

    def settings(self) -> dict[str, Any]:
        return {"rate": self.rate, "ema": self.ema, "pixels": self._side}

    def fit(self, scans: Sequence[Slices], seed: int, kept: Kept, progress: Progress) -> dict[str, Any]:
        self._frozen = pretrained(self._device)
        normals = self._look_at(scans, progress)
        training = Training(self._effort.steps, self._effort.batch, self.rate, self.ema, cosine=True)

        def loss(network: nn.Module, rng: np.random.Generator) -> torch.Tensor:
            return self._loss(network, normals.some(rng.integers(len(normals), size=self._effort.batch)), rng)

        self._network, facts = train(lambda: self._make(normals), loss, training, seed, self._device, kept, progress)
        with torch.inference_mode():
            self._settle(normals)
        return facts | {"slices": len(normals)}

    def map(self, values: np.ndarray, foreground: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            looked = self._look(values[None], foreground[None])
            found = self._score(self._network, looked)
            return to_array(functional.interpolate(found[:, None], foreground.shape, mode="bilinear", antialias=True)[0, 0])

    @abstractmethod
    def _make(self, normals: Looked) -> nn.Module:
        """The network to be trained; called with torch's generator seeded."""

    @abstractmethod
    def _loss(self, network: nn.Module, seen: Looked, rng: np.random.Generator) -> torch.Tensor:
        """Of one batch."""

    @abstractmethod
    def _score(self, network: nn.Module, seen: Looked) -> torch.Tensor:
        """(N, side, side) float32, higher is less normal."""

    def _settle(self, normals: Looked) -> None:
        """Measure what the trained network makes of normal slices, where the scores need that."""
        return

    def _look_at(self, scans: Sequence[Slices], progress: Progress) -> Looked:
        """The slices that are learned from; kept in half precision, since there are many."""
        chosen = spread_evenly(scans, self._effort.slices)
        looked = []
        for number, (scan, k) in enumerate(chosen):  # slices of different scans may differ in size
            progress.report("looking at normal slices", number, len(chosen))
            seen = self._look(scan.values[k : k + 1], scan.foreground[k : k + 1])
            looked.append(Looked(seen.images.half(), tuple(one.half() for one in seen.levels), seen.inside))
        levels, inside = zip(*(one.levels for one in looked)), zip(*(one.inside for one in looked))
        return Looked(
            torch.cat([one.images for one in looked]), tuple(torch.cat(one) for one in levels), tuple(torch.cat(one) for one in inside)
        )

    @torch.no_grad()
    def _look(self, values: np.ndarray, foreground: np.ndarray) -> Looked:
        images = to_images(to_tensor(values, self._device), self._side)
        levels, within = self._frozen.pyramid(images), to_tensor(foreground, self._device)
        return Looked(images, tuple(levels), tuple(cells(within, level.shape[2]) for level in levels))


def differences(seen: Looked, foretold: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """(N, cells, cells) of each level: 1 - the cosine between the features of a cell and what was foretold; 0 without foreground."""
    pairs = zip(seen.levels, foretold, seen.inside)
    return [(1 - functional.cosine_similarity(level, told, dim=1)) * inside for level, told, inside in pairs]


def mean_inside(values: Sequence[torch.Tensor], seen: Looked) -> torch.Tensor:
    """The sum over levels of the mean over cells that hold foreground."""
    return torch.stack([one.sum() / inside.sum().clamp_min(1) for one, inside in zip(values, seen.inside)]).sum()


def blurred(images: torch.Tensor) -> torch.Tensor:
    """(N, side, side) smoothed by a Gaussian of 4 pixels, as most of the originals smooth their maps."""
    return smoothed(images[:, None])[:, 0]
