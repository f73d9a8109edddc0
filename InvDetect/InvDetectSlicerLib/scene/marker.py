"""The chosen finding on screen: one mark with its number, in all slice views and in 3-D. It is a pointer, not data: nobody can move it,
it is offered nowhere, and no scene is saved with it."""

from __future__ import annotations

from typing import Any

import slicer
import vtk

from .display import finding_colour
from .findings_table import findings_of, peak_ras
from .nodes import nodes_of
from .pointers import add_pointer, pointers, remove_pointer

_MARKER = "marker"  # no role of a result


def mark(table: Any, row: int) -> None:
    """Mark the highest voxel of the finding in a row of the table, instead of what was marked before. It goes along with a parent
    transform of the scan."""
    finding, nodes = findings_of(table)[row], nodes_of(table)
    volume = None if nodes is None else nodes.map or nodes.segmentation or nodes.input
    node = _marker() or _make()
    changing = node.StartModify()
    node.SetAndObserveTransformNodeID(None if volume is None else volume.GetTransformNodeID())
    node.SetNthControlPointPosition(0, *map(float, peak_ras(table, finding)))
    node.SetNthControlPointLabel(0, str(finding.label))
    node.GetDisplayNode().SetVisibility(True)
    node.EndModify(changing)


def unmark() -> None:
    """Nothing is marked."""
    node = _marker()
    if node is not None:
        node.GetDisplayNode().SetVisibility(False)


def remove_marker() -> None:
    """The mark leaves no trace in the scene."""
    remove_pointer(_marker())


def _marker() -> Any:
    return next((node for node in pointers("vtkMRMLMarkupsFiducialNode", _MARKER) if node.GetNumberOfControlPoints() == 1), None)


def _make() -> Any:
    node = slicer.vtkMRMLMarkupsFiducialNode()
    node.SetLocked(True)
    look = add_pointer(node, "InvDetect marker", _MARKER)
    node.AddControlPoint(vtk.vtkVector3d(0, 0, 0))
    look.SetGlyphTypeFromString("ThickCross2D")  # between its arms the finding stays visible
    look.SetGlyphScale(3.0)
    look.SetTextScale(5.0)
    for set_colour in (look.SetColor, look.SetSelectedColor, look.SetActiveColor):
        set_colour(*finding_colour())
    look.GetTextProperty().SetBackgroundColor(0, 0, 0)
    look.GetTextProperty().SetBackgroundOpacity(0.6)  # to be read on white, too
    look.SetOccludedVisibility(True)  # in 3-D it lies inside the finding's surface
    look.SetOccludedOpacity(1.0)
    return node
