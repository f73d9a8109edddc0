"""Baselines on raw patches: reconstruction from principal components, and the distance to the nearest normal patch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sklearn.decomposition import PCA

from InvDetectLib.computing.tensors import to_array, to_tensor
from InvDetectLib.methods.contract import Slices

from .windows import WINDOW, Windows, sample

_VARIANCE = 0.9  # share of the normal patches' variance that the components keep


class Reconstruction:
    """PCA: mean square of what the components of normal patches cannot say of a patch (a linear autoencoder)."""

    def __init__(self, samples: int) -> None:
        self._samples = samples

    def settings(self) -> dict[str, Any]:
        return {"pca": _VARIANCE, "samples": self._samples, "window": WINDOW}

    def fit(self, scans: Sequence[Slices]) -> None:
        self.learn(sample(scans, self._samples, np.random.default_rng(0)))

    def learn(self, patches: np.ndarray) -> None:
        """From (N, D) patches."""
        model = PCA(n_components=_VARIANCE, svd_solver="full").fit(patches)
        self._mean, self._axes = to_tensor(model.mean_.astype(np.float32)), to_tensor(model.components_.astype(np.float32))

    def score(self, patches: torch.Tensor) -> np.ndarray:
        """(N, ...) patches -> (N,) mean squared error."""
        centred = patches.flatten(1) - self._mean
        return to_array((centred - centred @ self._axes.T @ self._axes).square().mean(dim=1))

    def map(self, scan: Slices) -> np.ndarray:
        return Windows(scan.foreground).spread(self.score, to_tensor(scan.values))


class NearestPatch:
    """Euclidean distance to the nearest of many normal patches (k = 1)."""

    def __init__(self, samples: int) -> None:
        self._samples = samples

    def settings(self) -> dict[str, Any]:
        return {"nearest": 1, "samples": self._samples, "window": WINDOW}

    def fit(self, scans: Sequence[Slices]) -> None:
        self.learn(sample(scans, self._samples, np.random.default_rng(0)))

    def learn(self, patches: np.ndarray) -> None:
        """From (N, D) patches."""
        self._known = to_tensor(patches.astype(np.float32))

    def score(self, patches: torch.Tensor) -> np.ndarray:
        """(N, ...) patches -> (N,) distance."""
        return to_array(nearest(patches.flatten(1), self._known))

    def map(self, scan: Slices) -> np.ndarray:
        return Windows(scan.foreground).spread(self.score, to_tensor(scan.values))


def nearest(points: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """(N,) Euclidean distance of (N, D) points to the nearest of (M, D) known ones; 0 exactly for a known point."""
    found = torch.cdist(points, known).argmin(dim=1)  # by a matrix product, which leaves rounding in small distances
    return (points - known[found]).norm(dim=1)
