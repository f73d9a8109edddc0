"""Where the voxels of a scan lie: the one place where array order, image order, LPS and RAS meet."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import SimpleITK as sitk

from ..common import InvDetectError
from .forms import NiftiForms

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
_RAS_IDENTITY = (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0)
_LONGEST = 2**31 - 1  # voxels along an axis
_FLIP = np.array([-1.0, -1.0, 1.0])


@dataclass(frozen=True)
class Geometry:
    """The grid of a scan in space, in ITK's convention.

    shape      (slice, row, column) of the array as SimpleITK gives it; a 2-D image has shape (1, rows, columns)
    spacing    distance of neighbouring voxel centres along (column, row, slice), that is x, y, z; in mm, or 1 when `unit` is "pixel"
    origin     centre of the voxel with index (0, 0, 0), as LPS x, y, z in mm
    direction  9 numbers, a 3 x 3 matrix by rows: its columns are the unit LPS vectors along which column, row and slice index grow
    dimension  3, or 2 for an image that has no slice axis at all
    unit       "mm", or "pixel" when the file carries no physical spacing; "mm" in world coordinates then means pixels
    forms      of a NIfTI file: the very words of its header, so that maps are written with them; no part of what is compared
    """

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    direction: tuple[float, ...] = IDENTITY
    dimension: int = 3
    unit: str = "mm"
    forms: NiftiForms | None = field(default=None, compare=False)

    @classmethod
    def of_image(cls, image: sitk.Image, unit: str = "mm") -> Geometry:
        """The geometry of a 2-D or 3-D SimpleITK image. `unit` says whether its spacing means mm; the place is kept either way."""
        dimension = image.GetDimension()
        if dimension not in (2, 3):
            raise ValueError(f"a geometry has 2 or 3 dimensions, not {dimension}")
        size = image.GetSize()
        shape = (size[2] if dimension == 3 else 1, size[1], size[0])
        spacing, origin, direction = image.GetSpacing(), image.GetOrigin(), image.GetDirection()
        if dimension == 2:
            spacing, origin = (*spacing, 1.0), (*origin, 0.0)
            direction = (direction[0], direction[1], 0.0, direction[2], direction[3], 0.0, 0.0, 0.0, 1.0)
        return cls(shape, spacing, origin, direction, dimension, unit)

    @property
    def voxel_volume(self) -> float:
        """Volume of one voxel in mm3 (of a 2-D image: area in mm2, as if 1 mm thick); 1.0 when `unit` is "pixel"."""
        return 1.0 if self.unit == "pixel" else math.prod(self.spacing)

    @property
    def is_plain(self) -> bool:
        """True when the file says nothing about the place: spacing 1, origin 0, and the identity as direction, in LPS or in NIfTI's RAS."""
        return self.is_at_zero and bool(np.allclose(self.spacing, 1.0))

    @property
    def is_at_zero(self) -> bool:
        """True when the file says no place but for its spacing: origin 0, and the identity as direction, in LPS or in NIfTI's RAS."""
        unturned = any(np.allclose(self.direction, plain) for plain in (IDENTITY, _RAS_IDENTITY))
        return unturned and bool(np.allclose(self.origin, 0.0))

    def ras_from_index(self, index: Any) -> np.ndarray:
        """(..., 3) array indices (slice, row, column), fractions allowed -> (..., 3) float64 RAS positions in mm."""
        xyz = np.asarray(index, dtype=np.float64)[..., ::-1]
        return np.asarray((xyz @ self._steps().T + np.asarray(self.origin)) * _FLIP)

    def index_from_ras(self, ras: Any) -> np.ndarray:
        """(..., 3) RAS positions in mm -> (..., 3) float64 array indices (slice, row, column), fractions and outside indices included."""
        lps = np.asarray(ras, dtype=np.float64) * _FLIP - np.asarray(self.origin)
        return np.asarray((lps @ np.linalg.inv(self._steps()).T)[..., ::-1])

    def to_image(self, array: np.ndarray) -> sitk.Image:
        """A (slice, row, column) or (slice, row, column, channel) array as an image in this place; 2-D when `dimension` is 2.

        Booleans become uint8, and half precision float32, which images do not have. A shape other than the geometry's raises ValueError.
        """
        if tuple(array.shape[:3]) != self.shape or array.ndim not in (3, 4):
            raise ValueError(f"the array has shape {array.shape}, the geometry {self.shape}")
        held = {"bool": np.uint8, "float16": np.float32}.get(array.dtype.name, array.dtype.newbyteorder("="))
        values = array.astype(held, copy=False)
        flat = self.dimension == 2
        image = sitk.GetImageFromArray(values[0] if flat else values, isVector=array.ndim == 4)
        image.SetSpacing(self.spacing[:2] if flat else self.spacing)
        image.SetOrigin(self.origin[:2] if flat else self.origin)
        image.SetDirection([self.direction[i] for i in (0, 1, 3, 4)] if flat else self.direction)
        return image

    def as_dict(self) -> dict[str, Any]:
        """Plain lists, numbers and strings, ready for JSON."""
        values = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
        del values["forms"]
        return values if self.forms is None else {**values, "forms": self.forms.as_dict()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Geometry:
        """The inverse of `as_dict`. Missing or impossible entries raise InvDetectError."""
        try:
            shape, spacing, origin, direction = (values[name] for name in ("shape", "spacing", "origin", "direction"))
            geometry = cls(
                tuple(int(n) for n in shape),  # type: ignore[arg-type]  # the lengths are tested below
                tuple(float(n) for n in spacing),  # type: ignore[arg-type]
                tuple(float(n) for n in origin),  # type: ignore[arg-type]
                tuple(float(n) for n in direction),
                int(values["dimension"]),
                str(values["unit"]),
                NiftiForms.from_dict(values["forms"]) if values.get("forms") is not None else None,
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise InvDetectError("The geometry is not a complete table of numbers; the file is damaged or foreign.") from error
        if not geometry._is_possible():
            raise InvDetectError("The geometry holds impossible numbers; the file is damaged or foreign.")
        return geometry

    def _is_possible(self) -> bool:
        lengths = (len(self.shape), len(self.spacing), len(self.origin), len(self.direction))
        if lengths != (3, 3, 3, 9) or self.dimension not in (2, 3) or self.unit not in ("mm", "pixel"):
            return False
        if not 1 <= min(self.shape) <= max(self.shape) <= _LONGEST or not np.isfinite((*self.spacing, *self.origin, *self.direction)).all():
            return False
        with np.errstate(over="ignore"):
            volume = np.linalg.det(self._steps())
        return min(self.spacing) > 0 and bool(volume != 0 and np.isfinite(volume))

    def _steps(self) -> np.ndarray:
        """(3, 3): its columns are the LPS steps in mm from one voxel to the next along x, y, z."""
        return np.asarray(self.direction, dtype=np.float64).reshape(3, 3) * np.asarray(self.spacing)
