"""InvDetect without its network: the same windows, statistics and one-class model, of the slices themselves instead of their latents.

Whatever `standard` finds beyond this row, the diffusion model and the contiguity refinement have found.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from InvDetectLib.computing.tensors import to_array, to_tensor
from InvDetectLib.methods.contract import Slices
from InvDetectLib.methods.invdetect.features import FeatureReader
from InvDetectLib.methods.invdetect.normality import fit_normality
from InvDetectLib.methods.invdetect.patches import PatchGrid, aggregate, cut, holds_foreground
from InvDetectLib.models.settings import InvDetectSettings

_BLOCK = 256  # patches read at once
_A_SCAN = 4  # times as many windows as are fitted are collected, so that the draw is over all scans


class RawWindows:
    """A baseline (see `baselines.Baseline`); `method` is the setting's `standard`."""

    def __init__(self, method: InvDetectSettings) -> None:
        self._method = method
        self._reader = FeatureReader(dataclasses.replace(method.features, image=False), method.patches.size)

    def settings(self) -> dict[str, Any]:
        return {"raw": [dataclasses.asdict(part) for part in (self._method.patches, self._method.features, self._method.normality)]}

    def fit(self, scans: Sequence[Slices]) -> None:
        rng = np.random.default_rng(0)
        most = -(-_A_SCAN * self._method.normality.max_samples // len(scans))
        drawn = []
        for scan in scans:
            features, *_ = self._windows(scan)
            drawn.append(features[to_tensor(rng.permutation(len(features))[:most])])
        samples = torch.cat(drawn)
        self._mean, self._spread = samples.mean(dim=0), samples.std(dim=0).clamp_min(1e-6)
        self._normality = fit_normality((samples - self._mean) / self._spread, self._method.normality, rng)

    def map(self, scan: Slices) -> np.ndarray:
        features, places, weights = self._windows(scan)
        scores = self._normality.score((features - self._mean) / self._spread)
        averaged, reached = aggregate(scores[:, None], weights, to_tensor(places), self._reader.window, scan.foreground.shape)
        return np.where(to_array(reached), to_array(averaged)[..., 0], float(scores.min()))

    def _windows(self, scan: Slices) -> tuple[torch.Tensor, np.ndarray, torch.Tensor]:
        """Features (N, D), places (N, 3) and weights (N,) of the windows with foreground, by the rules of the method."""
        least, size = self._method.patches.min_foreground, self._method.patches.size
        patches = PatchGrid.over(scan.values.shape[1:3], self._method.patches).places(scan.foreground, least)
        values = to_tensor(scan.values)
        blocks = [patches[first : first + _BLOCK] for first in range(0, len(patches), _BLOCK)]
        features = torch.cat([self._reader.read(patch, patch) for patch in (cut(values, block, size) for block in blocks)]).flatten(0, 1)
        offsets = np.column_stack([np.zeros(len(self._reader.places), np.int64), self._reader.places])
        places = (patches[:, None] + offsets[None]).reshape(-1, 3)
        usable = holds_foreground(scan.foreground, places, self._reader.window, self._method.window_foreground)
        weights = to_tensor(np.tile(self._reader.weights, len(patches))[usable])
        return features[to_tensor(np.flatnonzero(usable))], places[usable], weights
