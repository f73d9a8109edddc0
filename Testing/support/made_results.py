"""Results with known maps, edges and calibration."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from InvDetectLib.calibration import Calibration
from InvDetectLib.models import Preparation
from InvDetectLib.results import Controls, Examined, Images, OnGrid, Result
from InvDetectLib.scans import Geometry, Scan, SliceGrid

FLOOR = -2.0
# t(r): 1 % at 0.5 - 0.1 * contiguity, 10 % at 0.1 whatever the contiguity
CALIBRATION = Calibration(
    unit="calibrated",
    offset=0.0,
    scale=1.0,
    contiguity=0.5,
    default_threshold=0.25,
    contiguities=(0.0, 1.0, 2.0),
    rates=(0.01, 0.1),
    thresholds=((0.5, 0.1), (0.4, 0.1), (0.3, 0.1)),
    peaks=(1.0, 2.0, 3.0),
    peak_unit="slice",
    floor=FLOOR,
    normal_area=0.01,
    raw_quantiles=(-1.5, -0.5, 0.0, 0.5),
)
WEIGHED = replace(CALIBRATION, masses=(0.0, 10.0, 1000.0), mass_unit="mm3", peak_unit="scan")  # of what lies above 0.5
# axial slices of an identity direction are the model's slices as they are: grid and scan have the same voxels
SAME = Geometry((4, 8, 8), spacing=(2.0, 2.0, 5.0))
AXIAL = Preparation(grid=8)
OBLIQUE = (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0)  # a direction, turned about the third axis


def assembled(
    *,
    name: str,
    geometry: Geometry,
    preparation: Preparation,
    calibration: Calibration,
    foreground: np.ndarray,
    grid_map: np.ndarray,
    grid_scored: np.ndarray,
    edges_down: np.ndarray,
    edges_right: np.ndarray,
    provenance: dict[str, Any],
    **more: Any,
) -> Result:
    """`Result.assemble` of parts by the names that a result has for them; `more` are images, controls, and its progress."""
    images = {key: more.pop(key) for key in ("background", "pseudo_normal", "pseudo_background") if key in more}
    controls = {key: more.pop(key) for key in ("contiguity", "rate", "threshold", "scr") if key in more}
    return Result.assemble(
        Examined(name, geometry, preparation, foreground),
        OnGrid(grid_map, grid_scored, edges_down, edges_right),
        calibration,
        Controls.choose(calibration, **controls),
        provenance,
        Images(**images),
        **more,
    )


def make_result(grid_map: Any = None, geometry: Geometry = SAME, preparation: Preparation = AXIAL, **changes: Any) -> Result:
    shape = SliceGrid.for_scan(geometry, preparation).shape
    slices, rows, columns = shape
    parts: dict[str, Any] = {
        "name": "jane-doe",
        "geometry": geometry,
        "preparation": preparation,
        "calibration": CALIBRATION,
        "grid_map": np.zeros(shape, np.float32) if grid_map is None else grid_map,
        "grid_scored": np.ones(shape, bool),
        "edges_down": np.ones((slices, rows - 1, columns), np.float32),
        "edges_right": np.ones((slices, rows, columns - 1), np.float32),
        "foreground": np.ones(geometry.shape, bool),
        "provenance": {"model": "0f0f", "seed": 0},
    }
    return assembled(**{**parts, **changes})


def three_found_in(scan: Scan, threshold: float = 0.5) -> Result:
    """A result of a scan with three findings of different size and height (of a single slice, two), none of which lies symmetrically."""
    preparation = Preparation(grid=max(scan.geometry.shape[1:]))
    values = np.zeros(SliceGrid.for_scan(scan.geometry, preparation).shape, np.float32)
    middle, last = len(values) // 2, len(values) - 1
    values[middle, 2:7, 3:9] = 1.7
    values[min(middle + 1, last), 2:7, 4:9] = 1.8
    values[max(middle - 2, 0), 12:16, 13:18] = 1.6
    values[last, 12:14, 4:6] = 0.9 if last else 0
    facts = {"model": {"checksum": "ab" * 32}, "scan": {"digest": scan.digest}}
    return make_result(values, scan.geometry, preparation, provenance=facts, threshold=threshold, scr=False)


def blob(shape: tuple[int, int, int] = (4, 8, 8), value: float = 1.25) -> np.ndarray:
    """A 3 x 3 block of `value` in slice 2 and a speck of the same value in slice 0."""
    values = np.zeros(shape, np.float32)
    values[2, 2:5, 3:6] = value
    values[0, 6, 6] = value
    return values


def noise(shape: tuple[int, int, int], seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    slices, rows, columns = shape
    return {
        "grid_map": rng.normal(size=shape),
        "edges_down": rng.uniform(size=(slices, rows - 1, columns)),
        "edges_right": rng.uniform(size=(slices, rows, columns - 1)),
        "grid_scored": rng.random(shape) > 0.1,
    }


def agree(one: Result, other: Result) -> bool:
    """Whether two results have the same arrays, values and types, and the same findings and facts beside them."""
    arrays = ("anomaly_map", "mask", "foreground", "grid_map", "grid_scored", "grid_mask", "edges_down", "edges_right")
    values = ("name", "geometry", "preparation", "calibration", "controls", "findings", "provenance")
    return all(
        np.array_equal(getattr(one, a), getattr(other, a)) and getattr(one, a).dtype == getattr(other, a).dtype for a in arrays
    ) and all(getattr(one, v) == getattr(other, v) for v in values)
