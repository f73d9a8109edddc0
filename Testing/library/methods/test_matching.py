"""MatchGen's optimisation (Eq. 1 and 2) on decoders whose best answer is known by hand."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from InvDetectLib.common.errors import Cancelled, InvDetectError
from InvDetectLib.methods.matchgen.base import Base, Code
from InvDetectLib.methods.matchgen.matching import match
from InvDetectLib.models.method_settings import MatchGenSettings, Matching

SIDE = 4
PROJECTION = Matching(learning_rate=1e-2, tolerance=1e-5, most_steps=4000)
PENALTY = dataclasses.replace(PROJECTION, way="penalty")


class Grey(Base):
    """A stand-in whose code is the image itself, and which takes every image for an even grey of 0.5."""

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__(MatchGenSettings(), 1, SIDE)
        self.gain = gain

    def encode(self, images: torch.Tensor) -> Code:
        return Code(torch.full_like(images, 0.5 / self.gain))

    def decode(self, code: Code) -> torch.Tensor:
        return self.gain * code.z


def images(count: int = 3) -> torch.Tensor:
    """Every pixel differs from the grey by 0.2 or more."""
    values = torch.rand((count, 1, SIDE, SIDE), generator=torch.Generator().manual_seed(0))
    return torch.where(values < 0.5, 0.6 * values, 1 - 0.6 * (1 - values))


@pytest.mark.parametrize("matching", [PROJECTION, PENALTY], ids=["projection", "penalty"])
def test_the_best_image_in_the_ball_takes_the_same_off_every_pixel(matching: Matching) -> None:
    # |x - z0 - d|_1 with |d|_2 <= epsilon falls by at most epsilon sqrt(16), where d = epsilon / 4 sign(x - z0) in every pixel
    epsilon = 0.4
    found = match(Grey(), images(), matching, epsilon)
    best = (images() - 0.5).abs().flatten(1).sum(dim=1) - 4 * epsilon
    assert torch.allclose(found.objective, best, rtol=1e-2) and (found.objective >= best - 1e-4).all()
    assert (found.distance <= epsilon * 1.0001).all() and torch.allclose(found.distance, torch.tensor(epsilon), rtol=0.02)
    assert torch.allclose(found.objective, (images() - found.pseudo).abs().flatten(1).sum(dim=1), atol=1e-5)
    assert (found.pseudo - (0.5 + 0.1 * (images() - 0.5).sign())).abs().mean() < 0.02


def test_a_ball_that_holds_the_image_itself_leaves_no_difference() -> None:
    found = match(Grey(), images(), PROJECTION, 10.0)
    assert (found.objective < 0.15).all() and (found.distance < 2).all()


def test_the_base_alone_takes_no_step() -> None:
    found = match(Grey(), images(), dataclasses.replace(PROJECTION, way="none"), 0.0)
    assert (found.pseudo == 0.5).all() and (found.steps == 0).all() and (found.distance == 0).all()


def test_a_slice_is_matched_alike_in_any_company_and_stops_on_its_own() -> None:
    many = torch.cat([images(3), torch.full((1, 1, SIDE, SIDE), 0.5)])  # the last one cannot be improved
    together = match(Grey(), many, PROJECTION, 0.3)
    for number in range(len(many)):
        alone = match(Grey(), many[number : number + 1], PROJECTION, 0.3)
        assert torch.allclose(alone.pseudo[0], together.pseudo[number], atol=1e-6)
        assert alone.steps[0] == together.steps[number]
    assert together.steps[3] == 20 < together.steps[0] < PROJECTION.most_steps


def test_steps_stay_short_however_steep_the_decoder_and_a_larger_ball_never_fits_worse() -> None:
    objectives = [match(Grey(gain=100.0), images(), PROJECTION, epsilon).objective for epsilon in (1e-4, 1e-3, 3e-3)]
    assert (objectives[0] > objectives[1]).all() and (objectives[1] > objectives[2]).all()
    start = (images() - 0.5).abs().flatten(1).sum(dim=1)
    assert torch.allclose(start - objectives[1], torch.tensor(100 * 4 * 1e-3), rtol=0.05)


def test_what_cannot_be_is_one_sentence() -> None:
    for epsilon in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InvDetectError, match="epsilon of MatchGen must be a number above 0"):
            match(Grey(), images(), PROJECTION, epsilon)
    with pytest.raises(InvDetectError, match="no way 'best' to match; choose one of projection, penalty, none"):
        match(Grey(), images(), Matching(way="best"), 0.1)
    with pytest.raises(InvDetectError, match="no numbers.*train the model anew"):
        match(Grey(gain=float("nan")), images(), PROJECTION, 0.1)


def test_it_can_be_stopped_between_steps() -> None:
    taken: list[int] = []

    def stop() -> None:
        taken.append(1)
        if len(taken) == 5:
            raise Cancelled("Stopped on request.")

    with pytest.raises(Cancelled):
        match(Grey(), images(), PROJECTION, 0.1, on_step=stop)
    assert len(taken) == 5
