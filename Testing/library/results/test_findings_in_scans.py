"""Findings of a result and its map in the scan's own voxels: how large, how rare, how high, and where in the world."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from InvDetectLib.models.settings import Preparation
from InvDetectLib.scans.geometry import Geometry
from InvDetectLib.scans.slicing import SliceGrid
from Testing.support.made_results import FLOOR, OBLIQUE, SAME, WEIGHED, blob, make_result, noise

# --- sizes and p-values ----------------------------------------------------------------------------------------------------------


def test_findings_are_measured_in_the_scan_and_p_counts_the_slices_that_were_scored() -> None:
    scored = np.ones((4, 8, 8), bool)
    scored[3] = False
    result = make_result(blob(value=2.5), grid_scored=scored)
    (large, small) = result.findings
    assert (large.volume, large.unit, large.peak, large.first_slice, large.last_slice) == (9 * 20.0, "mm3", 2.5, 2, 2)
    # of three normal slices one reaches 2.5: (1 + 1) / (1 + 3), times the 3 slices scored, at most 1
    assert (large.p_value, large.normals) == (1.0, 3)
    assert make_result(blob(value=3.5), grid_scored=scored).findings[0].p_value == pytest.approx(0.75)
    assert small.volume == 20.0


def test_findings_have_a_p_value_of_their_mass_where_the_unit_is_the_models() -> None:
    (large, small) = make_result(blob(value=2.5), calibration=WEIGHED).findings
    assert (large.mass, large.p_value_mass) == (9 * 20.0 * 2.0, 0.5)  # one of three normals is as heavy
    assert (small.mass, small.p_value_mass) == (20.0 * 2.0, 0.5)
    in_pixels = make_result(blob(value=2.5), replace(SAME, unit="pixel"), calibration=WEIGHED).findings
    assert [(finding.mass, finding.p_value_mass) for finding in in_pixels] == [(18.0, None), (2.0, None)]
    of_slices = replace(WEIGHED, peak_unit="slice", mass_unit="mm2", masses=(0.0,) * 10 + (5.0, 50.0))
    large, small = make_result(blob(value=2.5), calibration=of_slices).findings  # 9 * 4 * 2 and 4 * 2 mm2, against four slices
    assert (large.p_value_mass, small.p_value_mass) == (pytest.approx(4 / 13), pytest.approx(8 / 13))


def test_a_large_finding_comes_before_a_small_one_that_peaks_higher() -> None:
    values = blob(value=2.5)
    values[0, 6, 6] = 9.0
    assert [finding.peak for finding in make_result(values, calibration=WEIGHED).findings] == [2.5, 9.0]
    assert [finding.peak for finding in make_result(values).findings] == [9.0, 2.5]


# --- back to the scan's own voxels -----------------------------------------------------------------------------------------------


def test_the_map_is_not_diluted_at_the_rim_of_what_was_scored() -> None:
    geometry = Geometry((2, 20, 20))
    scored = np.zeros((2, 8, 8), bool)
    scored[:, 2:6, 2:6] = True
    result = make_result(np.where(scored, 2.0, 0.0), geometry, grid_scored=scored)
    inside = result.anomaly_map != FLOOR
    assert 60 < inside[0].sum() < 140  # 4 x 4 of 8 x 8 pixels are a quarter of 400 voxels
    assert result.anomaly_map[inside] == pytest.approx(2.0, abs=1e-6)


def test_peaks_in_the_scan_never_exceed_those_on_the_grid_that_the_p_value_knows() -> None:
    parts = noise((3, 16, 16))
    result = make_result(geometry=Geometry((3, 21, 13)), preparation=Preparation(grid=16), **noise((3, 16, 10)))
    assert parts["grid_map"].max() > 0
    assert result.anomaly_map.max() <= result.grid_map.max()
    assert (result.mask <= (result.anomaly_map != FLOOR)).all()


FLIPPED = (-1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, -1.0, 0.0)


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
@pytest.mark.parametrize("direction", [Geometry((1, 1, 1)).direction, OBLIQUE, FLIPPED])
def test_a_finding_lies_in_the_world_where_the_lesion_was(plane: str, direction: tuple[float, ...]) -> None:
    geometry = Geometry((14, 18, 22), (2.0, 2.0, 2.0), (-10.0, 5.0, 30.0), direction)
    preparation = Preparation(plane=plane, grid=22)
    lesion = np.zeros(geometry.shape, bool)
    lesion[4:8, 9:13, 14:18] = True
    grid = SliceGrid.for_scan(geometry, preparation)
    result = make_result(np.where(grid.mask_to_grid(lesion), 5.0, 0.0), geometry, preparation)
    (finding,) = result.findings
    assert finding.centroid_ras == pytest.approx(tuple(geometry.ras_from_index((5.5, 10.5, 15.5))), abs=0.5)
    along = np.nonzero(lesion)[grid.slice_axis]
    assert (finding.first_slice, finding.last_slice) == (along.min(), along.max())
