"""The base `vae`: an autoencoder whose codes of normal images fill a standard normal distribution."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from .backbone import DenseDecoder, DenseEncoder
from .base import Base, Code

if TYPE_CHECKING:
    from ...models import MatchGenSettings

_LOG_VARIANCES = (-15.0, 15.0)  # beyond, exp() would decide alone


class VAE(Base):
    """Kingma and Welling, Auto-encoding variational Bayes, ICLR 2014, with the convolutional encoder and decoder of the base `ae`.

    The loss is the negative ELBO with one draw of the code, divided by the number of values of an image. The decoder's distribution is
    Laplace's with scale 1, which makes its term the L1 distance summed over the image (as in Baur et al. 2021). z is the mean.
    """

    def __init__(self, settings: MatchGenSettings, channels: int, side: int) -> None:
        super().__init__(settings, channels, side)
        widths, code = settings.network.widths, settings.network.code
        self.encoder = DenseEncoder(channels, side, widths, 2 * code)
        self.decoder = DenseDecoder(channels, side, widths, code)

    def loss(self, images: torch.Tensor, part: int, generator: torch.Generator) -> torch.Tensor:
        mean, log_variance = self.distribution(images)
        noise = torch.randn(mean.shape, generator=generator, device=mean.device)
        decoded = self.decoder(mean + (0.5 * log_variance).exp() * noise)
        return (self.misfit(images, decoded) + divergence(mean, log_variance)).mean() / images[0].numel()

    def encode(self, images: torch.Tensor) -> Code:
        return Code(self.distribution(images)[0])

    def decode(self, code: Code) -> torch.Tensor:
        return self.decoder(code.z)

    def distribution(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and log of the variance of the codes, (N, code) each."""
        mean, log_variance = self.encoder(images).chunk(2, dim=1)
        return mean, log_variance.clamp(*_LOG_VARIANCES)

    def misfit(self, images: torch.Tensor, decoded: torch.Tensor) -> torch.Tensor:
        """-log p(x | z) of each image but for a constant, (N,)."""
        return (images - decoded).abs().flatten(1).sum(dim=1)


def divergence(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    """Kullback-Leibler divergence from the standard normal distribution, (N, code) each -> (N,)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1)
