"""Findings: the connected pieces of a mask, measured in the scan's own voxels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import SimpleITK as sitk

from ..models import Count, OneOf, Range, Share, from_values
from ..scans import Geometry


@dataclass(frozen=True)
class Finding:
    """One connected piece of the mask.

    label          1 for the finding with the highest peak, 2 for the next, ...
    volume, unit   in "mm3"; of a 2-D image the area in "mm2"; without physical spacing the count of voxels, "pixels"
    peak, mean     of the anomaly map inside the finding, in the map's unit: the higher, the less normal
    p_value        how often a normal scan has such a peak (0 to 1); None when the model keeps no held-out normals
    normals        number of held-out normal units (scans or slices) that `p_value` rests on
    centroid_ras   mean position of the voxel centres, RAS in mm (in pixels without physical spacing)
    peak_index     (slice, row, column) of the highest voxel in the scan's array, from 0; the first in array order when several tie
    first_slice, last_slice   from 0, along the axis of the scan's array that the model's slices follow; both belong to the finding
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

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Finding:
        """The inverse of `dataclasses.asdict`, also after JSON turned tuples into lists. `InvDetectError` for others."""
        return from_values(cls, values, "finding")


def volume_unit(geometry: Geometry) -> str:
    """The unit in which `find_findings` measures a scan of this geometry: "mm3", "mm2" or "pixels"."""
    if geometry.unit == "pixel":
        return "pixels"
    return "mm3" if geometry.dimension == 3 else "mm2"


def find_findings(
    mask: np.ndarray,
    anomaly_map: np.ndarray,
    geometry: Geometry,
    slice_axis: int,
    p_value: Callable[[float], tuple[float | None, int]],
) -> list[Finding]:
    """The 26-connected pieces of a mask (8-connected in a single slice), highest peak first, then largest, then first in the array.

    mask         (slice, row, column) bool, in the scan's own array
    anomaly_map  the same shape, float: the map that peaks and means are read from
    slice_axis   0, 1 or 2: the array axis that `first_slice` and `last_slice` count along
    p_value      peak -> (p or None, number of normals), see `Calibration.p_value`
    """
    voxels = np.flatnonzero(mask)
    if not voxels.size:
        return []
    piece = _pieces(mask).ravel()[voxels].astype(np.intp) - 1
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

    findings: list[Finding] = []
    for number in np.lexsort((voxels[top], -count, -value[top])):
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
            )
        )
    return findings


def label_findings(mask: np.ndarray, findings: Sequence[Finding]) -> np.ndarray:
    """(slice, row, column) int32: each voxel of the mask carries the label of its finding, the others 0. `findings` of this very mask."""
    labels = np.zeros(mask.shape, np.int32)
    if findings:
        pieces = _pieces(mask)
        label = np.zeros(int(pieces.max()) + 1, np.int32)
        for finding in findings:
            label[pieces[finding.peak_index]] = finding.label
        inside = np.flatnonzero(mask)  # a small share of the voxels as a rule
        labels.ravel()[inside] = label[pieces.ravel()[inside]]
    return labels


def _pieces(mask: np.ndarray) -> np.ndarray:
    """(slice, row, column) uint32: the connected pieces numbered from 1 in no particular order, 0 outside."""
    return sitk.GetArrayFromImage(sitk.ConnectedComponent(sitk.GetImageFromArray(mask.astype(np.uint8)), True))


def _three(values: np.ndarray, kind: type) -> tuple:
    one, two, three = (kind(value) for value in values)
    return one, two, three
