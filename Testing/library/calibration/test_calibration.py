"""Calibration: the unit, the thresholds and the p-values, against cases computed by hand."""

import dataclasses
import functools
import json

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from InvDetectLib.calibration.calibration import (
    CONTIGUITIES,
    RATES,
    Calibration,
    peaks_of,
    score_unit,
    smallest_contiguity,
    threshold_for_rate,
    threshold_table,
)
from InvDetectLib.calibration.held_out import calibrate
from InvDetectLib.common.errors import InvDetectError
from InvDetectLib.common.progress import Progress
from InvDetectLib.methods.scoring import Scores
from InvDetectLib.models.settings import Preparation, Refinement
from InvDetectLib.scans import Geometry, SliceGrid


def held_out(seed: int, shape: tuple[int, int, int] = (4, 32, 32)) -> Scores:
    """A made normal scan: smooth scores, mostly inside the boundary, and flat edges; foreground everywhere but in a margin."""
    slices, rows, columns = shape
    scored = np.zeros(shape, bool)
    scored[:, 2:-2, 2:-2] = True
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=shape), (0, 1.5, 1.5))
    raw = np.where(scored, noise / noise.std() - 1, 0).astype(np.float32)
    return Scores(raw, scored, np.ones((slices, rows - 1, columns), np.float16), np.ones((slices, rows, columns - 1), np.float16))


def grid(spacing: tuple[float, float, float] = (2.0, 2.0, 5.0), side: int = 32, **changes) -> SliceGrid:
    """That of a scan of four axial slices whose voxels are the grid's own."""
    return SliceGrid.for_scan(Geometry((4, side, side), spacing=spacing, **changes), Preparation(grid=side))


SCANS = [held_out(seed) for seed in range(4)]
GRIDS = [grid()] * 4


@functools.cache
def calibrated(**changes) -> Calibration:
    return calibrate(SCANS, GRIDS, True, dataclasses.replace(Refinement(), **changes), Progress())


def test_in_calibrated_units_a_tenth_of_normal_tissue_lies_above_zero():
    offset, scale = score_unit(np.arange(1001.0), "calibrated")
    assert offset == pytest.approx(900)
    assert scale == pytest.approx(990 - 500)


def test_raw_units_stay_as_they_are():
    assert score_unit(np.arange(10.0), "raw") == (0.0, 1.0)


def test_equal_scores_give_no_unit():
    with pytest.raises(InvDetectError, match="all alike"):
        score_unit(np.ones(50), "calibrated")


def test_the_smallest_lambda_is_found():
    """An area of 1 / (1 + lambda) falls below 1 % at lambda = 99."""
    assert smallest_contiguity(lambda value: 1 / (1 + value), 0.01) == pytest.approx(99, rel=0.02)
    assert smallest_contiguity(lambda value: 0.001, 0.01) == 0
    assert smallest_contiguity(lambda value: 0.5, 0.01, most=100) == 100


def test_the_threshold_flags_at_most_the_rate_and_hardly_less():
    values = np.random.default_rng(0).normal(size=20_000)
    t = threshold_for_rate(lambda t: (values > t).mean(), 0.05, {-5.0: 1.0, 5.0: 0.0})
    assert 0.0475 <= (values > t).mean() <= 0.05


def test_a_jump_of_the_area_ends_the_search_on_its_safe_side():
    t = threshold_for_rate(lambda t: 0.5 if t < 1.234 else 0.001, 0.05, {-5.0: 1.0, 5.0: 0.0})
    assert t == pytest.approx(1.234, abs=0.02) and t >= 1.234


def test_every_threshold_of_the_table_flags_its_rate_of_the_held_out_scans():
    calibration = calibrated()
    values = np.concatenate([(scan.raw[scan.scored] - calibration.offset) / calibration.scale for scan in SCANS])
    for rate, t in zip(RATES, calibration.thresholds[0]):
        assert (values > t).mean() == pytest.approx(rate, abs=max(1.5 / len(values), 0.1 * rate))
    table = np.array(calibration.thresholds)
    assert table.shape == (len(CONTIGUITIES), len(RATES))
    assert (np.diff(table, axis=1) <= 0).all(), "a higher rate never needs a higher threshold"


def test_a_map_that_saturates_in_normal_tissue_still_has_a_threshold_for_every_rate():
    saturated = threshold_table(lambda t, contiguity: 0.3 if t <= 1 else 0.0, 0.0, 1.0)  # 30 % has the highest score, 1
    assert all(1 < t < 1.01 for row in saturated for t in row)


def test_the_default_operating_point_flags_the_rate_of_the_settings():
    calibration = calibrated(contiguity=0.5, rate=0.01)
    assert calibration.normal_area == pytest.approx(0.01, rel=0.15)
    assert calibration.default_threshold == pytest.approx(calibration.threshold(0.01, 1.0))


def test_the_papers_rule_takes_threshold_zero_and_the_smallest_lambda():
    calibration = calibrated(contiguity=None, unit="raw", rate=0.01)
    assert calibration.default_threshold == 0
    assert calibration.contiguity > 0
    assert calibration.normal_area < 0.01


def test_thresholds_between_the_measured_rates_and_contiguities_are_interpolated():
    calibration = calibrated()
    t = calibration.threshold(0.03, 1.5)
    assert calibration.threshold(0.05, 1.5) <= t <= calibration.threshold(0.02, 1.5)
    low, high = sorted((calibration.threshold(0.03, 1.0), calibration.threshold(0.03, 2.0)))
    assert low <= t <= high


@pytest.mark.parametrize("rate", [0.0, 0.5, -1.0, float("nan")])
def test_a_rate_that_was_not_measured_is_an_error(rate):
    with pytest.raises(InvDetectError, match="rate"):
        calibrated().threshold(rate)


def test_the_p_value_counts_normals_with_at_least_this_peak():
    calibration = dataclasses.replace(calibrated(), peaks=(1.0, 2.0, 2.0, 3.0), peak_unit="scan")
    assert calibration.p_value(5.0, 100) == (1 / 5, 4)
    assert calibration.p_value(2.0, 100) == (4 / 5, 4)
    assert calibration.p_value(0.0, 100) == (1.0, 4)


def test_where_the_unit_is_a_slice_the_p_value_counts_the_slices_scored():
    calibration = dataclasses.replace(calibrated(), peaks=tuple(range(99)), peak_unit="slice")
    p, n = calibration.p_value(98.5, 10)
    assert (p, n) == (pytest.approx(10 / 100), 99)
    assert calibration.p_value(98.5, 1000)[0] == 1.0


def test_without_normals_there_is_no_p_value():
    assert dataclasses.replace(calibrated(), peaks=()).p_value(1.0, 5) == (None, 0)


def test_peaks_are_taken_inside_the_valid_pixels():
    maps, valid = [np.array([[[1.0, 9.0]], [[3.0, 2.0]]])], [np.array([[[True, False]], [[True, True]]])]
    assert peaks_of(maps, valid, per_scan=True) == (3.0,)
    assert peaks_of(maps, valid, per_scan=False) == (1.0, 3.0)
    assert peaks_of(maps, [np.zeros((2, 1, 2), bool)], per_scan=False) == ()


def lump(value: float, size: int) -> Scores:
    """A normal scan whose slice 1 has a row of `size` pixels of `value` in it, and slice 2 one of the same just above them; else noise."""
    scan = held_out(int(100 * value))
    raw = np.minimum(scan.raw, 0)
    raw[1, 10, 10 : 10 + size] = raw[2, 11, 10] = value
    return dataclasses.replace(scan, raw=raw, down=np.zeros_like(scan.down), right=np.zeros_like(scan.right))  # nothing is cut away


LUMPS = [lump(50.0, 10), lump(30.0, 20), lump(40.0, 2)]


def by_hand(size: int, value: float, calibration: Calibration, place: float) -> float:
    """The mass of `size` pixels of a raw score, each of so much place."""
    return place * size * ((value - calibration.offset) / calibration.scale - calibration.forming_level)


def test_the_mass_of_normals_is_what_their_heaviest_finding_has_above_the_level_of_normal_tissue_in_mm3():
    calibration = calibrate(LUMPS, GRIDS[:3], True, Refinement(), Progress())
    values = np.concatenate([scan.raw[scan.scored] for scan in LUMPS])
    level = (np.quantile(values, 0.99) - calibration.offset) / calibration.scale
    assert calibration.forming_level == pytest.approx(level)
    mm3 = 20.0  # a voxel
    expected = sorted(by_hand(size + 1, value, calibration, mm3) for size, value in ((10, 50.0), (20, 30.0), (2, 40.0)))
    assert (calibration.masses, calibration.mass_unit) == (pytest.approx(expected), "mm3")


def test_single_slices_are_weighed_each_for_itself_by_their_area():
    calibration = calibrate(LUMPS, GRIDS[:3], False, Refinement(), Progress())
    assert len(calibration.masses) == len(calibration.peaks) == 12 and calibration.mass_unit == "mm2"
    assert calibration.masses[:6] == (0,) * 6  # slices in which nothing is flagged
    expected = [(1, 50.0), (1, 40.0), (1, 30.0), (2, 40.0), (10, 50.0), (20, 30.0)]
    assert calibration.masses[6:] == pytest.approx(sorted(by_hand(size, value, calibration, 4.0) for size, value in expected))


def test_without_physical_spacing_places_are_pixels_of_the_scan():
    coarse = [SliceGrid.for_scan(Geometry((4, 64, 64), unit="pixel"), Preparation(grid=32))] * 3
    calibration = calibrate(LUMPS, coarse, False, Refinement(), Progress())
    assert calibration.mass_unit == "pixels"  # a pixel of the grid is four of the scan
    assert calibration.masses[-1] == pytest.approx(max(by_hand(10, 50.0, calibration, 4.0), by_hand(20, 30.0, calibration, 4.0)))


def test_scans_that_are_measured_in_different_units_are_not_weighed():
    calibration = calibrate(LUMPS, [grid(), grid(), grid(unit="pixel")], False, Refinement(), Progress())
    assert (calibration.masses, calibration.mass_unit) == ((), "") and calibration.p_value_of_mass(1.0, 1) is None


def test_the_p_value_of_a_mass_counts_as_that_of_a_peak_does():
    scans = dataclasses.replace(calibrated(), masses=(0.0, 2.0, 2.0, 3.0), mass_unit="mm3", peak_unit="scan")
    assert [scans.p_value_of_mass(mass, 100) for mass in (5.0, 2.0, 0.0)] == [1 / 5, 4 / 5, 1.0]
    slices = dataclasses.replace(scans, peak_unit="slice", mass_unit="mm2")
    assert [slices.p_value_of_mass(5.0, count) for count in (2, 100)] == [2 / 5, 1.0]


def test_a_calibration_of_before_masses_is_read_and_weighs_nothing():
    kept = {name: value for name, value in calibrated().as_dict().items() if name not in ("masses", "mass_unit")}
    assert Calibration.from_dict(kept).p_value_of_mass(1.0, 1) is None


def test_a_calibration_survives_json():
    calibration = calibrated()
    stored = json.loads(json.dumps(calibration.as_dict()))
    assert Calibration.from_dict(stored) == calibration and stored == calibration.as_dict()


def test_a_damaged_calibration_is_told():
    with pytest.raises(InvDetectError, match="calibration"):
        Calibration.from_dict({"offset": 1.0})


def test_nothing_to_score_in_the_held_out_scans_is_told():
    empty = dataclasses.replace(SCANS[0], scored=np.zeros_like(SCANS[0].scored))
    with pytest.raises(InvDetectError, match="nothing to score"):
        calibrate([empty], GRIDS[:1], True, Refinement(), Progress())
