"""The method `invdetect`: a diffusion model of normal slices, and scores from the noise that it sees in others.

Either the paper's way, the noise latents of patches under a one-class model, or a sum of views over whole slices (see `views`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from ...common import InvDetectError, Progress
from ...computing import ALONE, Checkpoint, Placed, Ranks, affordable, load_network, to_array, to_tensor
from ...models import DIRECTIONS, InvDetectSettings
from ...refinement import feature_distances
from ...symmetry import find_midlines
from ..contract import SliceMap, Slices
from ..matchgen import MatchGen
from .inverter import Inverter
from .latent_scores import LatentScores
from .noise_training import NoiseTrainer, PatchPool
from .once import NoiseSeen
from .patches import PatchGrid
from .schedule import inversion_path
from .unet import UNet
from .views import Sum, Units, check_views, find_units, measure_units, pixels_of, raw_views, strangeness

_BATCH = {"cpu": 64}  # patches inverted at once; elsewhere more, since an accelerator idles on few
_BATCH_ELSEWHERE = 1024
_MAPS_ALIVE = 16  # of the first stage's size, in one pass of the network
_PIXELS = 64 * 64  # of a patch in these numbers: whole slices count as so many
_UNIT_SLICES = 400  # of held-out normals, evenly spread, that units are measured on


class InvDetect(Placed):
    """A `Method` (see `methods.contract`); scores are above 0 outside the boundary of what is normal.

    direction  of the views: "bright", "dark" or "both"; may be changed at any time. "" without views
    """

    _least = 8

    def __init__(
        self, settings: InvDetectSettings, channels: int, device: torch.device, ranks: Ranks | None = None
    ) -> None:
        self._settings, self._channels, self._ranks = settings, channels, ranks or ALONE
        check_views(settings.views)
        super().__init__(device)
        self._path = inversion_path(settings.inversion, settings.network.timesteps)
        self._latents = LatentScores(settings, self) if settings.one_class else None
        beside = any(view.kind == "residual" for view in settings.views.sum)
        self._beside = MatchGen(settings.beside, channels, settings.patches.size, device) if beside else None
        self._asks = any(view.kind == "noise" for view in settings.views.sum)
        self.levels = settings.views.levels
        self._network: UNet | None = None
        self._inverter: Inverter | None = None
        self._units: Units | None = None
        self.direction = settings.direction

    @property
    def levels(self) -> tuple[float, ...]:
        """Levels at which the network is asked what noise it sees in a slice; none without that view."""
        return self._levels if self._asks else ()

    @levels.setter
    def levels(self, levels: tuple[float, ...]) -> None:
        self._levels = levels
        self._noise = NoiseSeen(levels, self._settings.network.timesteps, self._settings.patches.size)

    @property
    def directions(self) -> tuple[str, ...]:
        """Those that `direction` may be: what is calibrated for each of them; none without views."""
        return DIRECTIONS if self._settings.views.sum else ()

    @property
    def patch_size(self) -> int:
        """The smallest side a slice may have, in pixels."""
        return self._settings.least_side

    @property
    def rebuilds_images(self) -> bool:
        """Whether training images could be rebuilt from `arrays`."""
        return self._latents is not None and self._latents.rebuilds_images

    def fit(
        self, training: Sequence[Slices], validation: Sequence[Slices], seed: int, checkpoint: Checkpoint, progress: Progress
    ) -> dict[str, Any]:
        """Train the noise predictor, and fit the one-class model to the latents of a draw of normal patches, where there is one.

        Processes beside the first one are done once the noise predictor is, and are not fitted.
        """
        return self._or_on_the_cpu(lambda: self._fit(training, validation, seed, checkpoint, progress), progress)

    def _fit(
        self, training: Sequence[Slices], validation: Sequence[Slices], seed: int, checkpoint: Checkpoint, progress: Progress
    ) -> dict[str, Any]:
        pool, held_out = (PatchPool(scans, self._settings.patches, self._device) for scans in (training, validation))
        if not len(pool) or not len(held_out):
            raise InvDetectError("The normal scans hold no patch with enough foreground; check the foreground rule and the grid.")
        trainer = NoiseTrainer(self._settings, self._channels, seed, self._device, self._ranks)
        facts = trainer.train(pool, held_out, checkpoint, progress)
        if not self._ranks.leads:
            return {}
        self._use(trainer.network)
        if self._beside is not None:  # from its start again after a kill: the checkpoint is the network's
            self._beside.fit(training, validation, seed, Checkpoint(None, ""), progress)
        return {**facts, **self._fit_latents(pool, seed, progress)}

    def refit(self, arrays: dict[str, np.ndarray], training: Sequence[Slices], seed: int, progress: Progress) -> dict[str, Any]:
        """`fit` with the network in the `arrays()` of another method instead of training one: only what follows it is learned anew.

        The other method may differ in inversion, features, one-class model and views; `InvDetectError` when its network has another shape.
        """
        self._load_network(arrays)
        self._load_beside(arrays)
        if self._latents is None:
            return {}
        pool = PatchPool(training, self._settings.patches, self._device)
        return self._fit_latents(pool, seed, progress)

    def _fit_latents(self, pool: PatchPool, seed: int, progress: Progress) -> dict[str, Any]:
        return {} if self._latents is None else self._latents.fit(pool, seed, progress)

    def look_over(self, slices: Slices) -> Slices:
        """With the midline of each slice, where a view compares left and right; several slices have one midplane."""
        if slices.midlines is not None or not any(view.mirror for view in self._settings.views.sum):
            return slices
        return dataclasses.replace(slices, midlines=find_midlines(slices.values, slices.foreground, len(slices.values) > 1))

    def settle(self, normals: Sequence[Slices], progress: Progress) -> float:
        """Measure the unit of every view on held-out normal scans; how strange they are is judged by the predicted noise."""
        if not self._settings.views.sum:
            return 0.0
        scans = [self.look_over(scan) for scan in normals]
        places = [(number, k) for number, scan in enumerate(scans) for k in range(len(scan.foreground)) if scan.foreground[k].any()]
        if not places:
            raise InvDetectError("The held-out normal scans hold nothing to score; check the foreground rule and the grid.")
        chosen = places[:: -(-len(places) // _UNIT_SLICES)]
        found: list[np.ndarray] = []
        while len(found) < len(chosen):
            number, k = chosen[len(found)]
            one = scans[number].part(slice(k, k + 1))
            maps = self.attempt(partial(self._raw_views, one, progress), self.batch, progress)
            if maps is not None:
                found.append(pixels_of(maps, one.foreground))
                progress.report("measuring the unit of views", len(found), len(chosen))
        before, self._units = self._units, measure_units(self._settings.views, found)
        return 0.0 if before is None else strangeness(self._settings.views, before, self._units)

    def map_and_edges(self, slices: Slices, progress: Progress) -> Iterator[SliceMap]:
        """Score slices in order; those that lie side by side share batches, and only a few are in work at a time."""
        slices = self.look_over(slices)
        first, count = 0, 1  # few slices at first, so that somebody who watches soon sees one
        while first < len(slices.foreground):
            count = min(count, self._slices_at_once(slices.foreground.shape[1:]))
            part = slices.part(slice(first, first + count))
            together = self.attempt(partial(self._score, part, progress), self.batch, progress)
            if together is None:
                continue
            for found in together:
                yield dataclasses.replace(found, number=first + found.number)
            first, count = first + len(together), 2 * count if part.foreground.any() else count

    def arrays(self) -> dict[str, np.ndarray]:
        """Weights, the one-class model with mean and scale of its features, the base trained beside it, and the units of views."""
        if self._network is None:
            raise RuntimeError("the method was neither fitted nor loaded")
        arrays = {f"network/{name}": to_array(value) for name, value in self._network.state_dict().items()}
        arrays |= {} if self._latents is None else self._latents.arrays()
        arrays |= {} if self._beside is None else {f"beside/{name}": values for name, values in self._beside.arrays().items()}
        if self._settings.views.sum:
            arrays |= {f"views/{name}": value for name, value in dataclasses.asdict(self._settled()).items()}
        return arrays

    def load_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        """The inverse of `arrays`."""
        self._load_network(arrays)
        if self._latents is not None:
            self._latents.load_arrays(arrays, self._channels, self._path.evaluations)
        self._load_beside(arrays)
        self._units = find_units(arrays, self._settings.views, self._channels) if self._settings.views.sum else None

    def _load_network(self, arrays: dict[str, np.ndarray]) -> None:
        self._use(load_network(lambda: UNet(self._channels, self._settings.network), arrays, "network/"))

    def _load_beside(self, arrays: dict[str, np.ndarray]) -> None:
        if self._beside is not None:
            prefix = "beside/"
            self._beside.load_arrays({name[len(prefix) :]: values for name, values in arrays.items() if name.startswith(prefix)})

    def _use(self, network: UNet) -> None:
        """Compute with this network on this device."""
        self._network = network.requires_grad_(False).eval()
        self._inverter = Inverter(self._network, self._path, self._device)
        if self._latents is not None:
            self._latents.use(self._inverter)

    def _most(self, device: torch.device) -> int:
        network, size = self._settings.network, self._settings.patches.size
        bytes_each = 4 * _MAPS_ALIVE * network.widths[0] * (size // network.fold) ** 2
        return max(self._least, affordable(device, _BATCH.get(device.type, _BATCH_ELSEWHERE), bytes_each))

    def _follow(self) -> None:
        if self._network is not None:
            self._use(self._network)

    def _let_go(self) -> None:
        if self._inverter is not None:
            self._inverter.forget()

    def _settled(self) -> Units:
        if self._units is None:
            raise RuntimeError("the units of views were neither measured nor loaded")
        return self._units

    def _slices_at_once(self, shape: tuple[int, ...]) -> int:
        """How many slices of (rows, columns) make a batch."""
        patches = self._settings.patches
        if not self._settings.views.sum:
            return max(1, self.batch // len(PatchGrid.over((shape[0], shape[1]), patches).corners))
        return max(1, self.batch * _PIXELS // (shape[0] * shape[1]))

    def _score(self, slices: Slices, progress: Progress) -> list[SliceMap]:
        """Maps of a few slices; their numbers count from 0."""
        progress.check()
        if not self._settings.views.sum:
            assert self._latents is not None
            return self._latents.score(slices, progress)
        maps = self._raw_views(slices, progress)
        scores, single = Sum(self._settings.views, self._settled()).score(maps, self.direction)
        return [
            SliceMap(
                number,
                np.where(inside, scores[number], 0),
                inside.copy(),
                partial(feature_distances, single[:, number].transpose(1, 2, 0)),
                views=single[:, number],
            )
            for number, inside in enumerate(slices.foreground)
        ]

    def _raw_views(self, slices: Slices, progress: Progress) -> np.ndarray:
        """See `views.raw_views`."""
        assert self._inverter is not None
        noise, unsigned = None, {}
        if self._asks:
            noise = to_array(self._noise(self._inverter, to_tensor(slices.values, self._device)))
        if self._latents is not None:
            unsigned["one-class"] = np.stack([np.where(one.scored, one.scores, 0) for one in self._latents.score(slices, progress)])
        if self._beside is not None:
            unsigned["residual"] = np.stack([one.scores for one in self._beside.map_and_edges(slices, progress)])
        return raw_views(self._settings.views, slices, noise, unsigned)
