"""Small changes of a scan: what becomes of the voxels, and that a mask comes back to where it was."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from InvDetectLib.scans import Geometry, Scan, small_changes
from InvDetectLib.scans.small_changes import noise_level

SHAPE = (5, 40, 30)
INSIDE = np.zeros(SHAPE, bool)
INSIDE[1:, 4:-4, 4:-4] = True


def scan(dtype: type = np.int16, noise: float = 6.0, shape: tuple[int, ...] = SHAPE) -> Scan:
    """A slope across the slices, with an edge in it, under noise."""
    values = np.fromfunction(lambda k, i, j: 200 + 3.0 * i + 2.0 * j + 100 * (j > 15), SHAPE)
    values = values.reshape(*SHAPE, *(1,) * (len(shape) - 3)) + np.random.default_rng(1).normal(0, noise, shape)
    return Scan.from_array(values.astype(dtype), Geometry(SHAPE), "scan")


def test_there_are_five_and_always_the_same() -> None:
    once, again = ({one.name: one.of(scan()).array for one in small_changes(INSIDE, 0)} for _ in range(2))
    names = ["intensity x 1.05", "intensity x 0.95", "half a voxel along rows", "half a voxel along columns", "noise"]
    assert list(once) == names and all(np.array_equal(once[name], again[name]) for name in names)
    assert all(array.dtype == np.float32 and not np.array_equal(array, scan().array) for array in once.values())


def test_the_noise_is_of_the_scans_own_level_and_stays_inside_the_patient() -> None:
    own = scan(np.float32)
    assert noise_level(own.array, INSIDE, 0) == pytest.approx(6.0, rel=0.1)  # slopes and an edge are no noise
    added = small_changes(INSIDE, 0)[-1].of(own).array - own.array
    assert added[INSIDE].std() == pytest.approx(6.0, rel=0.1) and not added[~INSIDE].any()
    assert noise_level(own.array, np.zeros(SHAPE, bool), 0) == 0.0


def test_colours_each_have_noise_of_their_own() -> None:
    own = scan(np.float32, shape=(*SHAPE, 3))
    added = (small_changes(INSIDE, 0)[-1].of(own).array - own.array)[INSIDE]
    assert added.std(axis=0) == pytest.approx([6.0] * 3, rel=0.1) and abs(np.corrcoef(added.T)[0, 1]) < 0.1


@pytest.mark.parametrize(("slice_axis", "moved"), [(0, (1, 2)), (1, (0, 2)), (2, (0, 1))])
def test_shifts_are_half_a_voxel_within_the_slice_and_masks_come_back(slice_axis: int, moved: tuple[int, int]) -> None:
    mask = np.zeros(SHAPE, bool)
    mask[2:4, 10:20, 12:18] = True
    own = Scan.from_array(mask.astype(np.float32), Geometry(SHAPE), "scan")
    for change, axis in zip(small_changes(INSIDE, slice_axis)[2:4], moved):
        array = change.of(own).array
        assert ndimage.center_of_mass(array)[axis] - ndimage.center_of_mass(mask)[axis] == pytest.approx(0.5)
        assert np.array_equal(change.there(mask), array > 0)
        back = change.back(array > 0.9)  # what is surely inside lies where it was
        assert np.array_equal(back, mask)
