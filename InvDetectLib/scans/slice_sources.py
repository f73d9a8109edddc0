"""Where the slices of a DICOM scan come from: which file, which frame of it, and the very words in which that file says the place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .dicom_kinds import is_dicom
from .geometry import Geometry
from .itk import unreadable
from .reading import read_scan

_SAME = 0.1  # voxels by which the corners of the same grid may differ: other readers round, and straighten axes elsewhere


@dataclass(frozen=True)
class SliceSource:
    """One slice of the array that `read_scan` gives, from its file.

    frame      its number in the file, from 0; None for a file of one image
    position   centre of the first pixel, LPS in mm; None like `axes` for an image that says no place
    axes       unit LPS vectors along a row and along a column
    spacing    (row, column) distance in mm; None where not told
    thickness  in mm; None where not told
    """

    path: Path
    frame: int | None
    position: tuple[float, float, float] | None
    axes: tuple[float, ...] | None
    spacing: tuple[float, float] | None
    thickness: float | None


@dataclass(frozen=True)
class Origin:
    """The volume at a path that a scan is of, slice by slice in the order of its array, and where it lies."""

    slices: tuple[SliceSource, ...]
    geometry: Geometry

    def from_scan(self, array: np.ndarray, geometry: Geometry) -> np.ndarray:
        """(slice, row, column) values of a scan of this volume whose axes may be turned or reversed, in this volume's own order."""
        turn = _turn(self.geometry, geometry)
        if turn is None:
            raise ValueError("the scan is not on the grid of the volume")
        order, reversed_axes = turn
        return np.flip(np.transpose(array, order), reversed_axes)


def origin_of(source: Path | Sequence[Path], geometry: Geometry, digest: str) -> Origin:
    """The volume among those at `source`, a DICOM file, a folder or the files of a series, that a scan is of.

    geometry, digest  of the scan; the digest decides where several volumes lie on the same grid
    Raises InvDetectError when there is none, or for a path that cannot be read or is no DICOM.
    """
    from .dicom import volumes_at  # loads pydicom

    paths = [source] if isinstance(source, Path) else list(source)
    path = paths[0] if paths else Path()
    if not paths or not all(one.is_dir() or is_dicom(one) for one in paths):
        raise unreadable(path, "it is no DICOM file", "Give the DICOM series that was examined")
    try:
        volumes = volumes_at(paths)
    except OSError as error:
        raise unreadable(path, error.strerror or "it cannot be opened", "Check that you may read it") from error
    fitting = {name: volume for name, volume in volumes.items() if _turn(volume[1], geometry) is not None}
    if len(fitting) > 1 and len(paths) == 1:
        fitting = {name: volume for name, volume in fitting.items() if read_scan(path, name).digest == digest}
    if len(fitting) != 1:
        reason = "it holds no volume of slices with places that is the scan of this result"
        raise unreadable(path, reason, "Give the DICOM series that was examined")
    slices, place = next(iter(fitting.values()))
    sources = [
        SliceSource(
            one.path,
            one.frame if one.groups else None,
            None if one.position is None else (float(one.position[0]), float(one.position[1]), float(one.position[2])),
            None if one.axes is None else tuple(float(value) for value in one.axes[:, :2].T.ravel()),
            one.spacing,
            one.thickness,
        )
        for one in slices
    ]
    return Origin(tuple(sources), place)


def _turn(volume: Geometry, scan: Geometry) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """How the axes of a scan's array become those of the volume: their order, and which are reversed then; None for another grid."""
    if (volume.dimension, volume.unit) != (scan.dimension, scan.unit):
        return None
    start, *ends = scan.index_from_ras(volume.ras_from_index(np.concatenate([np.zeros((1, 3)), np.eye(3)])))
    steps = np.array(ends) - start  # row k: steps of the scan's indices along axis k of the volume
    order = np.abs(steps).argmax(axis=1)
    if sorted(order) != [0, 1, 2] or tuple(scan.shape[axis] for axis in order) != volume.shape:
        return None
    ways = np.sign(steps[range(3), order])
    corners = np.array([[0, 0, 0], np.array(volume.shape) - 1, *np.diag(np.array(volume.shape) - 1)])
    wanted = np.zeros((len(corners), 3))
    for axis, (other, way) in enumerate(zip(order, ways, strict=True)):
        wanted[:, other] = corners[:, axis] if way > 0 else volume.shape[axis] - 1 - corners[:, axis]
    found = scan.index_from_ras(volume.ras_from_index(corners))
    if np.abs(found - wanted).max() > _SAME:
        return None
    return tuple(int(axis) for axis in order), tuple(int(axis) for axis in np.flatnonzero(ways < 0))
