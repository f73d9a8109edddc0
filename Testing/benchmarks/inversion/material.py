"""What every row of the benchmark works on: made heads, a trained network, and one-class models fitted to its latents.

The network is that of the starter model `brain-t1` (preset `standard` has one of the same shape); the one-class models are fitted here,
because the model's own belong to another preset. The heads are made (nobody's data), so that the benchmark needs no data.
"""

from __future__ import annotations

import dataclasses
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.svm import OneClassSVM

from InvDetectLib.common.progress import Progress
from InvDetectLib.methods.contract import Slices
from InvDetectLib.methods.invdetect.features import FeatureReader
from InvDetectLib.methods.invdetect.inverter import Inverter
from InvDetectLib.methods.invdetect.method import InvDetect
from InvDetectLib.methods.invdetect.patches import PatchGrid, holds_foreground
from InvDetectLib.methods.invdetect.schedule import inversion_path
from InvDetectLib.methods.invdetect.unet import UNet
from InvDetectLib.methods.scoring import score_slices
from InvDetectLib.models.method_settings import Features, InvDetectSettings, Inversion, Network, Normality, Patches
from InvDetectLib.models.model import Model
from InvDetectLib.models.presets import PRESETS
from InvDetectLib.models.settings import Preparation
from InvDetectLib.refinement.edges import image_distances
from InvDetectLib.scans import read_scan
from InvDetectLib.scans.phantoms import write_phantoms
from InvDetectLib.scans.preparing import prepare

# The preset `standard` as it was when it inverted patches, so that the rows go on meaning what they did.
FAST = InvDetectSettings(
    patches=Patches(size=64, stride=32, min_foreground=0.05),
    network=Network(widths=(24, 48, 72, 96), fold=2),
    inversion=Inversion(solver="multistep", evaluations=12, abar=0.28),
    features=Features(kind="latent_windows", statistics=("mean",), window=12),
    normality=Normality(max_samples=5000),
)
ONCE = PRESETS["standard"].invdetect  # as it is now: whole slices, one pass
EXACT = dataclasses.replace(FAST, inversion=Inversion(solver="ddim", steps=200, abar=FAST.inversion.abar))
CONTIGUITY = 1.0
_PREPARATION = Preparation(intensity="median")
_PATCHES = 300  # normal patches inverted to fit a one-class model
_BATCH = 50
_WINDOWS = 8  # windows taken of each, as in training


@dataclass(frozen=True)
class Unit:
    """From raw scores to the unit of the map, and the threshold that flags 1 % of a normal head there."""

    offset: float
    scale: float
    threshold: float

    @classmethod
    def on(cls, raw: np.ndarray) -> Unit:
        """From the raw scores of normal tissue."""
        low, offset, high = np.quantile(raw, [0.5, 0.9, 0.99])
        return cls(float(offset), float(high - low), float((high - offset) / (high - low)))

    def of(self, raw: np.ndarray) -> np.ndarray:
        """Raw scores in this unit."""
        return (raw - self.offset) / self.scale


@dataclass(frozen=True)
class Learned:
    """A one-class model for the latents of one way to invert.

    samples      (N, D) float32 standardised normal features;  mean, scale  (D,) float32 of the features before
    gamma        of the kernel;  svm  fitted to the samples
    unit         of the scores
    """

    samples: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    gamma: float
    svm: OneClassSVM
    unit: Unit


@dataclass(frozen=True)
class Material:
    """weights of the network, what was learned for the exact and the fast way, the detector of once with its unit, and m of the cut."""

    weights: dict[str, torch.Tensor]
    exact: Learned
    fast: Learned
    once: InvDetect
    once_unit: Unit
    mean_distance: float


def heads(slices: int, side: int, seed: int, lesions: int = 0) -> Slices:
    """A made head on a grid of `side` x `side`, with the preset's rule of intensities."""
    with tempfile.TemporaryDirectory() as folder:
        path = write_phantoms(Path(folder) / "heads", 1, seed, (slices, side, side), lesions)[0]
        preparation = dataclasses.replace(_PREPARATION, grid=side)
        prepared = prepare(read_scan(path), preparation, {}, None, FAST.patches.size)
    return Slices(prepared.slices, prepared.foreground)


def inverter_of(settings: InvDetectSettings, weights: dict[str, torch.Tensor], device: torch.device) -> Inverter:
    """InvDetect's own way from patches to latents with these settings."""
    network = UNet(1, settings.network)
    network.load_state_dict(weights)
    path = inversion_path(settings.inversion, settings.network.timesteps)
    return Inverter(network.requires_grad_(False).eval(), path, device)


def method_with(settings: InvDetectSettings, weights: dict[str, torch.Tensor], learned: Learned, device: torch.device) -> InvDetect:
    """InvDetect itself, with this network and one-class model."""
    svm = learned.svm
    arrays = {f"network/{name}": value.numpy() for name, value in weights.items()}
    arrays |= {"features/mean": learned.mean, "features/scale": learned.scale}
    arrays |= {
        "normality/vectors": svm.support_vectors_.astype(np.float32),
        "normality/alpha": svm.dual_coef_[0],
        "normality/rho": np.asarray(svm.offset_, np.float64).reshape(1),
        "normality/gamma": np.array([learned.gamma]),
    }
    method = InvDetect(settings, 1, device)
    method.load_arrays(arrays)
    return method


def gather(device: torch.device) -> Material:
    """Everything the rows need; the normal heads are others than those that are scored."""
    weights = {
        name.removeprefix("network/"): torch.from_numpy(value.copy())
        for name, value in Model.load("brain-t1").arrays.items()
        if name.startswith("network/")
    }
    normal = [heads(12, 128, seed) for seed in range(6)]
    held_out = heads(6, 128, 6)
    distances = [image_distances(image) for head in normal for image in head.values]
    inside = [(mask[1:] & mask[:-1], mask[:, 1:] & mask[:, :-1]) for head in normal for mask in head.foreground]
    pairs = [one[usable] for both, use in zip(distances, inside) for one, usable in zip(both, use)]
    mean_distance = float(np.concatenate(pairs).mean(dtype=np.float64))
    learned = [_learn(settings, weights, normal, held_out, mean_distance, device) for settings in (EXACT, FAST)]
    once = InvDetect(ONCE, 1, device)
    once.refit({f"network/{name}": value.numpy() for name, value in weights.items()}, normal, 0, Progress())
    once.settle([held_out], Progress())
    return Material(weights, *learned, once, _unit_of(once, held_out, mean_distance), mean_distance)


def _learn(
    settings: InvDetectSettings,
    weights: dict[str, torch.Tensor],
    normal: list[Slices],
    held_out: Slices,
    mean_distance: float,
    device: torch.device,
) -> Learned:
    rng = np.random.default_rng(0)
    size = settings.patches.size
    reader = FeatureReader(settings.features, size)
    inverter = inverter_of(settings, weights, device)
    places = [(head, *place) for head in normal for place in _places(head, settings)]
    chosen = [places[number] for number in rng.permutation(len(places))[:_PATCHES]]
    features = []
    for first in range(0, len(chosen), _BATCH):
        batch = chosen[first : first + _BATCH]
        patches = torch.from_numpy(np.stack([head.values[s, r : r + size, c : c + size, 0] for head, s, r, c in batch])[:, None]).to(device)
        reader.start()
        found = reader.read(inverter(patches, reader.on_noise), patches).cpu().numpy()
        for windows, (head, s, r, c) in zip(found, batch):
            at = np.column_stack([np.full(len(reader.places), s), reader.places + [r, c]])
            usable = np.flatnonzero(holds_foreground(head.foreground, at, reader.window, settings.window_foreground))
            features.append(windows[rng.permutation(usable)[:_WINDOWS]])
    table = np.concatenate(features)
    mean, scale = table.mean(axis=0), table.std(axis=0)
    samples = ((table - mean) / scale).astype(np.float32)
    gamma = 1.0 / (samples.shape[1] * float(samples.astype(np.float64).var()))
    svm = OneClassSVM(kernel="rbf", nu=settings.normality.nu, gamma=gamma).fit(samples)
    learned = Learned(samples, mean, scale, gamma, svm, Unit(0.0, 1.0, 0.0))
    method = method_with(settings, weights, learned, device)
    return dataclasses.replace(learned, unit=_unit_of(method, held_out, mean_distance))


def _unit_of(method: InvDetect, held_out: Slices, mean_distance: float) -> Unit:
    scores = score_slices(method, held_out, mean_distance, "image", Progress())
    return Unit.on(scores.raw[scores.scored])


def _places(head: Slices, settings: InvDetectSettings) -> list[tuple[int, int, int]]:
    grid = PatchGrid.over(head.values.shape[1:3], settings.patches)
    return [tuple(place) for place in grid.places(head.foreground, settings.patches.min_foreground).tolist()]
