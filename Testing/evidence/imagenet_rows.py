"""PatchCore and PaDiM over ImageNet features, written plainly from their papers.

Both see `EfficientNetLite0.features`: 152 channels of two depths, averaged over 3 x 3 positions, on a grid of 32 x 32 a slice. PatchCore
leaves out positions without foreground; what PaDiM finds there does not count.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from InvDetectLib.computing.tensors import to_array, to_tensor
from InvDetectLib.methods.contract import Slices

from .imagenet import CHANNELS, SIDE, EfficientNetLite0, pretrained
from .raw_patches import nearest

_BATCH = 16  # slices
_SMOOTH = 4.0  # pixels of the enlarged image: sigma of the map's smoothing in both papers
_REDUCED = 100  # channels that PaDiM keeps, drawn at random
_SHRINK = 0.01  # added to the diagonal of PaDiM's covariances
_PROJECTED = 64  # numbers in which the coreset's distances are taken (Johnson and Lindenstrauss)


class OnFeatures:
    """What both, and peers, share: features of slices, and the way from scores on the feature grid to a map."""

    def __init__(self, images: int, device: torch.device) -> None:
        self._images, self._device = images, device
        self._network: EfficientNetLite0 | None = None

    def prepare(self) -> None:
        """Read the network's weights. `NotRun` when their package is missing."""
        self._network = self._network or pretrained(self._device)

    def learn_from(self, scans: Sequence[Slices]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """(features (N, 152, h, w), foreground (N, h, w) bool) of at most `images` training slices, evenly spread."""
        self.prepare()
        for scan, k in spread_evenly(scans, self._images):  # slices of different scans may differ in size
            yield self.features(Slices(scan.values[k : k + 1], scan.foreground[k : k + 1]))

    def features(self, scan: Slices) -> tuple[torch.Tensor, torch.Tensor]:
        """Of every slice, on the device; foreground where any pixel of a position's cell is foreground."""
        assert self._network is not None
        with torch.inference_mode():
            found = torch.cat([self._network.features(block) for block in to_tensor(scan.values, self._device).split(_BATCH)])
            return found, cells(to_tensor(scan.foreground, self._device), found.shape[2])

    def to_map(self, scores: torch.Tensor, shape: tuple[int, ...]) -> np.ndarray:
        """(N, h, w) -> (slice, row, column): enlarged to the network's image, smoothed, brought to the slices' size."""
        image = smoothed(functional.interpolate(scores[:, None], (SIDE, SIDE), mode="bilinear"))
        return to_array(functional.interpolate(image, shape[1:], mode="bilinear", antialias=True)[:, 0])


class PatchCore(OnFeatures):
    """Distance to the nearest feature in a coreset of normal ones (Roth et al. 2022).

    Otherwise than published: EfficientNet-Lite0 instead of WideResNet-50; the coreset is a tenth of features drawn at random, not of all.
    bank  features drawn at random from the training slices;  coreset  how many of them the greedy choice keeps
    """

    def __init__(self, images: int, bank: int, coreset: int, device: torch.device) -> None:
        super().__init__(images, device)
        self._bank, self._coreset = bank, coreset

    def settings(self) -> dict[str, Any]:
        return {"patchcore": [self._bank, self._coreset], "images": self._images}

    def fit(self, scans: Sequence[Slices]) -> None:
        rng = np.random.default_rng(0)
        found = [to_array(features.permute(0, 2, 3, 1)[inside]) for features, inside in self.learn_from(scans)]
        every = np.concatenate(found)
        self.memory = to_tensor(coreset(every[rng.permutation(len(every))[: self._bank]], self._coreset, rng), self._device)

    def map(self, scan: Slices) -> np.ndarray:
        features, inside = self.features(scan)
        scores = torch.zeros(inside.shape, device=self._device)
        rows = features.permute(0, 2, 3, 1)[inside]
        scores[inside] = torch.cat([nearest(block, self.memory) for block in rows.split(4096)]) if len(rows) else rows.new_zeros(0)
        return self.to_map(scores, scan.foreground.shape)


class PaDiM(OnFeatures):
    """Mahalanobis distance from a Gaussian for each position of the image (Defard et al. 2021).

    As published: 100 channels drawn at random, 0.01 on the diagonal of the covariances, the map smoothed by a Gaussian of 4 pixels.
    Otherwise here: two depths of EfficientNet-Lite0 at an eighth of the image, averaged over 3 x 3 positions as PatchCore has them, instead
    of three of a ResNet at a quarter, unaveraged.
    """

    def settings(self) -> dict[str, Any]:
        return {"padim": _REDUCED, "images": self._images}

    def fit(self, scans: Sequence[Slices]) -> None:
        chosen = np.sort(np.random.default_rng(0).permutation(CHANNELS)[:_REDUCED])
        self._chosen = to_tensor(chosen, self._device)
        sums = products = None
        count = 0
        for features, _ in self.learn_from(scans):
            rows = features[:, self._chosen].flatten(2).permute(2, 0, 1).double()  # (position, slice, channel)
            sums = rows.sum(dim=1) + (0 if sums is None else sums)
            products = rows.transpose(1, 2) @ rows + (0 if products is None else products)
            count += rows.shape[1]
        assert sums is not None and products is not None
        self._mean, self._inverse = gaussians(sums, products, count)

    def map(self, scan: Slices) -> np.ndarray:
        features, _ = self.features(scan)
        rows = features[:, self._chosen].flatten(2).permute(2, 0, 1).double()
        scores = mahalanobis(rows, self._mean, self._inverse).T.reshape(len(features), *features.shape[2:]).float()
        return self.to_map(scores, scan.foreground.shape)


def spread_evenly(scans: Sequence[Slices], count: int) -> list[tuple[Slices, int]]:
    """At most `count` slices with foreground, evenly spread over all: the scan and the number in it."""
    every = [(scan, k) for scan in scans for k in range(len(scan.foreground)) if scan.foreground[k].any()]
    return every[:: max(1, -(-len(every) // count))]


def cells(inside: torch.Tensor, side: int) -> torch.Tensor:
    """(N, row, column) bool -> (N, side, side) bool: cells of which any pixel is inside."""
    return functional.adaptive_max_pool2d(inside[:, None].float(), side)[:, 0] > 0


def smoothed(images: torch.Tensor) -> torch.Tensor:
    """(N, 1, row, column) smoothed by a Gaussian of 4 pixels, the border repeated."""
    radius = int(3 * _SMOOTH)
    kernel = torch.exp(-(torch.arange(-radius, radius + 1, device=images.device) ** 2) / (2 * _SMOOTH**2))
    kernel = (kernel / kernel.sum()).to(images.dtype)
    images = functional.conv2d(functional.pad(images, (radius,) * 4, mode="replicate"), kernel.reshape(1, 1, 1, -1))
    return functional.conv2d(images, kernel.reshape(1, 1, -1, 1))


def coreset(rows: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """At most `count` of the (N, D) rows, each the farthest from those before (greedy k-centre) after a random projection."""
    if len(rows) <= count:
        return rows
    width = min(_PROJECTED, rows.shape[1])
    points = torch.from_numpy((rows @ rng.standard_normal((rows.shape[1], width)) / np.sqrt(width)).astype(np.float32))
    chosen = [int(rng.integers(len(rows)))]
    distance = (points - points[chosen[0]]).square().sum(dim=1)
    for _ in range(count - 1):
        chosen.append(int(distance.argmax()))
        distance = torch.minimum(distance, (points - points[chosen[-1]]).square().sum(dim=1))
    return rows[np.sort(chosen)]


def gaussians(sums: torch.Tensor, products: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(mean (P, D), inverse covariance (P, D, D)) of P Gaussians.

    sums, products  (P, D) and (P, D, D): of the samples and of their outer products, float64;  count  samples of each
    The covariance is the sample's (over count - 1) plus 0.01 on its diagonal.
    """
    mean = sums / count
    covariance = (products - count * mean[:, :, None] * mean[:, None]) / max(count - 1, 1)
    return mean, torch.linalg.inv(covariance + _SHRINK * torch.eye(sums.shape[1], dtype=sums.dtype, device=sums.device))


def mahalanobis(rows: torch.Tensor, mean: torch.Tensor, inverse: torch.Tensor) -> torch.Tensor:
    """(P, N, D) samples at P positions -> (P, N) distances from each position's Gaussian."""
    centred = rows - mean[:, None]
    return ((centred @ inverse) * centred).sum(dim=2).clamp_min(0).sqrt()
