"""ADINO-DPMM: normal features are clustered by a Dirichlet process mixture, and what is far from every cluster is abnormal."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import BayesianGaussianMixture
from torch.nn import functional

from InvDetectLib.common.progress import Progress
from InvDetectLib.computing.tensors import to_array, to_tensor
from InvDetectLib.methods.contract import Slices

from ..imagenet_rows import OnFeatures
from .contract import Effort
from .training import Kept

_REGULARISED = 1e-6  # added to the variances
_LEAST_WEIGHT = 1e-6  # of a component that counts


class DPMM:
    """Schulthess and Konukoglu 2025; see `contract.Peer`.

    As published: features of normal slices are brought to length 1 and fitted by a truncated Dirichlet process mixture of Gaussians with
    diagonal covariances; the score is the cosine distance to the nearest centre of a component that counts.
    Otherwise here: features of EfficientNet-Lite0 with ImageNet weights (152 channels on 32 x 32 positions), not of DINOv2, whose weights
    no package holds; the mixture is scikit-learn's, fitted to features drawn at random instead of over 40 epochs of all; positions
    without foreground are left out; the map is smoothed as PatchCore's. At most 500 components at full size, as published, and 250 at
    size small; 40,000 and 20,000 features, of 1,000 and 500 slices.
    """

    key, title = "adino-dpmm", "ADINO-DPMM"
    what = "cosine distance of ImageNet features to the nearest cluster of a Dirichlet process mixture"
    citation = "Schulthess, Konukoglu: Anomaly Detection by Clustering DINO Embeddings using a Dirichlet Process Mixture, MICCAI 2025"

    def __init__(self, effort: Effort, device: torch.device) -> None:
        self._on, self._device = OnFeatures(effort.slices, device), device
        self._components, self._samples = effort.slices // 2, 40 * effort.slices

    def settings(self) -> dict[str, Any]:
        return {"components": self._components, "samples": self._samples, "regularised": _REGULARISED, "least weight": _LEAST_WEIGHT}

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
        mixture = BayesianGaussianMixture(
            n_components=min(self._components, len(chosen)),
            covariance_type="diag",
            weight_concentration_prior_type="dirichlet_process",
            reg_covar=_REGULARISED,
            max_iter=200,
            random_state=seed,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the steps are bounded, and so is the time
            mixture.fit(chosen.astype(np.float64))
        return mixture.means_[mixture.weights_ > _LEAST_WEIGHT].astype(np.float32)
