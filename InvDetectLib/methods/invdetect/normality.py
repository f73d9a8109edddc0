"""One-class models: a boundary around normal features, and how far outside it something lies.

One small interface for every estimator: `score(features) -> (N,)`, **0 on the boundary, above 0 outside (abnormal), below 0
inside**, the paper's sign (scikit-learn's decision function is minus that); `arrays()` and `from_arrays` for the model file.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch

from ...common import InvDetectError
from ...computing import to_array, to_tensor, unfit, unfitting
from ...models import Normality

_BLOCK = 2048  # rows scored at once: bounds the kernel matrix at a few tens of MB
_KNOTS, _LAST = 31, 8  # points of each tail, and how many of the outermost say how it goes on
_OUTERMOST = 10  # normals beyond the last point: fewer say little about a tail
_TINY = 1e-6


class NormalityModel(Protocol):
    """What every estimator offers."""

    def score(self, features: torch.Tensor) -> torch.Tensor:
        """(N, D) float32 -> (N,) float32 on the same device; above 0 outside the boundary."""
        ...

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything needed to score, for the model file."""
        ...


class OneClassSVM:
    """Schoelkopf's one-class SVM with an RBF kernel.

    score(z) = rho - sum_i alpha_i exp(-gamma |z - v_i|^2), in libsvm's units: sum(alpha) = nu * n, so they grow with the number
    of samples fitted. gamma = 1 / (D * variance of all entries of the training features).

    vectors  (M, D) float32 support vectors;  alpha  (M,) float64;  rho, gamma  floats
    """

    def __init__(self, vectors: np.ndarray, alpha: np.ndarray, rho: float, gamma: float) -> None:
        self.vectors, self.alpha, self.rho, self.gamma = vectors, alpha, rho, gamma
        self._on: dict[torch.device, tuple[torch.Tensor, ...]] = {}

    @classmethod
    def fit(cls, features: np.ndarray, nu: float) -> OneClassSVM:
        """Fit (N, D) normal features with scikit-learn; `nu` is the share left outside. Not interruptible."""
        from sklearn.svm import OneClassSVM as Estimator

        variance = float(features.astype(np.float64).var())
        if not variance > 0:
            raise InvDetectError("All normal features are equal, so nothing can be learned from them; give more varied normal scans.")
        estimator = Estimator(kernel="rbf", nu=nu, gamma=1.0 / (features.shape[1] * variance), cache_size=1000)
        estimator.fit(features)
        return cls(
            estimator.support_vectors_.astype(np.float32),
            estimator.dual_coef_[0].astype(np.float64),
            float(estimator.offset_[0]),
            1.0 / (features.shape[1] * variance),
        )

    def score(self, features: torch.Tensor) -> torch.Tensor:
        """(N, D) float32 -> (N,) float32: rho minus the kernel sum, as one matrix product a block.

        Distances are taken around the support vectors' mean, where float32 loses least to cancellation.
        """
        vectors, alpha, centre, squares = self._tensors(features.device)
        scores = []
        for block in features.split(_BLOCK):
            centred = block - centre
            distance = torch.addmm(squares, centred, vectors.T, alpha=-2.0).add_(centred.square().sum(dim=1, keepdim=True))
            scores.append(self.rho - (distance.clamp_min_(0).mul_(-self.gamma).exp_() @ alpha))
        return torch.cat(scores) if scores else features.new_zeros(0)

    def _tensors(self, device: torch.device) -> tuple[torch.Tensor, ...]:
        if device not in self._on:
            centre = self.vectors.mean(axis=0, dtype=np.float64)
            centred = (self.vectors - centre).astype(np.float32)
            squares = np.square(centred, dtype=np.float64).sum(axis=1).astype(np.float32)
            parts = (centred, self.alpha.astype(np.float32), centre.astype(np.float32), squares[None])
            self._on[device] = tuple(to_tensor(part, device) for part in parts)
        return self._on[device]

    def arrays(self) -> dict[str, np.ndarray]:
        """vectors, alpha, and rho and gamma as 1-element float64 arrays."""
        return {"vectors": self.vectors, "alpha": self.alpha, "rho": np.array([self.rho]), "gamma": np.array([self.gamma])}

    @classmethod
    def shapes(cls, arrays: dict[str, np.ndarray], count: int) -> dict[str, tuple[int, ...]]:
        """What `arrays` must be, for features of `count` numbers."""
        vectors = _length(arrays, "alpha")
        return {"vectors": (vectors, count), "alpha": (vectors,), "rho": (1,), "gamma": (1,)}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> OneClassSVM:
        """The inverse of `arrays`."""
        return cls(arrays["vectors"], arrays["alpha"], float(arrays["rho"][0]), float(arrays["gamma"][0]))


class Gaussian:
    """A parametric Gaussian: score = Mahalanobis distance from the mean, minus the distance that leaves `nu` of normals outside.

    mean       (D,) float64
    whitening  (D, D) float64: distances are |(z - mean) @ whitening|
    radius     the boundary
    """

    def __init__(self, mean: np.ndarray, whitening: np.ndarray, radius: float) -> None:
        self.mean, self.whitening, self.radius = mean, whitening, radius

    @classmethod
    def fit(cls, features: np.ndarray, nu: float) -> Gaussian:
        """Fit (N, D) normal features; the covariance is shrunk after Ledoit and Wolf, so that N may be smaller than D."""
        from sklearn.covariance import LedoitWolf

        estimator = LedoitWolf().fit(features.astype(np.float64))
        values, axes = np.linalg.eigh(estimator.covariance_)
        if not values[-1] > 0:
            raise InvDetectError("All normal features are equal, so nothing can be learned from them; give more varied normal scans.")
        whitening = axes / np.sqrt(np.maximum(values, 1e-9 * values[-1]))
        distance = np.linalg.norm((features - estimator.location_) @ whitening, axis=1)
        return cls(estimator.location_, whitening, float(np.quantile(distance, 1 - nu)))

    def score(self, features: torch.Tensor) -> torch.Tensor:
        """(N, D) float32 -> (N,) float32."""
        centred = features - to_tensor(self.mean.astype(np.float32), features.device)
        return (centred @ to_tensor(self.whitening.astype(np.float32), features.device)).norm(dim=1) - self.radius

    def arrays(self) -> dict[str, np.ndarray]:
        """mean, whitening, and radius as a 1-element float64 array."""
        return {"mean": self.mean, "whitening": self.whitening, "radius": np.array([self.radius])}

    @classmethod
    def shapes(cls, arrays: dict[str, np.ndarray], count: int) -> dict[str, tuple[int, ...]]:
        """What `arrays` must be, for features of `count` numbers."""
        return {"mean": (count,), "whitening": (count, count), "radius": (1,)}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> Gaussian:
        """The inverse of `arrays`."""
        return cls(arrays["mean"], arrays["whitening"], float(arrays["radius"][0]))


class Tails:
    """Empirical tails: score = sum over the features of -log of the share of normals at least as far out on that side (Li et al. 2022,
    ECOD), minus the value that leaves `nu` of the normals outside.

    Each side of each feature has its own tail, so that what is often dark and never bright is only odd when it is bright. Beyond the
    normals the tail goes on as it ended, exponentially.

    knots   (2, D, K) float64: below and above the median, distances from it at which the tail has the shares `shares`, increasing
    shares  (K,) float64 from 0.5 downwards
    radius  the boundary
    """

    def __init__(self, knots: np.ndarray, shares: np.ndarray, radius: float) -> None:
        self.knots, self.shares, self.radius = knots, shares, radius

    @classmethod
    def fit(cls, features: np.ndarray, nu: float) -> Tails:
        """Fit (N, D) normal features."""
        values = features.astype(np.float64)
        shares = np.geomspace(0.5, min(0.25, _OUTERMOST / len(values)), _KNOTS)
        knots = np.stack([-np.quantile(values, shares, axis=0), np.quantile(values, 1 - shares, axis=0)]).transpose(0, 2, 1)
        if not (np.ptp(knots, axis=2) > 0).any():
            raise InvDetectError("All normal features are equal, so nothing can be learned from them; give more varied normal scans.")
        fitted = cls(knots, shares, 0.0)
        fitted.radius = float(np.quantile(to_array(fitted.score(to_tensor(features.astype(np.float32)))), 1 - nu))
        return fitted

    def score(self, features: torch.Tensor) -> torch.Tensor:
        """(N, D) float32 -> (N,) float32."""
        total = features.new_full((len(features),), -self.radius)
        heights = -np.log(2 * self.shares)
        for feature, (below, above) in enumerate(zip(*self.knots)):
            column = features[:, feature]
            total += torch.maximum(_tail(-column, below, heights), _tail(column, above, heights))
        return total

    def arrays(self) -> dict[str, np.ndarray]:
        """knots, shares, and radius as a 1-element float64 array."""
        return {"knots": self.knots, "shares": self.shares, "radius": np.array([self.radius])}

    @classmethod
    def shapes(cls, arrays: dict[str, np.ndarray], count: int) -> dict[str, tuple[int, ...]]:
        """What `arrays` must be, for features of `count` numbers."""
        knots = max(_length(arrays, "shares"), _LAST)
        return {"knots": (2, count, knots), "shares": (knots,), "radius": (1,)}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> Tails:
        """The inverse of `arrays`."""
        return cls(arrays["knots"], arrays["shares"], float(arrays["radius"][0]))


def _tail(values: torch.Tensor, knots: np.ndarray, heights: np.ndarray) -> torch.Tensor:
    """Piecewise linear through (knots, heights), 0 before the first; after the last it goes on with the slope of the last few knots."""
    # equal knots (clipped values) would be steps of no width
    spread = np.maximum.accumulate(knots + np.arange(len(knots)) * _TINY * max(np.ptp(knots), 1e-6))
    last = (heights[-1] - heights[-_LAST]) / (spread[-1] - spread[-_LAST])
    slopes = np.append(np.diff(heights) / np.diff(spread), last)
    x, y, slope = (to_tensor(part.astype(np.float32), values.device) for part in (spread, heights, slopes))
    place = (torch.searchsorted(x, values.contiguous(), right=True) - 1).clamp_min(0)
    return (y[place] + slope[place] * (values - x[place])).clamp_min(0)


_ESTIMATORS: dict[str, type[OneClassSVM] | type[Gaussian] | type[Tails]] = {"svm": OneClassSVM, "gaussian": Gaussian, "tails": Tails}


def fit_normality(features: torch.Tensor, settings: Normality, rng: np.random.Generator) -> NormalityModel:
    """Fit the estimator that `settings` name to (N, D) normal features.

    More than `settings.max_samples` of them are subsampled without replacement by `rng` (1,000 of 6,000 already ranked patches
    with a correlation of 0.998 to all of them).
    """
    values = to_array(features)
    if len(values) > settings.max_samples:
        values = values[np.sort(rng.choice(len(values), settings.max_samples, replace=False))]
    if len(values) < 10:
        raise InvDetectError(f"Only {len(values)} normal samples were found, too few to learn from; give more normal scans.")
    return _estimator(settings.estimator).fit(values, settings.nu)


def normality_from_arrays(arrays: dict[str, np.ndarray], settings: Normality, count: int) -> NormalityModel:
    """The estimator that `fit_normality` made of features of `count` numbers, from its `arrays()`; `InvDetectError` for others."""
    estimator = _estimator(settings.estimator)
    if misfit := unfit(arrays, estimator.shapes(arrays, count)):
        raise unfitting(f"normality/{misfit}")
    return estimator.from_arrays(arrays)


def _length(arrays: dict[str, np.ndarray], name: str) -> int:
    """Of a list among the arrays; at least 1."""
    return max(1, arrays[name].size) if name in arrays else 1


def _estimator(name: str) -> type[OneClassSVM] | type[Gaussian] | type[Tails]:
    if name not in _ESTIMATORS:
        raise InvDetectError(f"There is no one-class model {name!r}; use one of {', '.join(_ESTIMATORS)}.")
    return _ESTIMATORS[name]
