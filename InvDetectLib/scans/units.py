"""Units of length in scan files: geometries in mm, whatever unit the file is in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .geometry import Geometry

_MM = {
    "mm": 1.0, "millimeter": 1.0, "millimetre": 1.0, "cm": 10.0, "centimeter": 10.0, "centimetre": 10.0, "m": 1000.0, "meter": 1000.0,
    "metre": 1000.0, "um": 1e-3, "\u00b5m": 1e-3, "\u03bcm": 1e-3, "micrometer": 1e-3, "micrometre": 1e-3, "micron": 1e-3, "nm": 1e-6,
    "nanometer": 1e-6, "nanometre": 1e-6, "in": 25.4, "inch": 25.4,
}  # fmt: skip


def in_mm(geometry: Geometry, units: Sequence[str], of_world: bool) -> tuple[Geometry, tuple[str, ...]]:
    """A geometry whose numbers are in `units`, one for each axis x, y, z, in mm; and a warning for units that are none of length.

    of_world  the units are those of the axes of the world; else of the file's columns, rows and slices
    """
    named = [unit.strip() for unit in units][:3]
    known = [_MM.get(unit if unit in _MM else unit.lower().rstrip("s")) for unit in named]
    odd = sorted({unit for unit, factor in zip(named, known, strict=True) if factor is None and unit})
    notes = (f"the unit {', '.join(odd)} of the file is none of length that is known; its spacing is taken for mm",) if odd else ()
    factors = np.array([factor or 1.0 for factor in known] + [1.0] * (3 - len(known)))
    if (factors == 1.0).all():
        return geometry, notes
    direction = np.reshape(geometry.direction, (3, 3))
    spacing, origin = np.array(geometry.spacing), np.array(geometry.origin)
    if of_world and np.unique(factors).size > 1:
        steps = factors[:, None] * direction * spacing
        spacing = np.linalg.norm(steps, axis=0)
        direction = steps / spacing
    else:
        spacing = spacing * factors
    x, y, z = (float(value) for value in spacing)
    place = origin * factors
    return replace(
        geometry,
        spacing=(x, y, z),
        origin=(float(place[0]), float(place[1]), float(place[2])),
        direction=tuple(float(value) for value in direction.ravel()),
    ), notes
