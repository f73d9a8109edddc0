"""Slices of the model and voxels of the scan: the way there and back, whatever the orientation."""

from __future__ import annotations

import dataclasses
from itertools import permutations, product

import numpy as np
import pytest
import SimpleITK as sitk

from InvDetectLib.common.errors import InvDetectError
from InvDetectLib.models.settings import PLANES, Preparation
from InvDetectLib.scans import Geometry, SliceGrid, read_scan

LPS = {"R": (-1, 0, 0), "L": (1, 0, 0), "A": (0, -1, 0), "P": (0, 1, 0), "S": (0, 0, 1), "I": (0, 0, -1)}
CODES = ["".join(code) for axes in permutations(("RL", "AP", "IS")) for code in product(*axes)]  # 48
SHAPE = (7, 9, 11)
MARKED = (2, 5, 8)


def tilt(degrees: float, axis: int) -> np.ndarray:
    """Rotation by `degrees` about the LPS axis `axis`."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    first, second = (i for i in range(3) if i != axis)
    matrix = np.eye(3)
    matrix[first, first], matrix[first, second], matrix[second, first], matrix[second, second] = c, -s, s, c
    return matrix


def scan_place(code: str, shape=SHAPE, spacing=(1.0, 1.0, 1.0), tilted: bool = False) -> Geometry:
    """A volume whose slice, row and column indices grow towards the three letters of `code`."""
    direction = np.array([LPS[letter] for letter in code[::-1]], float).T
    if tilted:
        direction = tilt(20, 0) @ tilt(20, 1) @ direction
    return Geometry(shape, spacing, (-31.0, 12.5, 40.0), tuple(direction.ravel()))


def whole(plane: str = "axial", geometry: Geometry | None = None, spacing_mm: float | None = None) -> Preparation:
    """A preparation whose grid is as fine as the scan (isotropic), or of pixels of `spacing_mm`."""
    grid = None if geometry is None else max(SliceGrid.for_scan(geometry, Preparation(plane=plane, grid=1000)).native[1:])
    return Preparation(plane=plane, grid=grid, spacing_mm=spacing_mm)


def point(shape: tuple[int, int, int] = SHAPE, at: tuple[int, int, int] = MARKED) -> np.ndarray:
    array = np.zeros(shape, np.float32)
    array[at] = 1
    return array


def peak(array: np.ndarray) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(np.argmax(array), array.shape))


@pytest.mark.parametrize("tilted", [False, True])
@pytest.mark.parametrize("plane", PLANES)
def test_a_marked_voxel_comes_back_to_its_index_from_every_orientation(plane: str, tilted: bool) -> None:
    mask = np.random.default_rng(1).random(SHAPE) > 0.6
    for code in CODES:
        geometry = scan_place(code, tilted=tilted)
        grid = SliceGrid.for_scan(geometry, whole(plane, geometry=geometry))
        there = grid.to_grid(point())
        assert there.shape == grid.shape and there.dtype == np.float32
        np.testing.assert_array_equal(grid.from_grid(there), point())
        np.testing.assert_array_equal(grid.mask_from_grid(grid.mask_to_grid(mask)), mask)
        assert grid.first_slice_index(peak(there)[0]) == MARKED[grid.slice_axis], code


@pytest.mark.parametrize(
    ("plane", "towards_first", "towards_later"),
    [  # one step down the slices, down the rows, along the columns, in RAS
        ("axial", "S", ("P", "L")),
        ("coronal", "A", ("I", "L")),
        ("sagittal", "L", ("I", "P")),
    ],
)
def test_slices_are_shown_as_radiologists_look_at_them(plane: str, towards_first: str, towards_later: tuple[str, str]) -> None:
    """The world's coordinates, as if they were grey values, grow by one a pixel in the direction that is expected."""
    for code, tilted in product(CODES, (False, True)):
        geometry = scan_place(code, tilted=tilted)
        indices = np.stack(np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij"), -1)
        ras = geometry.ras_from_index(indices)
        if tilted:  # look along the tilted frame, to which the array axes are parallel
            ras = ras * (-1, -1, 1) @ (tilt(20, 0) @ tilt(20, 1)) * (-1, -1, 1)
        grid = SliceGrid.for_scan(geometry, whole(plane, geometry=geometry))
        axis = {"R": 0, "L": 0, "A": 1, "P": 1, "S": 2, "I": 2}
        for place, letter in enumerate((towards_first, *towards_later)):
            coordinate = grid.to_grid(ras[..., axis[letter]].astype(np.float32))
            step = np.diff(coordinate, axis=place)
            sign = 1 if letter in "RAS" else -1
            np.testing.assert_allclose(step * sign, 1, atol=1e-4, err_msg=f"{code} {letter}")


def test_the_right_front_of_an_axial_slice_is_at_the_upper_left() -> None:
    for code in CODES:
        geometry = scan_place(code)
        corner = max(np.ndindex(*SHAPE), key=lambda index: geometry.ras_from_index(index) @ (1, 1, 1))  # right, front, top
        for plane, place in (("axial", (-1, 0, 0)), ("coronal", (-1, 0, 0)), ("sagittal", (0, 0, 0))):
            grid = SliceGrid.for_scan(geometry, whole(plane, geometry=geometry))
            assert grid.to_grid(point(at=corner))[place] == 1, (code, plane)


def test_choosing_slices_chooses_the_models_slices() -> None:
    array = np.random.default_rng(0).random(SHAPE).astype(np.float32)
    grid = SliceGrid.for_scan(scan_place("IPR"), Preparation(grid=8))
    np.testing.assert_array_equal(grid.to_grid(array, slice(2, 5)), grid.to_grid(array)[2:5])
    np.testing.assert_array_equal(grid.mask_to_grid(array > 0.5, slice(5, None)), grid.mask_to_grid(array > 0.5)[5:])
    assert grid.to_grid(array, slice(0, 0)).shape == (0, *grid.shape[1:])


@pytest.mark.parametrize("code", ["SPL", "IAR", "RSA", "PLI"])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.8, 0.8, 5.0), (0.7, 1.3, 2.0)])
@pytest.mark.parametrize("factor", [0.5, 1.4, 2.0, 3.0])
def test_a_bright_voxel_stays_the_brightest_through_other_pixel_sizes(code: str, spacing: tuple, factor: float) -> None:
    geometry = scan_place(code, (12, 13, 14), spacing, tilted=True)
    for plane in PLANES:
        native = SliceGrid.for_scan(geometry, Preparation(plane=plane, grid=1))
        finest = min(geometry.spacing[2 - axis] for axis in native.axes[1:])
        grid = SliceGrid.for_scan(geometry, whole(plane, spacing_mm=finest / factor))
        at = np.array((5, 6, 7))
        back = grid.from_grid(grid.to_grid(point((12, 13, 14), tuple(at))))
        assert back.shape == (12, 13, 14)
        # Voxels that share a pixel of the grid cannot be told apart.
        off_mm = np.abs(np.array(peak(back)) - at) * geometry.spacing[::-1]
        assert off_mm.max() < (1e-6 if factor >= 1 else grid.pixel)


def test_nothing_crosses_slices() -> None:
    grid = SliceGrid.for_scan(scan_place("SPL", (5, 24, 24)), Preparation(grid=12))
    there = grid.to_grid(point((5, 24, 24), (2, 12, 12)))
    assert there[2].max() > 0 and not there[[0, 1, 3, 4]].any()
    back = grid.from_grid(there)
    assert back[2].max() > 0 and not back[[0, 1, 3, 4]].any()


def test_halving_averages_the_four_pixels_and_their_neighbours() -> None:
    """Sigma 0.5, then midway between two pixels. A ramp stays a ramp; its value is that of the place midway: 0.5, 2.5, ..."""
    ramp = np.broadcast_to(np.arange(16, dtype=np.float32), (1, 16, 16))
    grid = SliceGrid.for_scan(Geometry((1, 16, 16)), Preparation(grid=8))
    inner = grid.to_grid(ramp)[0, 4, 1:-1]
    np.testing.assert_allclose(inner, [2.5, 4.5, 6.5, 8.5, 10.5, 12.5], atol=1e-5)
    checkerboard = (np.indices((16, 16)).sum(axis=0) % 2)[None].astype(np.float32)
    np.testing.assert_allclose(grid.to_grid(checkerboard), 0.5, atol=0.01)


def test_stripes_finer_than_the_grid_turn_grey_instead_of_coarse() -> None:
    stripes = np.broadcast_to((np.arange(96) % 2).astype(np.float32), (1, 96, 96))
    grid = SliceGrid.for_scan(Geometry((1, 96, 96)), Preparation(grid=40))
    assert np.ptp(grid.to_grid(stripes)[0, :, 2:-2]) < 0.25


def test_doubling_puts_a_quarter_and_three_quarters_between_two_pixels() -> None:
    grid = SliceGrid.for_scan(Geometry((1, 2, 2)), Preparation(grid=4))
    np.testing.assert_allclose(grid.to_grid(np.array([[[0.0, 4.0]] * 2], np.float32))[0], [[0, 1, 3, 4]] * 4, atol=1e-6)


def test_a_label_goes_and_comes_back_where_it_is_at_least_half() -> None:
    """Four voxels above two pixels: the outer ones lie beyond the pixels' centres, the inner ones a quarter of the way."""
    grid = SliceGrid.for_scan(Geometry((1, 4, 4)), Preparation(grid=2))
    label = np.array([[[True, False], [True, False]]])
    np.testing.assert_array_equal(grid.mask_from_grid(label)[0], [[True, True, False, False]] * 4)
    np.testing.assert_array_equal(grid.mask_to_grid(grid.mask_from_grid(label)), label)
    np.testing.assert_allclose(grid.from_grid(label.astype(np.float32))[0, 0], [1, 0.75, 0.25, 0], atol=1e-6)


def test_an_overhang_is_shared_by_both_sides() -> None:
    """5 mm under three pixels of 2 mm: half a voxel juts out on either side, so the pixels' centres are voxels 0, 2 and 4."""
    grid = SliceGrid.for_scan(Geometry((1, 5, 5)), whole(spacing_mm=2.0))
    assert grid.shape == (1, 3, 3)
    np.testing.assert_allclose(grid.from_grid(np.array([[[0.0, 4.0, 6.0]] * 3], np.float32))[0], [[0, 2, 4, 5, 6]] * 5, atol=1e-6)
    weight = np.exp(-2 * np.arange(-2, 3) ** 2.0)  # sigma 0.5
    spike = np.broadcast_to(np.array([0, 0, 8.0, 0, 0], np.float32), (1, 5, 5))
    np.testing.assert_allclose(grid.to_grid(spike)[0, 1], 8 * weight[[0, 2, 4]] / weight.sum(), atol=1e-5)


@pytest.mark.parametrize("pixels", [60, 90, 110])
def test_the_corners_of_the_field_of_view_coincide(pixels: int) -> None:
    """The column number, as if it were a grey value, is -0.5 and 29.5 half a pixel beyond the first and the last pixel."""
    grid = SliceGrid.for_scan(Geometry((1, 20, 30), (0.7, 0.7, 1.0)), Preparation(grid=pixels))
    line = grid.to_grid(np.broadcast_to(np.arange(30, dtype=np.float32), (1, 20, 30)))[0, 0]
    slope, start = np.polyfit(np.arange(pixels)[5:-5], line[5:-5], 1)
    np.testing.assert_allclose([start - slope / 2, start + slope * (pixels - 0.5)], [-0.5, 29.5], atol=1e-4)


def test_the_same_grid_leaves_every_value_as_it_is() -> None:
    values = np.random.default_rng(3).normal(size=(4, 143, 167)).astype(np.float32) * 1000
    for spacing in (1.0, 0.8682, 0.9375000357627869):
        grid = SliceGrid.for_scan(Geometry((4, 143, 167), (spacing, spacing, 3.0)), Preparation(grid=167))
        assert grid.shape == (4, 143, 167)
        np.testing.assert_allclose(grid.to_grid(values), values, rtol=1e-6)
        np.testing.assert_allclose(grid.from_grid(values), values, rtol=1e-6)


def test_spacings_that_differ_by_rounding_do_not_blur() -> None:
    values = np.random.default_rng(3).normal(size=(1, 64, 64)).astype(np.float32)
    grid = SliceGrid.for_scan(Geometry((1, 64, 64), (0.898438, 0.8984375, 1.0)), Preparation(grid=64))
    np.testing.assert_array_equal(grid.to_grid(values), values)


@pytest.mark.parametrize(("rows", "columns"), [(50, 80), (80, 50), (37, 61)])
def test_pixels_are_square_and_nothing_falls_outside(rows: int, columns: int) -> None:
    geometry = Geometry((1, rows, columns), (0.5, 0.9, 1.0))
    grid = SliceGrid.for_scan(geometry, Preparation(grid=32))
    extent = np.array([rows * 0.9, columns * 0.5])
    assert max(grid.shape[1:]) == 32
    overhang = np.array(grid.shape[1:]) * grid.pixel - extent
    assert (overhang > -1e-3).all() and (overhang < grid.pixel).all()
    assert grid.pixel == pytest.approx(max(extent) / 32)
    grid = SliceGrid.for_scan(Geometry((3, 100, 80), (0.9, 0.9, 5.0)), whole(spacing_mm=1.5))
    assert grid.shape == (3, 60, 48) and grid.pixel == 1.5


def test_a_flipped_scan_gives_the_same_slices() -> None:
    array = np.random.default_rng(5).random((6, 31, 45)).astype(np.float32)
    for plane in PLANES:
        plain = SliceGrid.for_scan(scan_place("SPL", (6, 31, 45)), Preparation(plane=plane, grid=20))
        turned = SliceGrid.for_scan(scan_place("IAR", (6, 31, 45)), Preparation(plane=plane, grid=20))
        np.testing.assert_allclose(turned.to_grid(array[::-1, ::-1, ::-1]), plain.to_grid(array), atol=1e-6)


def test_a_picture_stays_as_it_is_whatever_the_plane() -> None:
    geometry = Geometry((1, 20, 30), dimension=2, unit="pixel")
    colours = np.random.default_rng(0).integers(0, 255, (1, 20, 30, 3), dtype=np.uint8)
    for plane in PLANES:
        grid = SliceGrid.for_scan(geometry, Preparation(plane=plane, grid=30))
        assert grid.shape == (1, 20, 30) and grid.slice_axis == 0 and grid.first_slice_index(0) == 0
        np.testing.assert_array_equal(grid.to_grid(colours), colours)


def test_colours_are_resampled_channel_by_channel() -> None:
    colours = np.random.default_rng(0).random((2, 20, 30, 3)).astype(np.float32)
    grid = SliceGrid.for_scan(Geometry((2, 20, 30)), Preparation(grid=12))
    there = grid.to_grid(colours)
    assert there.shape == (2, 8, 12, 3)
    for channel in range(3):
        np.testing.assert_array_equal(there[..., channel], grid.to_grid(colours[..., channel]))


def test_a_volume_told_in_pixels_still_follows_its_direction() -> None:
    geometry = dataclasses.replace(scan_place("RIA"), unit="pixel")  # slices run to the right: a sagittal acquisition
    grid = SliceGrid.for_scan(geometry, Preparation(grid=11))
    assert grid.slice_axis == 1 and grid.first_slice_index(0) == SHAPE[1] - 1


def test_very_oblong_pixels_are_warned_of() -> None:
    geometry = scan_place("SPL", (30, 40, 40), (1.0, 1.0, 4.0))
    assert SliceGrid.for_scan(geometry, Preparation(plane="axial")).warnings == ()
    (warning,) = SliceGrid.for_scan(geometry, Preparation(plane="coronal")).warnings
    assert "4.0" in warning and "coronal" in warning


def test_a_header_that_makes_a_scan_as_large_as_a_house_is_refused_by_models_with_pixels_in_mm() -> None:
    with pytest.raises(InvDetectError, match="24 x 20 pixels and are 2.4e\\+06 x 30 mm large by the scan's header"):
        SliceGrid.for_scan(Geometry((3, 24, 20), spacing=(1.5, 1e5, 4.0)), Preparation(spacing_mm=0.5))


@pytest.mark.parametrize("spacing", [(1e-12, 1.0, 1.0), (1.0, 1e-12, 1.0)])
def test_pixels_of_nearly_no_width_cost_no_memory(spacing: tuple[float, float, float]) -> None:
    geometry = Geometry((3, 24, 20), spacing=spacing)
    grid = SliceGrid.for_scan(geometry, Preparation(grid=16))
    assert grid.to_grid(np.ones(geometry.shape)) == pytest.approx(np.ones(grid.shape))


def test_an_image_smaller_than_a_patch_is_refused_with_both_sizes() -> None:
    with pytest.raises(InvDetectError, match=r"20 x 30 pixels.*32 x 32.*larger image"):
        SliceGrid.for_scan(Geometry((1, 20, 30), dimension=2), Preparation(grid=128), minimum=32)
    assert SliceGrid.for_scan(Geometry((1, 32, 32), dimension=2), Preparation(grid=32), minimum=32).shape == (1, 32, 32)
    with pytest.raises(InvDetectError, match="coronal slices have 20 x 64 pixels"):
        SliceGrid.for_scan(scan_place("SPL", (20, 64, 64)), Preparation(plane="coronal", grid=64), minimum=32)


def test_a_grid_smaller_than_a_patch_is_refused_with_both_sizes() -> None:
    with pytest.raises(InvDetectError, match=r"40 x 256 pixels, on the model's grid 20 x 128.*32 x 32.*larger grid"):
        SliceGrid.for_scan(Geometry((1, 40, 256)), Preparation(grid=128), minimum=32)


def test_millimetres_need_a_scan_that_knows_them() -> None:
    with pytest.raises(InvDetectError, match="no physical spacing"):
        SliceGrid.for_scan(Geometry((1, 40, 40), unit="pixel"), whole(spacing_mm=1.0))


def test_arrays_of_another_scan_are_bugs() -> None:
    grid = SliceGrid.for_scan(Geometry((2, 20, 30)), Preparation(grid=30))
    for use in (grid.to_grid, grid.from_grid):
        with pytest.raises(ValueError, match="shape"):
            use(np.zeros((2, 30, 20), np.float32))


@pytest.mark.parametrize("name", ["t1_oblique.nii.gz", "anatomical_flipped.nii", "t1_oblique.nrrd"])
def test_real_files_come_back_voxel_for_voxel(shared_data, name: str) -> None:
    scan = read_scan(shared_data / "formats" / name)
    array = scan.array.astype(np.float32)
    for plane in PLANES:
        native = SliceGrid.for_scan(scan.geometry, Preparation(plane=plane, grid=8))
        spacing = [scan.geometry.spacing[2 - axis] for axis in native.axes[1:]]
        if spacing[0] == pytest.approx(spacing[1], rel=1e-6):
            grid = SliceGrid.for_scan(scan.geometry, Preparation(plane=plane, grid=max(native.native[1:])))
            np.testing.assert_allclose(grid.from_grid(grid.to_grid(array)), array, rtol=1e-5, atol=1e-5)
        marked = np.zeros_like(array)
        marked[tuple(n // 3 for n in array.shape)] = 1
        finest = SliceGrid.for_scan(scan.geometry, Preparation(plane=plane, spacing_mm=min(spacing)))
        assert peak(finest.from_grid(finest.to_grid(marked))) == peak(marked)


def test_axial_slices_agree_with_simpleitks_own_reorientation(shared_data) -> None:
    scan = read_scan(shared_data / "formats" / "anatomical_flipped.nii")
    place = Geometry(scan.geometry.shape, direction=scan.geometry.direction)
    expected = sitk.GetArrayFromImage(sitk.DICOMOrient(place.to_image(scan.array.astype(np.float32)), "LPS"))
    grid = SliceGrid.for_scan(place, Preparation(grid=max(expected.shape[1:])))
    np.testing.assert_array_equal(grid.to_grid(scan.array), expected)
