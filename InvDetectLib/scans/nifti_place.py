"""Where a NIfTI file lies: which of its forms counts, what is warned of, and what no map could be saved of.

One rule decides, nibabel's: the sform if its code is above 0, else the qform if its code is, else the voxel sizes alone. A file of the last
kind says no place, and its axes are taken as Slicer and SimpleITK take them: first to the left, second backwards, third upwards.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from nibabel.spatialimages import HeaderDataError

from ..common import InvDetectError
from .forms import NiftiForms
from .geometry import Geometry
from .itk import SHEARED, SQUARE, open_image, unreadable

_MM = {1: 1000.0, 2: 1.0, 3: 0.001}  # codes of the units of length
_APART = 0.1  # voxels, from which on two ways of saying the place differ
_OTHER = 1e-3  # share by which a voxel size may be another than the affine's
_ROUNDING = 0.01  # voxels
_FLIP = np.array([-1.0, -1.0, 1.0])
_ANALYZE = "the file is in the Analyze format, which does not say where left and right are"
_PLACELESS = "the file does not say where it lies (its sform and qform have code 0), nor where left and right are"


@dataclass(frozen=True)
class _Place:
    """One way in which a header says where its voxels lie: its name for users, and the (4, 4) affine to RAS in the header's unit."""

    name: str
    affine: np.ndarray

    @property
    def is_possible(self) -> bool:
        return bool(np.isfinite(self.affine).all() and np.linalg.det(_unit_columns(self.affine)) != 0)


def find_place(path: Path, raw: Any, mended: Any, sizes: list[int]) -> tuple[Geometry, list[str]]:
    """The geometry of an image of `sizes` (x, y, ...) and what is to be warned of.

    raw, mended  nibabel's header as the file has it, and after nibabel's own corrections; path  of the file, for errors
    Raises InvDetectError for an impossible place, and for one that no direction matrix can hold.
    """
    shape = tuple((*sizes, 1, 1)[:3])[::-1]
    is_nifti = isinstance(raw, nib.Nifti1Header)
    places = _said(mended) if is_nifti else []
    unit = int(raw["xyzt_units"]) & 7 if is_nifti else 0
    if not places:
        place = _Place("voxel sizes", np.diag([*(_FLIP * _sizes(raw)), 1.0]))
        warnings = [_PLACELESS if is_nifti else _ANALYZE]
    else:
        place, warnings = places[0], _differences(places, shape)
    forms = NiftiForms.of(raw) if is_nifti else None
    affine, sides = place.affine, raw["pixdim"][1:4]
    if len(sizes) < 3 and not place.is_possible:  # the third axis of a flat image is often left out
        affine, forms = _with_normal(affine, float(_sizes(raw)[2])), None
    if not _Place(place.name, affine).is_possible:
        raise unreadable(path, f"its {place.name} says an impossible place", "Correct its header")
    warnings += _odd_sizes(place.name, sides, affine, min(len(sizes), 3))
    axes = _unit_columns(affine)
    if np.abs(axes.T @ axes - np.eye(3)).max() > SQUARE:  # a map of it could not be saved: most viewers would straighten the axes
        raise unreadable(path, *SHEARED)
    affine = np.vstack([affine[:3] * _MM.get(unit, 1.0), affine[3:]])
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    geometry = Geometry(
        shape=shape,  # type: ignore[arg-type]  # three of them
        spacing=tuple(map(float, spacing)),  # type: ignore[arg-type]
        origin=tuple(map(float, _FLIP * affine[:3, 3] + 0.0)),  # type: ignore[arg-type]
        direction=tuple(map(float, (_FLIP[:, None] * axes + 0.0).ravel())),
        unit="mm" if unit in _MM or not np.all(spacing == 1) else "pixel",
        forms=forms,
    )
    return _in_known_digits(path, geometry), warnings


def _said(mended: Any) -> list[_Place]:
    """What the header says of the place, the form that counts first."""
    places = []
    if (code := int(mended["sform_code"])) > 0:
        places.append(_Place(f"sform (code {code})", np.asarray(mended.get_sform(), np.float64)))
    if (code := int(mended["qform_code"])) > 0:
        try:
            affine = np.asarray(mended.get_qform(), np.float64)
        except (ValueError, HeaderDataError):  # no rotation
            affine = np.full((4, 4), np.nan)
        places.append(_Place(f"qform (code {code})", affine))
    return places


def _sizes(raw: Any) -> np.ndarray:
    """The voxel sizes as nibabel mends them: without their signs, and 1 for 0."""
    sizes = np.abs(raw["pixdim"][1:4].astype(np.float64))
    return np.where(sizes == 0, 1.0, sizes)


def _differences(places: list[_Place], shape: tuple[int, ...]) -> list[str]:
    """A warning when sform and qform put the same voxel more than `_APART` voxels apart."""
    if len(places) < 2 or not places[0].is_possible:
        return []
    used, other = places
    if not other.is_possible:
        return [f"the {other.name} says an impossible place; the {used.name} counts"]
    corners = _corners(shape)
    mm = np.linalg.norm(corners @ (used.affine - other.affine).T, axis=1).max()
    voxels = np.abs(corners @ (np.linalg.inv(used.affine) @ other.affine).T - corners).max()
    if voxels <= _APART:
        return []
    return [f"the {used.name} and the {other.name} lie up to {mm:.1f} mm ({voxels:.1f} voxels) apart; the {used.name} counts"]


def _odd_sizes(name: str, sides: np.ndarray, affine: np.ndarray, dimensions: int) -> list[str]:
    """A warning when pixdim is negative, 0, or another size than that of the affine's columns."""
    real = np.linalg.norm(affine[:3, :3], axis=0)[:dimensions]
    if np.allclose(sides[:dimensions], real, rtol=_OTHER, atol=0):
        return []
    told, counted = (" x ".join(f"{side:.4g}" for side in row) for row in (sides[:dimensions], real))
    return [f"the header's voxel sizes (pixdim {told}) are not those of its {name} ({counted}), which count"]


def _with_normal(affine: np.ndarray, thickness: float) -> np.ndarray:
    """An affine whose third axis is at right angles to the others, `thickness` long."""
    whole = affine.copy()
    normal = np.cross(affine[:3, 0], affine[:3, 1])
    length = np.linalg.norm(normal)
    whole[:3, 2] = normal * (thickness / length if length > 0 else 0)
    return whole


def _in_known_digits(path: Path, geometry: Geometry) -> Geometry:
    """The same place in SimpleITK's digits, where it reads the same: the digests in models and results hold its last bits."""
    image = sitk.Image([1, 1, 1], sitk.sitkUInt8)  # an image also decides on the signs of its zeros
    try:
        reader = open_image(path)
        if reader.GetDimension() != 3:
            return geometry
        image.SetSpacing(reader.GetSpacing())
        image.SetOrigin(reader.GetOrigin())
        image.SetDirection(reader.GetDirection())
    except (InvDetectError, RuntimeError):  # it takes no such place
        return geometry
    theirs = replace(geometry, spacing=image.GetSpacing(), origin=image.GetOrigin(), direction=image.GetDirection())
    corners = _corners(geometry.shape)[:, 2::-1]
    off = geometry.index_from_ras(theirs.ras_from_index(corners)) - corners
    return theirs if np.abs(off).max() <= _ROUNDING else geometry


def _corners(shape: tuple[int, ...]) -> np.ndarray:
    """(8, 4) homogeneous voxel indices x, y, z, 1 of the corners of an array of this (slice, row, column) shape."""
    ends = np.meshgrid(*((0.0, float(n - 1)) for n in shape[::-1]), [1.0], indexing="ij")
    return np.stack(ends, axis=-1).reshape(-1, 4)


def _unit_columns(affine: np.ndarray) -> np.ndarray:
    """The (3, 3) directions of the axes; a column without length is left as it is."""
    columns = affine[:3, :3]
    lengths = np.linalg.norm(columns, axis=0)
    return np.asarray(columns / np.where(lengths > 0, lengths, 1))
