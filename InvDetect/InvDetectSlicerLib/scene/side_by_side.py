"""Scan, map and pseudo-normal image beside each other: linked slice views of our own, in a layout of our own.

The user's views are not touched, so going back is choosing the layout that was. Whether it is on, and which layout was there, is read from
the layout node: that way it holds also after a module was reloaded, and in a scene that was saved and opened again.
"""

from __future__ import annotations

from typing import Any

import slicer

from InvDetectLib.common import InvDetectError

from . import display
from .findings_table import slice_axis_of
from .nodes import ResultNodes
from .slice_views import OWN, reading_view

LAYOUTS = {2: 47212, 3: 47213}  # number of views -> of the layout: far from Slicer's own, and unlikely to be another module's
BEFORE = "InvDetect.LayoutBefore"
_LIKE = "InvDetect.Like"  # from a view of ours to that of the user's which it began as
_GROUP = 47212  # Slicer links the views of one group: the user's are in others
_LABELS = ("Scan", "Map", "Normal")


def layout_node() -> Any:
    """Slicer's layout node; its ModifiedEvent tells that the layout may be another one. None in a Slicer without a window."""
    return slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLLayoutNode")


def is_shown() -> bool:
    """Whether the views lie beside each other now; no longer when the user has chosen another layout."""
    layout = layout_node()
    return layout is not None and layout.GetViewArrangement() in LAYOUTS.values()


def can_show(nodes: ResultNodes | None) -> bool:
    """Whether there are views, and scan, map and table of this result are still there."""
    return nodes is not None and None not in (nodes.input, nodes.map, nodes.table, layout_node())


def show(nodes: ResultNodes) -> None:
    """Scan, map over the scan, and, where the model makes one, the pseudo-normal image. `frame` has to follow when the views have a size.

    The views begin where the user reads, in his plane. Called again, they show this result instead, where they are. Raises InvDetectError
    when something of it is gone.
    """
    if not can_show(nodes):
        raise InvDetectError("This result cannot be shown side by side, because a part of it is no longer in the scene. Detect again.")
    layout, already = layout_node(), is_shown()
    reading = None if already else reading_view(nodes.input, slice_axis_of(nodes.table))
    opacity = display.opacity_of(nodes.map) or display.OPACITY
    layers = [(nodes.input, None), (nodes.input, nodes.map)]
    if nodes.pseudo_normal is not None:
        layers.append((nodes.pseudo_normal, None))
    for count, number in LAYOUTS.items():
        layout.AddLayoutDescription(number, _description(count))  # does nothing where it is known
    if not already:
        layout.SetAttribute(BEFORE, str(layout.GetViewArrangement()))
    layout.SetViewArrangement(LAYOUTS[len(layers)])
    for name, label, (background, foreground) in zip(_names(len(layers)), _LABELS, layers):
        view = slicer.mrmlScene.GetSingletonNode(name, "vtkMRMLSliceNode")
        view.SetLayoutLabel(label)
        view.SetViewGroup(_GROUP)
        if reading is not None:
            view.SetNodeReferenceID(_LIKE, reading.GetID())
            view.GetSliceToRAS().DeepCopy(reading.GetSliceToRAS())
            view.SetXYZOrigin(*reading.GetXYZOrigin())
            view.UpdateMatrices()
        _fill(name, background, foreground, opacity)
    if reading is not None:
        frame()


def frame() -> None:
    """Zoom each view so that all is in it that was on the user's screen. For views that got another size since `show`, and once only: what
    the user zooms afterwards would be lost."""
    for name in _names(max(LAYOUTS)):
        view = slicer.mrmlScene.GetSingletonNode(name, "vtkMRMLSliceNode")
        like = None if view is None else view.GetNodeReference(_LIKE)
        if like is not None:
            columns, rows, _ = view.GetDimensions()
            width, height, depth = like.GetFieldOfView()
            height = max(height, width * rows / columns)
            view.SetFieldOfView(height * columns / rows, height, depth)


def leave() -> None:
    """The layout that was; nothing where ours is not on. Without one that is known it is Slicer's usual four views."""
    layout = layout_node()
    if not is_shown():
        return
    before = layout.GetAttribute(BEFORE) or ""
    known = before.isdecimal() and layout.IsLayoutDescription(int(before)) and int(before) not in LAYOUTS.values()
    layout.SetViewArrangement(int(before) if known else layout.SlicerLayoutFourUpView)


def _names(count: int) -> list[str]:
    return [f"{OWN}{number + 1}" for number in range(count)]


def _description(count: int) -> str:
    views = "".join(f'<item><view class="vtkMRMLSliceNode" singletontag="{name}"/></item>' for name in _names(count))
    return f'<layout type="horizontal">{views}</layout>'


def _fill(name: str, background: Any, foreground: Any, opacity: float) -> None:
    """What one view shows. Its node comes with the view's widget; without a window there is none yet."""
    layers = slicer.mrmlScene.GetSingletonNode(name, "vtkMRMLSliceCompositeNode")
    if layers is None:
        layers = slicer.vtkMRMLSliceCompositeNode()
        layers.SetLayoutName(name)
        layers.SetSingletonTag(name)
        layers = slicer.mrmlScene.AddNode(layers)
    layers.SetDoPropagateVolumeSelection(False)  # a volume that is loaded meanwhile goes to the user's views
    layers.SetBackgroundVolumeID(background.GetID())
    layers.SetForegroundVolumeID(None if foreground is None else foreground.GetID())
    layers.SetForegroundOpacity(opacity)
    layers.SetLinkedControl(True)
    layers.SetHotLinkedControl(True)
