"""SCR: the minimum cut against enumeration and against the second solver, edge weights and latent distances against the plain formula."""

from __future__ import annotations

import importlib.util
import itertools
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from InvDetectLib.common.errors import InvDetectError, WrongUse
from InvDetectLib.refinement.edges import image_distances
from InvDetectLib.refinement.minimum_cut import edge_weights, energy, feature_distances, latent_distances, minimum_cut, solver_name

HAS_MAXFLOW = importlib.util.find_spec("maxflow") is not None
NEEDS_MAXFLOW = pytest.mark.skipif(not HAS_MAXFLOW, reason="PyMaxflow is not installed")
SOLVERS = [pytest.param("maxflow", marks=NEEDS_MAXFLOW), "scipy"]


def flat_edges(shape, alpha=1.0):
    return np.full((shape[0] - 1, shape[1]), alpha), np.full((shape[0], shape[1] - 1), alpha)


def random_problem(seed, shape, whole_numbers):
    """A map and edges; whole numbers make masks of equal energy common."""
    rng = np.random.default_rng(seed)
    down_shape, right_shape = (shape[0] - 1, shape[1]), (shape[0], shape[1] - 1)
    if whole_numbers:
        return rng.integers(-3, 4, shape).astype(float), rng.integers(0, 3, down_shape) / 2, rng.integers(0, 3, right_shape) / 2
    return rng.normal(size=shape), rng.random(down_shape), rng.random(right_shape)


def enumerate_energies(anomaly_map, down, right, contiguity):
    """All labelings of a small map and their energies, term by term as in the formula."""
    height, width = anomaly_map.shape
    labelings = np.array(list(itertools.product((0, 1), repeat=height * width))).reshape(-1, height, width)
    energies = -(labelings * anomaly_map).sum(axis=(1, 2))
    energies = energies + contiguity * (np.abs(np.diff(labelings, axis=1)) * down).sum(axis=(1, 2))
    energies = energies + contiguity * (np.abs(np.diff(labelings, axis=2)) * right).sum(axis=(1, 2))
    return labelings.astype(bool), energies


# The cut


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("shape", [(3, 3), (3, 4)])
def test_the_mask_is_the_smallest_of_all_masks_of_least_energy(shape, solver):
    tied = 0
    for seed in range(40):
        anomaly_map, down, right = random_problem(seed, shape, whole_numbers=True)
        mask = minimum_cut(anomaly_map, down, right, 1.5, solver=solver)
        labelings, energies = enumerate_energies(anomaly_map, down, right, 1.5)
        best = labelings[energies == energies.min()]
        tied += len(best) > 1
        np.testing.assert_array_equal(mask, best.all(axis=0))
        assert energy(mask, anomaly_map, down, right, 1.5) == energies.min()
    assert tied > 10  # else this test says nothing about ties


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("contiguity", [0.05, 0.5, 5.0])
def test_no_other_mask_has_less_energy_for_any_real_numbers(contiguity, solver):
    for seed in range(20):
        anomaly_map, down, right = random_problem(seed, (3, 3), whole_numbers=False)
        mask = minimum_cut(anomaly_map, down, right, contiguity, solver=solver)
        _, energies = enumerate_energies(anomaly_map, down, right, contiguity)
        assert energy(mask, anomaly_map, down, right, contiguity) == pytest.approx(energies.min(), abs=1e-6)


@NEEDS_MAXFLOW
@pytest.mark.parametrize("whole_numbers", [True, False])
def test_both_solvers_give_the_same_mask(whole_numbers):
    labels = 0
    for seed in range(60):
        anomaly_map, down, right = random_problem(seed, (13, 11), whole_numbers)
        valid = np.random.default_rng(seed).random((13, 11)) < 0.9
        masks = [minimum_cut(anomaly_map, down, right, 0.7, valid, solver) for solver in ("maxflow", "scipy")]
        np.testing.assert_array_equal(*masks)
        labels += masks[0].sum()
    assert 1000 < labels < 60 * 13 * 11 - 1000


@pytest.mark.parametrize("solver", SOLVERS)
def test_an_isolated_pixel_goes_and_a_hole_is_filled(solver):
    drawing = """
        . . . . . . # .
        . # # # . . . .
        . # . # . . . .
        . # # # . . . .
        . . . . . . . ."""
    expected = """
        . . . . . . . .
        . # # # . . . .
        . # # # . . . .
        . # # # . . . .
        . . . . . . . ."""
    anomaly_map = np.where(as_mask(drawing), 1.0, -1.0)
    # the lone pixel wins 1 and costs 3 edges; the hole costs 1 and saves 4; the square wins 7 and costs 12 edges
    np.testing.assert_array_equal(minimum_cut(anomaly_map, *flat_edges((5, 8)), 0.4, solver=solver), as_mask(expected))


def as_mask(drawing):
    return np.array([line.split() for line in drawing.split("\n") if line.strip()]) == "#"


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("contiguity", [1.0, 0.3, 25.0])
def test_a_tie_goes_to_normal(contiguity, solver):
    anomaly_map = np.full((3, 3), -10 * contiguity)
    anomaly_map[1, 1] = 4 * contiguity
    assert not minimum_cut(anomaly_map, *flat_edges((3, 3)), contiguity, solver=solver).any()
    anomaly_map[1, 1] += 1e-6 * contiguity
    mask = minimum_cut(anomaly_map, *flat_edges((3, 3)), contiguity, solver=solver)
    assert mask[1, 1] and mask.sum() == 1


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_constant_map_is_labelled_by_its_sign(solver):
    down, right = flat_edges((6, 5))
    for value, label in ((-1.0, False), (0.0, False), (1e-3, True)):
        assert (minimum_cut(np.full((6, 5), value), down, right, 2.0, solver=solver) == label).all()


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_strong_edge_joins_and_a_weak_one_separates(solver):
    anomaly_map = np.array([[3.0, -1.0, -1.0]])
    down = np.zeros((0, 3))
    # joining the middle pixel costs 1 and moves the cut from the first edge to the second
    assert minimum_cut(anomaly_map, down, np.array([[1.0, 0.1]]), 2.0, solver=solver).tolist() == [[True, True, False]]
    assert minimum_cut(anomaly_map, down, np.array([[0.1, 1.0]]), 2.0, solver=solver).tolist() == [[True, False, False]]
    column = minimum_cut(anomaly_map.T, np.array([[1.0], [0.1]]), np.zeros((3, 0)), 2.0, solver=solver)
    assert column.tolist() == [[True], [True], [False]]


@pytest.mark.parametrize("solver", SOLVERS)
def test_pixels_that_are_not_valid_take_no_part(solver):
    for seed in range(10):
        anomaly_map, down, right = random_problem(seed, (9, 10), whole_numbers=True)
        valid = np.zeros((9, 10), bool)
        valid[2:7, 3:9] = True
        alone = minimum_cut(anomaly_map[2:7, 3:9], down[2:6, 3:9], right[2:7, 3:8], 1.0, solver=solver)
        anomaly_map[~valid] = np.nan if seed % 2 else 100.0
        down[0], right[:, 0] = np.nan, 50.0
        mask = minimum_cut(anomaly_map, down, right, 1.0, valid, solver)
        np.testing.assert_array_equal(mask[2:7, 3:9], alone)
        assert not mask[~valid].any()


@pytest.mark.parametrize("solver", SOLVERS)
def test_nothing_crosses_a_gap_of_pixels_that_are_not_valid(solver):
    anomaly_map, valid = np.array([[5.0, 5.0, -1.0]]), np.array([[True, False, True]])
    mask = minimum_cut(anomaly_map, np.zeros((0, 3)), np.ones((1, 2)), 4.0, valid, solver)
    assert mask.tolist() == [[True, False, False]]
    # joined to a neighbour that is not valid, the first pixel would lose
    anomaly_map, valid = np.array([[1.0, 0.0], [0.0, -9.0]]), np.array([[True, False], [False, True]])
    mask = minimum_cut(anomaly_map, np.ones((1, 2)), np.ones((2, 1)), 4.0, valid, solver)
    assert mask.tolist() == [[True, False], [False, False]]
    # a detour over pixels that are not valid would join the two valid ones
    anomaly_map, valid = np.array([[5.0], [0.0], [-1.0]]), np.array([[True], [False], [True]])
    mask = minimum_cut(anomaly_map, np.ones((2, 1)), np.zeros((3, 0)), 4.0, valid, solver)
    assert mask.tolist() == [[True], [False], [False]]


def test_without_contiguity_the_mask_is_the_sign_of_the_map():
    anomaly_map, down, right = random_problem(3, (8, 8), whole_numbers=True)
    valid = np.random.default_rng(0).random((8, 8)) < 0.5
    np.testing.assert_array_equal(minimum_cut(anomaly_map, down, right, 0.0, valid), (anomaly_map > 0) & valid)
    assert not minimum_cut(anomaly_map, down, right, 1.0, np.zeros((8, 8), bool)).any()
    apart = minimum_cut(1e-12 * anomaly_map, 0 * down, 0 * right, 1.0, valid)  # small as it is, nothing speaks against it
    np.testing.assert_array_equal(apart, (anomaly_map > 0) & valid)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000), whole_numbers=st.booleans(), contiguity=st.sampled_from([0.1, 1.0, 3.7]), factor=st.sampled_from([1, 1000])
)
def test_raising_the_map_never_takes_a_pixel_out_of_the_mask(seed, whole_numbers, contiguity, factor):
    anomaly_map, down, right = random_problem(seed, (7, 8), whole_numbers)
    raised = anomaly_map + np.random.default_rng(seed + 1).exponential(0.3 * factor, (7, 8)) * (np.arange(8) % 3 == 0)
    before, after = (minimum_cut(a, down, right, contiguity) for a in (anomaly_map, raised))
    assert (after >= before).all()


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_very_low_floor_somewhere_does_not_blur_the_rest(solver):
    anomaly_map, down, right = random_problem(5, (8, 8), whole_numbers=False)
    anomaly_map[:, 0] = -10.0
    expected = minimum_cut(anomaly_map, down, right, 0.2, solver=solver)
    anomaly_map[:, 0] = -1e30
    np.testing.assert_array_equal(minimum_cut(anomaly_map, down, right, 0.2, solver=solver), expected)
    assert expected.any()


def test_the_energy_differs_from_the_cross_entropy_of_eq_2_by_a_constant():
    anomaly_map, down, right = random_problem(1, (5, 6), whole_numbers=False)
    sigmoid = 1 / (1 + np.exp(-anomaly_map))

    def eq_2(y):
        unary = -np.where(y, np.log(sigmoid), np.log(1 - sigmoid))
        return unary.sum() + 0.8 * ((y[1:] != y[:-1]) * down).sum() + 0.8 * ((y[:, 1:] != y[:, :-1]) * right).sum()

    for seed in range(5):
        y = np.random.default_rng(seed).random((5, 6)) < 0.5
        assert energy(y, anomaly_map, down, right, 0.8) == pytest.approx(eq_2(y) - eq_2(np.zeros((5, 6), bool)))


def test_the_energy_counts_no_pixel_and_no_edge_outside_the_valid_ones():
    mask, valid = np.array([[True, True, False]]), np.array([[True, False, True]])
    anomaly_map, edges = np.array([[2.0, np.nan, 1.0]]), np.array([[7.0, np.nan]])
    assert energy(mask, anomaly_map, np.zeros((0, 3)), edges, 3.0, valid) == -2.0
    assert energy(mask.T, anomaly_map.T, edges.T, np.zeros((3, 0)), 3.0, valid.T) == -2.0


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(
    "where", ["map", "down", "right", "contiguity", "infinite contiguity", "negative edge", "negative contiguity", "shape", "valid"]
)
def test_values_that_cannot_be_cut_are_a_bug_of_the_caller(where, solver):
    anomaly_map, down, right = random_problem(0, (4, 5), whole_numbers=False)
    contiguity, valid = 1.0, np.ones((4, 5), bool)
    if where == "map":
        anomaly_map[1, 2] = np.nan
    elif where in ("down", "right"):
        (down if where == "down" else right)[2, 1] = np.inf
    elif where == "contiguity":
        contiguity = np.nan
    elif where == "infinite contiguity":
        contiguity = np.inf
    elif where == "negative edge":
        down[0, 0] = -0.1
    elif where == "negative contiguity":
        contiguity = -1.0
    elif where == "shape":
        down, right = right, down
    else:
        valid = valid.T
    with pytest.raises(ValueError):
        minimum_cut(anomaly_map, down, right, contiguity, valid, solver)


def test_without_pymaxflow_scipy_takes_over_and_asking_for_pymaxflow_says_how_to_get_it(monkeypatch):
    anomaly_map, down, right = random_problem(2, (6, 6), whole_numbers=True)
    expected = minimum_cut(anomaly_map, down, right, 1.0)
    monkeypatch.setitem(sys.modules, "maxflow", None)
    assert solver_name() == "scipy"
    np.testing.assert_array_equal(minimum_cut(anomaly_map, down, right, 1.0), expected)
    with pytest.raises(InvDetectError, match=r'pip install "invdetect\[maxflow\]"'):
        minimum_cut(anomaly_map, down, right, 1.0, solver="maxflow")


@NEEDS_MAXFLOW
def test_pymaxflow_is_used_when_it_is_there():
    assert solver_name() == "maxflow"


def test_unknown_names_are_wrong_use():
    with pytest.raises(WrongUse, match="auto, maxflow or scipy"):
        minimum_cut(np.ones((1, 1)), np.ones((0, 1)), np.ones((1, 0)), 1.0, solver="gurobi")
    with pytest.raises(WrongUse, match="paper, relative, image"):
        edge_weights(np.ones(3), 1.0, "flat")


# Edge weights


def test_edge_weights_follow_the_two_rules():
    distance = np.array([0.0, 3.0, 9.0])
    np.testing.assert_allclose(edge_weights(distance, 3.0, "paper"), np.exp([0, -1 / 3, -1.0]), rtol=1e-6)
    np.testing.assert_allclose(edge_weights(distance, 3.0, "relative"), np.exp([0, -0.1, -0.3]), rtol=1e-6)
    # where m is the 10 of the paper the two agree
    np.testing.assert_allclose(edge_weights(distance, 10.0, "relative"), edge_weights(distance, 10.0, "paper"), rtol=1e-6)
    assert edge_weights(distance, 3.0, "paper").dtype == np.float32


def test_a_label_changes_most_cheaply_where_the_image_does():
    """A step of 1 between columns 4 and 5, blurred: the cheapest edge lies there, those far from it cost 1."""
    image = np.zeros((6, 10, 1), np.float32)
    image[:, 5:] = 1
    down, right = image_distances(image)
    assert down.shape == (5, 10) and right.shape == (6, 9)
    alpha = edge_weights(right, float(right.mean()), "image")
    assert (alpha.argmin(axis=1) == 4).all() and alpha[:, 4].max() < 0.1
    np.testing.assert_allclose(alpha[:, [0, 8]], 1, atol=0.01)
    np.testing.assert_allclose(edge_weights(np.array([0.0, 3.0, 6.0]), 3.0, "image"), np.exp([0, -1, -2]), rtol=1e-6)


def test_the_outline_of_a_colour_counts_though_its_brightness_does_not_change():
    colours = np.zeros((4, 8, 3), np.float32)
    colours[:, :4, 0] = colours[:, 4:, 1] = 1
    assert (image_distances(colours)[1].argmax(axis=1) == 3).all()
    assert image_distances(colours.mean(axis=2, keepdims=True))[1].max() < 1e-10


def test_constant_features_weigh_every_edge_alike():
    for rule in ("paper", "relative", "image"):
        np.testing.assert_array_equal(edge_weights(np.zeros((2, 3)), 0.0, rule), np.ones((2, 3)))
        np.testing.assert_array_equal(edge_weights(np.array([0.0, 1.0]), 1e-300, rule), [1, 0])


def test_scaling_the_features_leaves_relative_weights_as_they_are():
    features = np.random.default_rng(0).normal(size=(6, 7, 3)).astype(np.float32)

    def weights(features, rule):
        distances = feature_distances(features)
        mean = float(np.concatenate([d.ravel() for d in distances]).mean())
        return np.concatenate([edge_weights(d, mean, rule).ravel() for d in distances])

    np.testing.assert_allclose(weights(7 * features, "relative"), weights(features, "relative"), rtol=1e-5)
    assert not np.allclose(weights(7 * features, "paper"), weights(features, "paper"), rtol=0.1)


@pytest.mark.parametrize("kind", ["uint8", "int16", "float16", "float32", "float64"])
def test_feature_distances_are_squared_differences_of_neighbours(kind):
    features = np.array([[[0, 0], [3, 4]], [[1, 0], [3, 6]], [[1, 0], [0, 0]]], kind)
    down, right = feature_distances(features)
    np.testing.assert_allclose(image_distances(features)[0], image_distances(features.astype(float))[0], rtol=1e-5)
    assert down.tolist() == [[1, 4], [0, 45]]
    assert right.tolist() == [[25], [40], [1]]


# Latent distances


def flush_positions(length, size, stride):
    positions = list(range(0, length - size + 1, stride))
    return positions if positions[-1] == length - size else [*positions, length - size]


def naive_distances(latents, present, rows, columns, size, shape):
    """r_p as an (H, W, D) array, then differences; and which pixels have a patch at all."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    total, weights = np.zeros((*shape, latents.shape[1])), np.zeros(shape)
    for (top, left), latent, there in zip(itertools.product(rows, columns), latents.astype(np.float64), present, strict=True):
        if there:
            inside = (y >= top) & (y < top + size) & (x >= left) & (x < left + size)
            centre = top + (size - 1) / 2, left + (size - 1) / 2
            weight = inside * np.exp(-((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / (size / 4) ** 2)
            total += weight[..., None] * latent
            weights += weight
    mean = total / np.where(weights > 0, weights, 1)[..., None]
    down, right = ((np.diff(mean, axis=axis) ** 2).sum(axis=-1) for axis in (0, 1))
    covered = weights > 0
    return down * (covered[1:] & covered[:-1]), right * (covered[:, 1:] & covered[:, :-1])


CASES = {
    "stride 16 of 32, flush borders": (32, 16, (70, 99), 0.0),
    "stride 16 of 32, flush borders, missing patches": (32, 16, (99, 70), 0.4),
    "stride 4 of 8, flush borders, missing patches": (8, 4, (30, 37), 0.4),
    "stride 4 of 8, a multiple of the stride": (8, 4, (24, 28), 0.0),
    "odd size, a third of it as stride": (9, 3, (25, 20), 0.2),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
@pytest.mark.parametrize("rule", ["paper", "relative"])
def test_latent_distances_equal_the_plain_computation(case, rule):
    size, stride, shape, missing = case
    rng = np.random.default_rng(7)
    rows, columns = flush_positions(shape[0], size, stride), flush_positions(shape[1], size, stride)
    present = rng.random(len(rows) * len(columns)) >= missing
    latents = (rng.normal(size=(len(present), 48)) + 5).astype(np.float32) * present[:, None]
    expected = naive_distances(latents, present, rows, columns, size, shape)
    found = latent_distances(latents, present, rows, columns, size, shape)
    mean = np.concatenate([d.ravel() for d in expected]).mean()
    for ours, plain in zip(found, expected, strict=True):
        assert ours.dtype == np.float32 and ours.shape == plain.shape and ours.min() >= 0
        np.testing.assert_allclose(edge_weights(ours, mean, rule), edge_weights(plain, mean, rule), atol=1e-5)
        np.testing.assert_allclose(ours, plain, rtol=1e-4, atol=1e-5)


def test_a_large_common_part_of_the_latents_does_not_cancel():
    latents = np.random.default_rng(0).integers(-1, 2, (9, 16)).astype(np.float32)
    arguments = np.ones(9, bool), [0, 4, 8], [0, 4, 8], 8, (16, 16)
    for plain, shifted in zip(latent_distances(latents, *arguments), latent_distances(latents + 2**16, *arguments), strict=True):
        np.testing.assert_array_equal(shifted, plain)
        assert plain.max() > 0.1


def test_patches_that_do_not_differ_give_no_distance_and_full_weight():
    for rows, latents in (([0], np.random.default_rng(0).normal(size=(1, 5))), ([0, 4, 7], np.tile(np.arange(5.0), (9, 1)))):
        for distance in latent_distances(latents.astype(np.float32), np.ones(len(latents), bool), rows, rows, 8, (rows[-1] + 8,) * 2):
            assert not distance.any()
            assert (edge_weights(distance, float(distance.mean()), "paper") == 1).all()


def test_white_latents_of_1024_numbers_have_a_mean_distance_near_6_6():
    rows = flush_positions(128, 32, 16)
    latents = np.random.default_rng(0).normal(size=(49, 1024)).astype(np.float32)
    tracemalloc.start()
    down, right = latent_distances(latents, np.ones(49, bool), rows, rows, 32, (128, 128))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.concatenate([down.ravel(), right.ravel()]).mean() == pytest.approx(6.6, abs=0.1)
    assert peak < 128 * 128 * 1024 * 4 / 10  # an (H, W, D) array of float32 would take ten times as much
