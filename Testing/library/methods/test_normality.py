"""One-class models: sign, zero, agreement with scikit-learn, and what the features are."""

import math

import numpy as np
import pytest
import torch
from sklearn.svm import OneClassSVM as Reference

from InvDetectLib.common.errors import InvDetectError
from InvDetectLib.computing.tensors import to_array, to_tensor
from InvDetectLib.methods.invdetect.features import FeatureReader
from InvDetectLib.methods.invdetect.normality import OneClassSVM, Tails, fit_normality, normality_from_arrays
from InvDetectLib.models.method_settings import Features, Normality


def normals(count: int = 400, size: int = 6, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=(count, size)) * 2 + 5).astype(np.float32)


@pytest.mark.parametrize("estimator", ["svm", "gaussian"])
def test_a_tenth_of_the_normals_lies_outside_and_far_things_score_higher(estimator):
    values = to_tensor(normals())
    model = fit_normality(values, Normality(estimator=estimator), np.random.default_rng(0))
    scores = model.score(values)
    assert (scores > 0).float().mean().item() == pytest.approx(0.1, abs=0.02)
    assert model.score(values.mean(dim=0, keepdim=True)).item() < 0
    far = model.score(values[:1] + torch.tensor([[20.0] * 6]))
    assert far.item() > scores.max().item()


@pytest.mark.parametrize("size", [2, 1024])
def test_svm_scores_are_minus_scikit_learns_decision_function(size):
    train, new = normals(500, size), normals(300, size, seed=1) * 1.3
    model = OneClassSVM.fit(train, 0.1)
    reference = Reference(kernel="rbf", nu=0.1, gamma=1 / (size * train.astype(np.float64).var())).fit(train.astype(np.float64))
    decision = reference.decision_function(new.astype(np.float64))
    difference = np.abs(to_array(model.score(to_tensor(new))) + decision).max()
    assert difference < 1e-4 * decision.std()


def test_gamma_is_one_over_dimension_times_variance():
    train = normals(100, 3)
    assert OneClassSVM.fit(train, 0.1).gamma == pytest.approx(1 / (3 * train.astype(np.float64).var()))


def test_libsvm_units_grow_with_the_number_of_normals():
    assert OneClassSVM.fit(normals(200), 0.1).alpha.sum() == pytest.approx(0.1 * 200)


def test_the_gaussian_scores_the_distance_in_standard_deviations():
    """Two independent axes with spreads 1 and 10: ten units along the wide axis are as far as one along the narrow."""
    rng = np.random.default_rng(0)
    train = (rng.normal(size=(20_000, 2)) * [1, 10]).astype(np.float32)
    model = fit_normality(to_tensor(train), Normality(estimator="gaussian", max_samples=20_000), rng)
    radius = math.sqrt(-2 * math.log(0.1))
    scores = model.score(torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 30.0]]))
    assert scores.tolist() == pytest.approx([-radius, 3 - radius, 3 - radius], abs=0.1)


@pytest.mark.parametrize("estimator", ["svm", "gaussian"])
def test_an_estimator_scores_the_same_after_a_trip_through_its_arrays(estimator):
    settings, values = Normality(estimator=estimator), to_tensor(normals())
    model = fit_normality(values, settings, np.random.default_rng(0))
    assert torch.equal(normality_from_arrays(model.arrays(), settings, values.shape[1]).score(values), model.score(values))


def test_too_many_normals_are_subsampled_by_the_seed():
    values = to_tensor(normals(500))

    def vectors(seed: int) -> np.ndarray:
        return fit_normality(values, Normality(max_samples=100), np.random.default_rng(seed)).arrays()["alpha"]

    assert vectors(1).sum() == pytest.approx(0.1 * 100)
    assert (vectors(1) == vectors(1)).all()


@pytest.mark.parametrize("estimator", ["svm", "gaussian"])
def test_equal_normals_are_an_error_that_says_so(estimator):
    with pytest.raises(InvDetectError, match="equal"):
        fit_normality(torch.ones(50, 3), Normality(estimator=estimator), np.random.default_rng(0))


def test_window_statistics_are_the_mean_and_the_log_of_the_mean_square():
    image = torch.zeros(1, 1, 8, 8)
    image[0, 0, :4, :4] = torch.tensor([1.0, 3.0]).repeat(8).reshape(4, 4)
    features = FeatureReader(Features(kind="latent_windows", window=4, spacing=4), 8).read(image, image)
    assert features.shape == (1, 4, 2)
    assert features[0, 0].tolist() == pytest.approx([2.0, math.log(5.0)], abs=1e-5)
    assert features[0, 3, 0].item() == 0


def test_windows_are_numbered_as_their_places():
    image = torch.arange(64.0).reshape(1, 1, 8, 8)
    reader = FeatureReader(Features(kind="latent_windows", statistics=("mean",), window=2, spacing=3), 8)
    means = [image[0, 0, r : r + 2, c : c + 2].mean().item() for r, c in reader.places]
    assert reader.read(image, image)[0, :, 0].tolist() == means


def test_colour_has_statistics_of_each_channel():
    reader = FeatureReader(Features(kind="latent_windows", window=4), 8)
    assert reader.read(*torch.randn(2, 5, 3, 8, 8)).shape == (5, len(reader.places), 6)


def test_the_statistics_of_the_slice_itself_stand_beside_those_of_the_latent():
    latents, patches = torch.randn(2, 4, 1, 8, 8)
    reader = FeatureReader(Features(kind="latent_windows", window=4, image=True), 8)
    both = reader.read(latents, patches)
    alone = FeatureReader(Features(kind="latent_windows", window=4), 8)
    assert torch.equal(both, torch.cat([alone.read(latents, latents), alone.read(patches, patches)], dim=2))


def test_the_trajectory_has_statistics_of_each_evaluation_in_order():
    reader = FeatureReader(Features(kind="trajectory_windows", statistics=("mean",), window=8), 8)
    for value in (1.0, 2.0, 3.0):
        reader.on_noise(torch.full((2, 1, 8, 8), value))
    assert reader.read(*torch.zeros(2, 2, 1, 8, 8)).tolist() == [[[1.0, 2.0, 3.0]]] * 2
    reader.start()
    reader.on_noise(torch.zeros(1, 1, 8, 8))
    assert reader.read(*torch.zeros(2, 1, 1, 8, 8)).shape == (1, 1, 1), "a batch that was stopped leaves nothing behind for the next"


def test_the_whole_latent_is_one_row_a_patch():
    latents = torch.randn(3, 1, 4, 4)
    features = FeatureReader(Features(kind="latent"), 4).read(latents, latents)
    assert torch.equal(features, latents.reshape(3, 1, 16))


def test_windows_larger_than_the_patch_are_an_error():
    with pytest.raises(InvDetectError, match="do not fit"):
        FeatureReader(Features(kind="latent_windows", window=20), 16)


# tails ------------------------------------------------------------------------------------------------------------------------------


def test_the_tail_is_minus_the_logarithm_of_the_share_further_out():
    """Exponential normals with mean 1: above the median the share beyond x is exp(-x), so the score grows by 1 a unit, also far out."""
    rng = np.random.default_rng(0)
    normals = rng.exponential(size=(50_000, 1)).astype(np.float32)
    model = Tails.fit(normals, 0.1)
    scores = to_array(model.score(torch.tensor([[2.0], [4.0], [6.0], [30.0]])))
    np.testing.assert_allclose(np.diff(scores[:3]), 2, atol=0.3)
    assert scores[3] - scores[2] == pytest.approx(24, rel=0.3), "beyond the normals the tail goes on as it ended"


def test_each_side_of_a_feature_has_its_own_tail():
    """Often far below the median, never far above: 3 above is odder than 3 below."""
    rng = np.random.default_rng(1)
    normals = np.where(rng.random((20_000, 1)) < 0.5, -rng.exponential(2.0, (20_000, 1)), rng.uniform(0, 0.5, (20_000, 1)))
    below, above = to_array(Tails.fit(normals.astype(np.float32), 0.1).score(torch.tensor([[-3.0], [3.0]])))
    assert above > below + 3


def test_tails_leave_nu_outside_and_survive_the_file():
    normals = np.random.default_rng(2).normal(size=(5000, 3)).astype(np.float32)
    model = Tails.fit(normals, 0.1)
    scores = model.score(torch.from_numpy(normals))
    assert float((scores > 0).float().mean()) == pytest.approx(0.1, abs=0.005)
    again = Tails.from_arrays(model.arrays())
    assert torch.equal(again.score(torch.from_numpy(normals)), scores)


def test_clipped_normals_make_no_step_of_infinite_height():
    normals = np.clip(np.random.default_rng(3).normal(size=(5000, 2)), -1, 1).astype(np.float32)
    scores = Tails.fit(normals, 0.1).score(torch.tensor([[1.0, 0.0], [1.1, 0.0], [0.0, 0.0]]))
    assert torch.isfinite(scores).all() and scores[1] >= scores[0] > scores[2]


def test_tails_of_equal_normals_are_refused():
    with pytest.raises(InvDetectError, match="All normal features are equal"):
        Tails.fit(np.ones((100, 2), np.float32), 0.1)
