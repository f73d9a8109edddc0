"""What is kept of normal scans, and said of them in a model's card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .preparing import Prepared
from .slicing import SliceGrid
from .survey import Candidate

_MOST_CALIBRATION_SLICES = 4000  # whole scans are added up to this many slices, which bounds time and memory


def at_most(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The first scans to calibrate on, as many as time and memory allow."""
    slices, kept = 0, []
    for candidate in candidates:
        if slices < _MOST_CALIBRATION_SLICES:
            kept.append(candidate)
        slices += candidate.geometry.shape[0]
    return kept


def are_gapless(candidates: Sequence[Candidate]) -> bool:
    """Whether all are volumes of known spacing, so that a p-value counts scans; else it counts slices."""
    return all(candidate.geometry.unit == "mm" and candidate.geometry.dimension == 3 for candidate in candidates)


def counts(candidates: Sequence[Candidate]) -> dict[str, Any]:
    """Counts and digests; no names, which may be patients'."""
    return {"scans": len(candidates), "digests": [candidate.digest for candidate in candidates]}


@dataclass(frozen=True)
class Appearance:
    """What is kept of how one scan looks: slices with foreground, its grid, 1st and 99th percentile of its foreground."""

    slices: int
    grid: SliceGrid
    intensity: tuple[float, float]

    @classmethod
    def of(cls, prepared: Prepared) -> Appearance:
        """Without the scan's arrays."""
        return cls(int(prepared.foreground.any(axis=(1, 2)).sum()), prepared.grid, prepared.intensity_range)


def appearance(looks: Sequence[Appearance]) -> dict[str, Any]:
    """How normal scans look from outside, so that a scan unlike them can be recognised."""
    grids = [look.grid for look in looks]
    return {
        "slices": sum(look.slices for look in looks),
        "unit": grids[0].unit,
        "pixel": [min(grid.pixel for grid in grids), max(grid.pixel for grid in grids)],
        "anisotropy": max(grid.anisotropy for grid in grids),
        "intensity": [[float(end(values)) for end in (min, max)] for values in zip(*(look.intensity for look in looks))],
    }
