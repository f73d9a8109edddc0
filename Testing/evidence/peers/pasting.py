"""What the peers share that learn from normal slices into which a piece of another place or slice was brought."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.fft import dstn, idstn
from torch.nn import functional

from InvDetectLib.common.progress import Progress
from InvDetectLib.computing.tensors import to_array, to_tensor
from InvDetectLib.methods.contract import Slices
from InvDetectLib.methods.matchgen.backbone import UNet
from InvDetectLib.models.method_settings import Training
from InvDetectLib.rehearsal.lesions import around

from .contract import Effort
from .squares import Squares
from .training import Kept, train

_RATE, _EMA = 1e-3, 0.99
Box = tuple[slice, slice]


@dataclass(frozen=True)
class Normals:
    """Normal slices as squares: images (N, channel, side, side) float32 in [-1, 1] and their foreground (N, side, side) bool."""

    images: np.ndarray
    inside: np.ndarray

    @classmethod
    def of(cls, scans: Sequence[Slices], squares: Squares) -> Normals:
        """All slices with foreground."""
        masks = [Slices(np.where(scan.foreground[..., None], 1, -1).astype(np.float32), scan.foreground) for scan in scans]
        return cls(to_array(squares.pool(scans)), to_array(squares.pool(masks)[:, 0] > 0))

    def __len__(self) -> int:
        return len(self.images)

    def place(self, number: int, rng: np.random.Generator) -> tuple[int, int]:
        """A pixel of the foreground of one slice."""
        found = np.flatnonzero(self.inside[number])
        row, column = np.unravel_index(found[rng.integers(len(found))] if len(found) else 0, self.inside.shape[1:])
        return int(row), int(column)


class Pasted(ABC):
    """A `contract.Peer` whose U-Net tells of each pixel how foreign it is, having seen slices with a label for each pixel."""

    def __init__(self, effort: Effort, device: torch.device) -> None:
        self._effort, self._device = effort, device
        self._squares = Squares(effort.side, device)

    def settings(self) -> dict[str, Any]:
        return {"rate": _RATE, "ema": _EMA}

    def fit(self, scans: Sequence[Slices], seed: int, kept: Kept, progress: Progress) -> dict[str, Any]:
        normals = Normals.of(scans, self._squares)

        def loss(network: torch.nn.Module, rng: np.random.Generator) -> torch.Tensor:
            pairs = rng.integers(len(normals), size=(self._effort.batch, 2)).tolist()
            made = [self.paste(normals, number, other, rng) for number, other in pairs]
            images, labels, counted = (to_tensor(np.stack(part), self._device) for part in zip(*made))
            found = functional.binary_cross_entropy_with_logits(network(images)[:, 0], labels, reduction="none")
            return (found * counted).sum() / counted.sum().clamp_min(1)

        training = Training(self._effort.steps, self._effort.batch, _RATE, _EMA, cosine=True)
        channels, widths = normals.images.shape[1], self._effort.widths
        self._network, facts = train(lambda: UNet(channels, 1, widths), loss, training, seed, self._device, kept, progress)
        return facts

    @torch.inference_mode()
    def map(self, values: np.ndarray, foreground: np.ndarray) -> np.ndarray:
        found = torch.sigmoid(self._network(self._squares.image(values[None])))
        return self._squares.back(found[0, 0], foreground.shape)

    @abstractmethod
    def paste(self, normals: Normals, number: int, other: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """One slice with something of the other in it: the image (channel, side, side), its label (side, side) float32 in [0, 1], and
        where the label counts (side, side) bool."""


def box_around(place: tuple[int, int], sides: tuple[float, float], image: int) -> Box:
    """Rows and columns of a box of those sides around a pixel, 5 pixels at least, less what lies outside an image of so many a side."""
    halves = [max(2, round(side / 2)) for side in sides]
    (_, rows, columns), _ = around((1, image, image), (0, *place), 1 + 1e-6, (2, 1 / halves[0], 1 / halves[1]))
    return rows, columns


def gradients(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(..., row, column) -> differences of neighbours downwards (..., row - 1, column) and to the right (..., row, column - 1)."""
    return np.diff(image, axis=-2), np.diff(image, axis=-1)


def integrated(image: np.ndarray, down: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The image whose border is that of `image` and whose gradients are as near as can be to those given (Poisson's equation).

    image  (channel, row, column), at least 3 pixels a side;  down, right  as `gradients` has them
    """
    border = image.copy()
    border[:, 1:-1, 1:-1] = 0
    wanted = np.diff(down[:, :, 1:-1], axis=1) + np.diff(right[:, 1:-1], axis=2)
    known = border[:, :-2, 1:-1] + border[:, 2:, 1:-1] + border[:, 1:-1, :-2] + border[:, 1:-1, 2:]
    rows, columns = wanted.shape[1:]
    waves = [2 * np.cos(np.pi * np.arange(1, count + 1) / (count + 1)) - 2 for count in (rows, columns)]
    spectrum = dstn(wanted - known, type=1, axes=(1, 2)) / (waves[0][:, None] + waves[1])
    found = image.copy()
    found[:, 1:-1, 1:-1] = idstn(spectrum, type=1, axes=(1, 2))
    return found
