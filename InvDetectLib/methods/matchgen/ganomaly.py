"""The base `ganomaly`: an autoencoder that must also deceive a discriminator and be able to encode its own images again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from .backbone import DenseDecoder, DenseEncoder, Halving
from .base import Base, Code

if TYPE_CHECKING:
    from ...models import MatchGenSettings

_ADVERSARIAL, _CONTEXT, _ENCODER = 1.0, 50.0, 1.0  # weights of the generator's three terms


class GANomaly(Base):
    """Akcay, Atapour-Abarghouei and Breckon, GANomaly: semi-supervised anomaly detection via adversarial training, ACCV 2018.

    The generator (encoder, decoder, second encoder) minimises the distance between the discriminator's features of images and of decoded
    images, 50 times the L1 distance of the images, and the distance between the two codes; the discriminator tells the images apart.
    z is the first encoder's code. The paper scores an image by the distance of its codes; a map of pixels is the difference map.
    Deviations: group norms instead of batch norms; images in [0, 1] and a sigmoid instead of [-1, 1] and tanh; the discriminator is not
    started anew when its loss nears 0, for a resumed training could not follow.
    """

    betas = (0.5, 0.999)

    def __init__(self, settings: MatchGenSettings, channels: int, side: int) -> None:
        super().__init__(settings, channels, side)
        widths, code = settings.network.widths, settings.network.code
        self.encoder = DenseEncoder(channels, side, widths, code)
        self.decoder = DenseDecoder(channels, side, widths, code)
        self.again = DenseEncoder(channels, side, widths, code)
        self.features = Halving(channels, widths)
        self.judge = nn.Linear(widths[-1] * (side >> len(widths)) ** 2, 1)

    def parts(self) -> list[list[nn.Parameter]]:
        """Generator; discriminator."""
        generator = [*self.encoder.parameters(), *self.decoder.parameters(), *self.again.parameters()]
        return [generator, [*self.features.parameters(), *self.judge.parameters()]]

    def loss(self, images: torch.Tensor, part: int, generator: torch.Generator) -> torch.Tensor:
        return self._discriminator_loss(images) if part else self._generator_loss(images)

    def _generator_loss(self, images: torch.Tensor) -> torch.Tensor:
        code = self.encoder(images)
        decoded = self.decoder(code)
        adversarial = functional.mse_loss(self.features(decoded), self.features(images))
        encoder = functional.mse_loss(self.again(decoded), code)
        return _ADVERSARIAL * adversarial + _CONTEXT * (decoded - images).abs().mean() + _ENCODER * encoder

    def _discriminator_loss(self, images: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            decoded = self.decoder(self.encoder(images))
        real, made = (self.judge(self.features(some).flatten(1)) for some in (images, decoded))
        return 0.5 * (functional.softplus(-real) + functional.softplus(made)).mean()

    def encode(self, images: torch.Tensor) -> Code:
        return Code(self.encoder(images))

    def decode(self, code: Code) -> torch.Tensor:
        return self.decoder(code.z)
