"""What the panel remembers in the scene, typed, in a vtkMRMLScriptedModuleNode. A saved scene brings it back.

Written by hand and not with Slicer's parameterNodeWrapper, so that the very code runs on the bare MRML of the tests. What is not as it
was written counts as not there: a scene can come from another version. No path and no patient's name goes in here.
"""

from __future__ import annotations

from typing import Any

from InvDetectLib.models import DIRECTIONS

ALL, RANGE, SHOWN = "all", "range", "shown"


class Value:
    """A field of a plain type, kept as text."""

    def __init__(self, default: Any, choices: tuple[Any, ...] = ()) -> None:
        self._default, self._choices = default, choices

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, parameters: Any, owner: type) -> Any:
        text = parameters.node.GetParameter(self._name)
        if not text:
            return self._default
        try:
            value = text == "True" if isinstance(self._default, bool) else type(self._default)(text)
        except ValueError:
            return self._default
        return value if not self._choices or value in self._choices else self._default

    def __set__(self, parameters: Any, value: Any) -> None:
        parameters.node.SetParameter(self._name, str(value))


class Reference:
    """A field that is a node of the scene, or None."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, parameters: Any, owner: type) -> Any:
        return parameters.node.GetNodeReference(self._name)

    def __set__(self, parameters: Any, node: Any) -> None:
        parameters.node.SetNodeReferenceID(self._name, None if node is None else node.GetID())


class DetectionParameters:
    """Of the detection panel.

    scan, region, table   volume to examine, segmentation to stay inside, table of the result on show
    model                 name of an installed model
    direction             what counts as abnormal, for this model; "": the model's own
    slices                ALL, RANGE (firstSlice to lastSlice, both included, counted from 0 in the scan) or SHOWN
    brain                 whether only the brain is looked at, where no region is chosen
    scr                   whether the mask is cut in one piece
    rate                  share (0 to 1) of normal tissue that the first mask flags; 0: the model's own
    contiguity            factor on the model's own
    adapt                 whether scores are recentred by the scan's own
    """

    scan = Reference()
    region = Reference()
    table = Reference()
    model = Value("")
    direction = Value("", DIRECTIONS)
    slices = Value(ALL, (ALL, RANGE, SHOWN))
    firstSlice = Value(0)
    lastSlice = Value(0)
    brain = Value(False)
    scr = Value(True)
    rate = Value(0.0)
    contiguity = Value(1.0)
    adapt = Value(False)

    def __init__(self, node: Any) -> None:
        self.node = node
