"""Midlines are found where they were put, whatever else is in the slice; what is reflected at them is the other side."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from InvDetectLib.models import Preparation
from InvDetectLib.scans import Geometry, Scan, prepare, read_scan
from InvDetectLib.scans.phantoms import make_head
from InvDetectLib.symmetry import SYMMETRIC, Midlines, find_midlines, mirrored, paired, symmetry_of

SIDE = 128


@cache
def made(seed: int, slices: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """A made head as a model sees it: slices (slice, row, column, channel) and foreground."""
    array, _ = make_head(seed, (slices, SIDE, SIDE))
    found = prepare(Scan.from_array(array, Geometry(array.shape, (1.75, 1.75, 72 / slices)), "made"), Preparation(intensity="median"), {})
    return found.slices, found.foreground


@cache
def symmetric(seed: int, slices: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """A made head with its left side on both sides, as upright and central as the array; noise of its own in every pixel."""
    left = np.arange(SIDE) >= SIDE // 2
    values, foreground = made(seed, slices)
    values, foreground = (
        np.where(left[:, None], values, values[:, :, ::-1]),
        np.where(left, foreground, foreground[:, :, ::-1]),
    )
    noise = np.random.default_rng(seed).normal(0, 0.03, values.shape)
    return np.clip(values + noise, -1, 1).astype(np.float32), foreground


def put(values: np.ndarray, foreground: np.ndarray, angle: float, offset: float | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The slices turned and shifted so that their middle column comes to lie on the line of this angle (radians) and offset (pixels).

    Written with rotations of its own: by hand, apart from the library's.
    """
    row, column = np.indices(values.shape[1:3]) - (SIDE - 1) / 2
    offsets = np.broadcast_to(offset, len(values))
    turned, inside = np.empty_like(values), np.empty_like(foreground)
    for number, away in enumerate(offsets):
        across = np.sin(angle) * row + np.cos(angle) * column - away
        along = np.cos(angle) * row - np.sin(angle) * column
        places = np.stack([along, across]) + (SIDE - 1) / 2
        turned[number, ..., 0] = ndimage.map_coordinates(values[number, ..., 0], places, order=3, cval=-1)
        inside[number] = ndimage.map_coordinates(foreground[number].astype(float), places, order=1) >= 0.5
    return np.clip(turned, -1, 1), inside


def off(found: Midlines, angle: float, offset: float | np.ndarray) -> tuple[float, float]:
    """The largest errors: degrees, pixels."""
    return float(np.abs(np.rad2deg(found.angle - angle)).max()), float(np.abs(found.offset - offset).max())


def with_lesion(values: np.ndarray, place: tuple[int, int], radius: float) -> np.ndarray:
    row, column = np.indices(values.shape[1:3])
    return np.where((np.hypot(row - place[0], column - place[1]) < radius)[None, ..., None], np.float32(1), values)


# --- finding ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed, degrees, offset", [(0, 0.0, 0.0), (1, 8.3, -5.4), (2, -10.6, 7.7), (3, 3.5, 12.2)])
def test_the_line_of_each_slice_is_found_where_it_was_put(seed: int, degrees: float, offset: float) -> None:
    values, foreground = put(*symmetric(seed), np.deg2rad(degrees), offset)
    found = find_midlines(values[3:9], foreground[3:9], volume=False)
    angle, pixels = off(found, np.deg2rad(degrees), offset)
    assert angle < 0.3 and pixels < 0.3
    assert found.correlation.dtype == np.float32 and (found.correlation > 0.9).all()


def test_the_line_is_found_in_images_whose_sides_no_power_of_two_divides() -> None:
    values, foreground = (np.repeat(np.repeat(one, 2, axis=1), 2, axis=2)[:, 3:, 6:-1] for one in put(*symmetric(4), np.deg2rad(-4), 3.0))
    found = find_midlines(values[5:7], foreground[5:7], volume=False)  # 253 x 249 pixels, the middle moved by 1.5 rows and 2.5 columns
    angle = np.deg2rad(-4)
    assert max(off(found, angle, 6.0 - (1.5 * np.sin(angle) + 2.5 * np.cos(angle)))) < 0.3


def test_a_volume_has_one_plane_which_may_be_tilted() -> None:
    offset = np.linspace(-7, 5, 40)
    values, foreground = put(*symmetric(5, 40), np.deg2rad(6), offset)
    found = find_midlines(values, foreground, volume=True)
    assert len(set(found.angle)) == 1 and np.allclose(np.diff(found.offset), np.diff(found.offset)[0])
    assert max(off(found, np.deg2rad(6), offset)) < 0.3


def test_slices_without_symmetry_do_not_move_the_plane() -> None:
    values, foreground = (one.copy() for one in put(*symmetric(6, 40), np.deg2rad(-5), 4.0))
    row, column = np.indices((SIDE, SIDE)) - (SIDE - 1) / 2
    values[:8] = np.clip(np.random.default_rng(0).normal(0, 0.5, values[:8].shape), -1, 1)  # no likeness at all
    neck = np.hypot(row - 10, column + 30) < 20
    values[8:14], foreground[8:14] = np.where(neck, np.cos(column / 5), -1)[..., None], neck  # symmetric, and elsewhere
    foreground[14:18] = False
    values[14:18] = -1
    found = find_midlines(values, foreground, volume=True)
    assert max(off(found, np.deg2rad(-5), 4.0)) < 0.3
    assert np.isnan(found.correlation[14:18]).all() and (np.abs(found.correlation[:8]) < 0.3).all() and (found.correlation[18:] > 0.9).all()


@pytest.mark.parametrize("place, radius", [((50, 40), 12), ((80, 82), 9), ((60, 72), 7)])
def test_a_bright_lesion_on_one_side_does_not_move_the_line(place: tuple[int, int], radius: float) -> None:
    for seed in (0, 3):
        values, foreground = put(*symmetric(seed), np.deg2rad(3), -2.0)
        found = find_midlines(with_lesion(values, place, radius)[3:9], foreground[3:9], volume=False)
        angle, pixels = off(found, np.deg2rad(3), -2.0)
        assert angle < 1 and pixels < 0.5


def test_a_head_that_is_cut_by_the_field_of_view_keeps_its_midline() -> None:
    values, foreground = put(*symmetric(7), np.deg2rad(4), 8.0)
    assert foreground[3:9, 40:90, 44].all()  # well inside the head: a third of one half is left out
    cut = find_midlines(values[3:9, :, 44:], foreground[3:9, :, 44:], volume=True)
    assert max(off(cut, np.deg2rad(4), 8.0 - 22 * np.cos(np.deg2rad(4)))) < 0.5
    assert not paired(foreground[3:9, :, 44:], cut)[:, 64, -15:].any()


def test_half_a_head_that_the_scan_left_black_keeps_its_midline_and_has_no_partners_there() -> None:
    values, foreground = (one.copy() for one in put(*symmetric(7), 0.0, 3.0))
    gone = np.arange(SIDE) < 48
    values[:, :, gone], foreground[:, :, gone] = -1, False
    found = find_midlines(values, foreground, volume=True)
    assert max(off(found, 0.0, 3.0)) < 0.5
    partners = paired(foreground, found)
    assert partners[3:9, 64, 56:70].all()
    assert not partners[:, :, round(2 * (63.5 + 3.0) - 47) + 1 :].any()


def test_slices_without_foreground_have_the_line_of_the_volume_and_no_correlation() -> None:
    values, foreground = np.full((3, 40, 50, 1), -1, np.float32), np.zeros((3, 40, 50), bool)
    for volume in (False, True):
        empty = find_midlines(values, foreground, volume)
        assert len(empty) == 3 and not empty.angle.any() and not empty.offset.any() and np.isnan(empty.correlation).all()
    values, foreground = (one.copy() for one in symmetric(0))
    values[4], foreground[4] = -1, False
    found = find_midlines(values, foreground, volume=True)
    assert np.isnan(found.correlation[4]) and np.isfinite(np.delete(found.correlation, 4)).all() and abs(found.offset[4]) < 0.3


def test_noise_has_no_symmetry_and_an_even_slice_breaks_nothing() -> None:
    noise = np.random.default_rng(0).uniform(-1, 1, (4, SIDE, SIDE, 1)).astype(np.float32)
    whole = np.ones(noise.shape[:3], bool)
    assert symmetry_of([find_midlines(noise, whole, volume=False)]) < SYMMETRIC / 2
    even = find_midlines(np.zeros_like(noise), whole, volume=False)
    assert np.isfinite(even.angle).all() and np.isfinite(even.offset).all()


def test_colours_are_looked_at_together() -> None:
    values, foreground = put(*symmetric(1), np.deg2rad(5), 2.0)
    colours = np.concatenate([values, values, np.full_like(values, 0.2)], axis=3)
    assert max(off(find_midlines(colours[4:6], foreground[4:6], volume=False), np.deg2rad(5), 2.0)) < 0.3


def test_arrays_that_do_not_belong_together_are_refused() -> None:
    values, foreground = symmetric(0)
    with pytest.raises(ValueError, match="foreground of shape"):
        find_midlines(values, foreground[:, 1:], volume=True)
    with pytest.raises(ValueError, match="3 slices have 2 midlines"):
        mirrored(values[:3], find_midlines(values[:2], foreground[:2], volume=True))


# --- what follows from a line -----------------------------------------------------------------------------------------------------


def line(degrees: float, offset: float, count: int = 1) -> Midlines:
    return Midlines(np.full(count, np.deg2rad(degrees)), np.full(count, offset), np.ones(count, np.float32))


def test_reflecting_brings_left_to_right_and_twice_gives_the_slice_back() -> None:
    values, _ = made(2)
    assert np.array_equal(mirrored(values, line(0, 0, len(values))), values[:, :, ::-1])
    smooth = ndimage.gaussian_filter(values, (0, 2, 2, 0))
    lines = line(7, -3.3, len(values))
    twice = mirrored(mirrored(smooth, lines), lines)
    inside = paired(np.ones(values.shape[:3], bool), lines)
    assert np.abs(twice - smooth)[inside].max() < 0.08 and np.abs(mirrored(smooth, lines) - smooth)[inside].max() > 0.5


def test_every_channel_and_slice_is_reflected_at_its_own_line() -> None:
    values = np.random.default_rng(0).normal(size=(2, 9, 11, 3, 2)).astype(np.float32)
    lines = Midlines(np.zeros(2), np.array([0.0, 1.5]), np.ones(2, np.float32))
    turned = mirrored(values, lines)
    assert np.array_equal(turned[0], values[0, :, ::-1]) and np.allclose(turned[1, :, 3:], values[1, :, 3:][:, ::-1], atol=1e-6)
    assert np.array_equal(mirrored(values[1:], lines[1:])[0], turned[1])


def test_a_pixel_has_a_partner_only_inside_the_image_and_the_foreground() -> None:
    foreground = np.ones((1, 4, 10), bool)
    foreground[0, 1, 8] = False
    found = paired(foreground, line(0, 1.0))  # the line is at column 5.5: column c meets column 11 - c
    assert found.dtype == bool and not found[0, :, :2].any() and found[0, 0, 2:].all()
    assert not found[0, 1, 8] and not found[0, 1, 3] and found[0, 1, 2]


@pytest.mark.parametrize("degrees, offset", [(0.0, 2.5), (9.0, -4.0), (-12.0, 7.0)])
def test_the_ends_of_a_line_lie_on_it_and_on_the_rim_of_the_image(degrees: float, offset: float) -> None:
    upper, lower = line(degrees, offset).points(0, (60, 80))
    for row, column in (upper, lower):
        across = np.sin(np.deg2rad(degrees)) * (row - 29.5) + np.cos(np.deg2rad(degrees)) * (column - 39.5)
        assert across == pytest.approx(offset)
    assert upper[0] == pytest.approx(-0.5) and lower[0] == pytest.approx(59.5)
    assert (upper[1] > lower[1]) == (degrees > 0)


def test_a_line_that_leaves_through_the_side_ends_there_and_one_beyond_the_image_is_refused() -> None:
    upper, lower = line(12.0, 4.0).points(0, (60, 10))
    assert upper[1] == pytest.approx(9.5) and upper[0] > 0 and -0.5 < lower[1] < 9.5 and lower[0] == pytest.approx(59.5)
    with pytest.raises(ValueError, match="does not meet an image of 60 x 10 pixels"):
        line(0.0, 30.0).points(0, (60, 10))


# --- which scans are symmetric ----------------------------------------------------------------------------------------------------


def test_symmetry_is_the_mean_over_the_slices_that_tell() -> None:
    first = Midlines(np.zeros(3), np.zeros(3), np.array([0.2, np.nan, 0.6], np.float32))
    second = Midlines(np.zeros(1), np.zeros(1), np.array([0.1], np.float32))
    assert symmetry_of([first, second]) == pytest.approx(0.3)
    assert np.isnan(symmetry_of([])) and np.isnan(symmetry_of([first[1:2]]))


def test_made_heads_are_symmetric() -> None:
    assert symmetry_of([find_midlines(*made(seed), volume=True) for seed in range(4)]) > SYMMETRIC + 0.1


def real(paths: list[Path], **changes: str) -> list[tuple[np.ndarray, np.ndarray]]:
    found = [prepare(read_scan(path), Preparation(intensity="median", **changes), {}) for path in paths]  # type: ignore[arg-type]
    return [(one.slices, one.foreground) for one in found]


@pytest.mark.parametrize("plane, symmetric", [("axial", True), ("coronal", True), ("sagittal", False)])
def test_brains_are_symmetric_from_the_front_and_from_above_and_not_from_the_side(shared_data: Path, plane: str, symmetric: bool) -> None:
    scans = real(sorted((shared_data / "brain_flair_stroke" / plane / "normal").glob("*.png"))[:15])
    assert (symmetry_of([find_midlines(*scan, volume=False) for scan in scans]) > SYMMETRIC) == symmetric


def test_the_plane_of_a_real_brain_follows_when_the_brain_is_turned(shared_data: Path) -> None:
    (path, *_) = sorted((shared_data / "brain_t1_adults" / "normal").glob("*.nii.gz"))
    ((values, foreground),) = real([path])
    wide = [(0, 0), *((SIDE - side >> 1, SIDE - side + 1 >> 1) for side in values.shape[1:3])]
    values = np.pad(values, (*wide, (0, 0)), constant_values=-1)[::6]
    foreground = np.pad(foreground, wide)[::6]
    still = find_midlines(values, foreground, volume=True)
    angle, offset = np.deg2rad(5), np.linspace(-3, 4, len(values))
    moved = find_midlines(*put(values, foreground, angle, offset), volume=True)
    assert max(off(moved, still.angle + angle, still.offset + np.cos(still.angle) * offset)) < 0.5
