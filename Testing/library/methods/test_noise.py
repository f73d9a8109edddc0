"""Noise with scales: unit variance, the size of what it covers, one seed everywhere; and DDIM in it, in whitened coordinates."""

import math

import numpy as np
import pytest
import torch

from InvDetectLib.common.errors import InvDetectError
from InvDetectLib.methods.invdetect.inversion import ddim_step, invert
from InvDetectLib.methods.invdetect.noise import draw_noise
from InvDetectLib.methods.invdetect.schedule import alpha_bars, inversion_path
from InvDetectLib.models.method_settings import Inversion, Noise

CPU = torch.device("cpu")
ABAR = alpha_bars()
PYRAMID = Noise(scales=(1, 2, 4, 8, 16))


def drawn(noise: Noise, side: int = 48, count: int = 4000, seed: int = 3) -> torch.Tensor:
    """Images of many seeds, since those of one seed share their cells' places: (count, 1, side, side)."""
    return torch.cat([draw_noise((count // 40, 1, side, side), noise, seed + number, CPU) for number in range(40)])


def share_left(noise: torch.Tensor, side: int) -> float:
    """Variance of means over squares of so many pixels."""
    return float(torch.nn.functional.avg_pool2d(noise, side).square().mean())


@pytest.mark.parametrize("noise", [Noise(), Noise(scales=(8,)), PYRAMID, Noise(scales=(2, 4), weights=(1.0, 3.0))])
def test_every_pixel_has_mean_0_and_variance_1(noise):
    values = drawn(noise, side=17)
    assert values.mean().item() == pytest.approx(0, abs=0.02)
    each = values.square().mean(dim=(0, 1))
    assert each.min() > 0.85 and each.max() < 1.15, "no pixel is quieter than another"
    assert each.mean().item() == pytest.approx(1, abs=0.02)


def test_scales_are_what_a_mean_over_many_pixels_leaves_standing():
    white, coarse, pyramid = (share_left(drawn(noise, 48, 800), 8) for noise in (Noise(), Noise(scales=(8,)), PYRAMID))
    assert white == pytest.approx(1 / 64, rel=0.1)
    assert coarse > 0.3 and pyramid > 10 * white


def test_weights_share_out_the_variance():
    """Of two scales alike, each holds half; a mean over 8 x 8 pixels keeps of white noise nearly nothing."""
    halves, mostly_white = Noise(scales=(1, 8)), Noise(scales=(1, 8), weights=(3.0, 1.0))
    coarse = share_left(drawn(Noise(scales=(8,)), 48, 800), 8)
    assert share_left(drawn(halves, 48, 800), 8) == pytest.approx(coarse / 2, rel=0.15)
    assert share_left(drawn(mostly_white, 48, 800), 8) == pytest.approx(coarse / 10, rel=0.25)


def test_a_seed_is_the_same_noise_and_another_another():
    first, again, other = (draw_noise((2, 3, 20, 30), PYRAMID, seed, CPU) for seed in (5, 5, 6))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert not torch.equal(first[0], first[1]) and not torch.equal(first[0, 0], first[0, 1]), "images and channels are independent"


@pytest.mark.parametrize("noise", [Noise(scales=()), Noise(scales=(0, 2)), Noise(scales=(2,), weights=(1.0, 1.0)), Noise((2,), (0.0,))])
def test_what_makes_no_noise_is_told(noise):
    with pytest.raises(InvDetectError, match="Noise cannot be made"):
        draw_noise((1, 1, 8, 8), noise, 0, CPU)


class Gaussian:
    """Data x ~ N(0, S) in noise of covariance C on a ring of pixels, both the same at every pixel, so that waves are the modes of both.

    The exact predictor of the noise is E[n | x_t] = sqrt(1 - abar) C (abar S + (1 - abar) C)^-1 x_t, and the probability flow keeps
    each mode of u = C^(-1/2) x in units of its own spread, sqrt(abar s/c + 1 - abar).
    """

    def __init__(self, data: torch.Tensor, noise: torch.Tensor) -> None:
        self.data, self.noise = data, noise  # variances of the modes, as from rfft

    def filtered(self, x: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
        return torch.fft.irfft(torch.fft.rfft(x, norm="ortho") * factor, n=x.shape[-1], norm="ortho")

    def predict(self, z: torch.Tensor, t: int) -> torch.Tensor:
        total = ABAR[t] * self.data + (1 - ABAR[t]) * self.noise
        return self.filtered(z, math.sqrt(1 - ABAR[t]) * self.noise / total)

    def latent(self, x: torch.Tensor, start: int, end: int) -> torch.Tensor:
        spreads = [torch.sqrt(ABAR[t] * self.data / self.noise + 1 - ABAR[t]) for t in (start, end)]
        return self.filtered(x, spreads[1] / spreads[0])


def ring(width: float, length: int = 64) -> torch.Tensor:
    """Variances of the modes of a process that hangs together over so many pixels, 1 on average."""
    waves = torch.arange(length // 2 + 1, dtype=torch.float32)
    values = torch.exp(-((waves * width / length) ** 2) * 8) + 0.02
    full = torch.cat([values, values[1:-1]])
    return values / full.mean()


@pytest.mark.parametrize("noise", [torch.ones(33), ring(4.0)], ids=["white", "coloured"])
@pytest.mark.parametrize("settings", [Inversion(), Inversion(solver="multistep", evaluations=30)], ids=["ddim", "multistep"])
def test_the_exact_latent_of_gaussian_data_is_found_and_leads_back(noise, settings):
    world = Gaussian(0.3 * ring(8.0), noise)
    x = torch.randn(64, 1, 1, 64, generator=torch.Generator().manual_seed(1))
    x = world.filtered(x, world.data.sqrt())
    path = inversion_path(settings)
    z = invert(world.predict, x, path)
    exact = world.latent(x, 0, 999)
    assert ((z - exact).norm() / exact.norm()).item() < 0.05
    times = list(range(999, 0, -3)) + [0]
    back = exact
    for start, end in zip(times[:-1], times[1:]):
        back = ddim_step(back, world.predict(back, start), float(ABAR[start]), float(ABAR[end]))
    assert ((back - x).norm() / x.norm()).item() < 0.05, "generation undoes inversion"


def test_latents_of_normal_data_have_the_noises_own_covariance():
    world = Gaussian(0.3 * ring(8.0), ring(4.0))
    x = world.filtered(torch.randn(4000, 1, 1, 64, generator=torch.Generator().manual_seed(2)), world.data.sqrt())
    z = invert(world.predict, x, inversion_path(Inversion(solver="multistep", evaluations=30)))
    found = torch.fft.rfft(z, norm="ortho").abs().square().mean(dim=(0, 1, 2))
    assert np.allclose((found / world.noise).numpy(), 1, atol=0.25)
