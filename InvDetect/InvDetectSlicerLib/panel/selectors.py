"""The boxes that choose a node: what they offer, and what they choose when the chosen one goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
import vtk

from ..scene import own_volumes_in_scene
from .delay import Delay
from .status import Status

_BEFORE_THE_BOXES = 100.0  # the priority of an observer: they take a node out with a lower one


class NodeBoxes:
    """Watches `scanSelector`, `regionSelector` and the boxes of outputs.

    Left alone, such a box goes on to the next node when its own leaves the scene, so that the next run would examine, or overwrite,
    what nobody chose; and it offers InvDetect's own maps as scans.
    """

    def __init__(self, ui: Any, status: Status, observations: Any, onVolumes: Callable[[], None]) -> None:
        """observations: the panel's `VTKObservationMixin`, which ends them;  onVolumes: called when volumes may have come or gone"""
        self._on_volumes = onVolumes
        self._scans = ui.scanSelector
        self._boxes = (ui.scanSelector, ui.regionSelector, ui.mapOutput, ui.maskOutput, ui.tableOutput)
        self._soon = Delay(0, status.guarded(self.hideOwn))  # a node that is added does not say yet what it is
        scene = slicer.mrmlScene
        observations.addObserver(scene, scene.NodeAboutToBeRemovedEvent, self._nodeGoes, priority=_BEFORE_THE_BOXES)
        observations.addObserver(scene, scene.NodeAddedEvent, self._nodeCame)
        observations.addObserver(scene, scene.NodeRemovedEvent, self._nodeGone)
        observations.addObserver(scene, scene.EndBatchProcessEvent, self._sceneIsAnother)  # closing and importing are such, too

    def hideOwn(self) -> None:
        """Offer no volume as a scan that InvDetect made. Boxes filter by what nodes have, not by what they lack: so by their IDs."""
        own = [node.GetID() for node in own_volumes_in_scene()]
        if self._scans.currentNodeID in own:
            self._scans.setCurrentNode(None)
        self._scans.sortFilterProxyModel().hiddenNodeIDs = own
        self._on_volumes()

    def stop(self) -> None:
        """The panel goes."""
        self._soon.stop()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _nodeGoes(self, caller: Any, event: Any, node: Any) -> None:
        for box in self._boxes:
            if box.currentNode() is node:
                box.setCurrentNode(None)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _nodeCame(self, caller: Any, event: Any, node: Any) -> None:
        if node.IsA("vtkMRMLVolumeNode") and not slicer.mrmlScene.IsBatchProcessing():
            self._soon.start()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _nodeGone(self, caller: Any, event: Any, node: Any) -> None:
        if node.IsA("vtkMRMLVolumeNode") and not slicer.mrmlScene.IsBatchProcessing():
            self.hideOwn()  # at once: another node may get the ID of this one

    def _sceneIsAnother(self, caller: Any, event: Any) -> None:
        self.hideOwn()
