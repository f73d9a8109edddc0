"""What tests of the detection panel share: scans in the scene, waiting while Qt works, deciding on findings, what a run leaves behind."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk

from .slicer_host.qt_host import process_events, start_qt, true_properties

start_qt()
true_properties(__name__)

from InvDetectSlicerLib.models.sample_data import ijk_to_ras  # noqa: E402  (the host makes the modules that it imports)
from InvDetectSlicerLib.scene import display  # noqa: E402
from InvDetectSlicerLib.scene.findings_table import reviews_of  # noqa: E402

from InvDetectLib.scans.reading import read_scan  # noqa: E402

PATIENCE = 60.0


def wait_for(what: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """Let Qt work until it is so."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "it did not happen in time"
        process_events()
        time.sleep(0.005)
    return found


def add_scan(path: Path, name: str = "Head", repeat: int = 1) -> Any:
    """A scan as a volume in the slice views; `repeat` makes it thicker, so that it takes longer."""
    scan = read_scan(path)
    array = np.repeat(np.ascontiguousarray(scan.array), repeat, axis=0)
    volume = slicer.util.addVolumeFromArray(array, ijkToRAS=ijk_to_ras(scan.geometry), name=name)
    display.show_over(volume, volume, 0.0)
    for view in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
        view.SetDimensions(200, 200, 1)
        view.SetFieldOfView(250, 250, 1)
    center(volume, array.shape[0] // 2)
    return volume


def center(volume: Any, index: int) -> None:
    """All slice views go through the middle of a slice."""
    columns, rows, _ = volume.GetImageData().GetDimensions()
    place = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(place)
    ras = place.MultiplyPoint((columns / 2, rows / 2, index, 1))[:3]
    slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, *ras, slicer.vtkMRMLSliceNode.CenteredJumpSlice)


def left_in_scene(*scans: Any) -> list[str]:
    """Names of what is in the scene besides these scans."""
    kinds = ("vtkMRMLVolumeNode", "vtkMRMLSegmentationNode", "vtkMRMLTableNode", "vtkMRMLColorLegendDisplayNode")
    return [node.GetName() for kind in kinds for node in slicer.util.getNodesByClass(kind) if node not in scans]


def press(panel: Any, key: str) -> None:
    """A key, as typed while the list of findings has the focus."""
    shortcut = next(one for one in panel.findings._shortcuts if one.key.toString() == key)
    shortcut.activated.emit()
    process_events()


def states(nodes: Any) -> list[str]:
    """What was decided on each finding of a result."""
    return [review.state for review in reviews_of(nodes.table).values()]
