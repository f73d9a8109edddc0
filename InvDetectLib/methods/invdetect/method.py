"""The method `invdetect`: patches, their noise latents, a one-class model over them, scores put together again."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from ...common import InvDetectError, Progress
from ...computing import Checkpoint, Placed, affordable, is_shortage, to_array, to_tensor
from ...models import InvDetectSettings
from ...refinement import latent_distances
from ..contract import SliceMap, Slices
from .features import FeatureReader
from .inverter import Inverter
from .noise_training import NoiseTrainer, PatchPool
from .normality import NormalityModel, fit_normality, normality_from_arrays
from .patches import PatchGrid, aggregate, cut, holds_foreground
from .schedule import inversion_path
from .unet import UNet

_BATCH = {"cpu": 64}  # patches inverted at once; elsewhere more, since an accelerator idles on few
_BATCH_ELSEWHERE = 1024
_MAPS_ALIVE = 16  # of the first stage's size, in one pass of the network
_WINDOWS_A_PATCH = 8  # windows of one patch overlap and resemble each other; more of them add little to the one-class model


class InvDetect(Placed):
    """A `Method` (see `methods.contract`): scores are the one-class model's, above 0 outside the boundary."""

    _least = 8

    def __init__(self, settings: InvDetectSettings, channels: int, device: torch.device) -> None:
        self._settings, self._channels = settings, channels
        super().__init__(device)
        self._path = inversion_path(settings.inversion, settings.network.timesteps)
        self._reader = FeatureReader(settings.features, settings.patches.size)
        self._network: UNet | None = None
        self._inverter: Inverter | None = None
        self._normality: NormalityModel | None = None
        self._mean = self._scale = torch.zeros(0)

    @property
    def patch_size(self) -> int:
        """Side of a patch in pixels."""
        return self._settings.patches.size

    @property
    def rebuilds_images(self) -> bool:
        """A one-class model that stores whole latents stores training patches: inversion can be run backwards."""
        return self._settings.features.kind == "latent" and self._settings.normality.estimator == "svm"

    def fit(
        self, training: Sequence[Slices], validation: Sequence[Slices], seed: int, checkpoint: Checkpoint, progress: Progress
    ) -> dict[str, Any]:
        """Train the noise predictor, invert a draw of normal patches, fit the one-class model to their features."""
        return self._or_on_the_cpu(lambda: self._fit(training, validation, seed, checkpoint, progress), progress)

    def _fit(
        self, training: Sequence[Slices], validation: Sequence[Slices], seed: int, checkpoint: Checkpoint, progress: Progress
    ) -> dict[str, Any]:
        pool, held_out = (PatchPool(scans, self._settings.patches, self._device) for scans in (training, validation))
        if not len(pool) or not len(held_out):
            raise InvDetectError("The normal scans hold no patch with enough foreground; check the foreground rule and the grid.")
        trainer = NoiseTrainer(self._settings, self._channels, seed, self._device)
        facts = trainer.train(pool, held_out, checkpoint, progress)
        self._use(trainer.network)
        return {**facts, **self._fit_normality(pool, training, seed, progress)}

    def refit(self, arrays: dict[str, np.ndarray], training: Sequence[Slices], seed: int, progress: Progress) -> dict[str, Any]:
        """`fit` with the network in the `arrays()` of another method instead of training one: only what follows it is learned anew.

        The other method may differ in inversion, features and one-class model; `InvDetectError` when its network has another shape.
        """
        self._load_network(arrays)
        return self._fit_normality(PatchPool(training, self._settings.patches, self._device), training, seed, progress)

    def _fit_normality(self, pool: PatchPool, training: Sequence[Slices], seed: int, progress: Progress) -> dict[str, Any]:
        rng = np.random.default_rng([seed, 1])
        features = self._normal_features(pool, training, rng, progress)
        self._standardise(features)
        progress.report("fitting the one-class model")
        self._normality = fit_normality((features - self._mean) / self._scale, self._settings.normality, rng)
        return {"patches": len(pool), "samples": min(len(features), self._settings.normality.max_samples)}

    def map_and_edges(self, slices: Slices, progress: Progress) -> Iterator[SliceMap]:
        """Score slices in order; patches of neighbouring slices share batches, and only a few slices are in work at a time."""
        foreground = slices.foreground
        grid = PatchGrid.over(slices.values.shape[1:3], self._settings.patches)
        every = grid.places(foreground, self._settings.patches.min_foreground)
        first, count = 0, 1  # few slices at first, so that somebody who watches soon sees one
        while first < len(foreground):
            count = min(count, max(1, self.batch // len(grid.corners)))
            last = min(first + count, len(foreground))
            places = every[(every[:, 0] >= first) & (every[:, 0] < last)] - [first, 0, 0]
            together: list[SliceMap] = []
            try:
                values = to_tensor(slices.values[first:last], self._device)
                together = list(self._score(values, foreground[first:last], places, grid, progress))
            except (RuntimeError, MemoryError) as error:
                if not is_shortage(error):
                    raise
            if not together:
                self._spare_memory(self.batch, progress)
                continue
            for found in together:
                yield dataclasses.replace(found, number=first + found.number)
            first, count = last, 2 * count if len(places) else count

    def arrays(self) -> dict[str, np.ndarray]:
        """Weights, the one-class model, and mean and scale of the features."""
        network, normality = self._fitted()
        arrays = {f"network/{name}": to_array(value) for name, value in network.state_dict().items()}
        arrays |= {f"normality/{name}": value for name, value in normality.arrays().items()}
        return arrays | {"features/mean": to_array(self._mean), "features/scale": to_array(self._scale)}

    def load_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        """The inverse of `arrays`."""
        self._load_network(arrays)
        try:
            prefix = "normality/"
            fitted = {name[len(prefix) :]: value for name, value in arrays.items() if name.startswith(prefix)}
            self._normality = normality_from_arrays(fitted, self._settings.normality)
            self._mean, self._scale = (to_tensor(arrays[f"features/{name}"], self._device) for name in ("mean", "scale"))
        except (KeyError, IndexError) as error:
            raise _unfitting(error) from None

    def _load_network(self, arrays: dict[str, np.ndarray]) -> None:
        network = UNet(self._channels, self._settings.network)
        try:
            network.load_state_dict({name: to_tensor(arrays[f"network/{name}"]) for name in network.state_dict()})
        except (KeyError, RuntimeError) as error:
            raise _unfitting(error) from None
        self._use(network)

    def _use(self, network: UNet) -> None:
        """Compute with this network on this device."""
        self._network = network.requires_grad_(False).eval()
        self._inverter = Inverter(self._network, self._path, self._device)

    def _most(self, device: torch.device) -> int:
        network, size = self._settings.network, self._settings.patches.size
        bytes_each = 4 * _MAPS_ALIVE * network.widths[0] * (size // network.fold) ** 2
        return max(self._least, affordable(device, _BATCH.get(device.type, _BATCH_ELSEWHERE), bytes_each))

    def _follow(self) -> None:
        if self._network is not None:
            self._use(self._network)
        self._mean, self._scale = self._mean.to(self._device), self._scale.to(self._device)

    def _let_go(self) -> None:
        if self._inverter is not None:
            self._inverter.forget()

    def _fitted(self) -> tuple[UNet, NormalityModel]:
        if self._network is None or self._normality is None:
            raise RuntimeError("the method was neither fitted nor loaded")
        return self._network, self._normality

    def _features(self, patches: torch.Tensor, progress: Progress) -> torch.Tensor:
        """Raw features of patches, (N, C, b, b) -> (N, K, D)."""
        assert self._inverter is not None
        self._reader.start()
        return self._reader.read(self._inverter(patches, self._reader.on_noise, progress.check), patches)

    def _normal_features(
        self, pool: PatchPool, training: Sequence[Slices], rng: np.random.Generator, progress: Progress
    ) -> torch.Tensor:
        """(N, D) features of windows with foreground, from a random draw of training patches."""
        a_patch = min(len(self._reader.places), _WINDOWS_A_PATCH)
        wanted = -(-self._settings.normality.max_samples // a_patch)
        numbers = np.sort(rng.permutation(len(pool))[:wanted])
        rows = []
        start = 0
        while start < len(numbers):
            chosen = numbers[start : start + self.batch]
            features = None
            try:
                features = self._features(pool.take(chosen).to(self._device), progress).to("cpu")
            except (RuntimeError, MemoryError) as error:
                if not is_shortage(error):
                    raise
            if features is None:
                self._spare_memory(self.batch, progress)
                continue
            usable = np.stack([self._usable_windows(training[p[0]].foreground, p[None, 1:]) for p in pool.places[chosen]])
            for patch, mask in zip(features, usable):
                windows = rng.permutation(np.flatnonzero(mask))[:a_patch]
                rows.append(patch[to_tensor(windows)])
            start += len(chosen)
            progress.report("inverting normal patches", start, len(numbers))
        return torch.cat(rows).to(self._device)

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

    def _score(
        self, values: torch.Tensor, foreground: np.ndarray, places: np.ndarray, grid: PatchGrid, progress: Progress
    ) -> Iterator[SliceMap]:
        """Maps of a few slices whose patches share batches; their numbers count from 0."""
        usable = self._usable_windows(foreground, places)
        if not usable.any():
            yield from (_empty(number, foreground.shape[1:]) for number in range(len(foreground)))
            return
        batches = [places[first : first + self.batch] for first in range(0, len(places), self.batch)]
        found = torch.cat([self._features(cut(values, batch, grid.size), progress) for batch in batches]).flatten(0, 1)
        features = (found[to_tensor(np.flatnonzero(usable), self._device)] - self._mean) / self._scale
        columns = self._fitted()[1].score(features)[:, None]
        whole = self._settings.features.kind == "latent"
        if not whole:  # small features are averaged along; whole latents would need an (H, W, D) array
            columns = torch.cat([columns, features], dim=1)
        weights = to_tensor(np.tile(self._reader.weights, len(places))[usable], self._device)
        windows = to_tensor(self._window_places(places)[usable], self._device)
        averaged, reached = aggregate(columns, weights, windows, self._reader.window, foreground.shape)
        maps, scored = to_array(averaged[..., 0]), to_array(reached) & foreground
        for number in range(len(maps)):
            mine = places[:, 0] == number
            distances = partial(_distances, averaged[number, ..., 1:])
            if whole:
                distances = partial(_latent_distances, features[to_tensor(mine, self._device)], places[mine, 1:], grid, maps.shape[1:])
            yield SliceMap(number, maps[number], scored[number], distances)


def _unfitting(error: Exception) -> InvDetectError:
    return InvDetectError(f"The model's arrays do not fit its settings ({error}); the file is damaged, get it again.")


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
    latents: torch.Tensor, corners: np.ndarray, grid: PatchGrid, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Distances of Eq. 4 for the whole latents (N, D) of the patches at `corners` (N, 2); patches not inverted have no weight."""
    order = {tuple(corner): number for number, corner in enumerate(grid.corners.tolist())}
    numbers = [order[row, column] for row, column in corners.tolist()]
    every = np.zeros((len(order), latents.shape[1]), dtype=np.float32)
    present = np.zeros(len(order), dtype=bool)
    every[numbers], present[numbers] = to_array(latents), True
    return latent_distances(every, present, grid.rows, grid.columns, grid.size, (shape[0], shape[1]))
