"""The base `vae-grad`: a variational autoencoder whose anomaly map is the gradient of its bound at the image."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from .vae import VAE, divergence

_DEVIATION = 0.1  # of the decoder's normal distribution, in intensities from 0 to 1
_BLUR = 1.0  # pixels: strided convolutions leave a grid of 2 pixels in their gradients


class VAEGrad(VAE):
    """Zimmerer et al., Unsupervised anomaly localization using variational auto-encoders, MICCAI 2019.

    The decoder's distribution is normal with deviation 0.1, so that the gradient of its term grows with the residual. The base's own map
    is |d ELBO / d x|, the code standing at its mean. With MatchGen the map is |x - g(z*)| times |d KL / d x|, the paper's combined score
    with the optimised image in it: a deviation, since MatchGen only exchanges g(z), of which the gradient of the bound knows nothing.
    Further deviations: no repeated draws of the code, so that a map needs no draw; gradients are smoothed with a Gaussian of 1 pixel.
    """

    def misfit(self, images: torch.Tensor, decoded: torch.Tensor) -> torch.Tensor:
        return (images - decoded).square().flatten(1).sum(dim=1) / (2 * _DEVIATION**2)

    def anomaly(self, images: torch.Tensor, pseudo: torch.Tensor, matched: bool) -> torch.Tensor:
        """|d ELBO / d x| for the base's own images; |x - s| |d KL / d x| for those of MatchGen. (N, H, W), 0 or more."""
        with torch.inference_mode(False), torch.enable_grad():
            inputs = images.clone().requires_grad_()
            mean, log_variance = self.distribution(inputs)
            bound = divergence(mean, log_variance)
            if not matched:
                bound = bound + self.misfit(inputs, self.decoder(mean))
            (gradient,) = torch.autograd.grad(bound.sum(), inputs)
        smooth = _smoothed(gradient.abs().mean(dim=1))
        return smooth * super().anomaly(images, pseudo, matched) if matched else smooth


def _smoothed(values: torch.Tensor) -> torch.Tensor:
    """(N, H, W) convolved with a Gaussian; the rim is repeated outwards."""
    reach = math.ceil(3 * _BLUR)
    offsets = torch.arange(-reach, reach + 1, device=values.device, dtype=values.dtype)
    weights = torch.exp(-0.5 * (offsets / _BLUR).square())
    weights = weights / weights.sum()
    padded = functional.pad(values[:, None], (reach,) * 4, mode="replicate")
    return functional.conv2d(functional.conv2d(padded, weights[None, None, None]), weights[None, None, :, None])[:, 0]
