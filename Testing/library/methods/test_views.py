"""Scores as a sum of views: units, directions, colours, left against right; by a network that predicts what a test wants."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from InvDetectLib.common.errors import InvDetectError, WrongUse
from InvDetectLib.common.progress import Progress
from InvDetectLib.computing.checkpoint import Checkpoint
from InvDetectLib.methods.contract import SliceMap, Slices
from InvDetectLib.methods.invdetect import InvDetect, with_mirror_settled
from InvDetectLib.models.method_settings import (
    Features,
    InvDetectSettings,
    Inversion,
    MatchGenSettings,
    Matching,
    Network,
    Noise,
    Normality,
    Patches,
    Reconstruction,
    Training,
    View,
    Views,
)

CPU = torch.device("cpu")
SIDE = 40
SETTINGS = InvDetectSettings(
    patches=Patches(size=32, stride=16),
    network=Network(widths=(8, 8), fold=2),
    noise=Noise(scales=(1, 2, 4)),
    training=Training(steps=4, batch=2, ema_decay=0.5),
    views=Views(sum=(View("intensity", sigma=1.0),), direction="bright"),
)


def heads(count: int = 4, seed: int = 0, channels: int = 1) -> Slices:
    """Symmetric discs with some noise, two of them in a row never alike."""
    rng = np.random.default_rng(seed)
    row, column = np.indices((SIDE, SIDE)) - (SIDE - 1) / 2
    inside = np.hypot(row, column) < 17
    values = 0.2 * np.cos(row / 3) * np.cos(column / 4)
    values = np.repeat(np.where(inside, values, -1)[None, ..., None], count, axis=0).repeat(channels, axis=3)
    values = values + inside[None, ..., None] * rng.normal(0, 0.05, values.shape)
    return Slices(values.astype(np.float32), np.repeat(inside[None], count, axis=0))


def with_lesion(slices: Slices, change: float, channel: slice = slice(None)) -> Slices:
    values = slices.values.copy()
    values[:, 14:20, 10:16, channel] += change
    return dataclasses.replace(slices, values=values)


LESION = (slice(15, 19), slice(11, 15))
OPPOSITE = (slice(15, 19), slice(25, 29))


def made(views: Views, normals: list[Slices] | None = None, **changes: object) -> InvDetect:
    """A method with these views, its network hardly trained, its units measured on `normals`."""
    normals = normals or [heads(seed=seed) for seed in range(3)]
    method = InvDetect(dataclasses.replace(SETTINGS, views=views, **changes), normals[0].values.shape[3], CPU)  # type: ignore[arg-type]
    method.fit(normals, normals, 0, Checkpoint(None, ""), Progress())
    method.settle(normals, Progress())
    return method


def scored(method: InvDetect, slices: Slices) -> list[SliceMap]:
    return list(method.map_and_edges(slices, Progress()))


def test_each_view_is_in_the_unit_of_held_out_normals_times_its_weight():
    views = Views(sum=(View("intensity", sigma=1.0), View("intensity", sigma=2.0, weight=3.0), View("noise")), direction="bright")
    normals = [heads(seed=seed) for seed in range(3)]
    found = [one for scan in normals for one in scored(made(views, normals), scan)]
    inside = normals[0].foreground[0]
    singles = np.concatenate([one.views[:, inside] for one in found if one.views is not None], axis=1)
    q50, q90, q99 = np.quantile(singles, [0.5, 0.9, 0.99], axis=1)
    assert np.allclose(q90, 0, atol=0.02) and np.allclose(q99 - q50, [1, 3, 1], atol=0.05)
    for one in found:
        assert one.views is not None and np.allclose(one.views.sum(axis=0)[inside], one.scores[inside], atol=1e-4)


@pytest.mark.parametrize(("direction", "bright", "dark"), [("bright", True, False), ("dark", False, True), ("both", True, True)])
def test_a_direction_decides_what_stands_out(direction, bright, dark):
    method = made(Views(sum=(View("intensity", sigma=1.0),), direction=direction))
    normal = max(float(one.scores.max()) for one in scored(method, heads(seed=9)))
    for change, stands_out in ((0.6, bright), (-0.6, dark)):
        score = float(scored(method, with_lesion(heads(seed=9), change))[0].scores[LESION].min())
        assert (score > 1.2 * normal) == stands_out


def test_the_direction_can_be_changed_without_training():
    method = made(Views(sum=(View("intensity", sigma=1.0),), direction="bright"))
    assert method.direction == "bright" and set(method.directions) == {"bright", "dark", "both"}
    lesion = with_lesion(heads(seed=9), -0.6)
    before = scored(method, lesion)[0].scores[LESION].mean()
    method.direction = "dark"
    after = scored(method, lesion)[0].scores[LESION].mean()
    method.direction = "both"
    assert before < 0 < after and scored(method, lesion)[0].scores[LESION].mean() > 1


def test_what_is_unlike_its_mirror_image_stands_out_on_the_side_that_is_brighter():
    method = made(Views(sum=(View("intensity", mirror=True, sigma=1.0),), direction="bright"))
    found = scored(method, with_lesion(heads(seed=9), 0.5))[1]
    assert found.scores[LESION].min() > 3 and found.scores[OPPOSITE].max() < -0.5


def test_a_difference_on_both_sides_is_none():
    method = made(Views(sum=(View("intensity", mirror=True, sigma=1.0),), direction="bright"))
    scan = with_lesion(heads(seed=9), 0.5)
    both = dataclasses.replace(scan, values=np.maximum(scan.values, scan.values[:, :, ::-1]))
    assert scored(method, both)[1].scores[LESION].max() < 2


def test_where_the_field_of_view_cuts_one_side_the_other_has_no_mirror_score():
    method = made(Views(sum=(View("intensity", mirror=True, sigma=0.0),), direction="bright"))
    scan = with_lesion(heads(seed=9), 0.5)
    cut = scan.foreground.copy()
    cut[:, :, 24:] = False
    values = np.where(cut[..., None], scan.values, -1).astype(np.float32)
    whole = method.look_over(scan).midlines
    found = scored(method, Slices(values, cut, whole))[1].scores[LESION]
    assert np.ptp(found) == 0 and found.max() < 0


@pytest.mark.parametrize("colour", ["red", "green", "blue", "all"])
def test_colour_is_one_channel_or_the_root_mean_square_over_all(colour):
    normals = [heads(seed=seed, channels=3) for seed in range(3)]
    method = made(Views(sum=(View("intensity", sigma=1.0),), direction="bright", colour=colour), normals)
    for number, name in enumerate(("red", "green", "blue")):
        score = scored(method, with_lesion(heads(seed=9, channels=3), 0.6, slice(number, number + 1)))[0].scores[LESION].min()
        assert (score > 0.5) == (colour in (name, "all"))


def test_the_one_class_model_over_latents_is_a_view_without_a_direction():
    views = Views(sum=(View("one-class", sigma=0.0),), direction="bright")
    latents = {
        "inversion": Inversion(solver="multistep", evaluations=4, first_steps=2, abar=0.3),
        "features": Features(kind="latent_windows", window=8),
        "normality": Normality(estimator="gaussian", max_samples=200),
    }
    method = made(views, **latents)
    alone = InvDetect(dataclasses.replace(SETTINGS, views=Views(), **latents), 1, CPU)  # type: ignore[arg-type]
    alone.load_arrays(method.arrays())
    scan = with_lesion(heads(seed=9), 0.6)
    found, plain = scored(method, scan)[0], scored(alone, scan)[0]
    inside = plain.scored
    assert np.corrcoef(found.scores[inside], plain.scores[inside])[0, 1] == pytest.approx(1, abs=1e-5)
    method.direction = "dark"
    assert np.allclose(scored(method, scan)[0].scores, found.scores, atol=1e-5)


BESIDE = MatchGenSettings(
    base="ae", network=Reconstruction(widths=(8, 8), code=8), training=Training(steps=30, batch=4), matching=Matching(way="none")
)
LARGE = {"patches": Patches(size=48, stride=16), "beside": BESIDE}


def test_the_residual_of_a_base_that_is_trained_beside_is_a_view_without_a_direction():
    method = made(Views(sum=(View("residual", sigma=1.0),), direction="bright"), **LARGE)
    scan = with_lesion(heads(seed=9), 0.8)
    found = scored(method, scan)[0].scores
    assert found[LESION].mean() > 1 > 0.5 > found[OPPOSITE].mean()
    method.direction = "dark"
    assert np.allclose(scored(method, scan)[0].scores, found, atol=1e-5)


@pytest.mark.parametrize("more", [(), (View("residual"),)], ids=["", "residual"])
def test_a_loaded_method_scores_as_the_one_that_was_saved(more):
    views = Views(sum=(View("noise"), View("intensity", mirror=True), *more), levels=(0.8, 0.6), direction="both")
    method, scan = made(views, **LARGE), with_lesion(heads(seed=9), 0.6)
    again = InvDetect(dataclasses.replace(SETTINGS, views=views, **LARGE), 1, CPU)
    again.load_arrays(method.arrays())
    for one, other in zip(scored(method, scan), scored(again, scan)):
        assert np.array_equal(one.scores, other.scores)
    fewer = dataclasses.replace(views, sum=views.sum[:1])
    with pytest.raises(InvDetectError, match="do not fit its settings"):
        InvDetect(dataclasses.replace(SETTINGS, views=fewer, **LARGE), 1, CPU).load_arrays(method.arrays())


@pytest.mark.parametrize("shape", [(40, 28), (32, 40), (21, 40), (8, 8)])
def test_slices_of_any_size_are_scored_whole(shape):
    method = made(Views(sum=(View("noise"),), direction="both"))
    values = np.random.default_rng(0).uniform(-1, 1, (2, *shape, 1)).astype(np.float32)
    found = scored(method, Slices(values, np.ones((2, *shape), bool)))
    assert all(one.scores.shape == shape and one.scored.all() and np.isfinite(one.scores).all() for one in found)


def test_a_slice_has_the_same_score_alone_and_among_others():
    method = made(Views(sum=(View("noise"), View("intensity")), direction="both"))
    scan = heads(count=7, seed=9)
    together = [one.scores for one in scored(method, scan)]
    for number in range(7):
        alone = scored(method, scan.part(slice(number, number + 1)))[0].scores
        assert np.allclose(alone, together[number], atol=2e-3)


@pytest.mark.parametrize(
    ("views", "words"),
    [
        (Views(sum=(View("guess"),)), "no such views"),
        (Views(sum=(View(),), direction="up"), "no such views"),
        (Views(sum=(View("one-class", mirror=True),)), "no mirror difference"),
        (Views(sum=(View(weight=0.0),)), "weight above 0"),
        (Views(sum=(View(),), levels=()), "levels"),
        (Views(sum=(View(),), levels=(1.0,)), "levels"),
    ],
)
def test_views_that_cannot_be_are_told_before_anything_is_trained(views, words):
    with pytest.raises(InvDetectError, match=words):
        InvDetect(dataclasses.replace(SETTINGS, views=views), 1, CPU)


def test_a_view_that_is_the_same_everywhere_has_no_unit():
    flat = [Slices(np.zeros((2, SIDE, SIDE, 1), np.float32), heads(2).foreground) for _ in range(2)]
    with pytest.raises(InvDetectError, match="view intensity .* same everywhere"):
        made(Views(sum=(View("intensity"),)), flat)


# Left against right only where the normals are symmetric


MIRRORED = dataclasses.replace(SETTINGS, views=Views(sum=(View("noise"), View("noise", mirror=True))))


def lopsided() -> Slices:
    rng = np.random.default_rng(3)
    values = torch.nn.functional.interpolate(torch.tensor(rng.uniform(-1, 1, (4, 1, 8, 8))), size=(SIDE, SIDE), mode="bilinear")
    return Slices(values.numpy().transpose(0, 2, 3, 1).astype(np.float32), np.ones((4, SIDE, SIDE), bool))


def test_symmetric_normals_keep_the_mirror_views_and_the_card_says_how_symmetric():
    settings, facts = with_mirror_settled(MIRRORED, [heads()])
    assert settings.views.sum == MIRRORED.views.sum and settings.views.mirror == "yes" and facts["symmetry"] > 0.8


def test_normals_that_are_not_symmetric_drop_them():
    settings, facts = with_mirror_settled(MIRRORED, [lopsided()])
    assert settings.views.sum == (View("noise"),) and settings.views.mirror == "no" and facts["symmetry"] < 0.6


def test_a_mirror_that_was_asked_for_is_refused_where_normals_are_not_symmetric():
    asked = dataclasses.replace(MIRRORED, views=dataclasses.replace(MIRRORED.views, mirror="yes"))
    with pytest.raises(WrongUse, match="Left and right cannot be compared: .* not symmetric"):
        with_mirror_settled(asked, [lopsided()])


def test_without_a_mirror_nothing_is_looked_at():
    unwanted = dataclasses.replace(MIRRORED, views=dataclasses.replace(MIRRORED.views, mirror="no"))
    settings, facts = with_mirror_settled(unwanted, [heads()])
    assert settings.views.sum == (View("noise"),) and facts == {"mirror": False}
    assert with_mirror_settled(InvDetectSettings(), [heads()]) == (InvDetectSettings(), {})
