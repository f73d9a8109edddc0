"""Scores of patches: their noise latents, read in windows, a one-class model over what was read, and the map that Eq. 1 makes of it."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch

from ...common import Progress
from ...computing import Placed, to_array, to_tensor, unfit, unfitting
from ...models import InvDetectSettings
from ...refinement import latent_distances
from ..contract import SliceMap, Slices
from .features import FeatureReader
from .inverter import Inverter
from .noise_training import PatchPool, framed
from .normality import NormalityModel, fit_normality, normality_from_arrays
from .patches import PatchGrid, aggregate, cut, frame, holds_foreground

_WINDOWS_A_PATCH = 8  # windows of one patch overlap and resemble each other; more of them add little to the one-class model


class LatentScores:
    """The one-class model of the method, on the device of its `host`; scores are above 0 outside of the boundary."""

    def __init__(self, settings: InvDetectSettings, host: Placed) -> None:
        self._settings, self._host = settings, host
        self._reader = FeatureReader(settings.features, settings.patches.size)
        self._inverter: Inverter | None = None
        self._normality: NormalityModel | None = None
        self._mean = self._scale = torch.zeros(0)

    @property
    def rebuilds_images(self) -> bool:
        """A one-class model that stores whole latents stores training patches: inversion can be run backwards."""
        return self._settings.features.kind == "latent" and self._settings.normality.estimator == "svm"

    def use(self, inverter: Inverter) -> None:
        """Invert with this network, on the device where the host computes."""
        self._inverter = inverter
        self._mean, self._scale = self._mean.to(self._host.device), self._scale.to(self._host.device)

    def fit(self, pool: PatchPool, seed: int, progress: Progress) -> dict[str, Any]:
        """Invert a draw of normal patches, and fit the one-class model to their features; returns facts for the card."""
        rng = np.random.default_rng([seed, 1])
        features = self._normal_features(pool, rng, progress)
        self._standardise(features)
        progress.report("fitting the one-class model")
        self._normality = fit_normality((features - self._mean) / self._scale, self._settings.normality, rng)
        return {"patches": len(pool), "samples": min(len(features), self._settings.normality.max_samples)}

    def score(self, slices: Slices, progress: Progress) -> list[SliceMap]:
        """Maps of a few slices, whose patches share batches; their numbers count from 0."""
        shape = slices.foreground.shape[1:]
        before = [frame(length, self._settings.patches.size)[0] for length in shape]
        slices = framed(slices, self._settings.patches.size)
        foreground = slices.foreground
        grid = PatchGrid.over(foreground.shape[1:], self._settings.patches)
        places = grid.places(foreground, self._settings.patches.min_foreground)
        usable = self._usable_windows(foreground, places)
        if not usable.any():
            return [_empty(number, shape) for number in range(len(foreground))]
        batch, device = self._host.batch, self._host.device
        values = to_tensor(slices.values, device)
        batches = [places[first : first + batch] for first in range(0, len(places), batch)]
        found = torch.cat([self._features(cut(values, some, grid.size), progress) for some in batches]).flatten(0, 1)
        features = (found[to_tensor(np.flatnonzero(usable), device)] - self._mean) / self._scale
        columns = self._fitted().score(features)[:, None]
        whole = self._settings.features.kind == "latent"
        if not whole:  # small features are averaged along; whole latents would need an (H, W, D) array
            columns = torch.cat([columns, features], dim=1)
        weights = to_tensor(np.tile(self._reader.weights, len(places))[usable], device)
        windows = to_tensor(self._window_places(places)[usable], device)
        averaged, reached = aggregate(columns, weights, windows, self._reader.window, foreground.shape)
        place = tuple(slice(start, start + length) for start, length in zip(before, shape))
        averaged, reached = (part[(slice(None), *place)] for part in (averaged, reached))
        maps, scored = to_array(averaged[..., 0]), to_array(reached) & foreground[(slice(None), *place)]
        together = []
        for number in range(len(maps)):
            mine = places[:, 0] == number
            distances = partial(_distances, averaged[number, ..., 1:])
            if whole:
                latents, within = features[to_tensor(mine, device)], (foreground.shape[1:], place)
                distances = partial(_latent_distances, latents, places[mine, 1:], grid, *within)
            together.append(SliceMap(number, maps[number], scored[number], distances))
        return together

    def arrays(self) -> dict[str, np.ndarray]:
        """The one-class model, and mean and scale of the features."""
        arrays = {f"normality/{name}": value for name, value in self._fitted().arrays().items()}
        return arrays | {"features/mean": to_array(self._mean), "features/scale": to_array(self._scale)}

    def load_arrays(self, arrays: dict[str, np.ndarray], channels: int, evaluations: int) -> None:
        """The inverse of `arrays`, for slices of so many channels and inversions of so many passes; `InvDetectError` for others."""
        prefix, count = "normality/", self._reader.dimension(channels, evaluations)
        if misfit := unfit(arrays, {"features/mean": (count,), "features/scale": (count,)}):
            raise unfitting(misfit)
        if not (arrays["features/scale"] > 0).all():
            raise unfitting("features/scale is not above 0")
        fitted = {name[len(prefix) :]: value for name, value in arrays.items() if name.startswith(prefix)}
        self._normality = normality_from_arrays(fitted, self._settings.normality, count)
        self._mean, self._scale = (to_tensor(arrays[f"features/{name}"], self._host.device) for name in ("mean", "scale"))

    def _fitted(self) -> NormalityModel:
        if self._normality is None:
            raise RuntimeError("the one-class model was neither fitted nor loaded")
        return self._normality

    def _features(self, patches: torch.Tensor, progress: Progress) -> torch.Tensor:
        """Raw features of patches, (N, C, b, b) -> (N, K, D)."""
        assert self._inverter is not None
        self._reader.start()
        return self._reader.read(self._inverter(patches, self._reader.on_noise, progress.check), patches)

    def _normal_features(self, pool: PatchPool, rng: np.random.Generator, progress: Progress) -> torch.Tensor:
        """(N, D) features of windows with foreground, from a random draw of training patches."""
        a_patch = min(len(self._reader.places), _WINDOWS_A_PATCH)
        wanted = -(-self._settings.normality.max_samples // a_patch)
        numbers = np.sort(rng.permutation(len(pool))[:wanted])
        rows = []
        start = 0

        def features_of(chosen: np.ndarray) -> torch.Tensor:
            return self._features(pool.take(chosen).to(self._host.device), progress).to("cpu")

        while start < len(numbers):
            chosen = numbers[start : start + self._host.batch]
            features = self._host.attempt(partial(features_of, chosen), self._host.batch, progress)
            if features is None:
                continue
            usable = np.stack([self._usable_windows(pool.foreground(n), np.array([[0, *pool.places[n, 2:]]])) for n in chosen])
            for patch, mask in zip(features, usable):
                windows = rng.permutation(np.flatnonzero(mask))[:a_patch]
                rows.append(patch[to_tensor(windows)])
            start += len(chosen)
            progress.report("inverting normal patches", start, len(numbers))
        return torch.cat(rows).to(self._host.device)

    def _standardise(self, features: torch.Tensor) -> None:
        """Latents stay as they are (the paper); statistics get the same weight whatever their spread."""
        self._mean, self._scale = features.new_zeros(features.shape[1]), features.new_ones(features.shape[1])
        if self._settings.features.kind != "latent":
            self._mean, self._scale = features.mean(dim=0), features.std(dim=0).clamp_min(1e-6)

    def _window_places(self, places: np.ndarray) -> np.ndarray:
        """(N, 3) patches -> (N * K, 3) windows: slice, first row, first column."""
        offsets = np.column_stack([np.zeros(len(self._reader.places), dtype=np.int64), self._reader.places])
        return (places[:, None] + offsets[None]).reshape(-1, 3)

    def _usable_windows(self, foreground: np.ndarray, places: np.ndarray) -> np.ndarray:
        """(N * K,) bool: windows with enough foreground."""
        return holds_foreground(foreground, self._window_places(places), self._reader.window, self._settings.window_foreground)


def _empty(number: int, shape: tuple[int, ...]) -> SliceMap:
    """A slice without anything to score."""
    rows, columns = shape
    nothing = np.zeros((rows - 1, columns), np.float32), np.zeros((rows, columns - 1), np.float32)
    return SliceMap(number, np.zeros((rows, columns), np.float32), np.zeros((rows, columns), bool), lambda: nothing)


def _distances(features: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Distances of Eq. 4 between averaged features (row, column, D), computed where they lie."""
    down, right = (to_array(features.diff(dim=axis).square().sum(dim=2)) for axis in (0, 1))
    return down, right


def _latent_distances(
    latents: torch.Tensor, corners: np.ndarray, grid: PatchGrid, shape: tuple[int, ...], place: tuple[slice, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Distances of Eq. 4 for the whole latents (N, D) of the patches at `corners` (N, 2) of a slice of this shape, cut out at `place`.

    Patches that were not inverted have no weight.
    """
    order = {tuple(corner): number for number, corner in enumerate(grid.corners.tolist())}
    numbers = [order[row, column] for row, column in corners.tolist()]
    every = np.zeros((len(order), latents.shape[1]), dtype=np.float32)
    present = np.zeros(len(order), dtype=bool)
    every[numbers], present[numbers] = to_array(latents), True
    down, right = latent_distances(every, present, grid.rows, grid.columns, grid.size, (shape[0], shape[1]))
    rows, columns = place
    return down[rows.start : rows.stop - 1, columns], right[rows, columns.start : columns.stop - 1]
