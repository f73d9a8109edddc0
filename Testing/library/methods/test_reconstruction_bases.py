"""The seven bases of MatchGen: what they promise together, and what each one's paper says of it."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from InvDetectLib.common.errors import InvDetectError
from InvDetectLib.methods.matchgen.base import BASES, Base, Code, inside, make_base, to_images
from InvDetectLib.methods.matchgen.ceae import squares
from InvDetectLib.methods.matchgen.dae import coarse_noise
from InvDetectLib.methods.matchgen.ddgan import kept_variance
from InvDetectLib.methods.matchgen.vae import divergence
from InvDetectLib.models.method_settings import MatchGenSettings, Matching, Reconstruction

SIDE = 16


def made(name: str, channels: int = 1, **changes) -> Base:
    """A base whose weights are all drawn, also those that start at zero, so that every way through it is open."""
    settings = MatchGenSettings(base=name, network=Reconstruction(widths=(8, 16), code=6))
    base = make_base(dataclasses.replace(settings, **changes), channels, SIDE)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in base.parameters():
            parameter.copy_(torch.empty(parameter.shape).uniform_(-0.3, 0.3, generator=generator))
    return base.requires_grad_(False)


def images(count: int = 3, channels: int = 1, seed: int = 0) -> torch.Tensor:
    return torch.rand((count, channels, SIDE, SIDE), generator=torch.Generator().manual_seed(seed))


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


every_base = pytest.mark.parametrize("name", BASES)


# What all promise


@every_base
@pytest.mark.parametrize("channels", [1, 3])
def test_a_code_becomes_an_image_of_the_same_shape_and_a_map_of_one_channel(name, channels):
    base, x = made(name, channels), images(channels=channels)
    code = base.encode(x)
    pseudo = base.decode(code)
    assert pseudo.shape == x.shape and all(len(part) == len(x) for part in (code.z, *code.held))
    for matched in (False, True):
        found = base.anomaly(x, pseudo, matched)
        assert found.shape == (3, SIDE, SIDE) and float(found.min()) >= 0


@every_base
def test_an_image_is_encoded_and_decoded_alike_alone_and_among_others_and_again(name):
    base, x = made(name), images()
    code = base.encode(x)
    together = base.decode(code)
    alone = base.encode(x[1:2])
    assert torch.allclose(alone.z, code.z[1:2], atol=1e-5) and torch.allclose(base.decode(alone), together[1:2], atol=1e-5)
    assert torch.allclose(base.decode(code[1:2]), together[1:2], atol=1e-5), "a code can be taken apart"
    assert torch.equal(base.decode(base.encode(x)), together)


@every_base
def test_an_image_can_be_followed_back_to_its_code(name):
    base = made(name).double()
    code = base.encode(images(1).double())
    z = code.z.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(base.decode(Code(z, code.held)).sum(), z)
    step = torch.randn(z.shape, generator=seeded(3), dtype=z.dtype) * 1e-6
    ends = [float(base.decode(Code(code.z + sign * step, code.held)).sum()) for sign in (1, -1)]
    assert float((gradient * step).sum()) == pytest.approx((ends[0] - ends[1]) / 2, rel=1e-3) and float(gradient.abs().max()) > 0


@every_base
def test_every_weight_belongs_to_one_part_and_only_its_own_loss_moves_it(name):
    base = made(name).requires_grad_(True)
    parts = base.parts()
    assert sorted(map(id, sum(parts, []))) == sorted(map(id, base.parameters()))
    assert len(parts) == (2 if name in ("ganomaly", "ddgan") else 1)
    for number, part in enumerate(parts):
        loss = base.loss(images(), number, seeded(15))
        gradients = torch.autograd.grad(loss, part, allow_unused=True)
        assert loss.shape == () and all(gradient is not None for gradient in gradients)
    if len(parts) == 2:  # the discriminator's loss says nothing to the generator
        unmoved = torch.autograd.grad(base.loss(images(), 1, seeded(15)), parts[0], allow_unused=True)
        assert all(gradient is None for gradient in unmoved)


@every_base
def test_what_a_loss_draws_comes_from_the_generator_alone(name):
    base = made(name)

    def losses(seed):
        torch.manual_seed(np.random.default_rng().integers(1000))
        return [float(base.loss(images(), part, seeded(seed))) for part in range(len(base.parts()))]

    assert losses(1) == losses(1)
    draws = name in ("ceae", "vae", "vae-grad", "dae", "ddgan")
    assert (losses(1) != losses(2)) == draws


def test_the_map_is_the_absolute_difference_averaged_over_channels():
    x, pseudo = torch.zeros((1, 3, SIDE, SIDE)), torch.zeros((1, 3, SIDE, SIDE))
    x[0, :, 2, 5] = torch.tensor([0.3, 0.0, 0.6])
    pseudo[0, 1, 2, 5] = 0.6
    found = made("ae", 3).anomaly(x, pseudo, True)
    assert found[0, 2, 5] == pytest.approx(0.5) and float(found.sum()) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("settings", "side", "words"),
    [
        (MatchGenSettings(base="gan"), 64, "no base 'gan'; choose one of ae, ceae, vae"),
        (MatchGenSettings(network=Reconstruction(widths=(8, 8, 8))), 20, "multiple of 8 pixels a side, not 20"),
        (MatchGenSettings(network=Reconstruction(widths=(8, 12))), 16, "multiples of 8"),
        (MatchGenSettings(network=Reconstruction(widths=())), 16, "multiples of 8"),
        (MatchGenSettings(network=Reconstruction(widths=(8, 8), code=0)), 16, "code must hold 1 number"),
    ],
)
def test_a_base_that_cannot_be_is_told(settings, side, words):
    with pytest.raises(InvDetectError, match=words):
        make_base(settings, 1, side)


# Slices and images


def test_a_slice_lies_in_the_middle_of_its_square_and_comes_back():
    values = np.random.default_rng(0).uniform(-1, 1, (2, 5, 8, 3)).astype(np.float32)
    x = to_images(values, 8, torch.device("cpu"))
    rows, columns = inside((5, 8), 8)
    assert x.shape == (2, 3, 8, 8) and (rows, columns) == (slice(1, 6), slice(0, 8))
    assert np.allclose(x[..., rows, columns].permute(0, 2, 3, 1).numpy() * 2 - 1, values, atol=1e-6)
    assert float(x[:, :, 0].abs().max()) == float(x[:, :, 6:].abs().max()) == 0


def test_a_slice_beyond_the_square_is_told():
    with pytest.raises(InvDetectError, match="9 x 8 pixels does not fit a model of slices of 8 x 8"):
        inside((9, 8), 8)


# Each one's own


def test_one_to_three_squares_are_cut_out():
    holes = squares(400, 32, seeded(0))
    share = holes.float().mean(dim=(1, 2))
    assert float(share.min()) >= (2 / 32) ** 2 and float(share.max()) <= 3 * (8 / 32) ** 2
    assert not torch.equal(holes[0], holes[1])
    touched = holes.any(dim=0)
    assert touched[0].any() and touched[-1].any() and touched[:, 0].any() and touched[:, -1].any(), "squares reach every rim"
    one = holes[share == share.min()][0]
    assert one.any(dim=1).sum() == one.any(dim=0).sum(), "the smallest one is a single square"


def test_the_divergence_is_that_of_the_formula():
    mean, log_variance = torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([[0.0, math.log(4.0)], [0.0, 0.0]])
    assert divergence(mean, log_variance).tolist() == pytest.approx([0.5 + 0.5 * (4 - 1 - math.log(4.0)), 0.0])


@pytest.mark.parametrize(("name", "misfit"), [("vae", 0.2 * SIDE**2), ("vae-grad", 0.04 * SIDE**2 / (2 * 0.1**2))])
def test_the_bound_is_the_misfit_summed_over_the_image_plus_the_divergence(name, misfit):
    base = made(name)
    x = torch.full((2, 1, SIDE, SIDE), 0.6)
    assert base.misfit(x, x - 0.2).tolist() == pytest.approx([misfit] * 2, rel=1e-4)
    mean, log_variance = base.distribution(x)
    base.decoder.forward = lambda code: x - 0.2
    expected = (misfit + float(divergence(mean, log_variance)[0])) / SIDE**2
    assert float(base.loss(x, 0, seeded(0))) == pytest.approx(expected, rel=1e-4)
    assert torch.equal(base.encode(x).z, mean)


@pytest.mark.parametrize("matched", [False, True])
def test_the_gradients_map_is_that_of_finite_differences_smoothed(matched):
    base, x = made("vae-grad").double(), images(1).double()
    pseudo = base.decode(base.encode(x))

    def bound(inputs):
        mean, log_variance = base.distribution(inputs)
        return divergence(mean, log_variance) + (0 if matched else base.misfit(inputs, base.decoder(mean)))

    steps = 1e-5 * torch.eye(SIDE**2, dtype=torch.float64).reshape(-1, 1, SIDE, SIDE)
    slopes = ((bound(x + steps) - bound(x - steps)) / 2e-5).abs().reshape(SIDE, SIDE).numpy()
    expected = gaussian_filter(slopes, 1.0, mode="nearest", truncate=3.0)
    if matched:
        expected = expected * (x - pseudo).abs()[0, 0].numpy()
    with torch.inference_mode():
        found = base.anomaly(x.clone(), pseudo.clone(), matched)
    assert np.allclose(found[0].numpy(), expected, rtol=1e-3, atol=1e-6 * expected.max())


def test_coarse_noise_is_coarse_of_its_deviation_and_another_for_each_image():
    noise = coarse_noise(torch.Size((200, 1, 128, 128)), seeded(0))
    assert noise.shape == (200, 1, 128, 128) and not torch.allclose(noise[0], noise[1])
    assert 0.1 < float(noise.std()) < 0.2, "cells of deviation 0.2, less between them"
    near = float((noise[..., 1:] - noise[..., :-1]).square().mean()) / (2 * float(noise.var()))
    assert near < 0.05, "neighbours are alike"
    corners = noise[:, 0, 0, 0]
    assert float(corners.std()) < 0.2, "the cells' own places are shifted: a corner is not always a cell"
    assert coarse_noise(torch.Size((2, 3, 8, 8)), seeded(0)).shape == (2, 3, 8, 8)


def test_noise_is_added_to_what_is_not_background():
    base = made("dae")
    x = images()
    x[:, :, : SIDE // 2] = 0
    seen = []
    base.network.forward = lambda noisy: seen.append(noisy) or noisy
    loss = float(base.loss(x, 0, seeded(0)))
    changed = (seen[0] - x).abs()
    assert float(changed[:, :, : SIDE // 2].max()) == 0 and float(changed[:, :, SIDE // 2 :].mean()) > 0.05
    assert loss == pytest.approx(float(changed.square().mean()), rel=1e-4), "the target is the image without noise"


def test_skips_are_held_or_moved_with_the_bottleneck():
    held, moved = made("dae"), made("dae", matching=Matching(skips="moved"))
    x = images()
    one, other = held.encode(x), moved.encode(x)
    assert one.z.shape == (3, 16, 4, 4) and len(one.held) == 2
    assert other.z.shape == (3, 16 * 4 * 4 + 8 * 8 * 8 + 16 * 4 * 4) and other.held == ()
    assert torch.allclose(held.decode(one), moved.decode(other), atol=1e-6)


def test_the_generator_of_ganomaly_minimises_three_terms():
    base, x = made("ganomaly"), images()
    decoded = base.decode(base.encode(x))
    features = float((base.features(decoded) - base.features(x)).square().mean())
    codes = float((base.encode(decoded).z - base.encode(x).z).square().mean())
    base.again.load_state_dict(base.encoder.state_dict())
    assert float(base.loss(x, 0, seeded(0))) == pytest.approx(features + 50 * float((decoded - x).abs().mean()) + codes, rel=1e-4)


def test_the_discriminator_of_ganomaly_learns_to_tell_images_from_made_ones():
    base, x = made("ganomaly"), images()
    base.judge.weight.zero_()
    base.judge.bias.fill_(2.0)  # takes everything for an image
    assert float(base.loss(x, 1, seeded(0))) == pytest.approx(0.5 * (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(2))), rel=1e-5)


def test_the_noise_of_ddgan_grows_as_the_process_says():
    kept = kept_variance()
    assert kept.tolist() == pytest.approx([math.exp(-(0.1 * t + 9.95 * t * t)) for t in (0, 0.25, 0.5, 0.75, 1)], rel=1e-5)


def test_an_image_is_noised_to_its_step_with_noise_that_is_always_the_same():
    base = made("ddgan")
    other = make_base(base.settings, 1, SIDE)
    x = images()
    z = base.encode(x).z
    kept = float(kept_variance()[2])
    assert torch.allclose(z, other.encode(x).z), "no weight and no draw is in it"
    assert torch.allclose(z[0] - z[1], math.sqrt(kept) * 2 * (x[0] - x[1]), atol=1e-5)
    assert float((z[0] - math.sqrt(kept) * (2 * x[0] - 1)).std()) == pytest.approx(math.sqrt(1 - kept), rel=0.1)


def test_the_last_step_back_ends_at_what_the_generator_says_without_noise():
    base = made("ddgan")
    base.generator.head.weight.zero_()
    base.generator.head.bias.fill_(0.5)
    assert torch.allclose(base.decode(base.encode(images())), torch.full((3, 1, SIDE, SIDE), (math.tanh(0.5) + 1) / 2), atol=1e-5)


def test_a_step_back_from_what_the_process_made_of_an_image_ends_where_the_process_was_before():
    base, seen = made("ddgan"), []
    base.generator.head.weight.zero_()
    base.generator.head.bias.fill_(math.atanh(0.6))  # knows that every value of the image is 0.6, or 0.8 from 0 to 1
    base._judged = lambda before, after, t: seen.append((before, after, t)) or before.sum(dim=(1, 2, 3))
    base.loss(torch.full((400, 1, SIDE, SIDE), 0.8), 0, seeded(1))
    ((before, after, t),) = seen
    kept = kept_variance()
    for step in (1, 2, 3, 4):
        for values, left in ((before[t == step], float(kept[step - 1])), (after[t == step], float(kept[step]))):
            assert float(values.mean()) == pytest.approx(0.6 * math.sqrt(left), abs=0.02)
            assert float(values.std()) == pytest.approx(math.sqrt(1 - left), abs=0.02)


def test_one_step_in_fifteen_penalises_the_slope_of_the_discriminator():
    """Nothing but the penalty is left to a discriminator that is sure of true and of made images."""
    base, x = made("ddgan").requires_grad_(True), images()

    def loss(seed):
        answers = iter([lambda before: 0.2 * before.flatten(1).sum(dim=1) + 1000, lambda before: torch.full((3,), -1000.0)])
        base._judged = lambda before, after, t: next(answers)(before)
        return float(base.loss(x, 1, seeded(seed)).detach())

    assert loss(15) == pytest.approx(0.5 * 0.05 * 0.2**2 * SIDE**2, rel=1e-5)
    assert [loss(seed) for seed in (16, 29)] == [0, 0]
