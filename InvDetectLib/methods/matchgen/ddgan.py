"""The base `ddgan`: noise added to an image and taken away again in a few large steps, each learned against a discriminator."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from .backbone import Halving, UNet
from .base import Base, Code

if TYPE_CHECKING:
    from ...models import MatchGenSettings

_STEPS = 4
_ENTRY = 2  # the step to which an image is noised before it is denoised
_BETAS = (0.1, 20.0)  # of the variance preserving process, at its beginning and its end
_LATENTS = 100
_CONDITION = 128
_PENALTY, _PENALTY_EVERY = 0.05, 15


class DDGAN(Base):
    """Xiao, Kreis and Vahdat, Tackling the generative learning trilemma with denoising diffusion GANs, ICLR 2022 (arXiv:2112.07804).

    Four steps. The generator receives an image noised to step t, t and random latents, and predicts the image; the posterior
    q(x_(t-1) | x_t, x_0) takes it to step t - 1. The discriminator tells x_(t-1) so made from true ones, given x_t and t; its gradient
    at true ones is penalised (R1) in one of 15 steps. As a base, z is the image noised to step 2 and the decoder the two steps back; the
    noises and latents in both are drawn once, are the same for every image and are stored with the weights, so that the decoder is a
    function, and differentiable.
    Deviations: the U-Net of the base `dae` with the condition in every block instead of NCSN++; the discriminator knows t by projection
    (Miyato and Koyama 2018) and compares no images of a batch; the penalised steps are drawn, so that a resumed training can follow.
    """

    betas = (0.5, 0.9)
    kept: torch.Tensor
    entry_noise: torch.Tensor
    latents: torch.Tensor
    noises: torch.Tensor

    def __init__(self, settings: MatchGenSettings, channels: int, side: int) -> None:
        super().__init__(settings, channels, side)
        widths = settings.network.widths
        self.times = nn.Embedding(_STEPS + 1, _CONDITION)
        self.mapping = nn.Sequential(
            nn.Linear(_LATENTS, _CONDITION), nn.LeakyReLU(0.2), nn.Linear(_CONDITION, _CONDITION), nn.LeakyReLU(0.2)
        )
        self.generator = UNet(channels, channels, widths, _CONDITION)
        numbers = widths[-1] * (side >> len(widths)) ** 2
        self.features = Halving(2 * channels, widths)
        self.judge = nn.Linear(numbers, 1)
        self.judge_times = nn.Embedding(_STEPS + 1, numbers)
        nn.init.zeros_(self.judge_times.weight)
        self.register_buffer("kept", kept_variance())
        fixed = torch.Generator().manual_seed(0)
        self.register_buffer("entry_noise", torch.randn((channels, side, side), generator=fixed))
        self.register_buffer("latents", torch.randn((_ENTRY, _LATENTS), generator=fixed))
        self.register_buffer("noises", torch.randn((_ENTRY, channels, side, side), generator=fixed))

    def parts(self) -> list[list[nn.Parameter]]:
        """Generator; discriminator."""
        generator = [*self.times.parameters(), *self.mapping.parameters(), *self.generator.parameters()]
        return [generator, [*self.features.parameters(), *self.judge.parameters(), *self.judge_times.parameters()]]

    def loss(self, images: torch.Tensor, part: int, generator: torch.Generator) -> torch.Tensor:
        device, count = images.device, len(images)

        def noise(*shape: int) -> torch.Tensor:
            return torch.randn(shape, generator=generator, device=device)

        t = torch.randint(1, _STEPS + 1, (count,), generator=generator, device=device)
        before = self._noised(2 * images - 1, t - 1, noise(*images.shape))
        ratio = (self.kept[t] / self.kept[t - 1])[:, None, None, None]
        after = ratio.sqrt() * before + (1 - ratio).sqrt() * noise(*images.shape)
        with torch.set_grad_enabled(torch.is_grad_enabled() and part == 0):
            made = self._back(after, t, noise(count, _LATENTS), noise(*images.shape))
        if part == 0:
            return functional.softplus(-self._judged(made, after, t)).mean()
        penalised = generator.initial_seed() % _PENALTY_EVERY == 0
        before.requires_grad_(penalised)
        real = self._judged(before, after, t)
        loss = (functional.softplus(-real) + functional.softplus(self._judged(made, after, t))).mean()
        if penalised:
            (gradient,) = torch.autograd.grad(real.sum(), before, create_graph=True)
            loss = loss + 0.5 * _PENALTY * gradient.square().flatten(1).sum(dim=1).mean()
        return loss

    def encode(self, images: torch.Tensor) -> Code:
        t = torch.full((len(images),), _ENTRY, device=images.device)
        return Code(self._noised(2 * images - 1, t, self.entry_noise))

    def decode(self, code: Code) -> torch.Tensor:
        x = code.z
        for step in range(_ENTRY, 0, -1):
            t = torch.full((len(x),), step, device=x.device)
            x = self._back(x, t, self.latents[step - 1].expand(len(x), -1), self.noises[step - 1])
        return (x + 1) / 2

    def _noised(self, images: torch.Tensor, t: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """q(x_t | x_0); images in [-1, 1], t (N,) from 0, which adds none, to the number of steps."""
        kept = self.kept[t][:, None, None, None]
        return kept.sqrt() * images + (1 - kept).sqrt() * noise

    def _back(self, x: torch.Tensor, t: torch.Tensor, latents: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """From x_t to a draw of x_(t-1): the generator's x_0, then the posterior q(x_(t-1) | x_t, x_0), of deviation 0 where t is 1."""
        scaled = latents * (latents.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()
        clean = torch.tanh(self.generator(x, functional.silu(self.times(t) + self.mapping(scaled))))
        now, then = (self.kept[some][:, None, None, None] for some in (t, t - 1))
        ratio = now / then
        mean = then.sqrt() * (1 - ratio) / (1 - now) * clean + ratio.sqrt() * (1 - then) / (1 - now) * x
        return mean + ((1 - ratio) * (1 - then) / (1 - now)).sqrt() * noise

    def _judged(self, before: torch.Tensor, after: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """(N,): above 0 where the discriminator takes x_(t-1) for true."""
        features = self.features(torch.cat([before, after], dim=1)).flatten(1)
        return self.judge(features)[:, 0] + (features * self.judge_times(t)).sum(dim=1) / math.sqrt(features.shape[1])


def kept_variance() -> torch.Tensor:
    """abar after 0, 1, ... steps: exp of minus the integral of beta, which grows linearly over the whole process. 1 at 0."""
    t = torch.linspace(0, 1, _STEPS + 1, dtype=torch.float64)
    return torch.exp(-(_BETAS[0] * t + 0.5 * (_BETAS[1] - _BETAS[0]) * t.square())).float()
