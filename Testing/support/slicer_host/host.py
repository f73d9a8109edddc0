"""The headless host: one scene with logics, three slice views and one 3-D view, and the names `slicer.app`, `slicer.modules`,
`slicer.mrmlScene` that modules use. A stand-in for tests, never shipped.

VTK keeps its displayable-manager factories per process, so there is one host per process: `start` returns the same one again.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import slicer
import vtk

from .layouts import Layouts

VIEWS = {"Red": "Axial", "Yellow": "Sagittal", "Green": "Coronal"}
_LOGICS = {
    "colors": "vtkSlicerColorLogic",
    "volumes": "vtkSlicerVolumesLogic",
    "terminologies": "vtkSlicerTerminologiesModuleLogic",
    "segmentations": "vtkSlicerSegmentationsModuleLogic",
    "markups": "vtkSlicerMarkupsLogic",
    "tables": "vtkSlicerTablesLogic",
    "plots": "vtkSlicerPlotsLogic",
    "texts": "vtkSlicerTextsLogic",
    "units": "vtkSlicerUnitsLogic",
    "subjecthierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
}


@dataclass
class Host:
    """What Python must hold for as long as the scene is used.

    scene         slicer.mrmlScene
    logics        module name in small letters -> its logic
    slice_logics  "Red", "Yellow", "Green" -> vtkMRMLSliceLogic
    view_node     the 3-D view's node
    layouts       what stands for the layout manager
    """

    scene: Any
    logics: dict[str, Any]
    slice_logics: dict[str, Any]
    view_node: Any
    layouts: Layouts
    keep: tuple[Any, ...] = field(repr=False)

    def clear(self) -> None:
        """As File > Close Scene: views stay, everything else goes."""
        self.scene.Clear(0)

    def save(self, path: Path) -> Path:
        """The scene as .mrb."""
        path.unlink(missing_ok=True)
        assert self.scene.WriteToMRB(str(path)), f"{path} could not be written"
        return path

    def load(self, path: Path) -> None:
        """A cleared scene filled from an .mrb."""
        self.clear()
        assert self.scene.ReadFromMRB(str(path), True), f"{path} could not be read"


_hosts: list[Host] = []


def start() -> Host:
    """The host of this process, made at the first call."""
    if not _hosts:
        _hosts.append(_make(tempfile.mkdtemp(prefix="slicer-host-")))
    return _hosts[0]


def _make(folder: str) -> Host:
    """The order matters: without the application logic before the scene, colour and legend nodes are missing."""
    scene = slicer.vtkMRMLScene()
    slicer.mrmlScene = scene
    crosshair = slicer.vtkMRMLCrosshairNode()
    crosshair.SetCrosshairName("default")
    scene.AddNode(crosshair)
    app = slicer.vtkSlicerApplicationLogic()
    app.SetMRMLScene(scene)
    app.SetHomeDirectory(folder)
    app.SetShareDirectory("share")
    app.SetTemporaryPath(folder)
    app.SetSliceLogics(vtk.vtkCollection())
    app.SetViewLogics(vtk.vtkCollection())
    for factory in (slicer.vtkMRMLSliceViewDisplayableManagerFactory, slicer.vtkMRMLThreeDViewDisplayableManagerFactory):
        factory.GetInstance().SetMRMLApplicationLogic(app)
    logics = _module_logics(app, scene)
    cache = slicer.vtkCacheManager()
    cache.SetRemoteCacheDirectory(folder)
    cache.SetMRMLScene(scene)
    scene.SetCacheManager(cache)
    files = slicer.vtkDataIOManager()  # without it an .mrb cannot be read
    files.SetCacheManager(cache)
    scene.SetDataIOManager(files)
    slicer.modules = SimpleNamespace(**{name: SimpleNamespace(logic=lambda logic=logic: logic) for name, logic in logics.items()})
    slicer.app = SimpleNamespace(applicationLogic=lambda: app, temporaryPath=folder, processEvents=lambda: None)
    slice_logics = {name: _slice_view(app, scene, name, orientation) for name, orientation in VIEWS.items()}
    view_logic = slicer.vtkMRMLViewLogic()
    view_logic.SetMRMLApplicationLogic(app)
    view_logic.SetMRMLScene(scene)
    view_node = view_logic.AddViewNode("1")
    app.GetViewLogics().AddItem(view_logic)
    link_logic = slicer.vtkMRMLSliceLinkLogic()  # in Slicer the application logic has one
    link_logic.SetMRMLApplicationLogic(app)
    link_logic.SetMRMLScene(scene)
    layouts = Layouts(app, scene, slice_logics)
    return Host(scene, logics, slice_logics, view_node, layouts, (app, cache, files, view_logic, link_logic))


def _module_logics(app: Any, scene: Any) -> dict[str, Any]:
    logics = {}
    for name, class_name in _LOGICS.items():
        logic = getattr(slicer, class_name)()
        logic.SetMRMLApplicationLogic(app)
        shown = logic.GetGlobalWarningDisplay()
        logic.GlobalWarningDisplayOff()  # the terminology files that Slicer ships are not in the wheel, and it says so
        logic.SetMRMLScene(scene)
        logic.SetGlobalWarningDisplay(shown)
        app.SetModuleLogic(name.capitalize(), logic)
        logics[name] = logic
    return logics


def _slice_view(app: Any, scene: Any, name: str, orientation: str) -> Any:
    if name == "Red":
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
    logic = slicer.vtkMRMLSliceLogic()
    logic.SetMRMLApplicationLogic(app)
    logic.SetMRMLScene(scene)
    app.GetSliceLogics().AddItem(logic)
    logic.AddSliceNode(name)
    logic.GetSliceNode().SetMappedInLayout(1)
    logic.GetSliceNode().SetOrientation(orientation)
    return logic
