"""From raw values to [-1, 1], rule by rule, against numbers worked out by hand; and the errors of scans that cannot be prepared."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from InvDetectLib.errors import InvDetectError, WrongUse
from InvDetectLib.scans import Geometry, Scan, learn_intensity, measure_intensity, prepare, read_scan
from InvDetectLib.scans.intensity import PERCENTILES
from InvDetectLib.settings import Preparation

GREY_RULES = ("landmarks", "percentile", "window:-50,120", "full", "channels")


def scan_of(array: np.ndarray, name: str = "made") -> Scan:
    array = np.asarray(array)
    while array.ndim < 3:
        array = array[None]
    geometry = Geometry(array.shape[:3], dimension=2 if array.shape[0] == 1 else 3, unit="pixel")
    return Scan.from_array(array, geometry, name)


def as_it_is(array: np.ndarray, rule: str, **changes) -> Preparation:
    """A preparation with the scan's own grid and everything as foreground."""
    shape = scan_of(array).array.shape
    plain = Preparation(intensity=rule, foreground="none", grid=max(shape[1:3]), channels=3 if len(shape) == 4 else 1)
    return dataclasses.replace(plain, **changes)


def mapped(array: np.ndarray, rule: str, training: list[np.ndarray], **changes) -> np.ndarray:
    """The slices of `array` for a model trained on `training`, without the axes of length 1."""
    preparation = as_it_is(array, rule, **changes)
    learned = learn_intensity(preparation, [measure_intensity(scan_of(one), preparation) for one in training])
    return prepare(scan_of(array), preparation, learned).slices.squeeze()


def ramp(top: float = 200.0, dtype=np.float64) -> np.ndarray:
    """201 x 5 values 0 ... top: percentile p is p / 100 * top exactly."""
    return np.repeat(np.linspace(0, top, 201)[:, None], 5, axis=1).astype(dtype)


def head(seed: int = 0, gain: float = 1.0) -> np.ndarray:
    """A textured disc in dark, noisy air, 4 slices."""
    rng = np.random.default_rng(seed)
    row, column = np.ogrid[-1:1:64j, -1:1:64j]
    inside = row**2 + column**2 < 0.7
    tissue = np.where(inside, 80 + 40 * np.sin(5 * row) + 30 * np.cos(7 * column), 0)
    return ((tissue + rng.normal(0, 3, (4, 64, 64)) * inside + np.abs(rng.normal(0, 1, (4, 64, 64)))) * gain).astype(np.float32)


# landmarks ----------------------------------------------------------------------------------------------------------------------


def test_landmarks_of_a_ramp_are_its_percentiles_over_the_99_5th() -> None:
    preparation = as_it_is(ramp(), "landmarks")
    measured = measure_intensity(scan_of(ramp()), preparation)
    np.testing.assert_allclose(measured, np.array(PERCENTILES) / 99.5, atol=1e-12)
    assert measured.dtype == np.float64


def test_learned_landmarks_are_the_mean_over_the_scans_and_increase_strictly() -> None:
    preparation = as_it_is(ramp(), "landmarks")
    one, other = np.linspace(0.1, 0.9, 9), np.linspace(0.3, 0.7, 9)
    np.testing.assert_allclose(learn_intensity(preparation, [one, other])["landmarks"], np.linspace(0.2, 0.8, 9))
    flat = learn_intensity(preparation, [np.array([0, 0, 0.5, 0.5, 0.5, 0.4, 0.9, 0.9, 0.9])])["landmarks"]
    assert (np.diff(flat) > 0).all() and flat[0] > 0
    np.testing.assert_allclose(flat, [0, 0, 0.5, 0.5, 0.5, 0.5, 0.9, 0.9, 0.9], atol=5e-4)


def test_landmarks_move_a_scans_percentiles_to_the_training_scans() -> None:
    """Training: a ramp, so 50 % lies at 50/99.5. A scan that is the ramp squared has its median at 50 (of 200) and must go there."""
    squared = ramp() ** 2 / 200
    result = mapped(squared, "landmarks", [ramp()])[:, 0]
    for p, expected in ((25, 25 / 99.5), (50, 50 / 99.5), (90, 90 / 99.5)):
        assert (result[2 * p] + 1) / 2 == pytest.approx(expected, abs=1e-5)
    # between the 50th (raw 50) and the 75th (raw 112.5): raw 81.25 lies midway; the ramp squared has 127.5^2/200 = 81.28 there
    midway = np.interp(127.5**2 / 200, [50.0, 112.5], [50 / 99.5, 75 / 99.5])
    assert np.interp(127.5, np.arange(201), (result + 1) / 2) == pytest.approx(midway, abs=1e-4)


def test_below_the_first_landmark_lies_background_and_above_the_last_its_slope_goes_on() -> None:
    result = (mapped(ramp(), "landmarks", [ramp()])[:, 0] + 1) / 2
    np.testing.assert_allclose(result, np.minimum(np.linspace(0, 100 / 99.5, 201), 1), atol=1e-5)
    doubled = ramp()
    doubled[199:] = 400  # the highest percent: mapped with the slope from the 95th to the 99th, then clipped
    preparation = as_it_is(doubled, "landmarks")
    learned = {"landmarks": np.linspace(0.1, 0.5, 9)}
    top = (prepare(scan_of(doubled), preparation, learned).slices.squeeze()[-1, 0] + 1) / 2
    own95, own99 = np.percentile(doubled, [95, 99])
    assert top == pytest.approx(min(0.5 + 0.05 * (400 - own99) / (own99 - own95), 1), abs=1e-5)


def test_ties_in_a_scans_percentiles_do_not_divide_by_zero() -> None:
    """Half the scan has one value: it goes to the mean of the targets that fall on it, and all stays finite and in order."""
    saturated = np.minimum(ramp(), 100)
    with warnings.catch_warnings(), np.errstate(all="raise"):
        warnings.simplefilter("error")
        result = (mapped(saturated, "landmarks", [ramp()])[:, 0] + 1) / 2
    assert np.isfinite(result).all() and (np.diff(result) >= -1e-6).all()
    assert result[-1] == pytest.approx(np.mean([50, 75, 90, 95, 99]) / 99.5, abs=1e-5)


def test_a_foreground_that_begins_at_background_stays_at_minus_one() -> None:
    dark = ramp()
    dark[:60] = 0
    assert (mapped(dark, "landmarks", [ramp()])[:60] == -1).all()


def test_a_change_of_gain_changes_nothing_with_landmarks() -> None:
    preparation = Preparation(grid=48)
    learned = learn_intensity(preparation, [measure_intensity(scan_of(head(seed)), preparation) for seed in (1, 2)])
    one = prepare(scan_of(head()), preparation, learned)
    other = prepare(scan_of(head() * np.float32(3.7)), preparation, learned)
    np.testing.assert_allclose(other.slices, one.slices, atol=1e-4)
    np.testing.assert_array_equal(other.foreground, one.foreground)
    tiny = prepare(scan_of(head() * np.float32(1e-6)), preparation, learned)
    np.testing.assert_allclose(tiny.slices, one.slices, atol=1e-3)


def test_negative_values_are_moved_up_before_anything_else() -> None:
    shifted = ramp() - 70
    np.testing.assert_allclose(mapped(shifted, "landmarks", [ramp()]), mapped(ramp(), "landmarks", [ramp()]), atol=1e-5)
    np.testing.assert_allclose(mapped(shifted, "percentile", [ramp()]), mapped(ramp(), "percentile", [ramp()]), atol=1e-5)


# the other rules ----------------------------------------------------------------------------------------------------------------


def test_percentile_puts_zero_at_minus_one_and_the_99_5th_at_one() -> None:
    result = mapped(ramp(), "percentile", [ramp(50)])[:, 0]
    np.testing.assert_allclose(result, np.minimum(np.linspace(0, 200, 201) / 199 * 2 - 1, 1), atol=1e-6)


def test_percentile_survives_a_scan_that_is_nearly_all_zero() -> None:
    array = np.zeros((40, 40))
    array[3, 3] = 0.5
    result = mapped(array, "percentile", [ramp()])
    assert result[3, 3] == 1 and result.sum() == -1600 + 2


def test_a_window_is_the_same_for_every_scan() -> None:
    hounsfield = np.array([[-1000, -100, 0], [100, 300, 2000]], np.int16)
    expected = np.array([[-1, -1, -0.5], [0, 1, 1]])
    np.testing.assert_allclose(mapped(hounsfield, "window:-100,300", [hounsfield]), expected, atol=1e-6)


@pytest.mark.parametrize("ends", ["", "5", "a,b", "300,-100", "4,4", "nan,3", "0,inf", "1,2,3"])
def test_a_window_that_cannot_be_is_wrong_use(ends: str) -> None:
    rule = f"window:{ends}"
    with pytest.raises(WrongUse, match="window"):
        measure_intensity(scan_of(ramp()), as_it_is(ramp(), rule))
    with pytest.raises(WrongUse):
        learn_intensity(as_it_is(ramp(), rule), [])


def test_an_unknown_rule_is_wrong_use_and_names_the_known_ones() -> None:
    with pytest.raises(WrongUse, match="landmarks, percentile, window:LO,HI, full or channels"):
        measure_intensity(scan_of(ramp()), as_it_is(ramp(), "zscore"))


@pytest.mark.parametrize(("dtype", "top"), [(np.uint8, 255), (np.uint16, 65535)])
def test_full_is_the_range_of_the_pictures_type(dtype, top: int) -> None:
    picture = np.array([[0, 51], [100, 200]], dtype)
    np.testing.assert_allclose(mapped(picture, "full", [picture]), picture / top * 2 - 1, atol=1e-6)


def test_full_is_the_range_of_all_training_scans_for_other_types() -> None:
    """-10 ... 30 and 0 ... 40 together: -10 goes to -1, 0 to -0.6, 15 to 0, and 90 is clipped."""
    one, other = np.array([[-10.0, 30.0]]), np.array([[0.0, 40.0]])
    np.testing.assert_allclose(mapped(np.array([[-10.0, 0.0, 15.0, 90.0]]), "full", [one, other]), [-1, -0.6, 0, 1], atol=1e-6)


def test_full_refuses_8_and_16_bit_pictures_in_one_training_set() -> None:
    with pytest.raises(InvDetectError, match="255 to 65535.*percentile"):
        mapped(ramp(), "full", [ramp(200, np.uint8), ramp(200, np.uint16)])


def colours(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.clip(rng.normal((150, 90, 40), (20, 15, 8), (1, 30, 30, 3)), 0, 255)


def test_channels_put_each_channels_mean_at_zero_and_three_deviations_at_one() -> None:
    """Channel 0 is 100 +- 10, channel 1 50 +- 5, channel 2 the same everywhere."""
    array = np.zeros((1, 2, 2, 3))
    array[0, ..., 0], array[0, ..., 1], array[0, ..., 2] = [[90, 110], [90, 110]], [[45, 45], [55, 55]], 7
    third = 1 / 3
    expected = np.stack([[[-third, third]] * 2, [[-third] * 2, [third] * 2], np.zeros((2, 2))], -1)
    np.testing.assert_allclose(mapped(array, "channels", [colours()]), expected, atol=1e-6)


def test_channels_measure_mean_and_deviation_of_the_foreground_only() -> None:
    array = colours()
    mask = np.zeros((1, 30, 30), bool)
    mask[:, :10] = True
    preparation = as_it_is(array, "channels", foreground="masks")
    measured = measure_intensity(scan_of(array), preparation, mask)
    inside = array[0, :10].reshape(-1, 3)
    np.testing.assert_allclose(measured, np.concatenate([inside.mean(0), inside.std(0)]))
    learned = learn_intensity(preparation, [measured, measured + 2])
    np.testing.assert_allclose(learned["mean"], inside.mean(0) + 1)
    np.testing.assert_allclose(learned["spread"], inside.std(0) + 1)


def test_a_change_of_light_in_each_channel_changes_nothing() -> None:
    array = colours()
    np.testing.assert_allclose(
        mapped(array * (0.7, 1.2, 2.0) + (5, -3, 9), "channels", [colours(1)]), mapped(array, "channels", [colours(1)]), atol=1e-4
    )


# all rules ----------------------------------------------------------------------------------------------------------------------

VALUES = arrays.arrays(
    np.float32, (1, 8, 9), elements=st.floats(-300, 3000, width=32, allow_subnormal=False) | st.sampled_from([0.0, 1.0, 255.0])
)


@given(values=VALUES, training=VALUES, rule=st.sampled_from(GREY_RULES))
@settings(max_examples=150)
def test_every_rule_keeps_the_order_of_values_and_stays_within_one(values: np.ndarray, training: np.ndarray, rule: str) -> None:
    assume(np.ptp(values) > 0 and np.ptp(training) > 0)
    result = mapped(values, rule, [training])
    assert result.dtype == np.float32 and np.isfinite(result).all()
    assert result.min() >= -1 and result.max() <= 1
    assert (np.diff(result.ravel()[np.argsort(values, axis=None)]) >= -1e-5).all()


@pytest.mark.parametrize("rule", ["landmarks", "percentile"])
def test_air_is_minus_one(rule: str) -> None:
    array = head()
    array[:, :8] = 0
    preparation = Preparation(intensity=rule, grid=64)
    learned = learn_intensity(preparation, [measure_intensity(scan_of(head(1)), preparation)])
    assert (prepare(scan_of(array), preparation, learned).slices[:, :7] == -1).all()


def test_much_clipping_is_told_once_with_its_share() -> None:
    array = np.repeat(np.arange(100.0)[:, None], 4, axis=1)
    preparation = as_it_is(array, "window:0,89")  # 90 ... 99 lie outside: 10 %
    (warning,) = prepare(scan_of(array), preparation, {}).warnings
    assert warning == "10% of the foreground lies outside the model's intensity range and was clipped."
    assert prepare(scan_of(array), as_it_is(array, "window:0,98"), {}).warnings == ()  # 1 %
    assert prepare(scan_of(array), as_it_is(array, "window:20,200"), {}).warnings[0].startswith("20%")


def test_clipping_outside_the_foreground_is_nobodys_business() -> None:
    array = np.repeat(np.arange(100.0)[:, None], 4, axis=1)
    mask = np.zeros((1, 100, 4), bool)
    mask[:, :80] = True
    preparation = as_it_is(array, "window:0,89", foreground="masks")
    assert prepare(scan_of(array), preparation, {}, mask).warnings == ()
    mask[:, 80:98] = True  # 8 of 98
    (warning,) = prepare(scan_of(array), preparation, {}, mask).warnings
    assert warning.startswith("8%")
    mask[:, :80] = False  # 8 of 18
    (warning,) = prepare(scan_of(array), preparation, {}, mask).warnings
    assert warning.startswith("44%")


# prepare ------------------------------------------------------------------------------------------------------------------------


def test_a_prepared_scan_has_slices_channels_and_foreground_on_the_grid() -> None:
    preparation = Preparation(grid=32)
    learned = learn_intensity(preparation, [measure_intensity(scan_of(head(1)), preparation)])
    prepared = prepare(scan_of(head()), preparation, learned, minimum=32)
    assert prepared.slices.shape == (4, 32, 32, 1) and prepared.slices.dtype == np.float32
    assert prepared.foreground.shape == (4, 32, 32) and prepared.foreground.dtype == bool
    assert prepared.native_foreground.shape == (4, 64, 64)
    np.testing.assert_array_equal(prepared.foreground, prepared.grid.mask_to_grid(prepared.native_foreground))
    np.testing.assert_allclose(prepared.intensity_range, np.percentile(head()[prepared.native_foreground], [1, 99]), rtol=1e-6)


def test_a_colour_scan_keeps_its_three_channels() -> None:
    preparation = as_it_is(colours(), "channels", grid=20)
    learned = learn_intensity(preparation, [measure_intensity(scan_of(colours()), preparation)])
    assert prepare(scan_of(colours()), preparation, learned).slices.shape == (1, 20, 20, 3)


def test_the_users_mask_is_the_foreground() -> None:
    mask = np.zeros((4, 64, 64), bool)
    mask[1, 10:30, 20:40] = True
    preparation = Preparation(grid=64, foreground="masks", intensity="percentile")
    prepared = prepare(scan_of(head()), preparation, {}, mask)
    np.testing.assert_array_equal(prepared.foreground, mask)


def refusal(array: np.ndarray, mask: np.ndarray | None = None, minimum: int = 0, **changes) -> str:
    preparation = dataclasses.replace(Preparation(intensity="percentile", grid=64), **changes)
    with pytest.raises(InvDetectError) as caught:
        prepare(scan_of(array, "patient"), preparation, {}, mask, minimum)
    assert "patient" in str(caught.value)
    return str(caught.value)


def test_nan_inside_the_head_is_refused_with_its_place() -> None:
    array = head()
    array[2, 30, 31] = np.nan
    assert "NaN" in refusal(array) and "2, 30, 31" in refusal(array)
    with pytest.raises(InvDetectError, match="NaN"):
        measure_intensity(scan_of(array), Preparation())


def test_nan_outside_the_head_is_background_with_a_warning() -> None:
    array, plain = head(), head()
    array[:, :5] = np.nan
    plain[:, :5] = 0
    preparation = Preparation(intensity="percentile", grid=64)
    prepared, expected = (prepare(scan_of(one), preparation, {}) for one in (array, plain))
    assert len(prepared.warnings) == 1 and "1280 voxels" in prepared.warnings[0] and "NaN" in prepared.warnings[0]
    np.testing.assert_array_equal(prepared.foreground, expected.foreground)
    np.testing.assert_allclose(prepared.slices, expected.slices, atol=1e-3)


def test_nan_inside_the_users_mask_is_refused_and_outside_it_is_background() -> None:
    array = head()
    array[2, 30, 31] = np.nan
    mask = np.ones(array.shape, bool)
    assert "NaN" in refusal(array, mask, foreground="masks")
    mask[2, 30, 31] = False
    preparation = Preparation(intensity="percentile", grid=64, foreground="masks")
    assert np.isfinite(prepare(scan_of(array), preparation, {}, mask).slices).all()


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinity_is_refused_wherever_it_is(value: float) -> None:
    array = head()
    array[0, 0, 0] = value
    assert "infinite" in refusal(array)


def test_constant_scans_are_refused() -> None:
    assert "constant" in refusal(np.full((2, 64, 64), 3.0))
    assert "constant" in refusal(np.full((2, 64, 64), 3, np.uint8), foreground="none")
    outside = np.zeros((1, 64, 64), np.uint8)
    outside[0, 20:40, 20:40] = 9
    assert "constant inside its foreground (every value is 9)" in refusal(outside)


def test_a_colour_scan_for_a_grey_model_is_refused_with_a_remedy() -> None:
    text = refusal(colours())
    assert "colour scan" in text and "convert it to grey" in text
    text = refusal(head(), channels=3)
    assert "grey scan" in text and "convert it to colour" in text


def test_more_than_three_axes_are_refused() -> None:
    scan = Scan(np.zeros((2, 40, 40, 5)), Geometry((2, 40, 40)), "patient", "")
    with pytest.raises(InvDetectError, match="patient holds 2 x 40 x 40 x 5 values"):
        prepare(scan, Preparation(), {})


def test_masks_are_wanted_and_must_fit_and_hold_something() -> None:
    assert "wants a foreground mask" in refusal(head(), foreground="masks")
    assert "shape (4, 64, 63)" in refusal(head(), np.ones((4, 64, 63), bool), foreground="masks")
    assert "empty" in refusal(head(), np.zeros((4, 64, 64), bool), foreground="masks")
    speck = np.zeros((4, 64, 64), bool)
    speck[0, 3, 3] = True
    speck[0, 3, 9] = True
    assert "too small" in refusal(head(), speck, foreground="masks", grid=16)


def test_a_scan_smaller_than_a_patch_is_refused_by_name() -> None:
    text = refusal(head()[:, :40], minimum=48)
    assert "40 x 64" in text and "48 x 48" in text


def test_real_scans_fill_the_range_without_much_clipping(shared_data) -> None:
    paths = sorted((shared_data / "brain_flair_lgg" / "normal").iterdir())[:4]
    scans = [read_scan(path) for path in paths]
    preparation = Preparation()
    learned = learn_intensity(preparation, [measure_intensity(scan, preparation) for scan in scans])
    medians = []
    for scan in scans:
        prepared = prepare(scan, preparation, learned, minimum=64)
        inside = prepared.slices[prepared.foreground]
        assert prepared.warnings == () and prepared.slices.max() > 0.8 and prepared.slices.min() < -0.95
        medians.append(float(np.median(inside)))
    assert np.ptp(medians) < 0.06
