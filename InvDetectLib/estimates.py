"""What a detection or a training will cost on this machine, from a short measurement with random noise instead of scans.

Times are as good as the measurement, which another program may disturb. Memory is a rough upper figure, to warn by.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from math import prod

import numpy as np
import torch

from .common import Progress
from .computing import find_device
from .detection import Detector
from .methods import random_slice
from .methods.invdetect import NoiseTrainer, PatchGrid, PatchPool
from .methods.matchgen import BaseTrainer, SlicePool
from .models import DIRECTIONS, InvDetectSettings, Settings
from .scans import Foreground, Scan

_PROGRAM = 500_000_000  # bytes of a process that has loaded torch and done nothing
_KEPT = 8  # times a stage's features are in memory at once: inputs, between two convolutions, activations, skips
_KEPT_TO_LEARN = 20  # the same, and what the gradients need
_BACKWARD = 3  # a training step over a pass through the network alone
_WINDOWS = 8  # windows of a patch that the one-class model is fitted to
_MATCH_STEPS = 50  # of MatchGen until it ends, as a rule; each is about a training step's share for one slice
_RADII_TRIED = 56  # slices matched to choose epsilon, all radii together
_SVM_CACHE = 1_000_000_000  # bytes


@dataclass(frozen=True)
class Cost:
    """seconds, and the slices and patches they are for (0: not known, or whole slices); memory_bytes: of the whole process, at its peak"""

    seconds: float
    slices: int
    patches: int
    memory_bytes: int


def cost_of_detection(
    detector: Detector,
    scan: Scan | None = None,
    slices: tuple[int, int] | None = None,
    foreground: Foreground = None,
    progress: Progress | None = None,
) -> Cost:
    """Of `detector.detect(scan, slices=slices, foreground=foreground)`; without a scan, of one slice full of foreground."""
    progress = progress or Progress()
    settings = detector.model.settings
    patch = detector.pace(progress)
    started = time.monotonic()
    if scan is None:
        side = settings.preparation.grid or 256
        inside, voxels = np.ones((1, side, side), bool), side**2
    else:
        inside, voxels = detector.prepare(scan, foreground).foreground, prod(scan.geometry.shape)
    preparing = time.monotonic() - started
    progress.check()
    if slices is not None:
        inside = inside[slices[0] : slices[1]]
    whole = settings.whole_slices
    patches = 0 if whole else _patches(inside, settings.invdetect)
    units = len(inside) if whole else patches
    memory = _PROGRAM + 24 * voxels + 24 * inside.size
    memory += _passing(settings, min(units, detector.batch), _KEPT_TO_LEARN if settings.method == "matchgen" else _KEPT)
    return Cost(round(preparing + units * patch, 3), len(inside), patches, memory)


def cost_of_training(settings: Settings, device: str = "auto", slices: int = 0, progress: Progress | None = None) -> Cost:
    """Of training from normal scans with that many `slices` in all; with 0, of what does not depend on them."""
    progress = progress or Progress()
    channels, side = settings.preparation.channels or 1, settings.preparation.grid or 256
    step = _seconds_a_step(settings, channels, find_device(device), progress)
    held_out = min(round(settings.training.calibration * slices), 4000)
    kept = held_out * side**2 * (4 * channels + 1 + 24)  # those to learn from lie in a file
    memory = _PROGRAM + kept + _passing(settings, settings.training.batch, _KEPT_TO_LEARN)
    if settings.method == "matchgen":
        a_match = step / settings.training.batch * _MATCH_STEPS
        return Cost(round(settings.training.steps * step + (held_out + _RADII_TRIED) * a_match, 1), slices, 0, memory)
    method = settings.invdetect
    if settings.whole_slices:  # every direction is scored; a crop's share of a slice is about that of its pixels
        a_pass = step / method.training.batch / _BACKWARD * side**2 / method.patches.size**2 * len(method.views.levels)
        return Cost(round(method.training.steps * step + len(DIRECTIONS) * held_out * a_pass, 1), slices, 0, memory)
    evaluations = method.inversion.evaluations if method.inversion.solver == "multistep" else method.inversion.steps
    patch = step / method.training.batch / _BACKWARD * evaluations
    a_slice = _patches(np.ones((1, side, side), bool), method)
    inverted = -(-method.normality.max_samples // _WINDOWS) + held_out * a_slice
    learned = method.normality.max_samples * 4 * (method.patches.size**2 * channels if method.features.kind == "latent" else 64)
    memory += learned + (_SVM_CACHE if method.normality.estimator == "svm" else 0)
    return Cost(round(method.training.steps * step + inverted * patch, 1), slices, inverted, memory)


def _seconds_a_step(settings: Settings, channels: int, device: torch.device, progress: Progress) -> float:
    sample, _ = random_slice(settings)
    if settings.method == "matchgen":
        side = settings.preparation.grid or 256
        return BaseTrainer(settings.matchgen, channels, side, 0, device).pace(SlicePool([sample], side, device), progress)
    pool = PatchPool([sample], settings.invdetect.patches, device)
    return NoiseTrainer(settings.invdetect, channels, 0, device).pace(pool, progress)


def _patches(foreground: np.ndarray, settings: InvDetectSettings) -> int:
    return len(PatchGrid.over(foreground.shape[1:], settings.patches).places(foreground, settings.patches.min_foreground))


def _passing(settings: Settings, units: int, kept: int) -> int:
    """Bytes that so many patches, or slices, need on their way through the network."""
    if settings.method == "matchgen":
        side, widths = settings.preparation.grid or 256, settings.matchgen.network.widths
    else:
        side, widths = settings.invdetect.patches.size // settings.invdetect.network.fold, settings.invdetect.network.widths
    return units * sum(width * (side >> stage) ** 2 for stage, width in enumerate(widths)) * 4 * kept
