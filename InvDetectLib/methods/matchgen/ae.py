"""The base `ae`: a convolutional autoencoder with a dense code, trained on the L1 distance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from .backbone import DenseDecoder, DenseEncoder
from .base import Base, Code

if TYPE_CHECKING:
    from ...models import MatchGenSettings


class AE(Base):
    """AE-l1: "AE (dense)" of Baur et al., Autoencoders for unsupervised anomaly segmentation in brain MR images: a comparative study,
    Medical Image Analysis 69 (2021).

    z is the dense code. Deviations: group norms instead of batch norms; no dropout before the code, so that encoding needs no draw.
    """

    def __init__(self, settings: MatchGenSettings, channels: int, side: int) -> None:
        super().__init__(settings, channels, side)
        widths, code = settings.network.widths, settings.network.code
        self.encoder = DenseEncoder(channels, side, widths, code)
        self.decoder = DenseDecoder(channels, side, widths, code)

    def loss(self, images: torch.Tensor, part: int, generator: torch.Generator) -> torch.Tensor:
        return (self.decoder(self.encoder(images)) - images).abs().mean()

    def encode(self, images: torch.Tensor) -> Code:
        return Code(self.encoder(images))

    def decode(self, code: Code) -> torch.Tensor:
        return self.decoder(code.z)
