"""Which slice of a volume is on screen, in which view, and which views are our own."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk

OWN = "InvDetect"  # names of the views that `side_by_side` adds begin with it
_ALIGNED = 0.7  # of the cosine between a view's normal and the slices' own: beyond, the view cuts across them


def is_own(view: Any) -> bool:
    """Whether a slice view, or the node of its layers, is not the user's but of `side_by_side`."""
    return (view.GetLayoutName() or "").startswith(OWN)


def reading_view(volume: Any, axis: int) -> Any:
    """The slice view of the user's in which one reads a volume: on screen, and of those the one that lies best along the slices. Where no
    slice view is on screen, one that is not; None where there is none at all."""
    views = [view for view in slicer.util.getNodesByClass("vtkMRMLSliceNode") if not is_own(view)]
    views = [view for view in views if view.IsMappedInLayout()] or views
    normal = _normal(volume, axis)
    return max(views, key=lambda view: _cosine(view, normal), default=None)


def shown_slice(logic: Any, volume: Any, axis: int) -> int | None:
    """Index along `axis` of the volume's array that the best-aligned slice view shows; None when no view lies along the slices."""
    views = [view for view in slicer.util.getNodesByClass("vtkMRMLSliceNode") if view.IsMappedInLayout()]
    if volume is None or volume.GetImageData() is None or not views:
        return None
    normal = _normal(volume, axis)
    best = max(views, key=lambda view: _cosine(view, normal))
    return logic.shownIndex(volume, axis, best) if _cosine(best, normal) > _ALIGNED else None


def _cosine(view: Any, normal: np.ndarray) -> float:
    matrix = view.GetSliceToRAS()
    return abs(float(np.dot(normal, [matrix.GetElement(i, 2) for i in range(3)])))


def _normal(volume: Any, axis: int) -> np.ndarray:
    """(3,) unit vector in the world: the way between neighbouring slices, the volume's parent transform included."""
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    ends = []
    for index in (0.0, 1.0):
        ijk = [0.0, 0.0, 0.0]
        ijk[2 - axis] = index
        world = [0.0, 0.0, 0.0]
        volume.TransformPointToWorld(matrix.MultiplyPoint((*ijk, 1.0))[:3], world)
        ends.append(np.array(world))
    way = ends[1] - ends[0]
    return way / max(float(np.linalg.norm(way)), 1e-12)
