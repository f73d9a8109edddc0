"""Stand-ins for the Python side of Slicer's scripted modules, as far as InvDetect uses it. For tests only, never shipped."""

from __future__ import annotations

import unittest
from typing import Any

import slicer


class ScriptedLoadableModule:
    """Keeps the parent that Slicer fills the module list from."""

    def __init__(self, parent: Any) -> None:
        self.parent = parent


class ScriptedLoadableModuleWidget:
    """The module's panel: a layout to fill."""

    def __init__(self, parent: Any = None) -> None:
        self.parent, self.layout, self.logic, self.reloaded = parent, parent.layout(), None, 0

    def setup(self) -> None:
        """For subclasses."""

    def cleanup(self) -> None:
        """For subclasses."""

    def onReload(self) -> None:
        """Slicer reads the module's file anew and sets a new widget up; the test does that by itself."""
        self.reloaded += 1


class ScriptedLoadableModuleLogic:
    """Offers the module's parameter node, one a scene."""

    def __init__(self, parent: Any = None) -> None:
        self.moduleName = type(self).__name__.removesuffix("Logic")

    def getParameterNode(self) -> Any:
        """Made at the first call; a saved scene brings it back."""
        found = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
        if found is not None:
            return found
        node = slicer.vtkMRMLScriptedModuleNode()
        node.SetSingletonTag(self.moduleName)
        node.SetModuleName(self.moduleName)
        return slicer.mrmlScene.AddNode(node)


class ScriptedLoadableModuleTest(unittest.TestCase):
    """Self-tests run inside Slicer only."""

    def delayDisplay(self, message: str) -> None:
        """Says something for a moment."""


_CLASSES = (ScriptedLoadableModule, ScriptedLoadableModuleWidget, ScriptedLoadableModuleLogic, ScriptedLoadableModuleTest)
MODULES: dict[str, dict[str, Any]] = {
    "ScriptedLoadableModule": {one.__name__: one for one in _CLASSES},
    "i18n": {"tr": lambda text: text, "translate": lambda context, text: text},
}
