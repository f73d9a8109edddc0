"""From raw values to [-1, 1], rule by rule, against numbers worked out by hand."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from InvDetectLib.common.errors import InvDetectError, WrongUse
from InvDetectLib.models.settings import Preparation
from InvDetectLib.scans import learn_intensity, measure_intensity, prepare
from InvDetectLib.scans.intensity import PERCENTILES, less_surroundings
from Testing.support.made_scans import as_it_is, colours, head, scan_of

GREY_RULES = ("median", "landmarks", "percentile", "window:-50,120", "full", "channels", "local")


def mapped(array: np.ndarray, rule: str, training: list[np.ndarray], **changes) -> np.ndarray:
    """The slices of `array` for a model trained on `training`, without the axes of length 1."""
    preparation = as_it_is(array, rule, **changes)
    learned = learn_intensity(preparation, [measure_intensity(scan_of(one), preparation) for one in training])
    return prepare(scan_of(array), preparation, learned).slices.squeeze()


def ramp(top: float = 200.0, dtype=np.float64) -> np.ndarray:
    """201 x 5 values 0 ... top: percentile p is p / 100 * top exactly."""
    return np.repeat(np.linspace(0, top, 201)[:, None], 5, axis=1).astype(dtype)


# median -------------------------------------------------------------------------------------------------------------------------


def test_a_third_of_the_median_is_black_the_median_in_the_middle_and_five_thirds_of_it_white() -> None:
    """The ramp from 0 to 200 has its median at 100."""
    result = mapped(ramp(), "median", [ramp()])[:, 0]
    assert result[100] == pytest.approx(0, abs=1e-6)
    assert result[150] == pytest.approx(0.75, abs=1e-6) and result[60] == pytest.approx(-0.6, abs=1e-6)
    assert (result[:34] == -1).all() and result[34] > -1
    assert (result[167:] == 1).all() and result[166] < 1


def test_a_bright_lesion_hardly_moves_what_the_median_says_of_the_rest() -> None:
    """A twentieth of the scan becomes five times as bright as the rest ever was, and what lies between is compared."""
    lesion = ramp()
    lesion[::20] = 1000
    before, after = (mapped(array, "median", [ramp()])[41:59] for array in (ramp(), lesion))
    assert np.abs(after - before).max() < 0.05
    before, after = (mapped(array, "percentile", [ramp()])[41:59] for array in (ramp(), lesion))
    assert np.abs(after - before).max() > 0.3


def test_a_scan_that_is_mostly_zero_goes_by_its_highest_values() -> None:
    sparse = np.zeros((201, 5))
    sparse[150:] = 100
    result = mapped(sparse, "median", [sparse])[:, 0]
    assert (result[:150] == -1).all() and (result[150:] == 0).all()


def test_clipping_fat_is_the_medians_purpose_and_no_reason_to_warn() -> None:
    preparation = as_it_is(ramp(), "median")
    assert not prepare(scan_of(ramp()), preparation, learn_intensity(preparation, [])).warnings


# local --------------------------------------------------------------------------------------------------------------------------


def test_uneven_light_disappears_and_what_is_small_stays() -> None:
    """A photograph twice as bright on one side, with a spot of a few pixels on each: both spots come out alike, the light is gone."""
    light = np.linspace(60, 120, 200)[None, :].repeat(200, axis=0)
    spots = light + 0
    spots[100, (40, 160)] += 30
    result = mapped(spots, "local", [light])
    assert result[100, 40] == pytest.approx(result[100, 160], rel=0.1) and result[100, 40] > 0.3
    inner = mapped(light, "local", [light])[30:-30, 30:-30]
    assert np.abs(inner).max() < 0.02


def test_lively_tissue_weighs_no_more_than_calm_tissue_and_noise_is_not_amplified() -> None:
    """Left and right differ fivefold in contrast and come out alike: a fifth for one standard deviation. Hardly anything stays that."""
    noise = np.random.default_rng(0).normal(size=(200, 600, 1)).astype(np.float32)
    contrast = np.where(np.arange(600) < 300, 0.05, 0.25)[None, :, None].astype(np.float32)
    everywhere = np.ones((200, 600), bool)
    result = less_surroundings(noise * contrast, everywhere)
    assert result[:, :100].std() == pytest.approx(0.2, rel=0.1) and result[:, 500:].std() == pytest.approx(0.2, rel=0.1)
    assert less_surroundings(noise * 0.001, everywhere).std() < 0.02


def test_what_lies_outside_the_foreground_does_not_shine_into_it() -> None:
    """The surroundings of a pixel at the foreground's border are those inside."""
    image, foreground = np.full((60, 60, 3), 0.3, np.float32), np.zeros((60, 60), bool)
    foreground[:, 20:] = True
    image[:, :20] = -5
    image[:, 20] = -2  # where the resampled frame shines in
    result = less_surroundings(image, foreground)
    assert result.shape == (60, 60, 3) and result.dtype == np.float32
    np.testing.assert_allclose(result, 0, atol=1e-5)


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


def test_negative_values_begin_at_the_foregrounds_half_percent() -> None:
    """-70 ... 130: 0.5 % lies at -69, 99.5 % at 129."""
    shifted = ramp() - 70
    result = mapped(shifted, "percentile", [ramp()])[:, 0]
    np.testing.assert_allclose(result, np.clip((np.linspace(-70, 130, 201) + 69) / 198 * 2 - 1, -1, 1), atol=1e-6)
    # landmarks: each percentile from the first on goes where that of the ramp from 0 to 200 goes
    np.testing.assert_allclose(mapped(shifted, "landmarks", [ramp()])[2:], mapped(ramp(), "landmarks", [ramp()])[2:], atol=1e-5)
    measured = measure_intensity(scan_of(shifted), as_it_is(shifted, "landmarks"))
    np.testing.assert_allclose(measured, (np.array(PERCENTILES) * 2 - 1) / 198, atol=1e-12)


@pytest.mark.parametrize("rule", ["landmarks", "percentile"])
def test_negative_values_around_the_patient_change_nothing(rule: str) -> None:
    """Resampling leaves such beside bright skin."""
    array, mask = np.repeat(ramp()[None], 2, axis=0), np.ones((2, 201, 5), bool)
    mask[1] = False
    ringing = array.copy()
    ringing[1] = -150
    preparation = as_it_is(array, rule, foreground="masks")
    measured = [measure_intensity(scan_of(a), preparation, mask) for a in (array, ringing)]
    np.testing.assert_array_equal(*measured)
    one, other = (prepare(scan_of(a), preparation, learn_intensity(preparation, measured), mask).slices for a in (array, ringing))
    np.testing.assert_array_equal(one[0], other[0])
    assert (other[1] == -1).all()


# the other rules ----------------------------------------------------------------------------------------------------------------


def test_percentile_puts_zero_at_minus_one_and_the_99_5th_at_one() -> None:
    result = mapped(ramp(), "percentile", [ramp(50)])[:, 0]
    np.testing.assert_allclose(result, np.minimum(np.linspace(0, 200, 201) / 199 * 2 - 1, 1), atol=1e-6)


@pytest.mark.parametrize("rule", ["landmarks", "percentile"])
def test_what_is_bright_in_a_scan_that_is_nearly_all_zero_stays_bright(rule: str) -> None:
    array = np.zeros((40, 40))
    array[3, 3] = 0.5
    result = mapped(array, rule, [ramp()])
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
    with pytest.raises(WrongUse, match="median, landmarks, percentile, window:LO,HI, full, channels or local"):
        measure_intensity(scan_of(ramp()), as_it_is(ramp(), "zscore"))


def test_full_is_0_to_255_for_pictures_of_8_bits() -> None:
    picture = np.array([[0, 51], [100, 200]], np.uint8)
    np.testing.assert_allclose(mapped(picture, "full", [picture]), picture / 255.0 * 2 - 1, atol=1e-6)


def test_full_uses_what_16_bit_files_hold_lest_12_bit_values_turn_black() -> None:
    """Training reaches 4000: 1000 is a quarter of the way."""
    scan, training = np.array([[0, 1000], [3000, 4000]], np.uint16), np.array([[0, 4000]], np.uint16)
    np.testing.assert_allclose(mapped(scan, "full", [training]), [[-1, -0.5], [0.5, 1]], atol=1e-6)


def test_full_is_the_range_of_all_training_scans_for_other_types() -> None:
    """-10 ... 30 and 0 ... 40 together: -10 goes to -1, 0 to -0.6, 15 to 0, and 90 is clipped."""
    one, other = np.array([[-10.0, 30.0]]), np.array([[0.0, 40.0]])
    np.testing.assert_allclose(mapped(np.array([[-10.0, 0.0, 15.0, 90.0]]), "full", [one, other]), [-1, -0.6, 0, 1], atol=1e-6)


def test_full_refuses_8_and_16_bit_pictures_in_one_training_set() -> None:
    with pytest.raises(InvDetectError, match="255 to 60000.*percentile"):
        mapped(ramp(), "full", [ramp(200, np.uint8), ramp(60000, np.uint16)])


def test_channels_put_each_channels_mean_at_zero_and_three_deviations_at_one() -> None:
    """Channel 0 is 100 +- 10, channel 1 50 +- 5, channel 2 the same everywhere."""
    array = np.zeros((1, 2, 2, 3))
    array[0, ..., 0], array[0, ..., 1], array[0, ..., 2] = [[90, 110], [90, 110]], [[45, 45], [55, 55]], 7
    third = 1 / 3
    expected = np.stack([[[-third, third]] * 2, [[-third] * 2, [third] * 2], np.zeros((2, 2))], -1)
    np.testing.assert_allclose(mapped(array, "channels", [colours()]), expected, atol=1e-6)


def test_channels_are_measured_in_the_foreground_only() -> None:
    array = colours()
    array[:, 10:] += 60
    mask = np.zeros((1, 30, 30), bool)
    mask[:, :10] = True
    preparation = as_it_is(array, "channels", foreground="masks")
    result = prepare(scan_of(array), preparation, {}, mask).slices[0, :10].reshape(-1, 3)
    np.testing.assert_allclose(result.mean(axis=0), 0, atol=3e-3)  # a few values are clipped
    np.testing.assert_allclose(result.std(axis=0), 1 / 3, atol=1e-2)


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
def test_every_rule_stays_within_one_and_keeps_the_order_of_values(values: np.ndarray, training: np.ndarray, rule: str) -> None:
    assume(np.ptp(values) > 0 and np.ptp(training) > 0)
    result = mapped(values, rule, [training])
    assert result.dtype == np.float32 and np.isfinite(result).all()
    assert result.min() >= -1 and result.max() <= 1
    if rule != "local":  # which compares each pixel with its surroundings
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
