"""The base `ceae`: an autoencoder that fills in what was cut out of its images."""

from __future__ import annotations

import torch

from .ae import AE

_MOST_SQUARES = 3
_SIDES = (1 / 16, 1 / 4)  # of a square, as a share of the image's side


class CeAE(AE):
    """The context-encoding branch of Zimmerer et al., Context-encoding variational autoencoder for unsupervised anomaly detection,
    arXiv:1812.05941 (2018), after Pathak et al., Context encoders: feature learning by inpainting, CVPR 2016.

    In training one to three squares of each image become 0, and the whole image must come back. z is the dense code.
    Deviations: the L1 distance of the base `ae`, so that the two differ in the squares alone; the paper does not give the squares'
    sizes as a rule for images of any size, here their sides are a sixteenth to a quarter of the image's.
    """

    def loss(self, images: torch.Tensor, part: int, generator: torch.Generator) -> torch.Tensor:
        holes = squares(len(images), self.side, generator)
        return (self.decoder(self.encoder(images.masked_fill(holes[:, None], 0.0))) - images).abs().mean()


def squares(count: int, side: int, generator: torch.Generator) -> torch.Tensor:
    """(count, side, side) bool: one to three squares in each, wholly inside, of random places and sizes."""
    device = generator.device
    draws = torch.rand((4, count, _MOST_SQUARES), generator=generator, device=device)
    sides = (side * (_SIDES[0] + (_SIDES[1] - _SIDES[0]) * draws[0])).round().clamp(min=1)
    present = torch.arange(_MOST_SQUARES, device=device) < (1 + _MOST_SQUARES * draws[1, :, :1])
    pixels = torch.arange(side, device=device)
    along = []
    for place in draws[2:]:
        first = (place * (side - sides + 1)).floor()[..., None]
        along.append((pixels >= first) & (pixels < first + sides[..., None]))
    return (along[0][..., :, None] & along[1][..., None, :] & present[..., None, None]).any(dim=1)
