"""From the midlines of slices on the model's grid to the one plane in space that they lie in."""

from __future__ import annotations

from typing import Any

import numpy as np

from .geometry import Geometry
from .slicing import SliceGrid

_PIXELS = 0.01  # by which lines of one plane may leave it


def midplane(grid: SliceGrid, geometry: Geometry, angle: np.ndarray, offset: np.ndarray) -> dict[str, Any] | None:
    """{"origin", "normal"}: a point of the plane and its unit normal, three numbers each, LPS, in mm; ready for JSON.

    angle, offset  (slice,) of the line in every slice of the grid, as `symmetry.Midlines` says
    The origin is the point of the plane that is nearest to the middle of the middle slice; the normal points to where the model's columns
    run to, in axial and coronal slices to the patient's left. None where the lines are of no one plane: each slice has its own.
    """
    count = len(angle)
    number = np.arange(count)
    slope = (offset[-1] - offset[0]) / max(1, count - 1)
    straight = offset[0] + slope * number
    if np.ptp(np.sin(angle)) * max(grid.shape[1:]) > _PIXELS or np.abs(offset - straight).max() > _PIXELS:
        return None
    across = np.array([np.sin(angle[0]), np.cos(angle[0])])  # row and column

    def place(at: float, along: float) -> np.ndarray:
        """LPS of the point of the line in slice `at`, `along` pixels from its foot."""
        foot = (np.array(grid.shape[1:]) - 1) / 2 + (offset[0] + slope * at) * across
        point = foot + along * np.array([across[1], -across[0]])
        return geometry.ras_from_index(grid.to_index(np.array([at, *point]))) * (-1, -1, 1)

    middle = (count - 1) / 2
    origin = place(middle, 0)
    normal = np.cross(place(middle, 1) - origin, place(middle + 1, 0) - origin)
    columns = geometry.ras_from_index(grid.to_index(np.array([[0, 0, 0], [0, 0, 1]]))) * (-1, -1, 1)
    normal *= np.sign(normal @ (columns[1] - columns[0])) / np.linalg.norm(normal)
    return {"origin": [round(float(value), 4) for value in origin], "normal": [round(float(value), 6) for value in normal]}
