"""The plane between left and right in space: where it was on the scan, however the scan's axes run."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from InvDetectLib.models.settings import Preparation
from InvDetectLib.scans import Geometry, SliceGrid, midplane
from InvDetectLib.symmetry import Midlines

TURN = np.array([[0.98, -0.17, 0.05], [0.17, 0.98, 0.03], [-0.05, -0.02, 1.0]])
TURN = np.linalg.qr(TURN)[0] * np.sign(np.diag(np.linalg.qr(TURN)[1]))
ORDERS = list(itertools.permutations(range(3)))


def turned(order: tuple[int, ...], signs: tuple[int, ...]) -> Geometry:
    """An oblique scan whose axes run along others of the patient's, in either sense."""
    axes = np.eye(3)[:, list(order)] * signs
    shape = tuple(int(n) for n in np.array([40, 36, 12])[list(order)][::-1])
    spacing = tuple(float(n) for n in np.array([1.5, 2.0, 4.0])[list(order)])
    direction = TURN @ axes
    origin = -direction @ (np.array(spacing) * (np.array(shape[::-1]) - 1) / 2) + (7.0, -20.0, 33.0)
    return Geometry(shape, spacing, tuple(origin), tuple(direction.ravel()))  # type: ignore[arg-type]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("plane", ["axial", "coronal"])
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, -1), (1, -1, -1)])
def test_the_plane_is_that_of_the_lines_in_the_patient(order: tuple[int, ...], plane: str, signs: tuple[int, int, int]) -> None:
    geometry = turned(order, signs)
    grid = SliceGrid.for_scan(geometry, Preparation(plane=plane, grid=32))
    lines = Midlines(np.full(grid.shape[0], 0.12), 1.5 + 0.1 * np.arange(grid.shape[0]), np.ones(grid.shape[0], np.float32))
    found = midplane(grid, geometry, lines.angle, lines.offset)
    assert found is not None
    origin, normal = np.array(found["origin"]), np.array(found["normal"])
    assert abs(np.linalg.norm(normal) - 1) < 1e-5 and normal[0] > 0.9  # towards the patient's left
    # How far every voxel is from the plane, brought to the model's grid as a scan is: it is 0 along the lines, and grows to the right.
    places = geometry.ras_from_index(np.moveaxis(np.indices(geometry.shape), 0, -1)) * (-1, -1, 1)
    away = grid.to_grid(((places - origin) @ normal).astype(np.float32))
    for number in range(1, grid.shape[0] - 1):
        ends = np.array(lines.points(number, grid.shape[1:]))
        for share in (0.3, 0.5, 0.7):
            row, column = np.rint(ends[0] + share * (ends[1] - ends[0])).astype(int)
            middle = (np.array(grid.shape[1:]) - 1) / 2
            pixels = (np.array([row, column]) - middle) @ (np.sin(0.12), np.cos(0.12)) - lines.offset[number]
            assert away[number, row, column] == pytest.approx(pixels * grid.pixel, abs=0.2)


def test_a_plane_is_found_in_one_picture_too() -> None:
    geometry = Geometry((1, 30, 40), unit="pixel", dimension=2)
    found = midplane(SliceGrid.for_scan(geometry, Preparation(grid=40)), geometry, np.zeros(1), np.array([3.0]))
    assert found == {"origin": [22.5, 14.5, 0.0], "normal": [1.0, 0.0, 0.0]}


@pytest.mark.parametrize(("angle", "offset"), [([0, 0.1, 0], [0, 0, 0]), ([0, 0, 0], [0, 3, 0])])
def test_lines_of_no_one_plane_have_none(angle: list[float], offset: list[float]) -> None:
    geometry = Geometry((3, 30, 40))
    assert midplane(SliceGrid.for_scan(geometry, Preparation(grid=40)), geometry, np.array(angle), np.array(offset)) is None
