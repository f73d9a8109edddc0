"""Schedule and inversion: hand-computed steps, closed forms, and what must not be done (clipping)."""

import math

import numpy as np
import pytest
import torch

from InvDetectLib.common.errors import InvDetectError
from InvDetectLib.methods.invdetect.inversion import ddim_step, invert, multistep_increment
from InvDetectLib.methods.invdetect.schedule import Path, alpha_bars, inversion_path, sigmas
from InvDetectLib.models.method_settings import Inversion

ABAR = alpha_bars()


def gaussian_predictor(variance: float):
    """The exact noise predictor for data ~ N(0, variance): eps = z sqrt(1 - abar) / (abar variance + 1 - abar)."""

    def predict(z: torch.Tensor, t: int) -> torch.Tensor:
        return z * math.sqrt(1 - ABAR[t]) / (ABAR[t] * variance + 1 - ABAR[t])

    return predict


def exact_latent(x: torch.Tensor, variance: float, start: int, end: int) -> torch.Tensor:
    """The probability flow keeps z / standard deviation of z constant for Gaussian data."""
    spread = [math.sqrt(ABAR[t] * variance + 1 - ABAR[t]) for t in (start, end)]
    return x * spread[1] / spread[0]


def test_the_schedule_begins_and_ends_as_in_the_papers():
    assert ABAR[0] == pytest.approx(1 - 1e-4)
    assert ABAR[1] == pytest.approx((1 - 1e-4) * (1 - 1e-4 - (0.02 - 1e-4) / 999))
    assert 4.0e-5 < ABAR[-1] < 4.1e-5
    assert (np.diff(ABAR) < 0).all()


def test_the_paper_inverts_in_200_steps_from_0_to_999():
    path = inversion_path(Inversion())
    assert path.times == (*range(0, 1000, 5), 999)
    assert path.evaluations == 200 == path.euler


def test_a_depth_ends_the_grid_at_the_time_with_the_nearest_abar():
    path = inversion_path(Inversion(abar=0.04))
    assert path.times[:3] == (0, 5, 10)
    others = [abs(math.log(ABAR[t] / 0.04)) for t in range(5, 1000, 5)]
    assert abs(math.log(ABAR[path.times[-1]] / 0.04)) == pytest.approx(min(others))


def test_the_multistep_path_begins_with_ddim_steps_and_ends_at_the_same_depth():
    path = inversion_path(Inversion(solver="multistep", evaluations=22, first_steps=4, abar=0.04))
    assert path.times[:5] == (0, 5, 10, 15, 20)
    assert path.evaluations == 22 and path.euler == 4
    assert path.times[-1] == inversion_path(Inversion(abar=0.04)).times[-1]
    assert list(path.times) == sorted(set(path.times))
    steps = np.diff(np.log(sigmas(ABAR))[list(path.times[4:])])
    assert steps.max() / steps.min() < 1.3


def test_an_unknown_solver_is_told():
    with pytest.raises(InvDetectError, match="solver 'euler'"):
        inversion_path(Inversion(solver="euler"))


def test_one_step_by_hand():
    """z = 0.5, eps = 0.2, from abar 0.64 to 0.36: clean = (0.5 - 0.6 * 0.2) / 0.8 = 0.475; z = 0.6 * 0.475 + 0.8 * 0.2 = 0.445."""
    z = ddim_step(torch.tensor([0.5]), torch.tensor([0.2]), 0.64, 0.36)
    assert z.item() == pytest.approx(0.445)


def test_a_step_there_and_back_with_the_same_noise_returns():
    z, eps = torch.randn(7), torch.randn(7)
    assert torch.allclose(ddim_step(ddim_step(z, eps, 0.9, 0.2), eps, 0.2, 0.9), z, atol=1e-5)


def test_the_network_is_asked_at_the_time_a_step_starts_from():
    asked = []

    def predict(z, t):
        asked.append(t)
        return torch.zeros_like(z)

    invert(predict, torch.ones(1, 1, 4, 4), Path((0, 5, 10), 2, ABAR))
    assert asked == [0, 5]


def test_without_noise_inversion_only_rescales():
    path = inversion_path(Inversion(solver="multistep"))
    x = torch.randn(2, 1, 8, 8)
    z = invert(lambda z, t: torch.zeros_like(z), x, path)
    assert torch.allclose(z, x * math.sqrt(ABAR[999] / ABAR[0]), rtol=1e-4)


def test_nothing_is_clipped_on_the_way():
    path = inversion_path(Inversion())
    x = torch.full((1, 1, 2, 2), 40.0)
    z = invert(lambda z, t: torch.zeros_like(z), x, path)
    assert z[0, 0, 0, 0].item() == pytest.approx(40 * math.sqrt(ABAR[999] / ABAR[0]), rel=1e-4)


@pytest.mark.parametrize("variance", [0.05, 0.5])
def test_for_gaussian_data_the_exact_latent_is_found(variance):
    x = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(1)) * math.sqrt(variance)
    exact = exact_latent(x, variance, 0, 999)

    def error(settings: Inversion) -> float:
        z = invert(gaussian_predictor(variance), x, inversion_path(settings))
        return ((z - exact).norm() / exact.norm()).item()

    full, fast = error(Inversion()), error(Inversion(solver="multistep", evaluations=22))
    plain = error(Inversion(steps=22))
    assert full < 0.03
    assert fast < 0.03, "the multistep path is as good as 200 plain steps"
    assert plain > 4 * fast, "and much better than as many plain steps"


def test_the_multistep_rule_is_exact_where_noise_is_linear_in_log_s():
    """eps(s) = 2 + 3 ln s; its integral from 1 to 4 is [2 s + 3 (s ln s - s)] = 6 + 3 (4 ln 4 - 3)."""

    def eps(s: float) -> torch.Tensor:
        return torch.tensor(2 + 3 * math.log(s), dtype=torch.float64)

    found = multistep_increment(eps(1.0), eps(0.5), 0.5, 1.0, 4.0)
    assert found.item() == pytest.approx(6 + 3 * (4 * math.log(4) - 3))


def test_the_trajectory_has_one_noise_an_evaluation():
    seen = []
    path = inversion_path(Inversion(solver="multistep", evaluations=9))
    invert(lambda z, t: z * 0 + t, torch.zeros(1, 1, 2, 2), path, on_noise=lambda eps: seen.append(eps[0, 0, 0, 0].item()))
    assert seen == [float(t) for t in path.times[:-1]]


def test_the_way_can_be_stopped():
    class Stop(Exception):
        pass

    def stop():
        raise Stop

    with pytest.raises(Stop):
        invert(lambda z, t: z, torch.zeros(1, 1, 2, 2), inversion_path(Inversion()), on_step=stop)
