"""Findings: the connected pieces of a mask, measured in the scan's own voxels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import SimpleITK as sitk

from ..models import Count, OneOf, Range, Share, from_values
from ..scans import Geometry
from .reasons import Reasons


@dataclass(frozen=True)
class Finding:
    """One connected piece of the mask.

    label          1 for the finding with the largest mass, 2 for the next, ...; by the peak where masses are not known
    volume, unit   in "mm3"; of a 2-D image the area in "mm2"; without physical spacing the count of voxels, "pixels"
    peak, mean     of the anomaly map inside the finding, in the map's unit: the higher, the less normal
    p_value        how often a normal scan has such a peak (0 to 1); None when the model keeps no held-out normals
    normals        number of held-out normal units (scans or slices) that `p_value` rests on
    centroid_ras   mean position of the voxel centres, RAS in mm (in pixels without physical spacing)
    peak_index     (slice, row, column) of the highest voxel in the scan's array, from 0; the first in array order when several tie
    first_slice, last_slice   from 0, along the axis of the scan's array that the model's slices follow; both belong to the finding
    mass           score times `unit`: the sum over its voxels of max(map - u, 0), u the model's `Calibration.forming_level`, times their
                   volume; None where the model keeps no masses of normals, as of the next
    p_value_mass   how often a normal scan holds such a mass in one finding (0 to 1), against as many `normals`; None, too, where the scan
                   and the model's normals are measured in different units
    stability      share (0 to 1) of small changes of the scan under which it stays a finding (`Detector.detect`); None: not measured
    reasons        why it is one; None where they were not asked for, or the mask was refined since so that its peak is another
    """

    label: Annotated[int, Range(1, 2**31 - 1)]
    volume: Annotated[float, Range(0.0, 1e30)]
    unit: Annotated[str, OneOf(("mm3", "mm2", "pixels"))]
    peak: float
    mean: float
    p_value: Share | None
    normals: Count
    centroid_ras: tuple[float, float, float]
    peak_index: tuple[Count, Count, Count]
    first_slice: Count
    last_slice: Count
    mass: Annotated[float, Range(0.0, 1e30)] | None = None
    p_value_mass: Share | None = None
    stability: Share | None = None
    reasons: Reasons | None = None

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Finding:
        """The inverse of `dataclasses.asdict`, also after JSON turned tuples into lists. `InvDetectError` for others."""
        return from_values(cls, values, "finding")


def volume_unit(geometry: Geometry) -> str:
    """The unit in which `find_findings` measures a scan of this geometry: "mm3", "mm2" or "pixels"."""
    if geometry.unit == "pixel":
        return "pixels"
    return "mm3" if geometry.dimension == 3 else "mm2"


@dataclass(frozen=True)
class MassScale:
    """How findings are weighed.

    level      u, in the unit of the map: only what lies above it counts
    per_slice  normals were weighed slice by slice: then it is the area of a finding's heaviest slice that is compared, not its volume
    p_value    such a mass -> p, or None
    """

    level: float
    per_slice: bool
    p_value: Callable[[float], float | None]


def find_findings(
    mask: np.ndarray,
    anomaly_map: np.ndarray,
    geometry: Geometry,
    slice_axis: int,
    p_value: Callable[[float], tuple[float | None, int]],
    masses: MassScale | None = None,
    stability: Mapping[tuple[int, int, int], float] | None = None,
) -> list[Finding]:
    """The 26-connected pieces of a mask (8-connected in a single slice), in the order of their labels.

    The largest mass comes first, where they are weighed; then the highest peak, then the largest, then the first in the array.

    mask         (slice, row, column) bool, in the scan's own array
    anomaly_map  the same shape, float: the map that peaks and means are read from
    slice_axis   0, 1 or 2: the array axis that `first_slice` and `last_slice` count along
    p_value      peak -> (p or None, number of normals), see `Calibration.p_value`
    masses       how to weigh findings; None: not at all
    stability    that of findings by their peak voxel, as far as it is known
    """
    voxels = np.flatnonzero(mask)
    if not voxels.size:
        return []
    piece = connected_pieces(mask).ravel()[voxels].astype(np.intp) - 1
    value = np.asarray(anomaly_map).ravel()[voxels].astype(np.float64)
    index = np.stack(np.unravel_index(voxels, mask.shape), axis=1)

    count = np.bincount(piece)
    mean = np.bincount(piece, value) / count
    centre = np.stack([np.bincount(piece, axis) for axis in index.T], axis=1) / count[:, None]
    along = index[:, slice_axis]
    first, last = np.full(count.size, mask.shape[slice_axis]), np.full(count.size, -1)
    np.minimum.at(first, piece, along)
    np.maximum.at(last, piece, along)
    highest = np.lexsort((voxels, -value, piece))  # by piece, then downwards in value, then in array order
    top = highest[np.concatenate([[0], np.cumsum(count)[:-1]])]

    mass, p_of_mass = _weighed(value, piece, along, geometry, slice_axis, masses)
    findings: list[Finding] = []
    for number in np.lexsort((voxels[top], -count, -value[top], -mass)):
        peak = float(value[top[number]])
        findings.append(
            Finding(
                len(findings) + 1,
                float(count[number] * geometry.voxel_volume),
                volume_unit(geometry),
                peak,
                float(mean[number]),
                *p_value(peak),
                _three(geometry.ras_from_index(centre[number]), float),
                _three(index[top[number]], int),
                int(first[number]),
                int(last[number]),
                None if masses is None else float(mass[number]),
                p_of_mass[number],
                (stability or {}).get(_three(index[top[number]], int)),
            )
        )
    return findings


def _weighed(
    value: np.ndarray, piece: np.ndarray, along: np.ndarray, geometry: Geometry, slice_axis: int, masses: MassScale | None
) -> tuple[np.ndarray, list[float | None]]:
    """For each piece its mass and how rare that is; zeros and None where nothing is weighed.

    value, piece, along  for each voxel of the mask the map, the number of its piece, and its slice
    """
    count = int(piece.max()) + 1
    if masses is None:
        return np.zeros(count), [None] * count
    excess = np.maximum(value - masses.level, 0)
    mass = np.bincount(piece, excess) * geometry.voxel_volume
    if not masses.per_slice:
        return mass, [masses.p_value(float(one)) for one in mass]
    slices = int(along.max()) + 1
    heaviest = np.bincount(piece * slices + along, excess, count * slices).reshape(count, slices).max(axis=1)
    thickness = geometry.spacing[2 - slice_axis] if geometry.unit == "mm" else 1.0
    return mass, [masses.p_value(float(one)) for one in heaviest * geometry.voxel_volume / thickness]


def label_findings(mask: np.ndarray, findings: Sequence[Finding]) -> np.ndarray:
    """(slice, row, column) int32: each voxel of the mask carries the label of its finding, the others 0. `findings` of this very mask."""
    labels = np.zeros(mask.shape, np.int32)
    if findings:
        pieces = connected_pieces(mask)
        label = np.zeros(int(pieces.max()) + 1, np.int32)
        for finding in findings:
            label[pieces[finding.peak_index]] = finding.label
        inside = np.flatnonzero(mask)  # a small share of the voxels as a rule
        labels.ravel()[inside] = label[pieces.ravel()[inside]]
    return labels


def connected_pieces(mask: np.ndarray) -> np.ndarray:
    """(slice, row, column) uint32: the connected pieces numbered from 1 in no particular order, 0 outside."""
    return sitk.GetArrayFromImage(sitk.ConnectedComponent(sitk.GetImageFromArray(mask.astype(np.uint8)), True))


def _three(values: np.ndarray, kind: type) -> tuple:
    one, two, three = (kind(value) for value in values)
    return one, two, three
