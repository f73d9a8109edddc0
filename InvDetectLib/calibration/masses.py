"""How much of the map above a fixed level a finding holds: cluster-level inference (Bullmore 1999; Smith and Nichols 2009)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from ..scans import SliceGrid


def mass_unit(grids: Sequence[SliceGrid], per_scan: bool) -> str:
    """The unit that masses of these scans have in common beside the score's: "mm3" of scans, "mm2" or "pixels" of slices; "" for none."""
    units = {grid.unit for grid in grids}
    if units == {"mm"}:
        return "mm3" if per_scan else "mm2"
    return "pixels" if units == {"pixel"} and not per_scan else ""


def heaviest(values: np.ndarray, mask: np.ndarray, scored: np.ndarray, level: float, grid: SliceGrid, per_scan: bool) -> list[float]:
    """The largest mass among the connected pieces of a mask in a scan, or in each of its slices; 0 where there is none.

    values, mask, scored  (slice, row, column) on `grid`: the map, what is flagged, and what was scored; a unit without any is left out
    level                 u: the mass of a piece is the sum over its voxels of max(value - u, 0), times their volume (in a slice: area)
    """
    area = grid.pixel**2
    if per_scan:
        return [_heaviest(values, mask, level) * area * grid.thickness] if scored.any() else []
    return [_heaviest(values[[k]], mask[[k]], level) * area for k in np.flatnonzero(scored.any(axis=(1, 2)))]


def _heaviest(values: np.ndarray, mask: np.ndarray, level: float) -> float:
    if not mask.any():
        return 0.0
    pieces, _ = ndimage.label(mask, np.ones((3, 3, 3)))
    return float(np.bincount(pieces[mask], np.maximum(values[mask].astype(np.float64) - level, 0)).max())
