"""An image too large for one pass of the network, in tiles that overlap, as if it had been taken whole.

What the network says of a pixel depends on its surroundings, which a margin lends, and on the norms' mean and variance over the whole
image, which no tile knows. So these are gathered first, norm after norm, each from all tiles with the norms before it settled.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from .unet import UNet, WholeNorm

_MARGIN = 128  # pixels of a tile that only lend their surroundings


@dataclass(frozen=True)
class Tile:
    """own: its place in the image; inner: that place within the tile; whole: the tile in the image. Each rows and columns."""

    own: tuple[slice, slice]
    inner: tuple[slice, slice]
    whole: tuple[slice, slice]


def tiles(shape: tuple[int, int], side: int, multiple: int) -> list[Tile]:
    """Tiles of at most about `side` pixels over an image of (rows, columns), both divided by `multiple`; one where it is no larger."""
    rows, columns = (_pieces(length, side, multiple) for length in shape)
    return [Tile(*((one, other) for one, other in zip(down, along))) for down in rows for along in columns]  # type: ignore[misc]


def in_tiles(
    network: UNet, predict: Callable[[torch.Tensor], torch.Tensor], images: torch.Tensor, side: int
) -> torch.Tensor:
    """`predict(images)`, tile by tile; it passes a tile (N, C, row, column) through `network` once and keeps its size."""
    pieces = tiles((images.shape[2], images.shape[3]), side, network.multiple)
    if len(pieces) == 1:
        return predict(images)
    norms = [module for module in network.modules() if isinstance(module, WholeNorm)]  # in the order in which they are passed
    try:
        for norm in norms:
            gathered = _Gathered(norm)
            for tile in pieces:
                gathered.add(predict, images[:, :, tile.whole[0], tile.whole[1]], tile.inner)
            norm.whole = gathered.statistics()
        found = torch.empty_like(images)
        for tile in pieces:
            seen = predict(images[:, :, tile.whole[0], tile.whole[1]])
            found[:, :, tile.own[0], tile.own[1]] = seen[:, :, tile.inner[0], tile.inner[1]]
        return found
    finally:
        for norm in norms:
            norm.whole = None


class _Reached(Exception):
    """The norm in question was reached; the rest of the pass is not needed."""


class _Gathered:
    """Mean and variance of what comes into a norm, over the inner parts of all tiles."""

    def __init__(self, norm: WholeNorm) -> None:
        self._norm, self._count = norm, 0
        self._sums: torch.Tensor | None = None

    def add(self, predict: Callable[[torch.Tensor], torch.Tensor], tile: torch.Tensor, inner: tuple[slice, slice]) -> None:
        def look(_: torch.nn.Module, inputs: tuple[torch.Tensor]) -> None:
            x = inputs[0]
            shrunk = tile.shape[2] // x.shape[2]
            rows, columns = (slice(part.start // shrunk, part.stop // shrunk) for part in inner)
            own = x[:, :, rows, columns].double().reshape(len(x), self._norm.num_groups, -1)
            sums = torch.stack([own.sum(dim=2), own.square().sum(dim=2)])
            self._sums = sums if self._sums is None else self._sums + sums
            self._count += own.shape[2]
            raise _Reached

        hook = self._norm.register_forward_pre_hook(look)
        try:
            predict(tile)
        except _Reached:
            pass
        finally:
            hook.remove()

    def statistics(self) -> tuple[torch.Tensor, torch.Tensor]:
        assert self._sums is not None
        mean, square = self._sums / self._count
        return mean.float(), (square - mean.square()).float()


def _pieces(length: int, side: int, multiple: int) -> list[tuple[slice, slice, slice]]:
    if length <= side:
        return [(slice(0, length),) * 3]
    margin = -(-_MARGIN // multiple) * multiple
    step = max(multiple, (side - 2 * margin) // multiple * multiple)
    found = []
    for start in range(0, length, step):
        end, first = min(start + step, length), max(0, start - margin)
        found.append((slice(start, end), slice(start - first, end - first), slice(first, min(end + margin, length))))
    return found
