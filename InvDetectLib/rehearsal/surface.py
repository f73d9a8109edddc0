"""From lesions found and missed to a detection surface: logistic regression, penalised so that it is finite where all are found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..models import Surface
from .lesions import Lesion

_STEPS, _LONGEST, _ENOUGH = 100, 5.0, 1e-8


def fit(lesions: Sequence[Lesion], found: Sequence[bool], spreads: Sequence[float]) -> Surface:
    """The surface of lesions of one kind, at least two of them.

    found, spreads  of each: whether it was found, and its contrast in standard deviations of the tissue around
    Coefficients and their covariance are those of log2 size and log2 contrast, by Firth's penalised likelihood (D. Firth, Biometrika 80,
    1993); intervals of the probability follow from them on the scale of the logit. Lesions of one scan count as independent: with few scans
    that differ, intervals are too narrow (figures: Testing/benchmarks/README.md).
    """
    sizes, contrasts = (np.array([getattr(lesion, name) for lesion in lesions]) for name in ("size", "contrast"))
    design = np.stack([np.ones(len(lesions)), np.log2(sizes), np.log2(contrasts)], axis=1)
    middle = np.array([0.0, *design[:, 1:].mean(axis=0)])
    coefficients, covariance = firth(design - middle, np.array(found, float))
    back = np.eye(3)
    back[0] -= middle  # from the middle of what was tried to a size and a contrast of 1
    b0, b1, b2 = (float(value) for value in back @ coefficients)
    matrix = [[float(value) for value in row] for row in back @ covariance @ back.T]
    return Surface(
        kind=lesions[0].kind,
        tried=len(lesions),
        found=int(np.count_nonzero(found)),
        sizes=(float(sizes.min()), float(sizes.max())),
        contrasts=(float(contrasts.min()), float(contrasts.max())),
        spread=float(np.median(np.array(spreads) / contrasts)),
        coefficients=(b0, b1, b2),
        covariance=tuple((row[0], row[1], row[2]) for row in matrix),
    )


def firth(design: np.ndarray, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(coefficients, covariance) of a logistic regression of `found` (n,) 0 or 1 on `design` (n, k), penalised by Firth."""
    coefficients = np.zeros(design.shape[1])
    for _ in range(_STEPS):
        inverse, weighted, share = _information(design, coefficients)
        leverage = np.einsum("ij,jk,ik->i", weighted, inverse, weighted)
        step = inverse @ (design.T @ (found - share + leverage * (0.5 - share)))
        step *= min(1.0, _LONGEST / max(float(np.abs(step).max()), 1e-12))
        coefficients = coefficients + step
        if np.abs(step).max() < _ENOUGH:
            break
    return coefficients, _information(design, coefficients)[0]


def _information(design: np.ndarray, coefficients: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inverse of Fisher's information, the design times the root of its weights, and the probabilities."""
    share = 1 / (1 + np.exp(-np.clip(design @ coefficients, -30, 30)))
    weighted = design * np.sqrt(share * (1 - share))[:, None]
    return np.linalg.pinv(weighted.T @ weighted, hermitian=True), weighted, share
