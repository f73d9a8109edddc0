"""The noise of the diffusion: white (the paper), or a sum of scales, each of the size of something that may be wrong with a slice.

White noise that has drowned a pixel has not touched the mean of a hundred pixels, so that a network never has to know anatomy to tell
the two apart at that scale. Noise with scales it can only tell from tissue where it knows what tissue looks like.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from ...common import InvDetectError
from ...computing import to_tensor
from ...models import Noise


def check_noise(settings: Noise) -> None:
    """Raise `InvDetectError` for scales and weights that make no noise."""
    scales, weights = settings.scales, settings.weights or (1.0,) * len(settings.scales)
    if not scales or min(scales) < 1 or len(weights) != len(scales) or min(weights) < 0 or not sum(weights) > 0:
        raise InvDetectError(
            f"Noise cannot be made of the scales {scales} with weights {settings.weights}; give scales of 1 pixel or more, and as many "
            "weights of 0 or more, or none."
        )


def draw_noise(
    shape: tuple[int, ...], settings: Noise, seed: int, device: torch.device, which: slice = slice(None)  # noqa: B008
) -> torch.Tensor:
    """Normal noise n with the covariance C that `settings` describe; every pixel has mean 0 and variance 1.

    shape  (N, channel, row, column); channels and images are independent
    seed   decides every number, and the device none: it is drawn on the CPU, so that one training is the same everywhere
    which  of the N are wanted; they are the same whichever are
    Returns float32 on the device.

    DDIM in such noise is DDIM in the coordinates u = C^(-1/2) x. There x_t = sqrt(abar) x + sqrt(1 - abar) n becomes
    u_t = sqrt(abar) u + sqrt(1 - abar) w with white w, and because the way there is linear, a step on x with predicted n is the step on u
    with predicted w: no formula of `inversion` changes, and n is predicted instead of w.
    """
    check_noise(settings)
    generator = torch.Generator().manual_seed(seed)
    weights = settings.weights or (1.0,) * len(settings.scales)
    total = math.sqrt(sum(weight**2 for weight in weights))
    noise = torch.zeros((len(range(shape[0])[which]), *shape[1:]))
    for scale, weight in zip(settings.scales, weights):
        noise += _cells(shape, scale, generator, which) * (weight / total)
    return noise.to(device)


def _cells(shape: tuple[int, ...], side: int, generator: torch.Generator, which: slice) -> torch.Tensor:
    """Normal noise on cells of `side` pixels at a random place, brought up linearly, of variance 1 everywhere."""
    if side == 1:
        return torch.randn(shape, generator=generator)[which]
    places = [_Places(length, side, int(torch.randint(side, (1,), generator=generator))) for length in shape[2:]]
    coarse = torch.randn((*shape[:2], *(place.cells for place in places)), generator=generator)[which]
    rows, columns = places
    tall = coarse[:, :, rows.first] * rows.near[:, None] + coarse[:, :, rows.first + 1] * rows.far[:, None]
    return tall[..., columns.first] * columns.near + tall[..., columns.first + 1] * columns.far


class _Places:
    """Pixels of one direction between the centres of cells: the `first` of two, and the weights of both, whose squares sum to 1."""

    def __init__(self, length: int, side: int, shift: int) -> None:
        place = (np.arange(length) + shift + 0.5) / side
        whole = np.floor(place)
        far = place - whole
        spread = np.hypot(1 - far, far)
        self.cells = int(whole[-1]) + 2
        self.first = to_tensor(whole.astype(np.int64))
        self.near, self.far = (to_tensor((part / spread).astype(np.float32)) for part in (1 - far, far))
