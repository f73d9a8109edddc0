"""What every base model of MatchGen offers: a way from an image to a code and back, learned from normal images alone.

Images are (N, C, H, W) float32 in [0, 1] with H = W = side. Slices, which are in [-1, 1], become (v + 1) / 2 in the middle of the square;
what is left of it is 0, which is background.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ...common import InvDetectError
from ...computing import to_tensor

if TYPE_CHECKING:
    from ...models import MatchGenSettings

# Name of a base -> (module beside this one, class in it).
_BASES = {
    "ae": ("ae", "AE"),
    "ceae": ("ceae", "CeAE"),
    "vae": ("vae", "VAE"),
    "vae-grad": ("vae_grad", "VAEGrad"),
    "dae": ("dae", "DAE"),
    "ganomaly": ("ganomaly", "GANomaly"),
    "ddgan": ("ddgan", "DDGAN"),
}
BASES = tuple(_BASES)


@dataclass(frozen=True)
class Code:
    """What a decoder receives.

    z     (N, ...): what MatchGen moves; the norm of Eq. 1 is over everything but N
    held  (N, ...) each: what the decoder also receives and MatchGen does not move
    """

    z: torch.Tensor
    held: tuple[torch.Tensor, ...] = ()

    def __getitem__(self, which: torch.Tensor | slice) -> Code:
        """The code of some of the images."""
        return Code(self.z[which], tuple(part[which] for part in self.held))


class Base(nn.Module):
    """A base model, built by `make_base`. Nothing in it depends on the other images of a batch, in training or after it.

    betas  of Adam, where the cited paper departs from Adam's own
    """

    betas: ClassVar[tuple[float, float]] = (0.9, 0.999)

    def __init__(self, settings: MatchGenSettings, channels: int, side: int) -> None:
        super().__init__()
        self.settings, self.channels, self.side = settings, channels, side

    def parts(self) -> list[list[nn.Parameter]]:
        """Parameters optimised together; with several, each step optimises them in turn, each against its own loss."""
        return [list(self.parameters())]

    def loss(self, images: torch.Tensor, part: int, generator: torch.Generator) -> torch.Tensor:
        """What part number `part` minimises: a scalar, the mean over the images. All randomness is `generator`'s (on their device)."""
        raise NotImplementedError

    def encode(self, images: torch.Tensor) -> Code:
        """phi(x) of the paper: z0 with what the decoder needs beside it. The same images give the same code."""
        raise NotImplementedError

    def decode(self, code: Code) -> torch.Tensor:
        """g(z) of the paper: images, differentiable in `code.z`."""
        raise NotImplementedError

    def anomaly(self, images: torch.Tensor, pseudo: torch.Tensor, matched: bool) -> torch.Tensor:
        """(N, H, W), 0 or more: the difference map |x - s|, averaged over channels.

        pseudo   the pseudo-normal images, g(z0) or g(z*)
        matched  whether they come from MatchGen; bases with a map of their own use it for the one and not for the other
        """
        return (images - pseudo).abs().mean(dim=1)


def make_base(settings: MatchGenSettings, channels: int, side: int) -> Base:
    """An untrained base as `settings.base` names it, for square images of `side` pixels.

    Its weights come from torch's global generator. Raises `InvDetectError` for an unknown base, for widths or a code that cannot be, and
    for a side that the stages do not halve evenly.
    """
    if settings.base not in _BASES:
        raise InvDetectError(f"There is no base {settings.base!r}; choose one of {', '.join(BASES)}.")
    widths, code = settings.network.widths, settings.network.code
    if not widths or any(width < 8 or width % 8 for width in widths):
        raise InvDetectError(f"The autoencoder's widths must be multiples of 8, not {widths}.")
    if code < 1:
        raise InvDetectError(f"The autoencoder's code must hold 1 number or more, not {code}.")
    step = 2 ** len(widths)
    if side < step or side % step:
        raise InvDetectError(f"An autoencoder of {len(widths)} stages needs images of a multiple of {step} pixels a side, not {side}.")
    module, name = _BASES[settings.base]
    made: Base = getattr(importlib.import_module(f".{module}", __package__), name)(settings, channels, side)
    return made


def to_images(values: np.ndarray, side: int, device: torch.device) -> torch.Tensor:
    """Slices, (slice, row, column, channel) float32 in [-1, 1], as images on `device`. Raises `InvDetectError` for slices beyond `side`."""
    rows, columns = inside(values.shape[1:3], side)
    images = (to_tensor(values, device).permute(0, 3, 1, 2) + 1) / 2
    return functional.pad(images, (columns.start, side - columns.stop, rows.start, side - rows.stop))


def inside(shape: tuple[int, ...], side: int) -> tuple[slice, slice]:
    """Rows and columns of the square that a slice of `shape` (row, column) takes up: `image[..., rows, columns]` is the slice again."""
    if max(shape) > side:
        raise InvDetectError(f"A slice of {shape[0]} x {shape[1]} pixels does not fit a model of slices of {side} x {side}; train another.")
    rows, columns = (slice((side - length) // 2, (side - length) // 2 + length) for length in shape)
    return rows, columns
