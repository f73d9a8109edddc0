"""Made lesions: what each kind does to a scan's own voxels, and that it does so nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from InvDetectLib.models import KINDS
from InvDetectLib.rehearsal import Lesion, put


def tissue(shape: tuple[int, ...] = (1, 80, 80), dtype: str = "float32", mean: float = 100.0, spread: float = 10.0) -> np.ndarray:
    noise = np.random.default_rng(0).normal(mean, spread, shape)
    return np.clip(noise, 1, 250).astype(dtype)


def with_lesion(
    kind: str, contrast: float, size: float = 20.0, before: np.ndarray | None = None, background: float = 0.0, step: float = 1.0
):
    """(before, after, mask) of one lesion in the middle, mask in the whole array."""
    before = tissue() if before is None else before
    after = before.copy()
    inside = np.ones(before.shape[:3], bool)
    centre = tuple(length // 2 for length in inside.shape)
    made = put(after, inside, (step,) * 3, centre, Lesion(kind, size, contrast), background, np.random.default_rng(1))
    mask = np.zeros(inside.shape, bool)
    mask[made.box] = made.mask
    return before, after, mask


def test_a_lesion_is_as_large_as_asked_for_in_mm() -> None:
    for step in (0.5, 1.0, 2.0):
        _, _, mask = with_lesion("bright", 0.5, 20.0, tissue((1, 200, 200)), step=step)
        assert np.sqrt(mask.sum() * step**2 * 4 / np.pi) == pytest.approx(20, rel=0.1)
    _, _, ball = with_lesion("bright", 0.5, 20.0, tissue((60, 60, 60)))
    assert (ball.sum() * 6 / np.pi) ** (1 / 3) == pytest.approx(20, rel=0.1)


def test_bright_and_dark_ones_differ_by_their_share_of_the_intensity_above_the_background() -> None:
    for background in (0.0, -100.0):
        for kind, sense in (("bright", 1), ("dark", -1)):
            before, after, mask = with_lesion(kind, 0.25, background=background)
            core = ndimage.binary_erosion(mask[0], iterations=3)[None]
            assert float((after - before)[core].mean()) == pytest.approx(sense * 0.25 * (100 - background), rel=0.03)


def test_a_rough_one_has_more_texture_and_a_smooth_one_less_at_the_same_brightness() -> None:
    for kind, factor in (("rough", np.sqrt(1 + 2.5**2)), ("smooth", 0.25)):
        before, after, mask = with_lesion(kind, {"rough": 0.25, "smooth": 0.75}[kind])
        core = ndimage.binary_erosion(mask[0], iterations=3)[None]
        assert float(after[core].std() / before[core].std()) == pytest.approx(factor, rel=0.2)
        assert float(after[mask].mean()) == pytest.approx(float(before[mask].mean()), abs=4)


def test_a_pushing_one_moves_tissue_outwards_and_leaves_what_is_far_away() -> None:
    before = tissue(spread=0.1)
    before[0, :, 40:46] = 200  # a stripe beside the centre
    before, after, mask = with_lesion("pushing", 0.5, 20.0, before)
    stripe = np.flatnonzero(after[0, 40] > 150)
    assert stripe.max() > 47 and np.array_equal(before[0, :14], after[0, :14])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32", "float64"])
def test_the_type_and_its_range_are_kept_and_nothing_outside_the_foreground_is_touched(kind: str, dtype: str) -> None:
    before = tissue(dtype=dtype, mean=220 if dtype == "uint8" else 100)
    after, inside = before.copy(), np.ones(before.shape, bool)
    inside[:, :, 42:] = False
    put(after, inside, (1.0,) * 3, (0, 40, 38), Lesion(kind, 24.0, 0.6), 0.0, np.random.default_rng(1))
    assert after.dtype == before.dtype and np.array_equal(before[~inside], after[~inside]) and not np.array_equal(before, after)
    assert after.min() >= 0 and np.isfinite(after.astype(float)).all()
    if kind == "bright" and dtype == "uint8":
        assert after.max() == 255  # it stops at the end of the range instead of beginning anew


def test_all_channels_of_a_colour_image_change_alike() -> None:
    before = np.stack([tissue(spread=1.0), 2 * tissue(spread=1.0)], axis=3)
    before, after, mask = with_lesion("dark", 0.5, before=before)
    core = ndimage.binary_erosion(mask[0], iterations=3)[None]
    shares = (after[core] / before[core]).mean(axis=0)
    assert shares == pytest.approx([0.5, 0.5], abs=0.02)


def test_the_contrast_is_told_in_standard_deviations_of_the_tissue_around() -> None:
    for spread in (5.0, 10.0):
        array = tissue((1, 120, 120), spread=spread)
        made = put(array, np.ones(array.shape, bool), (1.0,) * 3, (0, 60, 60), Lesion("bright", 30.0, 0.2), 0.0, np.random.default_rng(1))
        assert made.spread == pytest.approx(20 / spread, rel=0.15)


def test_the_same_seed_makes_the_same_lesion() -> None:
    one, two = with_lesion("rough", 0.3), with_lesion("rough", 0.3)
    assert np.array_equal(one[1], two[1])
