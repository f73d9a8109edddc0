"""Preparing a scan: what comes out, and a sentence for every scan that cannot be prepared."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from InvDetectLib.common.errors import InvDetectError, WrongUse
from InvDetectLib.models.settings import Preparation
from InvDetectLib.scans import Geometry, Scan, learn_intensity, measure_intensity, prepare, read_scan
from Testing.support.made_scans import as_it_is, colours, head, scan_of


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


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e300])
def test_infinity_is_refused_wherever_it_is(value: float) -> None:
    array = head().astype(np.float64)
    array[0, 0, 0] = value
    assert "infinite" in refusal(array)
    array[0, 0, 1] = np.nan
    assert "infinite" in refusal(array)


def test_a_foreground_rule_that_does_not_exist_is_wrong_use() -> None:
    with pytest.raises(WrongUse, match="made.*blobs"):
        prepare(scan_of(head()), Preparation(foreground="blobs"), {})


def test_a_mask_of_numbers_is_what_lies_above_zero() -> None:
    mask = np.zeros((4, 64, 64), np.int16)
    mask[1, 10:30, 20:40] = 2
    preparation = Preparation(grid=64, foreground="masks", intensity="percentile")
    prepared = prepare(scan_of(head()), preparation, {}, mask)
    assert prepared.native_foreground.dtype == bool
    np.testing.assert_array_equal(prepared.foreground, mask > 0)


def test_warnings_name_no_scan() -> None:
    """They are stored in results, and names are patients' names."""
    array = head()
    array[:, :5] = np.nan
    oblong = Geometry(array.shape, (1.0, 4.0, 1.0))
    prepared = prepare(Scan.from_array(array, oblong, "Smith_John"), Preparation(intensity="window:0,20", grid=64), {})
    assert len(prepared.warnings) == 3 and not any("Smith" in text for text in prepared.warnings)


def test_constant_scans_are_refused() -> None:
    assert "constant" in refusal(np.full((2, 64, 64), 3.0))
    assert "constant" in refusal(np.full((2, 64, 64), 3, np.uint8), foreground="none")
    outside = np.zeros((1, 64, 64), np.uint8)
    outside[0, 20:40, 20:40] = 9
    assert "constant inside its foreground (every value is 9)" in refusal(outside)


def test_a_colour_scan_for_a_grey_model_is_refused_with_a_remedy() -> None:
    text = refusal(colours())
    assert "colour scan" in text and text.endswith("choose a model for colour scans, or save it as grey.")
    text = refusal(head(), channels=3)
    assert "grey scan" in text and text.endswith("choose a model for grey scans.")


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
