"""Geometry: world positions by hand, round trips in every orientation, images and JSON."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from InvDetectLib.common.errors import InvDetectError
from InvDetectLib.scans import Geometry

ANGLE = np.deg2rad(25.0)
OBLIQUE = (np.cos(ANGLE), 0.0, np.sin(ANGLE), 0.0, 1.0, 0.0, -np.sin(ANGLE), 0.0, np.cos(ANGLE))
DIRECTIONS = {
    "LPS": (1.0, 0, 0, 0, 1, 0, 0, 0, 1),
    "RAS": (-1.0, 0, 0, 0, -1, 0, 0, 0, 1),
    "PIR": (0.0, 0, -1, 1, 0, 0, 0, -1, 0),
    "oblique": OBLIQUE,
}


def test_a_voxel_lies_where_hand_calculation_puts_it():
    geometry = Geometry((4, 5, 6), spacing=(2.0, 3.0, 4.0), origin=(10.0, 20.0, 30.0))
    # x = 10 + 3 * 2, y = 20 + 2 * 3, z = 30 + 1 * 4 in LPS; RAS turns the signs of x and y
    assert geometry.ras_from_index((1, 2, 3)).tolist() == [-16.0, -26.0, 34.0]


def test_a_turned_voxel_lies_where_hand_calculation_puts_it():
    # columns run to posterior, rows to inferior, slices to right
    geometry = Geometry((4, 5, 6), spacing=(2.0, 3.0, 4.0), origin=(10.0, 20.0, 30.0), direction=DIRECTIONS["PIR"])
    assert geometry.ras_from_index((1, 2, 3)).tolist() == [-(10.0 - 4.0), -(20.0 + 6.0), 30.0 - 6.0]


@pytest.mark.parametrize("axes", DIRECTIONS)
def test_positions_agree_with_simpleitk_and_come_back(axes: str):
    geometry = Geometry((4, 5, 6), (0.7, 1.3, 5.0), (-31.0, 7.5, 102.0), DIRECTIONS[axes])
    image = geometry.to_image(np.zeros((4, 5, 6), np.float32))
    indices = np.random.default_rng(0).uniform(-3, 8, size=(2, 7, 3))
    ras = geometry.ras_from_index(indices)
    assert ras.shape == (2, 7, 3)
    lps = [image.TransformContinuousIndexToPhysicalPoint(index[::-1].tolist()) for index in indices.reshape(-1, 3)]
    assert np.allclose(ras.reshape(-1, 3), np.array(lps) * [-1, -1, 1], atol=1e-9)
    assert np.allclose(geometry.index_from_ras(ras), indices, atol=1e-9)


@pytest.mark.parametrize("axes", DIRECTIONS)
@pytest.mark.parametrize("channels", [(), (3,)])
def test_an_image_has_the_geometry_it_was_made_with(axes: str, channels: tuple[int, ...]):
    geometry = Geometry((4, 5, 6), (0.7, 1.3, 5.0), (-31.0, 7.5, 102.0), DIRECTIONS[axes])
    array = np.arange(np.prod((4, 5, 6, *channels)), dtype=np.int16).reshape(4, 5, 6, *channels)
    image = geometry.to_image(array)
    assert Geometry.of_image(image) == geometry
    assert np.array_equal(sitk.GetArrayFromImage(image), array)


def test_an_image_without_a_slice_axis_stays_two_dimensional():
    geometry = Geometry((1, 5, 6), (0.5, 0.25, 1.0), (3.0, 4.0, 0.0), (0.0, 1, 0, 1, 0, 0, 0, 0, 1), dimension=2)
    image = geometry.to_image(np.ones((1, 5, 6, 3), np.uint8))
    assert (image.GetDimension(), image.GetSize(), image.GetNumberOfComponentsPerPixel()) == (2, (6, 5), 3)
    assert Geometry.of_image(image) == geometry


def test_a_volume_of_one_slice_stays_a_volume():
    assert Geometry((1, 5, 6)).to_image(np.ones((1, 5, 6), np.uint8)).GetDimension() == 3


def test_booleans_become_a_label_image():
    assert Geometry((1, 2, 2)).to_image(np.ones((1, 2, 2), bool)).GetPixelID() == sitk.sitkUInt8


@pytest.mark.parametrize("kind", [">i2", ">f4", ">f8", "float16"])
def test_numbers_of_another_byte_order_and_of_half_precision_keep_their_values(kind: str):
    array = np.arange(12).reshape(1, 3, 4).astype(kind)
    assert np.array_equal(sitk.GetArrayFromImage(Geometry((1, 3, 4)).to_image(array)), array)


def test_an_array_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="shape"):
        Geometry((4, 5, 6)).to_image(np.zeros((6, 5, 4)))


def test_voxel_volume_is_in_mm3_and_1_without_physical_spacing():
    assert Geometry((4, 5, 6), spacing=(2.0, 3.0, 4.0)).voxel_volume == 24.0
    assert Geometry((4, 5, 6), spacing=(2.0, 3.0, 4.0), unit="pixel").voxel_volume == 1.0


def test_only_a_geometry_that_says_nothing_is_plain():
    assert Geometry((4, 5, 6)).is_plain
    assert Geometry((4, 5, 6), direction=DIRECTIONS["RAS"]).is_plain  # what NIfTI makes of an identity matrix
    assert not Geometry((4, 5, 6), direction=DIRECTIONS["PIR"]).is_plain
    assert not Geometry((4, 5, 6), origin=(0.0, 0.0, 1.0)).is_plain
    assert not Geometry((4, 5, 6), spacing=(1.0, 1.0, 2.0)).is_plain


def test_a_geometry_may_say_its_spacing_and_no_place():
    assert Geometry((4, 5, 6), spacing=(1.0, 1.0, 2.0)).is_at_zero
    assert not Geometry((4, 5, 6), direction=DIRECTIONS["PIR"]).is_at_zero
    assert not Geometry((4, 5, 6), origin=(0.0, 0.0, 1.0)).is_at_zero


def test_a_geometry_survives_json():
    geometry = Geometry((4, 5, 6), (0.7, 1.3, 5.0), (-31.0, 7.5, 1 / 3), OBLIQUE, dimension=3, unit="pixel")
    assert Geometry.from_dict(json.loads(json.dumps(geometry.as_dict()))) == geometry


@pytest.mark.parametrize(
    "damage",
    [
        {"spacing": [1, 1]},
        {"spacing": [1, 0, 1]},
        {"spacing": [1, float("nan"), 1]},
        {"direction": [1, 0, 0]},
        {"direction": [1, 0, 0, 0, 1, 0, 0, 1, 0]},
        {"shape": [0, 1, 1]},
        {"shape": "four"},
        {"shape": [10**400, 1, 1]},
        {"shape": [1, 1, 2**31]},
        {"spacing": [1e308] * 3},
        {"dimension": 4},
        {"unit": "inch"},
        {"origin": None},
    ],
)
def test_a_damaged_table_is_told(damage: dict[str, Any]):
    with pytest.raises(InvDetectError, match="damaged"):
        Geometry.from_dict({**Geometry((4, 5, 6)).as_dict(), **damage})


def test_a_missing_entry_is_told():
    values = Geometry((4, 5, 6)).as_dict()
    del values["origin"]
    with pytest.raises(InvDetectError, match="damaged"):
        Geometry.from_dict(values)
