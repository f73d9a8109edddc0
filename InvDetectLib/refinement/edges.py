"""How alike neighbouring pixels are: squared feature distances and the edge weights alpha of Eq. 4."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from ..common import WrongUse

EDGES = ("paper", "relative", "image")
_EXPONENT = {"relative": 0.1, "image": 1.0}  # of alpha where the squared distance is its mean on normal slices
_BLUR = 1.0  # pixels: takes the noise of single pixels out of an image, and leaves the outline of what is in it


def edge_weights(distance: np.ndarray, mean: float, rule: str) -> np.ndarray:
    """The penalty alpha of Eq. 4 for a label change between two neighbouring pixels.

    distance  squared distances |r_p - r_q|^2, any shape, at least 0
    mean      m, the mean of that distance over neighbouring pixels of the training slices, in the same unit
    rule      "paper": alpha = exp(-d / tau^2) with tau = m as printed, so the exponent depends on the unit of the features;
              "relative": alpha = exp(-0.1 * d / m), the paper's exponent at the mean (tau = 10), in which the unit cancels;
              "image": alpha = exp(-d / m), for distances of `image_distances`

    Returns float32 of the same shape, in (0, 1] (0 only where float32 underflows). `mean` of 0 or below says that the features
    are constant and cannot tell pixels apart: every alpha is 1. An unknown rule raises `WrongUse`.
    """
    if rule not in EDGES:
        raise WrongUse(f"There is no edge rule {rule!r}; choose one of {', '.join(EDGES)}.")
    if mean <= 0:
        return np.ones(np.shape(distance), np.float32)
    with np.errstate(over="ignore"):  # an infinite exponent is a weight of 0
        exponent = np.asarray(distance, np.float64) / mean
        # two divisions: m * m of a tiny m would underflow to 0 and turn a distance of 0 into 0 / 0
        exponent = exponent / mean if rule == "paper" else _EXPONENT[rule] * exponent
    return np.exp(-exponent).astype(np.float32)


def feature_distances(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Squared distances between vertical and horizontal neighbours, for features that fit into memory.

    features  (row, column, D), any real dtype

    Returns `down` (row - 1, column), between (i, j) and (i + 1, j), and `right` (row, column - 1), between (i, j) and (i, j + 1);
    both float32 and at least 0.
    """
    features = _as_floats(features)
    down = np.diff(features, axis=0)
    right = np.diff(features, axis=1)
    return (
        np.einsum("ijk,ijk->ij", down, down, dtype=np.float64).astype(np.float32),
        np.einsum("ijk,ijk->ij", right, right, dtype=np.float64).astype(np.float32),
    )


def image_distances(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`feature_distances` of the lightly smoothed slice itself: a label then changes most cheaply where the image does.

    image  (row, column, channel), any real dtype. Features of windows are too smooth to show where a lesion ends; the image shows it.
    """
    return feature_distances(ndimage.gaussian_filter(_as_floats(image), (_BLUR, _BLUR, 0), mode="nearest"))


def _as_floats(values: np.ndarray) -> np.ndarray:
    """float32 or float64: unsigned numbers have no differences below 0, and half precision no filters."""
    return values.astype(np.result_type(values, np.float32), copy=False)


def latent_distances(
    latents: np.ndarray, present: np.ndarray, rows: Sequence[int], columns: Sequence[int], size: int, shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """|r_p - r_q|^2 of Eq. 4 for neighbouring pixels, from whole patch latents, without an array of (row, column, D).

    latents   (len(rows) * len(columns), D) float, row-major over the grid of patches; finite, zeros where a patch is missing
    present   (len(rows) * len(columns),) bool: the patches that were inverted; the others have no weight
    rows, columns   top rows and left columns of the patches, increasing; the last is flush with the border
    size      side b of a patch in pixels
    shape     (rows, columns) of the slice in pixels

    r_p is the mean of the latents z_i of the patches containing p, weighted as in Eq. 1 by exp(-|p - c_i|^2 / (b/4)^2) with the
    patch's centre c_i = position + (b - 1) / 2. The normalised weights sum to 1 at p and at q, so r_p - r_q = sum_i d_i z_i with
    sum_i d_i = 0, and then |r_p - r_q|^2 = -1/2 sum_ij d_i d_j |z_i - z_j|^2 exactly. Only the squared distances between patches
    in reach of one pair enter (with stride b/2 at most 4 x 3 patches, where the last row or column is flush), and they come from
    differences: |z_i|^2 + |z_j|^2 - 2 z_i.z_j would cancel for latents that share a large part.

    Returns `down` (row - 1, column) and `right` (row, column - 1), float32, at least 0; 0 where one of the pixels has no patch.
    """
    height, width = shape
    grid = np.asarray(latents).reshape(len(rows), len(columns), -1)
    known = np.asarray(present, bool).reshape(len(rows), len(columns))
    reach = _PatchDistances(grid)
    vertical, horizontal = _Axis(rows, size, height), _Axis(columns, size, width)
    down = _pair_distances(reach, known, vertical, horizontal, (1, 0))
    right = _pair_distances(reach, known, vertical, horizontal, (0, 1))
    return down, right


class _Axis:
    """One direction of the slice: which patches cover a pixel, `first[i] <= k < last[i]`, and their weight `weight[i, k]`.

    The window of Eq. 1 is a product over the two directions. Inside a patch the exponent stays above -8 (at its corners), so
    weights neither vanish nor need a common factor taken out.
    """

    def __init__(self, starts: Sequence[int], size: int, length: int):
        starts_array, pixels = np.asarray(starts), np.arange(length)
        self.first = np.searchsorted(starts_array, pixels - size, side="right")
        self.last = np.searchsorted(starts_array, pixels, side="right")
        offset = pixels[:, None] - starts_array[None, :]
        window = np.exp(-(((offset - (size - 1) / 2) / (size / 4)) ** 2))
        self.weight = np.where((offset >= 0) & (offset < size), window, 0.0)

    def pairs(self, step: int) -> list[tuple[int, np.ndarray, np.ndarray]]:
        """Pixels i with a neighbour i + step, grouped by how many patches cover the two: (count, pixels, first patch of each)."""
        pixels = np.arange(len(self.first) - step)
        first = self.first[pixels]
        count = self.last[pixels + step] - first
        return [(int(n), pixels[count == n], first[count == n]) for n in np.unique(count) if n > 0]


class _PatchDistances:
    """Squared distances between patches of the grid, computed for one offset at a time when it is first needed."""

    def __init__(self, grid: np.ndarray):
        self.grid = grid
        self.known: dict[tuple[int, int], np.ndarray] = {}

    def between(self, down: int, right: int) -> np.ndarray:
        """|z(i, j) - z(i + down, j + right)|^2 for down >= 0, at index (i, the smaller of the two columns)."""
        if (down, right) not in self.known:
            height, width = self.grid.shape[:2]
            values = np.empty((height - down, width - abs(right)))
            for i in range(len(values)):  # one row of patches at a time: the differences are as large as the latents
                near = self.grid[i, max(0, -right) : width - max(0, right)]
                far = self.grid[i + down, max(0, right) : width - max(0, -right)]
                values[i] = np.sum(np.square(far - near), axis=-1)  # numpy sums pairwise along the last axis: float32 suffices
            self.known[down, right] = values
        return self.known[down, right]


def _pair_distances(reach: _PatchDistances, known: np.ndarray, rows: _Axis, columns: _Axis, step: tuple[int, int]) -> np.ndarray:
    """The distances between every pixel p and q = p + step, (1, 0) or (0, 1), as `latent_distances` returns them."""
    result = np.zeros((len(rows.first) - step[0], len(columns.first) - step[1]), np.float32)
    for row_count, i, patch_i in rows.pairs(step[0]):
        for column_count, j, patch_j in columns.pairs(step[1]):
            slots = [(a, c) for a in range(row_count) for c in range(column_count)]
            total_p, total_q = np.zeros((2, len(i), len(j)))
            weights = []
            for a, c in slots:
                there = known[np.ix_(patch_i + a, patch_j + c)]
                p = np.outer(rows.weight[i, patch_i + a], columns.weight[j, patch_j + c]) * there
                q = np.outer(rows.weight[i + step[0], patch_i + a], columns.weight[j + step[1], patch_j + c]) * there
                total_p += p
                total_q += q
                weights.append((p, q))
            # where only one of the two has a patch, all changes have one sign: the sum is at most 0, and 0 after clipping
            scale_p, scale_q = (np.divide(1.0, total, out=np.zeros_like(total), where=total > 0) for total in (total_p, total_q))
            change = [p * scale_p - q * scale_q for p, q in weights]
            distance = np.zeros_like(total_p)
            for n, (a, c) in enumerate(slots):
                for m in range(n):
                    b, e = slots[m]
                    between = reach.between(a - b, c - e)[np.ix_(patch_i + b, patch_j + min(c, e))]
                    distance -= change[n] * change[m] * between
            result[np.ix_(i, j)] = np.maximum(distance, 0.0)
    return result
