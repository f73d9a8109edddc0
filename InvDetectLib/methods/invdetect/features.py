"""What the one-class model sees of an inverted patch: its whole latent, or statistics in small windows inside it.

A latent is an image: its local mean says "brighter or darker than this anatomy allows", its local energy "rougher or smoother".
"""

from __future__ import annotations

import torch
from torch.nn import functional

from ...common import InvDetectError
from ...models import Features
from .patches import window_places

_TINY = 1e-6  # energy of a latent whose window is exactly constant; far below that of any noise


class FeatureReader:
    """Turns one batch of inversions into features, one row a window.

    window     side of the scored window in pixels (the patch for "latent")
    places     (K, 2) ints: windows inside a patch;  weights  (K,) float32: their weight (see `patches`)
    on_noise   give it to `invert`: the trajectory is read on the way, so it never has to be stored as images
    """

    def __init__(self, settings: Features, patch: int) -> None:
        if settings.kind not in ("latent", "latent_windows", "trajectory_windows"):
            raise InvDetectError(f"There are no features called {settings.kind!r}.")
        self.settings = settings
        self.window = patch if settings.kind == "latent" else settings.window
        if not 1 <= self.window <= patch:
            raise InvDetectError(f"Windows of {self.window} pixels do not fit into patches of {patch}.")
        self.places, self.weights = window_places(patch, self.window, settings.spacing)
        self._trajectory: list[torch.Tensor] = []

    def dimension(self, channels: int, evaluations: int) -> int:
        """D of `read`, for patches of so many channels and inversions of so many network passes."""
        if self.settings.kind == "latent":
            return channels * self.window**2
        times = evaluations if self.settings.kind == "trajectory_windows" else 1
        return channels * len(set(self.settings.statistics)) * (times + self.settings.image)

    def start(self) -> None:
        """Forget what a batch left that was stopped half way; to be called before each batch."""
        self._trajectory = []

    def on_noise(self, noise: torch.Tensor) -> None:
        """Keep what is needed of one predicted noise, (N, C, b, b)."""
        if self.settings.kind == "trajectory_windows":
            self._trajectory.append(self._statistics(noise))

    def read(self, latents: torch.Tensor, patches: torch.Tensor) -> torch.Tensor:
        """Features of a batch of patches whose inversion just ended in `latents`, both (N, C, b, b) -> (N, K, D) float32.

        D is C * b * b ("latent"), C * statistics ("latent_windows"), or that times the evaluations ("trajectory_windows"); with
        `image`, of windows C * statistics more.
        """
        if self.settings.kind == "latent":
            return latents.reshape(len(latents), 1, -1)
        parts = [self._statistics(latents)] if self.settings.kind == "latent_windows" else self._trajectory
        if self.settings.image:
            parts = [*parts, self._statistics(patches)]
        return torch.cat(parts, dim=2)

    def _statistics(self, images: torch.Tensor) -> torch.Tensor:
        """(N, C, b, b) -> (N, K, C * statistics): the mean, and the log of the mean square, of each window and channel."""
        parts = []
        if "mean" in self.settings.statistics:
            parts.append(functional.avg_pool2d(images, self.window, self.settings.spacing))
        if "log_energy" in self.settings.statistics:
            parts.append(functional.avg_pool2d(images.square(), self.window, self.settings.spacing).add(_TINY).log())
        if not parts:
            raise InvDetectError(f"Unknown statistics {self.settings.statistics}; use mean and log_energy.")
        return torch.cat(parts, dim=1).flatten(2).transpose(1, 2)
