"""Cut slices into overlapping patches, and put what was found in them together again (Eq. 1).

Whatever is scored is a square *window*: the whole patch (the paper), or a smaller one inside it. A window spreads its score
by a Gaussian around its own centre, and counts by the Gaussian of its patch (Eq. 1's weight) at the place where it lies in it;
for windows that are whole patches this is Eq. 1 to the letter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from ...models import Patches


def starts(length: int, size: int, stride: int) -> tuple[int, ...]:
    """First pixels of the patches along one side: every `stride`, the last flush with the border. Needs length >= size."""
    regular = list(range(0, length - size + 1, stride))
    return tuple(regular if regular[-1] == length - size else [*regular, length - size])


def frame(length: int, least: int, multiple: int = 1) -> tuple[int, int]:
    """Pixels of background to add before and after a side, so that it is at least `least` and divided by `multiple`.

    Training and scoring frame a slice alike, in the middle: a border where the network never saw one would be called noise.
    """
    missing = -(-max(length, least) // multiple) * multiple - length
    return missing // 2, missing - missing // 2


@dataclass(frozen=True)
class PatchGrid:
    """Where the patches of a slice lie: first rows and first columns, row-major, all of `size` pixels."""

    rows: tuple[int, ...]
    columns: tuple[int, ...]
    size: int

    @classmethod
    def over(cls, shape: tuple[int, int], patches: Patches) -> PatchGrid:
        """The grid over a slice of (rows, columns) pixels, each at least the patch size (`SliceGrid` has seen to it)."""
        rows = starts(shape[0], patches.size, patches.stride)
        return cls(rows, starts(shape[1], patches.size, patches.stride), patches.size)

    @property
    def corners(self) -> np.ndarray:
        """(patches, 2) int64: first row and first column of each patch."""
        return np.array([(row, column) for row in self.rows for column in self.columns], dtype=np.int64)

    def places(self, foreground: np.ndarray, least: float) -> np.ndarray:
        """(N, 3) int64 in order of slices: slice, first row, first column of the patches worth scoring.

        foreground  (slice, row, column) bool; a patch needs some of it, and at least the share `least` (0 to 1)
        """
        corners = self.corners
        slices = np.repeat(np.arange(len(foreground)), len(corners))
        every = np.column_stack([slices, np.tile(corners, (len(foreground), 1))])
        return every[holds_foreground(foreground, every, self.size, least)]


def holds_foreground(foreground: np.ndarray, places: np.ndarray, size: int, least: float) -> np.ndarray:
    """(N,) bool: squares of `size` pixels that hold foreground, and at least the share `least` (0 to 1) of it.

    foreground  (slice, row, column) bool; places  (N, 3) ints: slice, first row, first column
    """
    sums = np.zeros((foreground.shape[0], foreground.shape[1] + 1, foreground.shape[2] + 1), dtype=np.int64)
    sums[:, 1:, 1:] = foreground.cumsum(axis=1).cumsum(axis=2)
    s, top, left = places.T
    bottom, right = top + size, left + size
    count = sums[s, bottom, right] - sums[s, top, right] - sums[s, bottom, left] + sums[s, top, left]
    return (count > 0) & (count >= least * size**2)


def cut(slices: torch.Tensor, places: np.ndarray, size: int) -> torch.Tensor:
    """Patches at the given places.

    slices  (slice, row, column, channel) float; places  (N, 3) ints: slice, first row, first column
    Returns (N, channel, size, size), channels-last in memory (the layout in which convolutions are fastest).
    """
    s, r, c = torch.from_numpy(places.T).to(slices.device)
    patches = slices.unfold(1, size, 1).unfold(2, size, 1)[s, r, c]  # every square of the slices is a view, so this copies once
    return patches.contiguous(memory_format=torch.channels_last)


def gaussian(size: int, device: torch.device | str = "cpu") -> torch.Tensor:
    """exp(-(x - c)^2 / omega^2) along one side of a window: c = (size - 1) / 2, omega = size / 4. (size,) float32."""
    x = torch.arange(size, device=device, dtype=torch.float32) - (size - 1) / 2
    return torch.exp(-((x / (size / 4)) ** 2))


def window_places(patch: int, window: int, spacing: int) -> tuple[np.ndarray, np.ndarray]:
    """Windows inside a patch: (places (K, 2) ints, weights (K,) float32), row-major.

    The weight is the patch's own Gaussian, omega = patch / 4, at the window's centre; a window as large as the patch weighs 1.
    """
    first = np.arange(0, patch - window + 1, spacing)
    offset = first + (window - patch) / 2
    falloff = np.exp(-((offset / (patch / 4)) ** 2))
    places = np.stack(np.meshgrid(first, first, indexing="ij"), axis=-1).reshape(-1, 2)
    return places, np.outer(falloff, falloff).reshape(-1).astype(np.float32)


def aggregate(
    values: torch.Tensor, weights: torch.Tensor, places: torch.Tensor, window: int, shape: tuple[int, int, int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Eq. 1: A(p) = sum_i w_i(p) v_i / sum_i w_i(p) over the windows i that contain pixel p.

    values   (N, K) float32: what is averaged (a score, features) for each window
    weights  (N,) float32: factor of each window; w_i(p) = weights_i * exp(-|p - c_i|^2 / (window / 4)^2)
    places   (N, 3) int64: slice, first row, first column of each window, on the same device
    shape    (slices, rows, columns)
    Returns  (slices, rows, columns, K) float32, 0 where no window reaches, and (slices, rows, columns) bool: reached
    """
    slices, rows, columns = shape
    lattice_rows, lattice_columns = rows - window + 1, columns - window + 1
    flat = (places[:, 0] * lattice_rows + places[:, 1]) * lattice_columns + places[:, 2]
    weighted = torch.cat([values * weights[:, None], weights[:, None]], dim=1)
    lattice = weighted.new_zeros(slices * lattice_rows * lattice_columns, weighted.shape[1]).index_add_(0, flat, weighted)
    # All windows share one separable Gaussian, so spreading them is one convolution along each axis.
    channels = lattice.reshape(slices, lattice_rows, lattice_columns, -1).permute(0, 3, 1, 2)
    channels = channels.reshape(-1, 1, lattice_rows, lattice_columns)
    kernel = gaussian(window, values.device)
    spread = functional.conv_transpose2d(channels, kernel.reshape(1, 1, -1, 1))
    spread = functional.conv_transpose2d(spread, kernel.reshape(1, 1, 1, -1)).reshape(slices, -1, rows, columns)
    total = spread[:, -1:]
    reached = total > 0
    averaged = torch.where(reached, spread[:, :-1] / total.clamp_min(torch.finfo(total.dtype).tiny), torch.zeros_like(total))
    return averaged.permute(0, 2, 3, 1), reached[:, 0]
