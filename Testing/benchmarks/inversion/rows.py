"""(c) InvDetect itself, between prepared slices and masks, as the benchmark calls it."""

from __future__ import annotations

import numpy as np
import torch

from InvDetectLib.diffusion.schedule import inversion_path
from InvDetectLib.methods import Slices
from InvDetectLib.patches import PatchGrid
from InvDetectLib.progress import Progress
from InvDetectLib.refinement import minimum_cut
from InvDetectLib.scoring import score_slices
from InvDetectLib.settings import InvDetectSettings

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
        found = score_slices(self._method, Slices(values[..., None], foreground), self._material.mean_distance, "image", Progress())
        maps = np.where(found.scored, self._unit.of(found.raw), 0).astype(np.float32)
        shifted = maps - np.float32(self._unit.threshold)
        cuts = zip(shifted, found.down.astype(np.float32), found.right.astype(np.float32), found.scored)
        masks = [minimum_cut(one, down, right, self._material.contiguity, scored) for one, down, right, scored in cuts]
        return maps, np.stack(masks)
