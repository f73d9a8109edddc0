"""(c) InvDetect itself, between prepared slices and masks, as the benchmark calls it: by patches, and once over whole slices."""

from __future__ import annotations

import numpy as np
import torch

from InvDetectLib.common.progress import Progress
from InvDetectLib.methods.contract import Slices
from InvDetectLib.methods.invdetect.method import InvDetect
from InvDetectLib.methods.invdetect.patches import PatchGrid
from InvDetectLib.methods.invdetect.schedule import inversion_path
from InvDetectLib.methods.scoring import Scores, score_slices
from InvDetectLib.models.method_settings import InvDetectSettings
from InvDetectLib.refinement.cutting import Cuts

from .material import CONTIGUITY, FAST, ONCE, Learned, Material, Unit, method_with


class Ours:
    """InvDetect with some settings that invert patches."""

    def __init__(self, settings: InvDetectSettings, material: Material, learned: Learned, device: torch.device) -> None:
        self._settings, self._distance, self._unit = settings, material.mean_distance, learned.unit
        self._method = method_with(settings, material.weights, learned, device)
        self.evaluations = inversion_path(settings.inversion, settings.network.timesteps).evaluations

    def patches(self, foreground: np.ndarray) -> float:
        """How many patches are inverted."""
        return len(PatchGrid.over(foreground.shape[1:], self._settings.patches).places(foreground, self._settings.patches.min_foreground))

    def run(self, values: np.ndarray, foreground: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Map and mask, (slice, row, column) float32 and bool, of prepared slices (slice, row, column)."""
        return _map_and_mask(self._method, self._unit, self._distance, Slices(values[..., None], foreground))


class Once:
    """InvDetect as its preset `standard` is: whole slices, one pass of the network at each level, a sum of views."""

    evaluations = len(ONCE.views.levels)

    def __init__(self, material: Material) -> None:
        self._method, self._unit, self._distance = material.once, material.once_unit, material.mean_distance

    def patches(self, foreground: np.ndarray) -> float:
        """To how many patches of the other rows the slices amount, by their pixels."""
        return foreground.size / FAST.patches.size**2

    def run(self, values: np.ndarray, foreground: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As `Ours.run`."""
        return _map_and_mask(self._method, self._unit, self._distance, Slices(values[..., None], foreground))


def _map_and_mask(method: InvDetect, unit: Unit, distance: float, slices: Slices) -> tuple[np.ndarray, np.ndarray]:
    with Cuts() as cuts:

        def cut(k: int, known: Scores) -> None:
            anomaly_map = unit.of(known.raw[k]).astype(np.float32)
            cuts.add(k, anomaly_map, known.down[k], known.right[k], CONTIGUITY, unit.threshold, known.scored[k])

        found = score_slices(method, slices, distance, "image", Progress(), on_slice=cut)
        masks = np.stack([mask for _, mask in cuts.masks()])
    return np.where(found.scored, unit.of(found.raw), 0).astype(np.float32), masks
