"""(a) The paper read plainly, with none of InvDetect's ways to be fast: the rod that the benchmark measures with.

float32 and PyTorch's default memory layout throughout, every step of the 200-step DDIM grid down to the preset's depth, one slice at a
time with all its patches, scikit-learn for the one-class model, Eq. 1 added up window by window, one cut a slice. It shares with
InvDetect what is no question of speed: the weights of the network, the fitted support vectors, and the solver of the cut.
"""

from __future__ import annotations

import copy
import math

import numpy as np
import torch
from sklearn.svm import OneClassSVM
from torch.nn import functional

from InvDetectLib.methods.invdetect.patches import starts
from InvDetectLib.methods.invdetect.schedule import Path, inversion_path
from InvDetectLib.methods.invdetect.unet import UNet
from InvDetectLib.models.method_settings import InvDetectSettings
from InvDetectLib.refinement.edges import edge_weights, image_distances
from InvDetectLib.refinement.minimum_cut import minimum_cut

from .material import CONTIGUITY, Material


class Plain:
    """The plain reading, with what `material` has learned.

    full  the preset's settings with every step of the DDIM grid
    """

    def __init__(self, material: Material, full: InvDetectSettings, device: torch.device) -> None:
        self._settings, self._device = full, device
        self._unit, self._mean_distance = material.exact.unit, material.mean_distance
        network = UNet(1, full.network)
        network.load_state_dict(copy.deepcopy(material.weights))
        self._network = network.requires_grad_(False).eval().to(device)
        self._path: Path = inversion_path(full.inversion, full.network.timesteps)
        self._mean, self._scale = material.exact.mean, material.exact.scale
        self._svm = OneClassSVM(kernel="rbf", nu=full.normality.nu, gamma=material.exact.gamma).fit(material.exact.samples)

    @property
    def evaluations(self) -> int:
        """Network passes a patch."""
        return self._path.evaluations

    def patches(self, foreground: np.ndarray) -> float:
        """How many patches are inverted."""
        patches = self._settings.patches
        rows, columns = (len(starts(length, patches.size, patches.stride)) for length in foreground.shape[1:])
        return len(foreground) * rows * columns

    def latents(self, patches: np.ndarray) -> np.ndarray:
        """(N, b, b) -> (N, b, b) float32."""
        abar, times = self._path.abar, self._path.times
        z = torch.from_numpy(patches[:, None]).to(self._device)
        with torch.no_grad():
            for start, end in zip(times[:-1], times[1:]):
                noise = self._network(z, torch.full((len(z),), start, device=self._device))
                clean = (z - math.sqrt(1 - abar[start]) * noise) / math.sqrt(abar[start])
                z = math.sqrt(abar[end]) * clean + math.sqrt(1 - abar[end]) * noise
        return z[:, 0].cpu().numpy()

    def run(self, values: np.ndarray, foreground: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Map and mask, (slice, row, column) float32 and bool, of prepared slices (slice, row, column)."""
        found = [self._slice(image, inside) for image, inside in zip(values, foreground)]
        return np.stack([one for one, _ in found]), np.stack([mask for _, mask in found])

    def _slice(self, image: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        size, stride = self._settings.patches.size, self._settings.patches.stride
        features = self._settings.features
        corners = [(r, c) for r in starts(image.shape[0], size, stride) for c in starts(image.shape[1], size, stride)]
        latents = self.latents(np.stack([image[r : r + size, c : c + size] for r, c in corners]))
        window, spacing = features.window, features.spacing
        means = functional.avg_pool2d(torch.from_numpy(latents), window, spacing).numpy()
        offsets = range(0, size - window + 1, spacing)
        places, samples, weights = [], [], []
        for (row, column), found in zip(corners, means):
            if inside[row : row + size, column : column + size].mean() < self._settings.patches.min_foreground:
                continue
            for i, down in enumerate(offsets):
                for j, right in enumerate(offsets):
                    top, left = row + down, column + right
                    if inside[top : top + window, left : left + window].mean() < self._settings.window_foreground:
                        continue
                    places.append((top, left))
                    samples.append(found[i, j])
                    centre = ((down + window / 2 - size / 2) ** 2 + (right + window / 2 - size / 2) ** 2) / (size / 4) ** 2
                    weights.append(math.exp(-centre))
        scores = np.zeros(image.shape, np.float32)
        mask = np.zeros(image.shape, bool)
        if not places:
            return scores, mask
        raw = -self._svm.decision_function((np.array(samples, np.float32)[:, None] - self._mean) / self._scale)
        total, reached = np.zeros(image.shape), np.zeros(image.shape)
        x = np.arange(window) - (window - 1) / 2
        one = np.exp(-(x[:, None] ** 2 + x[None] ** 2) / (window / 4) ** 2)
        for (top, left), score, weight in zip(places, raw, weights):
            total[top : top + window, left : left + window] += score * weight * one
            reached[top : top + window, left : left + window] += weight * one
        scored = (reached > 0) & inside
        scores[scored] = self._unit.of(total[scored] / reached[scored])
        down, right = (edge_weights(distance, self._mean_distance, "image") for distance in image_distances(image[..., None]))
        return scores, minimum_cut(scores - np.float32(self._unit.threshold), down, right, CONTIGUITY, valid=scored)
