"""The method `matchgen`: a base model of normal slices, the pseudo-normal image that fits a slice best, and the difference of the two."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from ...common import InvDetectError, Progress
from ...computing import Checkpoint, Placed, load_network, to_array, unfit, unfitting
from ...models import MatchGenSettings
from ...refinement import image_distances
from ..contract import SliceMap, Slices
from .base import Base, inside, make_base, to_images
from .base_training import BaseTrainer, SlicePool
from .epsilon import candidates, choose_epsilon
from .matching import Matched, match

_BATCH = {"cpu": 8}  # slices matched at once; elsewhere more, since an accelerator idles on few
_BATCH_ELSEWHERE = 64
_PAPERS_RADII = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
_EPSILON_SLICES = 8  # held-out normal slices on which epsilon is chosen


class MatchGen(Placed):
    """A `Method` (see `methods.contract`) and `Tunable`: scores are the difference map |x - s|, 0 or more, with x and s in [0, 1].

    epsilon  radius of the ball; None before it is chosen, and without matching
    """

    _what = "slices"
    direction = ""
    levels: tuple[float, ...] = ()

    def __init__(self, settings: MatchGenSettings, channels: int, side: int, device: torch.device) -> None:
        """side  of the square that every slice is put into, in pixels; `InvDetectError` where the base cannot halve it evenly"""
        self._settings, self._channels, self._side = settings, channels, side
        self._base: Base | None = None
        self.epsilon = settings.matching.epsilon
        self._radii: list[float] = []
        with torch.device("meta"):  # says at once what cannot be, and takes no memory for it
            make_base(settings, channels, side)
        super().__init__(device)

    @property
    def directions(self) -> tuple[str, ...]:
        """None: the difference has no sign."""
        return ()

    @property
    def patch_size(self) -> int:
        """The smallest side a slice may have, in pixels."""
        return 2 ** len(self._settings.network.widths)

    @property
    def rebuilds_images(self) -> bool:
        """The arrays are weights alone."""
        return False

    def fit(
        self, training: Sequence[Slices], validation: Sequence[Slices], seed: int, checkpoint: Checkpoint, progress: Progress
    ) -> dict[str, Any]:
        """Train the base on whole normal slices, and choose epsilon on those held out, if the settings leave it open."""
        return self._or_on_the_cpu(lambda: self._fit(training, validation, seed, checkpoint, progress), progress)

    def _fit(
        self, training: Sequence[Slices], validation: Sequence[Slices], seed: int, checkpoint: Checkpoint, progress: Progress
    ) -> dict[str, Any]:
        pool, held_out = (SlicePool(scans, self._side, self._device) for scans in (training, validation))
        if not len(pool) or not len(held_out):
            raise InvDetectError("The normal scans hold no slice with foreground; check the foreground rule.")
        trainer = BaseTrainer(self._settings, self._channels, self._side, seed, self._device)
        facts = trainer.train(pool, held_out, checkpoint, progress)
        self._use(trainer.base)
        return {**facts, "base": self._settings.base, "slices_trained": len(pool), **self._choose_epsilon(held_out, progress)}

    def refit(self, arrays: dict[str, np.ndarray], validation: Sequence[Slices], progress: Progress) -> dict[str, Any]:
        """Take a base that another model holds in its `arrays`, and choose epsilon as `fit` does; returns facts for the card."""
        self._load_base(arrays)
        return {"base": self._settings.base, **self._choose_epsilon(SlicePool(validation, self._side, self._device), progress)}

    def _choose_epsilon(self, held_out: SlicePool, progress: Progress) -> dict[str, Any]:
        """Set epsilon by the elbow of the residual, if the settings leave it open."""
        matching = self._settings.matching
        if matching.way == "none":
            return {"epsilon": self.epsilon}
        chosen = np.unique(np.linspace(0, len(held_out) - 1, min(len(held_out), _EPSILON_SLICES)).round().astype(np.int64))
        images = held_out.take(chosen)
        self._radii = candidates(self._fitted(), images)
        if matching.epsilon is not None:
            return {"epsilon": self.epsilon}
        self.epsilon, search = choose_epsilon(self._fitted(), images, self._radii, matching, progress)
        return {"epsilon": self.epsilon, "epsilon_search": search}

    def radii(self) -> list[float]:
        """The paper's range, up to 0.6, and the radii among which `fit` looks for the elbow; ascending."""
        return sorted({*_PAPERS_RADII, *self._radii}) if self._settings.matching.way != "none" else []

    def look_over(self, slices: Slices) -> Slices:
        """Nothing has to be known of a whole scan."""
        return slices

    def settle(self, normals: Sequence[Slices], progress: Progress) -> float:
        """There is nothing but epsilon, which `fit` chooses, and nothing to compare."""
        return 0.0

    def map_and_edges(self, slices: Slices, progress: Progress) -> Iterator[SliceMap]:
        """Score slices in order; only a batch of them is in work at a time."""
        rows, columns = inside(slices.foreground.shape[1:], self._side)
        first, count = 0, 1  # few slices at first, so that somebody who watches soon sees one
        while first < len(slices.foreground):
            last = first + min(count, self.batch)
            part = slices.values[first:last]
            found = self.attempt(partial(self._score, part, progress), len(part), progress)
            if found is None:
                continue
            for number, (scores, pseudo) in enumerate(zip(*found), first):
                normal = 2 * pseudo[:, rows, columns].transpose(1, 2, 0) - 1
                own = scores[rows, columns]
                yield SliceMap(number, own, slices.foreground[number].copy(), partial(image_distances, normal), normal.clip(-1, 1))
            first, count = last, 2 * count

    def arrays(self) -> dict[str, np.ndarray]:
        """Weights, and epsilon where there is one."""
        arrays = {f"base/{name}": to_array(value) for name, value in self._fitted().state_dict().items()}
        return arrays if self.epsilon is None else arrays | {"epsilon": np.array([self.epsilon], np.float64)}

    def load_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        """The inverse of `arrays`."""
        self._load_base(arrays)
        if self._settings.matching.way != "none":
            if misfit := unfit(arrays, {"epsilon": (1,)}):
                raise unfitting(misfit)
            self.epsilon = float(arrays["epsilon"][0])

    def _load_base(self, arrays: dict[str, np.ndarray]) -> None:
        self._use(load_network(lambda: make_base(self._settings, self._channels, self._side), arrays, "base/"))

    def _score(self, values: np.ndarray, progress: Progress) -> tuple[np.ndarray, np.ndarray]:
        """Difference maps (N, side, side) and pseudo-normal images (N, C, side, side) of a batch."""
        base = self._fitted()
        images = to_images(values, self._side, self._device).contiguous(memory_format=torch.channels_last)
        matched = self._match(base, images, progress)
        with torch.no_grad():
            difference = base.anomaly(images, matched.pseudo, self._settings.matching.way != "none")
        return to_array(difference), to_array(matched.pseudo)

    def _match(self, base: Base, images: torch.Tensor, progress: Progress) -> Matched:
        return match(base, images, self._settings.matching, self.epsilon or 0.0, progress.check)

    def _use(self, base: Base) -> None:
        """Compute with this base on this device."""
        # channels last: the layout in which convolutions are fastest
        placed: Base = base.to(device=self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._base = placed.requires_grad_(False).eval()

    def _fitted(self) -> Base:
        if self._base is None:
            raise RuntimeError("the method was neither fitted nor loaded")
        return self._base

    def _most(self, device: torch.device) -> int:
        return _BATCH.get(device.type, _BATCH_ELSEWHERE)

    def _follow(self) -> None:
        if self._base is not None:
            self._use(self._base)
