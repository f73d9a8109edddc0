"""(c) InvDetect itself, between prepared slices and masks, as the benchmark calls it."""

from __future__ import annotations

import numpy as np
import torch

from InvDetectLib.common.progress import Progress
from InvDetectLib.methods.contract import Slices
from InvDetectLib.methods.invdetect.patches import PatchGrid
from InvDetectLib.methods.invdetect.schedule import inversion_path
from InvDetectLib.methods.scoring import Scores, score_slices
from InvDetectLib.models.settings import InvDetectSettings
from InvDetectLib.refinement.cutting import Cuts

from .material import Learned, Material, method_with


class Ours:
    """InvDetect with some settings."""

    def __init__(self, settings: InvDetectSettings, material: Material, learned: Learned, device: torch.device) -> None:
        self._settings, self._material, self._unit = settings, material, learned.unit
        self._method = method_with(settings, material.weights, learned, device)
        self.evaluations = inversion_path(settings.inversion, settings.network.timesteps).evaluations

    def patches(self, foreground: np.ndarray) -> int:
        """How many patches are inverted."""
        return len(PatchGrid.over(foreground.shape[1:], self._settings.patches).places(foreground, self._settings.patches.min_foreground))

    def run(self, values: np.ndarray, foreground: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Map and mask, (slice, row, column) float32 and bool, of prepared slices (slice, row, column)."""
        slices, distance, contiguity = Slices(values[..., None], foreground), self._material.mean_distance, self._material.contiguity
        with Cuts() as cuts:

            def cut(k: int, known: Scores) -> None:
                anomaly_map = self._unit.of(known.raw[k]).astype(np.float32)
                cuts.add(k, anomaly_map, known.down[k], known.right[k], contiguity, self._unit.threshold, known.scored[k])

            found = score_slices(self._method, slices, distance, "image", Progress(), on_slice=cut)
            masks = np.stack([mask for _, mask in cuts.masks()])
        return np.where(found.scored, self._unit.of(found.raw), 0).astype(np.float32), masks
