"""CutPaste: a network learns to tell crops with something pasted in from normal ones; its embedding of normal crops is a Gaussian."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from sklearn.covariance import LedoitWolf
from torch import nn
from torch.nn import functional

from InvDetectLib.common.progress import Progress
from InvDetectLib.computing.tensors import to_array, to_tensor
from InvDetectLib.methods.contract import Slices
from InvDetectLib.models.method_settings import Training

from ..windows import Windows
from .blocks import Residual, convolution
from .contract import Effort
from .pasting import Normals
from .squares import Squares
from .training import Kept, train

_CROP = 4  # of a side of the image, a crop has one part
_LEAST_CROP = 16  # pixels
_APART = 32  # of a side of the image, two neighbouring crops are one part apart
_AREAS, _ASPECTS = (0.02, 0.15), (0.3, 1 / 0.3)  # of a patch: its share of the crop, height over width
_SCARS = ((2 / 64, 16 / 64), (10 / 64, 25 / 64), 45.0)  # width and length as shares of the crop's side, degrees either way
_JITTER = 0.1  # by which intensities of what is pasted change at most
_RATE, _EMA = 1e-3, 0.99
_EMBEDDED = 40  # crops for each slice that is learned from, from which the Gaussian is made
_TOGETHER = 4  # crops of each kind in a step, for each image in a step of other peers
_AT_ONCE = 512


class CutPaste:
    """Li et al. 2021; see `contract.Peer`.

    As published: of each crop of a quarter of the image's side a copy has a rectangle (0.02 to 0.15 of its area) of itself pasted elsewhere
    and another a scar (a thin rotated one), both with jittered intensities; a network learns to tell the three kinds apart; the map is the
    distance of a crop's embedding from the Gaussian of normal ones, over crops 4 pixels apart, each spread by a Gaussian.
    Otherwise here: one residual block a stage instead of a ResNet-18 with a projection, on slices of at most 128 pixels instead of 256 (4
    pixels are a thirty-second of that); scars are as large in shares of the crop as theirs in 64 pixels; crops with less than 5 % of
    foreground are left out; the covariance is shrunk (Ledoit and Wolf), and the distance is the root of Mahalanobis' square; channels are
    jittered alike, by a shift and a gain around the piece's mean, and neither hue nor saturation; Adam at 0.001 with a falling rate and
    averaged weights instead of SGD at 0.03. Size small: widths 24 to 96, 2,000 steps of 32 crops of each kind or 15 minutes, the Gaussian
    from 20,000 crops.
    """

    key, title = "cutpaste", "CutPaste"
    what = "distance of crops from normal ones in the embedding of a network that tells pasted crops"
    citation = "Li, Sohn, Yoon, Pfister: CutPaste: Self-Supervised Learning for Anomaly Detection and Localization, CVPR 2021"

    def __init__(self, effort: Effort, device: torch.device) -> None:
        self._effort, self._device = effort, device
        self._squares = Squares(effort.side, device)
        self._crop, self._apart = max(_LEAST_CROP, effort.side // _CROP), max(1, effort.side // _APART)

    def settings(self) -> dict[str, Any]:
        pieces = {"areas": _AREAS, "aspects": _ASPECTS, "scars": _SCARS, "jitter": _JITTER}
        return {"crops": [self._crop, self._apart, _EMBEDDED, _TOGETHER], "rate": _RATE, "ema": _EMA} | pieces

    def fit(self, scans: Sequence[Slices], seed: int, kept: Kept, progress: Progress) -> dict[str, Any]:
        normals = Normals.of(scans, self._squares)
        places = Windows(normals.inside, self._crop, self._apart).places
        together = _TOGETHER * self._effort.batch
        kinds = torch.arange(3, device=self._device).repeat_interleave(together)

        def crops(rng: np.random.Generator, count: int) -> np.ndarray:
            chosen = places[rng.integers(len(places), size=count)]
            return np.stack([normals.images[k, :, r : r + self._crop, c : c + self._crop] for k, r, c in chosen])

        def loss(network: nn.Module, rng: np.random.Generator) -> torch.Tensor:
            plain = crops(rng, together)
            changed = [np.stack([change(one, rng) for one in plain]) for change in (pasted, scarred)]
            return functional.cross_entropy(network(to_tensor(np.concatenate([plain, *changed]), self._device)), kinds)

        training = Training(self._effort.steps, self._effort.batch, _RATE, _EMA, cosine=True)
        channels, widths = normals.images.shape[1], self._effort.widths
        self._network, facts = train(lambda: _Classifier(channels, widths), loss, training, seed, self._device, kept, progress)
        many = crops(np.random.default_rng([seed, 1]), _EMBEDDED * self._effort.slices)
        with torch.inference_mode():
            embedded = [self._embedded(to_tensor(block, self._device)) for block in np.array_split(many, -(-len(many) // _AT_ONCE))]
        self._gaussian = LedoitWolf().fit(np.concatenate(embedded))
        return facts

    @torch.inference_mode()
    def map(self, values: np.ndarray, foreground: np.ndarray) -> np.ndarray:
        image = self._squares.image(values[None]).permute(0, 2, 3, 1)
        inside = self._squares.image(np.where(foreground, 1, -1).astype(np.float32)[None, ..., None])[:, 0] > 0
        found = Windows(to_array(inside), self._crop, self._apart).spread(self._distance, image)
        return self._squares.back(to_tensor(found[0], self._device), foreground.shape)

    def _distance(self, crops: torch.Tensor) -> np.ndarray:
        return np.sqrt(self._gaussian.mahalanobis(self._embedded(crops)))

    def _embedded(self, crops: torch.Tensor) -> np.ndarray:
        assert isinstance(self._network, _Classifier)
        return to_array(self._network.embed(crops)).astype(np.float64)


class _Classifier(nn.Module):
    """(N, channel, side, side) -> (N, 3): plain, pasted, scarred."""

    def __init__(self, channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        stem = convolution(channels, widths[0]), nn.BatchNorm2d(widths[0]), nn.ReLU()  # every pixel: what is pasted has sharp edges
        stages = (Residual(before, width, stride=2) for before, width in zip((widths[0], *widths[:-1]), widths))
        self.stages = nn.Sequential(*stem, *stages)
        self.head = nn.Linear(widths[-1], 3)

    def embed(self, crops: torch.Tensor) -> torch.Tensor:
        return self.stages(crops).mean(dim=(2, 3))

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        return self.head(self.embed(crops))


def pasted(crop: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(channel, side, side) with a rectangle of itself in another place."""
    side = crop.shape[1]
    area, aspect = side**2 * rng.uniform(*_AREAS), np.exp(rng.uniform(*np.log(_ASPECTS)))
    height, width = (int(np.clip(round(length), 1, side - 1)) for length in (np.sqrt(area * aspect), np.sqrt(area / aspect)))
    (r, c), (row, column) = ((int(rng.integers(side - height + 1)), int(rng.integers(side - width + 1))) for _ in range(2))
    found = crop.copy()
    found[:, row : row + height, column : column + width] = _jittered(crop[:, r : r + height, c : c + width], rng)
    return found


def scarred(crop: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(channel, side, side) with a thin, rotated rectangle of itself in another place."""
    side = crop.shape[1]
    width, length, angle = side * rng.uniform(*_SCARS[0]), side * rng.uniform(*_SCARS[1]), np.radians(rng.uniform(-_SCARS[2], _SCARS[2]))
    source, place = rng.uniform(0, side - 1, (2, 2))
    rows, columns = np.indices((side, side))
    down, right = rows - place[0], columns - place[1]
    along, across = down * np.cos(angle) + right * np.sin(angle), right * np.cos(angle) - down * np.sin(angle)
    there = (np.abs(along) <= length / 2) & (np.abs(across) <= max(width, 1) / 2)
    where = along[there] + source[0], across[there] + source[1]
    found = crop.copy()
    found[:, there] = _jittered(np.stack([ndimage.map_coordinates(one, where, order=1, mode="reflect") for one in crop]), rng)
    return found


def _jittered(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Brighter or darker, of more contrast or less."""
    gain, shift = 1 + rng.uniform(-_JITTER, _JITTER), rng.uniform(-_JITTER, _JITTER)
    return np.clip(values.mean() + gain * (values - values.mean()) + shift, -1, 1) if values.size else values
