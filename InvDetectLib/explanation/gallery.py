"""A small gallery of normal patches, which a model holds only where its maker allows images in it: choosing them, finding the nearest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from ..common import InvDetectError
from ..methods import Slices
from ..models import Model

MOST_PATCHES = 300
SIDE = 32  # pixels of the model's grid; the smaller side of smaller slices
_CANDIDATES = 6000  # drawn from all places, so that the choice takes seconds
_LEAST_FILLED = 0.5  # share of a patch that is foreground
_BLUR = 1.0  # pixels: what is alike but for noise and a pixel's shift is near
_CELL = 4  # pixels along a side that count as one where patches are told apart by kind


def choose_gallery(training: Sequence[Slices], seed: int) -> dict[str, np.ndarray]:
    """"patches" (n, side, side, channel) uint8, at most `MOST_PATCHES`: normal patches of as many kinds, each at least half foreground.

    training  slices of normal scans, values in [-1, 1], which become 0 to 255;  seed  of the draw of candidates and of the clustering
    Kinds are the clusters of k-means on blurred, coarse patches; each is shown by the patch nearest its centre. Raises `InvDetectError`
    where no patch is filled.
    """
    rng = np.random.default_rng(seed)
    side = min(SIDE, *(length for scan in training for length in scan.foreground.shape[1:]))
    filled = [_filled(scan.foreground, side) for scan in training]
    places = np.column_stack([np.repeat(np.arange(len(filled)), [len(found) for found in filled]), np.concatenate(filled)])
    if not len(places):
        raise InvDetectError("No patch of the normal scans is half foreground, so there is nothing for a gallery; leave it out.")
    drawn = places[np.sort(rng.permutation(len(places))[:_CANDIDATES])].tolist()
    found = np.stack([training[scan].square(k, i, j, side) for scan, k, i, j in drawn])
    return {"patches": _uint8(found[_one_of_each_kind(found, seed)])}


class Gallery:
    """The normal patches that a model holds.

    patches  (n, side, side, channel) float32 in [-1, 1]
    """

    def __init__(self, patches: np.ndarray) -> None:
        self.patches = patches.astype(np.float32) / 127.5 - 1
        self._blurred = _blurred(self.patches)

    @classmethod
    def of(cls, model: Model, wanted: bool = False) -> Gallery | None:
        """The gallery in a model; None where it has none. `InvDetectError` for one that is damaged, and for none that is `wanted`."""
        patches = model.part("gallery").get("patches")
        if patches is None and wanted:
            raise InvDetectError("The model holds no gallery of normal patches; leave it out, or train a model with a gallery.")
        if patches is None:
            return None
        if patches.ndim != 4 or patches.dtype != np.uint8 or not len(patches) or patches.shape[1] != patches.shape[2]:
            raise InvDetectError("The gallery in the model is damaged; get the file again.")
        return cls(patches)

    @property
    def side(self) -> int:
        """Of a patch, in pixels."""
        return int(self.patches.shape[1])

    def nearest(self, patch: np.ndarray, count: int = 3) -> np.ndarray:
        """The `count` patches most like this one, (count, side, side, channel) float32, the nearest first: by Euclidean distance, blurred.

        patch  (side, side, channel) float32 in [-1, 1]
        """
        apart = np.square(self._blurred - _blurred(patch[None])).sum(axis=(1, 2, 3))
        return np.asarray(self.patches[np.argsort(apart, kind="stable")[:count]])


def _filled(foreground: np.ndarray, side: int) -> np.ndarray:
    """(N, 3) int32: slice, first row and first column of all patches on a raster of half a patch that are filled enough."""
    half = max(1, side // 2)
    windows = np.lib.stride_tricks.sliding_window_view(foreground, (side, side), axis=(1, 2))[:, ::half, ::half]
    k, i, j = np.nonzero(windows.mean(axis=(3, 4)) >= _LEAST_FILLED)
    return np.column_stack([k, half * i, half * j]).astype(np.int32)


def _one_of_each_kind(patches: np.ndarray, seed: int) -> np.ndarray:
    """Indices of the patches nearest the centres of clusters, ascending; all where there are few."""
    if len(patches) <= MOST_PATCHES:
        return np.arange(len(patches))
    from sklearn.cluster import KMeans

    coarse = _blurred(patches)[:, _CELL // 2 :: _CELL, _CELL // 2 :: _CELL].reshape(len(patches), -1)
    kinds = KMeans(MOST_PATCHES, n_init=1, max_iter=30, random_state=seed).fit(coarse)
    apart = np.square(coarse - kinds.cluster_centers_[kinds.labels_]).sum(axis=1)
    order = np.lexsort((apart, kinds.labels_))  # by cluster, and then the nearest first
    return np.sort(order[np.unique(kinds.labels_[order], return_index=True)[1]])


def _blurred(patches: np.ndarray) -> np.ndarray:
    return np.asarray(ndimage.gaussian_filter(patches.astype(np.float32), (0, _BLUR, _BLUR, 0), mode="nearest"))


def _uint8(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.clip(np.rint(127.5 * (values + 1)), 0, 255).astype(np.uint8))
