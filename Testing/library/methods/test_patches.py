"""Cutting slices into patches and putting scores together again (Eq. 1), against cases computed by hand."""

import math

import numpy as np
import pytest
import torch

from InvDetectLib.computing.tensors import to_array, to_tensor
from InvDetectLib.methods.invdetect.patches import PatchGrid, aggregate, cut, gaussian, holds_foreground, starts, window_places
from InvDetectLib.models.method_settings import Patches


@pytest.mark.parametrize(
    ("length", "size", "stride", "expected"),
    [(64, 32, 16, (0, 16, 32)), (70, 32, 16, (0, 16, 32, 38)), (32, 32, 16, (0,)), (33, 32, 16, (0, 1)), (8, 4, 2, (0, 2, 4))],
)
def test_patches_stand_every_stride_and_the_last_lies_flush_with_the_border(length, size, stride, expected):
    assert starts(length, size, stride) == expected


@pytest.mark.parametrize("shape", [(32, 32), (45, 33), (100, 128), (129, 47)])
def test_every_pixel_is_covered_by_a_patch(shape):
    grid = PatchGrid.over(shape, Patches(size=32, stride=16))
    covered = np.zeros(shape, bool)
    for row, column in grid.corners:
        covered[row : row + 32, column : column + 32] = True
    assert covered.all()


def test_a_patch_needs_some_foreground_and_the_wanted_share_of_it():
    foreground = np.zeros((2, 8, 8), bool)
    foreground[1, 0, 0] = True  # one pixel of the first patch of slice 1
    foreground[1, 4:8, 4:8] = True  # all of its last patch
    grid = PatchGrid.over((8, 8), Patches(size=4, stride=4))
    assert grid.places(foreground, 0.0).tolist() == [[1, 0, 0], [1, 4, 4]]
    assert grid.places(foreground, 1 / 16).tolist() == [[1, 0, 0], [1, 4, 4]]
    assert grid.places(foreground, 0.5).tolist() == [[1, 4, 4]]
    assert not holds_foreground(foreground, np.array([[0, 0, 0]]), 4, 0.0).any()


def test_a_patch_holds_the_pixels_of_its_place():
    values = np.arange(2 * 6 * 6 * 3, dtype=np.float32).reshape(2, 6, 6, 3)
    patches = cut(to_tensor(values), np.array([[1, 2, 3], [0, 0, 0]]), 3)
    assert patches.shape == (2, 3, 3, 3)
    assert (to_array(patches)[0] == values[1, 2:5, 3:6].transpose(2, 0, 1)).all()


def test_two_patches_average_as_equation_1_says():
    """A row of 6 pixels, patches of 4 at columns 0 and 2 with scores 1 and 3; omega = 1, centres at 1.5 and 3.5."""
    scores, places = torch.tensor([[1.0], [3.0]]), torch.tensor([[0, 0, 0], [0, 0, 2]])
    averaged, reached = aggregate(scores, torch.ones(2), places, 4, (1, 4, 6))
    near, far = math.exp(-(0.5**2)), math.exp(-(1.5**2))
    expected = [1.0, 1.0, (1 * near + 3 * far) / (near + far), (1 * far + 3 * near) / (near + far), 3.0, 3.0]
    for row in averaged[0, :, :, 0]:
        assert row.tolist() == pytest.approx(expected, abs=1e-6)
    assert reached.all()


def test_the_map_equals_the_sum_of_equation_1_pixel_by_pixel():
    rng = np.random.default_rng(3)
    shape, size = (2, 21, 26), 8
    places = np.array([[s, r, c] for s in range(2) for r in starts(21, 8, 4) for c in starts(26, 8, 4)])
    places = places[rng.random(len(places)) < 0.7]
    scores, weights = rng.normal(size=(len(places), 2)).astype(np.float32), rng.uniform(0.1, 1, len(places)).astype(np.float32)
    top, below = np.zeros((*shape, 2)), np.zeros(shape)
    for (s, r, c), score, weight in zip(places, scores, weights):
        for i in range(r, r + size):
            for j in range(c, c + size):
                w = weight * math.exp(-((i - r - 3.5) ** 2 + (j - c - 3.5) ** 2) / 2.0**2)
                top[s, i, j] += w * score
                below[s, i, j] += w
    averaged, reached = aggregate(to_tensor(scores), to_tensor(weights), to_tensor(places), size, shape)
    assert (to_array(reached) == (below > 0)).all()
    expected = np.divide(top, below[..., None], out=np.zeros_like(top), where=below[..., None] > 0)
    assert np.abs(to_array(averaged) - expected).max() < 1e-5


def test_equal_scores_give_a_flat_map_whatever_the_weights():
    places = torch.tensor([[0, r, c] for r in starts(40, 16, 8) for c in starts(40, 16, 8)])
    averaged, _ = aggregate(torch.full((len(places), 1), 2.5), torch.rand(len(places)) + 0.1, places, 16, (1, 40, 40))
    assert torch.allclose(averaged, torch.full_like(averaged, 2.5), atol=1e-5)


def test_the_weight_falls_to_one_over_e_at_a_quarter_of_the_window():
    weights = gaussian(32).tolist()
    assert weights[0] == pytest.approx(math.exp(-((15.5 / 8) ** 2)))
    assert weights == weights[::-1]
    assert gaussian(33)[16 + 8].item() == pytest.approx(math.exp(-((8 / 8.25) ** 2)))


def test_a_window_as_large_as_the_patch_is_the_patch_itself():
    places, weights = window_places(32, 32, 4)
    assert places.tolist() == [[0, 0]]
    assert weights.tolist() == [1.0]


def test_windows_count_less_the_farther_they_lie_from_the_patch_centre():
    places, weights = window_places(64, 16, 8)
    table = {tuple(place): weight for place, weight in zip(places.tolist(), weights.tolist())}
    assert table[24, 24] == pytest.approx(1.0)
    assert table[0, 24] == pytest.approx(math.exp(-((24 / 16) ** 2)))
    assert table[0, 48] == pytest.approx(math.exp(-2 * (24 / 16) ** 2))
