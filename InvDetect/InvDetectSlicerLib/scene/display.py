"""How a result looks: colours of the map, legend, what lies over what in the slice views, the findings' outlines."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

from InvDetectLib.calibration import Calibration
from InvDetectLib.results import LINE, display_range

from .slice_views import is_own

OPACITY = 0.6  # of the map over the scan
LEGEND_TITLE = "Anomaly\nscore"  # in one line it would lie over the middle of the slice
_TABLE = "InvDetect.ColorTable"
# Inferno without its near-black lower part, which would hide the scan: the colours of the library's pictures, at equal steps.
_ANCHORS = """2b0b57 3b0964 4c0c6b 5a116e 6a176e 781c6d 88226a 972766 a62d60 b43359 c33b4f cf4446 da4e3c e55c30 ed6925 f47918 f8890c fb9b06
    fcac11 fac026 f7d13d f3e55d f2f482 fcffa4"""
_TOP = 3.0e38  # above every score; an upper threshold below the highest score would make a hole in the map


def heat_colours() -> Any:
    """The colour node of all anomaly maps, made once a scene: lightness grows evenly with the score."""
    for node in slicer.util.getNodesByClass("vtkMRMLColorTableNode"):
        if node.GetAttribute(_TABLE):
            return node
    node = slicer.vtkMRMLColorTableNode()
    node.SetName("InvDetect heat")
    node.SetAttribute(_TABLE, "1")
    node.SetTypeToUser()
    colours = heat_table()
    node.SetNumberOfColors(len(colours))
    for number, (red, green, blue) in enumerate(colours):
        node.SetColor(number, str(number), red, green, blue, 1.0)
    return slicer.mrmlScene.AddNode(node)


def heat_table() -> np.ndarray:
    """(256, 3) float from 0 to 1: red, green, blue."""
    anchors = np.array([[int(code[i : i + 2], 16) for i in (0, 2, 4)] for code in _ANCHORS.split()]) / 255
    return np.stack([np.interp(np.linspace(0, 1, 256), np.linspace(0, 1, len(anchors)), channel) for channel in anchors.T], axis=1)


def colour_map(volume: Any, calibration: Calibration) -> None:
    """Colours, window and threshold of an anomaly map. They depend on the model alone: a colour means the same in each of its scans.

    From the score that 10 % of held-out normal tissue exceeds up to three units above it (`display_range` of the library); what lies
    below is transparent.
    """
    low, high = display_range(calibration)
    if volume.GetDisplayNode() is None:
        volume.CreateDefaultDisplayNodes()
    display = volume.GetDisplayNode()
    changing = display.StartModify()
    display.SetAndObserveColorNodeID(heat_colours().GetID())
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(low, high)
    display.SetLowerThreshold(low)
    display.SetUpperThreshold(_TOP)
    display.ApplyThresholdOn()
    display.EndModify(changing)


def show_like(scan: Any, volume: Any, same_window: bool) -> None:
    """Greys of a volume as those of the scan; with `same_window` from the same value to the same value, else from its lowest to its
    highest."""
    if volume.GetDisplayNode() is None:
        volume.CreateDefaultDisplayNodes()
    own, other = scan.GetDisplayNode(), volume.GetDisplayNode()
    if other is None or not other.IsA("vtkMRMLScalarVolumeDisplayNode"):
        return
    if own is not None and own.IsA("vtkMRMLScalarVolumeDisplayNode"):
        if own.GetColorNodeID():
            other.SetAndObserveColorNodeID(own.GetColorNodeID())
        if same_window:
            other.AutoWindowLevelOff()
            other.SetWindowLevelMinMax(own.GetWindowLevelMin(), own.GetWindowLevelMax())


def show_legend(volume: Any) -> Any:
    """The colour legend of a map, made where there is none (one that a user changed stays so); returns its node."""
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(volume)
    if legend is not None:
        legend.SetVisibility(True)
        return legend
    legend = slicer.vtkSlicerColorLogic.AddDefaultColorLegendDisplayNode(volume)
    for text in (legend.GetTitleTextProperty(), legend.GetLabelTextProperty()):
        text.SetFontFamilyToArial()
    legend.SetSize(0.08, 0.3)  # letters follow this size; the default covers a third of a slice
    legend.SetPosition(0.98, 0.5)
    legend.SetTitleText(LEGEND_TITLE)
    legend.SetLabelFormat("%.1f")
    legend.SetNumberOfLabels(4)
    legend.SetVisibility(True)
    return legend


def set_threshold(volume: Any, threshold: float) -> None:
    """Scores below it are transparent; colours stay."""
    volume.GetDisplayNode().SetLowerThreshold(threshold)


def threshold_of(volume: Any) -> float:
    """What `set_threshold` set."""
    return volume.GetDisplayNode().GetLowerThreshold()


def set_opacity(volume: Any, opacity: float) -> None:
    """Opacity (0 to 1) of a map in every slice view that has it in front."""
    for view in _slice_views():
        if view.GetForegroundVolumeID() == volume.GetID():
            view.SetForegroundOpacity(opacity)


def opacity_of(volume: Any) -> float:
    """Opacity of a map in the first slice view that has it in front; 0 where none has."""
    return next((view.GetForegroundOpacity() for view in _slice_views() if view.GetForegroundVolumeID() == volume.GetID()), 0.0)


def is_in_front(volume: Any) -> bool:
    """Whether some slice view has it in front."""
    return any(view.GetForegroundVolumeID() == volume.GetID() for view in _slice_views())


Layers = dict[str, tuple[Any, Any, float]]


def show_over(background: Any, foreground: Any, opacity: float = OPACITY) -> None:
    """One volume over another in all slice views of the user's."""
    for view in _users_views():
        view.SetBackgroundVolumeID(None if background is None else background.GetID())
        view.SetForegroundVolumeID(foreground.GetID())
        view.SetForegroundOpacity(opacity)


def layers() -> Layers:
    """What the user's slice views show now, for `restore_layers`."""
    return {v.GetID(): (v.GetBackgroundVolumeID(), v.GetForegroundVolumeID(), v.GetForegroundOpacity()) for v in _users_views()}


def restore_layers(before: Layers) -> None:
    """Slice views show again what they showed, as far as it is still there."""
    scene = slicer.mrmlScene
    for view in _slice_views():
        if view.GetID() in before:
            background, foreground, opacity = before[view.GetID()]
            view.SetBackgroundVolumeID(background if background and scene.GetNodeByID(background) else None)
            view.SetForegroundVolumeID(foreground if foreground and scene.GetNodeByID(foreground) else None)
            view.SetForegroundOpacity(opacity)


def outline_findings(segmentation: Any) -> None:
    """Findings as outlines in slices, so that the map stays visible; translucent in 3-D."""
    if segmentation.GetDisplayNode() is None:
        segmentation.CreateDefaultDisplayNodes()
    display = segmentation.GetDisplayNode()
    changing = display.StartModify()
    display.SetVisibility2DFill(False)
    display.SetVisibility2DOutline(True)
    display.SetSliceIntersectionThickness(2)
    display.SetOpacity3D(0.6)
    display.EndModify(changing)


def finding_colour() -> tuple[float, float, float]:
    """The cyan of the library's pictures, which is no colour of the map."""
    red, green, blue = (int(LINE[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue


def _slice_views() -> list[Any]:
    return slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")


def _users_views() -> list[Any]:
    return [view for view in _slice_views() if not is_own(view)]
