"""Nodes that point at something and are no data: offered nowhere, never saved, gone without a trace."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import slicer

from .nodes import ROLE


def pointers(kind: str, role: str) -> Iterator[Any]:
    """The nodes of this class and role that can be seen; a scene that was opened may hold some that cannot."""
    for node in slicer.util.getNodesByClass(kind):
        if node.GetAttribute(ROLE) == role and node.GetDisplayNode() is not None:
            yield node


def add_pointer(node: Any, name: str, role: str) -> Any:
    """Put a new node into the scene; returns its display node. role: none of a result's."""
    node.SetName(name)
    node.SetAttribute(ROLE, role)
    node.SetAttribute(slicer.vtkMRMLSubjectHierarchyConstants.GetSubjectHierarchyExcludeFromTreeAttributeName(), "1")
    node.SetHideFromEditors(True)
    node.SetSaveWithScene(False)
    node.SetSelectable(False)
    slicer.mrmlScene.AddNode(node)
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetSaveWithScene(False)
    return node.GetDisplayNode()


def remove_pointer(node: Any) -> None:
    """Take it out of the scene; None: there is none."""
    if node is not None and not slicer.mrmlScene.IsClosing():  # which takes it away anyway
        slicer.mrmlScene.RemoveNode(node.GetDisplayNode())
        slicer.mrmlScene.RemoveNode(node)
