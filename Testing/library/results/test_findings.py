"""Findings: pieces, measures and order, computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from InvDetectLib.results.findings import MassScale, find_findings, label_findings, volume_unit
from InvDetectLib.scans.geometry import Geometry

BLOCK = Geometry((3, 4, 5), spacing=(2.0, 3.0, 10.0), origin=(100.0, 50.0, -20.0))


def no_normals(peak: float) -> tuple[None, int]:
    return None, 0


def volume(*marks: tuple[tuple[int, int, int], float], shape: tuple[int, int, int] = (3, 4, 5)) -> np.ndarray:
    values = np.zeros(shape, np.float32)
    for index, value in marks:
        values[index] = value
    return values


def test_each_measure_of_one_finding_by_hand() -> None:
    values = volume(((0, 1, 2), 1.0), ((1, 1, 2), 4.0), ((1, 1, 3), 1.0))
    (finding,) = find_findings(values > 0, values, BLOCK, 0, lambda peak: (0.01 * peak, 7))
    assert (finding.label, finding.volume, finding.unit) == (1, 3 * 60.0, "mm3")
    assert (finding.peak, finding.mean, finding.p_value, finding.normals) == (4.0, 2.0, pytest.approx(0.04), 7)
    assert finding.peak_index == (1, 1, 2)
    assert (finding.first_slice, finding.last_slice) == (0, 1)
    # mean index (2/3, 1, 7/3): LPS x = 100 + 2 * 7/3, y = 50 + 3, z = -20 + 10 * 2/3; RAS turns the signs of x and y
    assert finding.centroid_ras == pytest.approx((-(100 + 14 / 3), -53.0, -20 + 20 / 3))


def test_pieces_that_touch_at_a_corner_are_one_and_those_a_voxel_apart_are_two() -> None:
    corner = volume(((0, 0, 0), 1.0), ((1, 1, 1), 1.0))
    apart = volume(((0, 0, 0), 1.0), ((0, 0, 2), 1.0), ((2, 0, 0), 1.0))
    assert len(find_findings(corner > 0, corner, BLOCK, 0, no_normals)) == 1
    assert len(find_findings(apart > 0, apart, BLOCK, 0, no_normals)) == 3


def test_in_a_2d_image_diagonal_pixels_are_one_finding_told_in_pixels() -> None:
    image = Geometry((1, 4, 5), dimension=2, unit="pixel")
    values = volume(((0, 0, 0), 1.0), ((0, 1, 1), 1.0), shape=(1, 4, 5))
    (finding,) = find_findings(values > 0, values, image, 0, no_normals)
    assert (finding.volume, finding.unit) == (2.0, "pixels")


def test_a_2d_image_in_mm_gives_an_area() -> None:
    image = Geometry((1, 4, 5), spacing=(2.0, 3.0, 1.0), dimension=2)
    values = volume(((0, 0, 0), 1.0), shape=(1, 4, 5))
    (finding,) = find_findings(values > 0, values, image, 0, no_normals)
    assert (finding.volume, finding.unit, volume_unit(image)) == (6.0, "mm2", "mm2")


def test_the_highest_peak_comes_first_and_equal_peaks_by_size_then_place() -> None:
    values = volume(((0, 0, 0), 2.0), ((0, 0, 2), 2.0), ((0, 0, 4), 2.0), ((0, 1, 4), 1.0), ((2, 3, 0), 5.0))
    findings = find_findings(values > 0, values, BLOCK, 0, no_normals)
    assert [finding.label for finding in findings] == [1, 2, 3, 4]
    assert [finding.peak_index for finding in findings] == [(2, 3, 0), (0, 0, 4), (0, 0, 0), (0, 0, 2)]


def test_the_mass_is_what_lies_above_the_level_times_the_volume_and_decides_the_order() -> None:
    values = volume(((0, 0, 0), 5.0), ((1, 2, 2), 3.0), ((1, 2, 3), 3.0), ((1, 3, 3), 0.5), ((2, 3, 3), 2.0))
    first, second = find_findings(values > 0, values, BLOCK, 0, no_normals, MassScale(1.0, False, lambda mass: mass / 1000))
    assert (first.peak, first.mass, first.p_value_mass) == (3.0, 5 * 60.0, pytest.approx(0.3))  # 2 + 2 + 0 + 1, voxels of 60 mm3
    assert (second.label, second.peak, second.mass) == (2, 5.0, 4 * 60.0)


def test_against_single_slices_the_area_of_the_heaviest_slice_counts() -> None:
    values = volume(((1, 2, 2), 3.0), ((1, 2, 3), 3.0), ((2, 3, 3), 4.0))
    for axis, area in ((0, 6.0), (1, 20.0)):  # along rows the slice is 2 mm x 10 mm
        (finding,) = find_findings(values > 0, values, BLOCK, axis, no_normals, MassScale(1.0, True, lambda mass: mass))
        assert (finding.mass, finding.p_value_mass) == (7 * 60.0, 4 * area)


def test_without_masses_findings_have_none() -> None:
    values = volume(((0, 0, 0), 1.0))
    (finding,) = find_findings(values > 0, values, BLOCK, 0, no_normals)
    assert (finding.mass, finding.p_value_mass) == (None, None)


def test_the_first_of_several_highest_voxels_is_the_peak() -> None:
    values = volume(((1, 2, 2), 3.0), ((1, 2, 3), 3.0), ((1, 1, 3), 3.0))
    (finding,) = find_findings(values > 0, values, BLOCK, 0, no_normals)
    assert finding.peak_index == (1, 1, 3)


@pytest.mark.parametrize(("axis", "expected"), [(0, (0, 1)), (1, (1, 1)), (2, (2, 3))])
def test_slices_are_counted_along_the_axis_that_the_model_slices(axis: int, expected: tuple[int, int]) -> None:
    values = volume(((0, 1, 2), 1.0), ((1, 1, 3), 4.0))
    (finding,) = find_findings(values > 0, values, BLOCK, axis, no_normals)
    assert (finding.first_slice, finding.last_slice) == expected


def test_peak_and_mean_ignore_the_map_outside_the_mask() -> None:
    values = volume(((0, 0, 0), 1.0), ((0, 0, 1), 9.0))
    mask = volume(((0, 0, 0), 1.0)) > 0
    (finding,) = find_findings(mask, values, BLOCK, 0, no_normals)
    assert (finding.peak, finding.mean) == (1.0, 1.0)


def test_negative_scores_are_measured_too() -> None:
    values = volume(((0, 0, 0), -3.0), ((0, 0, 1), -1.0))
    (finding,) = find_findings(values < 0, values, BLOCK, 0, no_normals)
    assert (finding.peak, finding.mean) == (-1.0, -2.0)


def test_an_empty_mask_has_no_findings() -> None:
    nothing = np.zeros((3, 4, 5), bool)
    assert find_findings(nothing, nothing.astype(np.float32), BLOCK, 0, no_normals) == []
    assert not label_findings(nothing, []).any()


def test_the_label_volume_carries_each_findings_own_number() -> None:
    values = volume(((0, 0, 0), 1.0), ((2, 3, 3), 2.0), ((2, 3, 4), 1.0))
    labels = label_findings(values > 0, find_findings(values > 0, values, BLOCK, 0, no_normals))
    assert np.array_equal(labels, volume(((0, 0, 0), 2), ((2, 3, 3), 1), ((2, 3, 4), 1)))


def test_measures_of_many_pieces_agree_with_a_plain_loop() -> None:
    from scipy import ndimage

    rng = np.random.default_rng(3)
    values = rng.normal(size=(6, 20, 20)).astype(np.float32)
    mask = rng.random((6, 20, 20)) > 0.9
    pieces, count = ndimage.label(mask, np.ones((3, 3, 3)))
    findings = find_findings(mask, values, Geometry((6, 20, 20)), 0, no_normals)
    assert len(findings) == count > 20
    assert [f.peak for f in findings] == sorted((f.peak for f in findings), reverse=True)
    for finding in findings:
        where = pieces == pieces[finding.peak_index]
        assert finding.volume == where.sum()
        assert finding.peak == values[where].max()
        assert finding.mean == pytest.approx(values[where].mean(dtype=np.float64))
        assert (finding.first_slice, finding.last_slice) == (np.nonzero(where)[0].min(), np.nonzero(where)[0].max())
