"""ADINO-DPMM: normal features are clustered by a Dirichlet process mixture, and what is far from every cluster is abnormal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from InvDetectLib.common.progress import Progress
from InvDetectLib.computing.tensors import to_array, to_tensor
from InvDetectLib.methods.contract import Slices

from ..imagenet_rows import OnFeatures
from .contract import Effort
from .training import Kept

_REGULARISED = 1e-6  # added to the variances
_LEAST_WEIGHT = 1e-6  # of a component that counts
_ROUNDS = 60  # of expectation and maximisation
_CONCENTRATION = 2.0  # of the Dirichlet process, to begin with


class DPMM:
    """Schulthess and Konukoglu 2025; see `contract.Peer`.

    As published: features of normal slices are brought to length 1 and fitted by a truncated Dirichlet process mixture of Gaussians with
    diagonal covariances; the score is the cosine distance to the nearest centre of a component that counts.
    Otherwise here: features of EfficientNet-Lite0 with ImageNet weights (152 channels on 32 x 32 positions), not of DINOv2, whose weights
    no package holds; 60 rounds of expectation and maximisation over features drawn at random, instead of steps with averaged statistics
    over 40 epochs of all features; positions without foreground are left out; the map is smoothed as PatchCore's. At most 500 components
    at full size, as published, and 250 at size small; 40,000 and 20,000 features, of 1,000 and 500 slices.
    """

    key, title = "adino-dpmm", "ADINO-DPMM"
    what = "cosine distance of ImageNet features to the nearest cluster of a Dirichlet process mixture"
    citation = "Schulthess, Konukoglu: Anomaly Detection by Clustering DINO Embeddings using a Dirichlet Process Mixture, MICCAI 2025"

    def __init__(self, effort: Effort, device: torch.device) -> None:
        self._on, self._device = OnFeatures(effort.slices, device), device
        self._components, self._samples = effort.slices // 2, 40 * effort.slices

    def settings(self) -> dict[str, Any]:
        fitted = {"rounds": _ROUNDS, "regularised": _REGULARISED, "least weight": _LEAST_WEIGHT, "concentration": _CONCENTRATION}
        return {"components": self._components, "samples": self._samples} | fitted

    def fit(self, scans: Sequence[Slices], seed: int, kept: Kept, progress: Progress) -> dict[str, Any]:
        self._on.prepare()
        saved = kept.load()
        if saved is None:
            centres = self._learn(scans, seed, progress)
            kept.save({"centres": centres}, {})
        else:
            centres = saved[0]["centres"]
        self._centres = functional.normalize(to_tensor(centres, self._device), dim=1)
        return {"components": len(centres), "seconds": round(kept.seconds, 1)}

    def map(self, values: np.ndarray, foreground: np.ndarray) -> np.ndarray:
        features, inside = self._on.features(Slices(values[None], foreground[None]))
        with torch.inference_mode():
            rows = functional.normalize(features.permute(0, 2, 3, 1)[inside], dim=1)
            scores = torch.zeros(inside.shape, device=self._device)
            scores[inside] = 1 - (rows @ self._centres.T).amax(dim=1)
        return self._on.to_map(scores, (1, *foreground.shape))[0]

    def _learn(self, scans: Sequence[Slices], seed: int, progress: Progress) -> np.ndarray:
        """(components, channel) float32: centres of the components that count."""
        rng = np.random.default_rng(seed)
        found = []
        for features, inside in self._on.learn_from(scans):
            progress.check()
            found.append(to_array(functional.normalize(features.permute(0, 2, 3, 1)[inside], dim=1)))
        every = np.concatenate(found)
        chosen = every[np.sort(rng.permutation(len(every))[: self._samples])]
        return to_array(clusters(to_tensor(chosen, self._device), self._components, rng, progress)).astype(np.float32)


def clusters(rows: torch.Tensor, most: int, rng: np.random.Generator, progress: Progress) -> torch.Tensor:
    """(components, D) float64: centres of the components that count in a Dirichlet process mixture of the (N, D) rows.

    most  components that the process is cut off at;  rng  draws the rows where they begin
    Gaussians have diagonal covariances. Sticks are broken at the mode of their posterior, and the concentration follows them; a component
    that no row belongs to has no weight, and so is none.
    """
    rows = rows.double()
    begin = to_tensor(rng.permutation(len(rows))[:most], rows.device)
    means, variances = rows[begin], (rows.var(dim=0) + _REGULARISED).expand(len(begin), -1)
    weights = torch.full((len(begin),), 1 / len(begin), dtype=rows.dtype, device=rows.device)
    concentration, squares = _CONCENTRATION, rows.square()
    for _ in range(_ROUNDS):
        progress.check()
        shares = torch.softmax(_log_densities(rows, squares, means, variances) + weights.log(), dim=1)
        count = shares.sum(dim=0)
        known = count.clamp_min(torch.finfo(rows.dtype).tiny)[:, None]
        means = shares.T @ rows / known
        variances = (shares.T @ squares / known - means.square()).clamp_min(0) + _REGULARISED
        weights, concentration = _sticks(count, concentration)
    return means[weights > _LEAST_WEIGHT]


def _log_densities(rows: torch.Tensor, squares: torch.Tensor, means: torch.Tensor, variances: torch.Tensor) -> torch.Tensor:
    """(N, components): of each row under each Gaussian."""
    exact = 1 / variances
    distances = squares @ exact.T - 2 * rows @ (means * exact).T + (means.square() * exact).sum(dim=1)
    return -0.5 * (distances + variances.log().sum(dim=1) + rows.shape[1] * math.log(2 * math.pi))


def _sticks(count: torch.Tensor, concentration: float) -> tuple[torch.Tensor, float]:
    """Weights of components that so many rows belong to, and the concentration that their sticks speak for."""
    later = (count.flip(0).cumsum(0).flip(0) - count).clamp_min(0)
    broken = count / (count + later + concentration - 1).clamp_min(torch.finfo(count.dtype).tiny)
    left = torch.cat([torch.ones_like(broken[:1]), (1 - broken).cumprod(0)[:-1]])
    if len(count) > 1:
        used = torch.digamma(count + later + concentration + 1) - torch.digamma(later + concentration)
        concentration = max(1.0, (len(count) - 1) / float(used[:-1].sum()))
    return broken * left, concentration
