"""Off-screen pictures of the host's views: VTK renders with Mesa, no display needed. A stand-in for Slicer's view widgets, for tests.

In Slicer a widget draws the slice image; the wheel has none, so an image mapper does it here. Everything else in the picture (outlines,
legend, surfaces) is drawn by Slicer's own displayable managers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from ..needs import need_drawing
from .host import Host

_SLICE_MANAGERS = (
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLColorLegendDisplayableManager",
)
_VIEW_MANAGERS = (
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager3D",
    "vtkMRMLMarkupsDisplayableManager",
)


def slice_picture(
    host: Host, path: Path | None = None, view: str = "Red", size: tuple[int, int] = (600, 600), ras: Any = None
) -> np.ndarray:
    """(row, column, 3) uint8 of a slice view, fitted to its background, through the world position `ras`; also as PNG at `path`."""
    logic = host.layouts.slice_logics[view]
    node = logic.GetSliceNode()
    with _window(size) as (window, renderer):
        renderer.GetActiveCamera().ParallelProjectionOn()
        group = _managers(slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance(), _SLICE_MANAGERS, renderer, node)
        node.SetDimensions(size[0], size[1], 1)
        logic.FitSliceToBackground()
        if ras is not None:  # after the fit, which would undo it
            node.JumpSliceByOffsetting(*ras)
        mapper = vtk.vtkImageMapper()
        mapper.SetColorWindow(255)
        mapper.SetColorLevel(127.5)
        mapper.SetInputConnection(logic.GetImageDataConnection())
        actor = vtk.vtkActor2D()
        actor.SetMapper(mapper)
        actor.GetProperty().SetDisplayLocationToBackground()
        renderer.AddViewProp(actor)
        _show_legends_again(host)
        picture = _grab(window, path)
        group.SetMRMLDisplayableNode(None)
    return picture


def view_picture(host: Host, path: Path | None = None, size: tuple[int, int] = (600, 600), rotate: float = 30.0) -> np.ndarray:
    """(row, column, 3) uint8 of the 3-D view, from the front and turned by `rotate` degrees; also as PNG at `path`."""
    with _window(size) as (window, renderer):
        group = _managers(slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance(), _VIEW_MANAGERS, renderer, host.view_node)
        window.Render()
        camera = renderer.GetActiveCamera()
        camera.SetPosition(0, 500, 0)
        camera.SetFocalPoint(0, 0, 0)
        camera.SetViewUp(0, 0, 1)
        camera.Azimuth(rotate)
        camera.Elevation(15)
        renderer.ResetCamera()
        picture = _grab(window, path)
        group.SetMRMLDisplayableNode(None)
    return picture


@contextmanager
def _window(size: tuple[int, int]) -> Iterator[tuple[Any, Any]]:
    need_drawing()
    shown = vtk.vtkObject.GetGlobalWarningDisplay()
    vtk.vtkObject.GlobalWarningDisplayOff()  # VTK says that there is no X server before it takes EGL
    window = vtk.vtkRenderWindow()
    window.SetOffScreenRendering(1)
    window.SetMultiSamples(0)
    window.SetSize(*size)
    renderer = vtk.vtkRenderer()
    window.AddRenderer(renderer)
    interactor = vtk.vtkRenderWindowInteractor()  # the managers need one
    interactor.SetRenderWindow(window)
    try:
        yield window, renderer
    finally:
        window.Finalize()
        vtk.vtkObject.SetGlobalWarningDisplay(shown)


def _managers(factory: Any, names: tuple[str, ...], renderer: Any, node: Any) -> Any:
    for name in names:
        if not factory.IsDisplayableManagerRegistered(name):
            factory.RegisterDisplayableManager(name)
    group = slicer.vtkMRMLDisplayableManagerGroup()
    group.SetRenderer(renderer)
    group.Initialize(factory, renderer)
    group.SetMRMLDisplayableNode(node)
    return group


def _show_legends_again(host: Host) -> None:
    """A manager does not see legends that were there before it (in Slicer the views come first): they enter the scene once more."""
    for legend in slicer.util.getNodesByClass("vtkMRMLColorLegendDisplayNode"):
        displayable = legend.GetDisplayableNode()
        host.scene.RemoveNode(legend)
        host.scene.AddNode(legend)
        displayable.AddAndObserveDisplayNodeID(legend.GetID())
        if legend.GetVisibility():
            legend.SetVisibility(False)
            legend.SetVisibility(True)


def _grab(window: Any, path: Path | None) -> np.ndarray:
    window.Render()
    grab = vtk.vtkWindowToImageFilter()
    grab.SetInput(window)
    grab.ReadFrontBufferOff()
    grab.Update()
    image = grab.GetOutput()
    if path is not None:
        writer = vtk.vtkPNGWriter()
        writer.SetFileName(str(path))
        writer.SetInputData(image)
        writer.Write()
    columns, rows, _ = image.GetDimensions()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(rows, columns, -1)[::-1]
