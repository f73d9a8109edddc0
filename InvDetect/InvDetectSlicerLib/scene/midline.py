"""Where left was held against right, drawn faintly into the slice views. A pointer like the mark on a finding: nobody can choose it, and no
scene is saved with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk

from .nodes import ResultNodes, provenance_of
from .pointers import add_pointer, pointers, remove_pointer

_MIDLINE = "midline"  # no role of a result
_COLOUR = (0.55, 1.0, 0.55)  # neither that of outlines nor one of the map
_FAINT = 0.5


def has_midline(nodes: ResultNodes | None) -> bool:
    """Whether this result knows where its midline is, and where its scan lies."""
    return nodes is not None and _plane(nodes) is not None


def show_midline(nodes: ResultNodes) -> None:
    """Draw the midline of this result, where it has one, and no other's."""
    plane = _plane(nodes)
    if plane is None:
        hide_midline()
        return
    volume = nodes.map or nodes.input
    node = _midline() or _make()
    changing = node.StartModify()
    node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    node.SetAndObservePolyData(_polygon(_section(_corners(volume), *plane)))
    node.EndModify(changing)


def hide_midline() -> None:
    """No midline is drawn, and nothing of it stays in the scene."""
    remove_pointer(_midline())


def _plane(nodes: ResultNodes) -> tuple[np.ndarray, np.ndarray] | None:
    """Origin and normal in the scan's own RAS, as a result's provenance has them; a scene can come from another version."""
    if (nodes.map or nodes.input) is None:
        return None
    try:
        facts = provenance_of(nodes)["midline"]
        origin, normal = (np.array(facts[name], float) * (-1, -1, 1) for name in ("origin", "normal"))
    except (KeyError, TypeError, ValueError):
        return None
    right = np.isfinite([*origin, *normal]).all() and abs(np.linalg.norm(normal) - 1) < 0.01
    return (origin, normal) if right else None


def _corners(volume: Any) -> np.ndarray:
    """(2, 2, 2, 3) the corners of the scan in its own RAS, in mm: along k, j and i."""
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    sizes = volume.GetImageData().GetDimensions()
    ends = np.stack(np.meshgrid(*([-0.5, size - 0.5] for size in sizes[::-1]), indexing="ij"), axis=-1)[..., ::-1]
    return ends @ slicer.util.arrayFromVTKMatrix(matrix)[:3, :3].T + slicer.util.arrayFromVTKMatrix(matrix)[:3, 3]


def _section(corners: np.ndarray, origin: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """(points, 3) where a plane cuts the edges of a box, one after the other around it; none where it does not."""
    cuts = []
    for axis in range(3):
        for start, end in zip(np.take(corners, 0, axis).reshape(-1, 3), np.take(corners, 1, axis).reshape(-1, 3)):
            below, above = (start - origin) @ normal, (end - origin) @ normal
            if below * above <= 0 and below != above:
                cuts.append(start + (end - start) * below / (below - above))
    if len(cuts) < 3:
        return np.zeros((0, 3))
    points = np.array(cuts)
    spokes = points - points.mean(axis=0)
    along = np.cross(normal, spokes[0])
    return points[np.argsort(np.arctan2(spokes @ along / max(np.linalg.norm(along), 1e-9), spokes @ spokes[0] / np.linalg.norm(spokes[0])))]


def _polygon(points: np.ndarray) -> Any:
    found, places, cells = vtk.vtkPolyData(), vtk.vtkPoints(), vtk.vtkCellArray()
    places.SetData(numpy_to_vtk(np.ascontiguousarray(points), deep=True))
    found.SetPoints(places)
    if len(points):
        cells.InsertNextCell(len(points), list(range(len(points))))
    found.SetPolys(cells)
    return found


def _midline() -> Any:
    return next(pointers("vtkMRMLModelNode", _MIDLINE), None)


def _make() -> Any:
    node = slicer.vtkMRMLModelNode()
    look = add_pointer(node, "InvDetect midline", _MIDLINE)
    look.SetColor(*_COLOUR)
    look.SetVisibility2D(True)
    look.SetVisibility3D(False)
    look.SetSliceIntersectionThickness(1)
    look.SetSliceIntersectionOpacity(_FAINT)
    return node
