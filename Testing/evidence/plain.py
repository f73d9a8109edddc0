"""Plain baselines: what brightness and contrast alone say. Each is a function of one prepared scan; nothing but means is learned.

All take values (slice, row, column, channel) float32 in [-1, 1] on `standard`'s grid and give (slice, row, column) float32, higher = less
normal. Where nothing is said of channels they are averaged, as the library's own intensity baseline does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import ndimage

from InvDetectLib.computing.tensors import to_array, to_tensor
from InvDetectLib.methods.contract import Slices
from InvDetectLib.metrics.agreement import intensity_score

from .windows import WINDOW, Windows

_SURROUND = 8.0  # pixels: sigma of what a pixel is compared with


def brightness(values: np.ndarray) -> np.ndarray:
    """The intensity itself."""
    return values.mean(axis=3)


def darkness(values: np.ndarray) -> np.ndarray:
    """Minus the intensity."""
    return -brightness(values)


def green(values: np.ndarray) -> np.ndarray:
    """The green channel, in which blood and exudates of a fundus stand out best."""
    return values[..., 1]


def green_darkness(values: np.ndarray) -> np.ndarray:
    """Minus the green channel."""
    return -values[..., 1]


def local_contrast(values: np.ndarray) -> np.ndarray:
    """|x - Gaussian(x)| with a sigma of 8 pixels, two-sided, channels averaged."""
    surround = ndimage.gaussian_filter(values, (0, _SURROUND, _SURROUND, 0), mode="nearest")
    return np.abs(values - surround).mean(axis=3)


class Plain:
    """A baseline that learns nothing (see `baselines.Baseline`)."""

    def __init__(self, measure: Callable[[np.ndarray], np.ndarray]) -> None:
        self._measure = measure

    def settings(self) -> dict[str, Any]:
        return {"measure": self._measure.__name__}

    def fit(self, scans: Sequence[Slices]) -> None:
        """Nothing to learn."""

    def map(self, scan: Slices) -> np.ndarray:
        return self._measure(scan.values)


class Smoothed:
    """Brightness smoothed by a Gaussian of 2 pixels: the library's own baseline."""

    def settings(self) -> dict[str, Any]:
        return {"measure": "intensity_score"}

    def fit(self, scans: Sequence[Slices]) -> None:
        """Nothing to learn."""

    def map(self, scan: Slices) -> np.ndarray:
        return intensity_score(scan.values, scan.foreground)


class TwoSided:
    """|z| of each channel against the mean and spread of all normal foreground, root mean square over channels."""

    def settings(self) -> dict[str, Any]:
        return {"measure": "two-sided"}

    def fit(self, scans: Sequence[Slices]) -> None:
        inside = np.concatenate([scan.values[scan.foreground] for scan in scans])
        self.mean, self.spread = inside.mean(axis=0), inside.std(axis=0)

    def map(self, scan: Slices) -> np.ndarray:
        return np.sqrt((((scan.values - self.mean) / self.spread) ** 2).mean(axis=3))


class PatchMean:
    """Mean intensity of windows of 16 pixels, put together again by Eq. 1."""

    def settings(self) -> dict[str, Any]:
        return {"window": WINDOW}

    def fit(self, scans: Sequence[Slices]) -> None:
        """Nothing to learn."""

    def map(self, scan: Slices) -> np.ndarray:
        windows = Windows(scan.foreground)
        return windows.spread(lambda values: to_array(values.mean(dim=(1, 2, 3))), to_tensor(scan.values))
