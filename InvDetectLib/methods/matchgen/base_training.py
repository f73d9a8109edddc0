"""Training of a base model on whole normal slices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from ...computing import Trainer
from ..contract import places_with_foreground
from .base import Base, inside, make_base, to_images

if TYPE_CHECKING:
    from ...models import MatchGenSettings
    from ..contract import Slices

_VALIDATION = 256  # held-out slices, spread evenly over all there are


class SlicePool:
    """The slices of some scans that hold foreground, as images of a base, made as they are asked for.

    Raises `InvDetectError` for slices beyond `side`.
    """

    def __init__(self, scans: Sequence[Slices], side: int, device: torch.device) -> None:
        self._scans, self._side, self._device = scans, side, device
        self._corners = []  # of the square around each scan's slices
        for scan in scans:
            rows, columns = inside(scan.foreground.shape[1:], side)
            self._corners.append((-rows.start, -columns.start))
        self._places = places_with_foreground(scans)

    def __len__(self) -> int:
        return len(self._places)

    def take(self, numbers: np.ndarray) -> torch.Tensor:
        """Images of the given numbers, (N, channel, side, side)."""
        places = self._places[numbers].tolist()
        squares = [self._scans[scan].square(k, *self._corners[scan], self._side) for scan, k in places]
        return to_images(np.stack(squares), self._side, self._device)


class BaseTrainer(Trainer[Base]):
    """A base in training; `base` is the moving average of the weights, which is what a model keeps.

    Where memory is short, a batch goes through the base in portions, and what the base draws is drawn for each portion anew.
    """

    def __init__(self, settings: MatchGenSettings, channels: int, side: int, seed: int, device: torch.device) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            base = make_base(settings, channels, side)
        super().__init__(base, settings.training, seed, device, "slices", base.parts(), base.betas)

    @property
    def base(self) -> Base:
        """The averaged base."""
        return self.average

    def loss(self, pool: SlicePool) -> float:
        """Mean |x - g(phi(x))| of the averaged base over pixels: the same measure for every base."""
        numbers = np.unique(np.linspace(0, len(pool) - 1, min(len(pool), _VALIDATION)).round().astype(np.int64))
        total = 0.0
        with torch.no_grad():
            for some in np.array_split(numbers, -(-len(numbers) // self.portion)):
                images = pool.take(some)
                total += float((images - self.base.decode(self.base.encode(images))).abs().mean()) * len(some)
        return total / len(numbers)

    def _portions(self, pool: SlicePool, part: int) -> Iterator[tuple[torch.Tensor, int]]:
        images, rng = self._draw(pool, self._training.batch, self.step)
        seed = rng.integers(2**62, size=part + 1)[part]  # the parts see the same slices and draw for themselves
        generator = torch.Generator(self._device).manual_seed(int(seed))
        for some in images.contiguous(memory_format=torch.channels_last).split(self.portion):
            yield self.raw.loss(some, part, generator), len(some)
