"""What the tests of the scene share: volumes in every kind of place, and results of known voxels. Needs slicer-core."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import slicer
from InvDetectSlicerLib.scene.findings_table import geometry_in
from InvDetectSlicerLib.scene.nodes import ResultNodes
from InvDetectSlicerLib.scene.volumes import array_of, geometry_of

from InvDetectLib.models.settings import Preparation
from InvDetectLib.results.findings import label_findings
from InvDetectLib.results.result import Result
from InvDetectLib.scans.geometry import Geometry
from InvDetectLib.scans.slicing import SliceGrid
from Testing.support.made_results import CALIBRATION, assembled

SHAPE = (5, 12, 16)  # slices, rows, columns
_C, _S = np.cos(0.3), np.sin(0.3)
_TURN = np.array([[_C, -_S, 0], [_S, _C, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, _C, -_S], [0, _S, _C]])
# The directions (columns: i, j, k in RAS) in which a scan's axes may run.
DIRECTIONS = {
    "straight": np.diag([-1.0, -1.0, 1.0]),
    "oblique": _TURN @ np.diag([-1.0, -1.0, 1.0]),
    "flipped": np.diag([1.0, -1.0, -1.0]) @ np.diag([1.0, 1.0, -1.0]),
    "sagittal": np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]]),
}
SPACING = np.array([0.7, 0.9, 4.0])  # along i, j, k
SHEARED = DIRECTIONS["straight"] @ np.array([[1, 0, 0], [0, 1, np.sin(0.2)], [0, 0, np.cos(0.2)]])


def matrix(direction: np.ndarray) -> np.ndarray:
    """(4, 4) from voxel (i, j, k) to RAS."""
    ijk_to_ras = np.eye(4)
    ijk_to_ras[:3, :3] = direction * SPACING
    ijk_to_ras[:3, 3] = (20.0, -35.0, 12.5)
    return ijk_to_ras


def numbered(shape: tuple[int, ...] = SHAPE, dtype: type = np.int16) -> np.ndarray:
    """Every voxel another number."""
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def add_volume(direction: str = "oblique", array: np.ndarray | None = None, moved: bool = False, name: str = "Jane Doe") -> Any:
    """A volume in the scene; `moved`: under a parent transform that turns and shifts."""
    values = numbered() if array is None else array
    kind = "vtkMRMLVectorVolumeNode" if values.ndim == 4 else "vtkMRMLScalarVolumeNode"
    volume = slicer.util.addVolumeFromArray(values, matrix(DIRECTIONS[direction]), name, kind)
    volume.CreateDefaultDisplayNodes()
    if moved:
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "pose")
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = _TURN.T, (3.0, 40.0, -7.0)
        transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(pose))
        volume.SetAndObserveTransformNodeID(transform.GetID())
    return volume


def world(node: Any, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """(voxels, 3) world RAS of every voxel of a volume, by MRML's own matrices, in array order."""
    to_ras, to_world = slicer.util.vtkMatrixFromArray(np.eye(4)), np.eye(4)
    node.GetIJKToRASMatrix(to_ras)
    if node.GetParentTransformNode() is not None:
        parent = slicer.util.vtkMatrixFromArray(np.eye(4))
        node.GetParentTransformNode().GetMatrixTransformToWorld(parent)
        to_world = slicer.util.arrayFromVTKMatrix(parent)
    index = np.indices(shape).reshape(3, -1)[::-1]
    return (to_world @ slicer.util.arrayFromVTKMatrix(to_ras) @ np.vstack([index, np.ones(index.shape[1])]))[:3].T


def fingerprint(volume: Any) -> str:
    """Changes when voxels, place, name, attributes or references of a volume change."""
    digest = hashlib.sha256(array_of(volume).tobytes())
    attributes = [(name, volume.GetAttribute(name)) for name in volume.GetAttributeNames()]
    digest.update(repr((world(volume)[[0, -1]], volume.GetName(), attributes, volume.GetTransformNodeID())).encode())
    return digest.hexdigest()


def everything() -> set[str]:
    """Ids of all nodes in the scene but the subject hierarchy, which comes with the first question about it."""
    scene = slicer.mrmlScene
    nodes = (scene.GetNthNode(number) for number in range(scene.GetNumberOfNodes()))
    return {node.GetID() for node in nodes if not node.IsA("vtkMRMLSubjectHierarchyNode")}


def three_lumps(shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """Scores with three lumps of unlike height, which become findings 1, 2, 3; the third falls out at a threshold of 2, the second at 3."""
    scores = np.full(shape, -1.0, np.float32)
    scores[1:4, 2:5, 2:6] = 4.0
    scores[1:3, 7:10, 9:14] = 2.5
    scores[4, 9:11, 2:4] = 1.5
    scores[2, 3, 4] += 0.5
    scores[2, 8, 11] += 0.3
    scores[4, 10, 3] += 0.2
    return scores


def result_for(volume: Any, scores: np.ndarray | None = None, **changes: Any) -> Result:
    """A result whose map is `scores` (slice, row, column of the scan's array), without smoothing."""
    geometry = geometry_of(volume)
    scores = three_lumps(geometry.shape) if scores is None else scores
    sides = np.array(geometry.spacing[::-1]) * geometry.shape
    axis = SliceGrid.for_scan(geometry, Preparation(grid=8)).slice_axis
    in_plane = [a for a in range(3) if a != axis]
    preparation = Preparation(grid=None, spacing_mm=min(geometry.spacing[2 - a] for a in in_plane))
    if geometry.unit == "pixel":
        preparation = Preparation(grid=int(max(sides[a] for a in in_plane)))
    grid = SliceGrid.for_scan(geometry, preparation)
    slices, rows, columns = grid.shape
    parts: dict[str, Any] = {
        "name": "jane-doe",
        "geometry": geometry,
        "preparation": preparation,
        "calibration": CALIBRATION,
        "grid_map": grid.to_grid(scores),
        "grid_scored": np.ones(grid.shape, bool),
        "edges_down": np.random.default_rng(1).uniform(0, 0.1, (slices, rows - 1, columns)),
        "edges_right": np.random.default_rng(2).uniform(0, 0.1, (slices, rows, columns - 1)),
        "foreground": np.ones(geometry.shape, bool),
        "provenance": {"model": {"checksum": "0f0f"}, "seed": 0},
        "threshold": 0.5,
    }
    return assembled(**{**parts, **changes})


def at(volume: Any, array: np.ndarray, geometry: Geometry) -> np.ndarray:
    """An array of `volume` in the order of `geometry`, voxel by voxel by their places: Slicer turns left-handed axes when it reads."""
    places = geometry.ras_from_index(np.stack(np.indices(geometry.shape), axis=-1))
    index = np.rint(geometry_of(volume).index_from_ras(places)).astype(int)
    return array[tuple(np.moveaxis(index, -1, 0))]


def shown_mask(nodes: ResultNodes) -> np.ndarray:
    """(slice, row, column) int: number of the finding's segment on the voxels of the scan, by Slicer's own export."""
    segments = nodes.segmentation.GetSegmentation()
    whole = np.zeros(array_of(nodes.input).shape[:3], int)
    for name in segments.GetSegmentIDs():
        number = int(segments.GetSegment(name).GetName().removeprefix("Finding "))
        whole[slicer.util.arrayFromSegmentBinaryLabelmap(nodes.segmentation, name, nodes.input) > 0] = number
    return at(nodes.input, whole, geometry_in(nodes.table))


def numbers_of(result: Result) -> np.ndarray:
    return label_findings(result.mask, result.findings)


def cells(table: Any, column: str) -> list[Any]:
    values = table.GetTable().GetColumnByName(column)
    return [values.GetValue(row) for row in range(values.GetNumberOfValues())]


def shown_segments(nodes: ResultNodes) -> list[str]:
    return [nodes.segmentation.GetSegmentation().GetSegment(one).GetName() for one in nodes.segmentation.GetSegmentation().GetSegmentIDs()]
