"""An anomaly map that fills slice after slice while a scan is scored, and becomes a result or leaves no trace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import slicer
from vtk.util.numpy_support import vtk_to_numpy

from InvDetectLib.calibration import Calibration
from InvDetectLib.common import InvDetectError
from InvDetectLib.results import Result

from . import display, scene
from .nodes import ROLE, ResultNodes
from .volumes import add_like, geometry_of, same_place

_GONE = "{} was taken out of the scene while it was examined, so the run ends without a result. Load the scan again and detect anew."


class MapInProgress:
    """Made by `begin_map`. Ends with `finish` or with `discard`, after which only `discard` may be called again."""

    def __init__(self, volume: Any, calibration: Calibration, show: bool) -> None:
        """Use `begin_map`."""
        self._input, self._title, self._show = volume, volume.GetName(), show
        self._before = display.layers()
        self._owned: list[Any] = []
        self._geometry = geometry_of(volume)
        shape = self._geometry.shape
        self._map = add_like(volume, np.full(shape, calibration.floor, np.float32), f"{volume.GetName()} anomaly map")
        self._map.SetAttribute(ROLE, "map")  # from the start, so that nobody takes it for a scan
        try:
            self._values = vtk_to_numpy(self._map.GetImageData().GetPointData().GetScalars()).reshape(shape)
            display.colour_map(self._map, calibration)
            display.show_legend(self._map)
            scene.file_under(volume, [self._map])
            self._owned = scene.owned_by(self._map)
            if show:
                display.show_over(volume, self._map)
        except BaseException:
            self.discard()
            raise

    @property
    def node(self) -> Any:
        """The map's node, while there is one."""
        return self._map

    def put_slice(self, axis: int, index: int, values: np.ndarray) -> None:
        """Shows one more slice: the 2-D `values` at `index` along `axis` of the scan's array. Copies nothing but the slice.

        Raises InvDetectError when scan or map were taken out of the scene, or the scan got another place in its space; then `discard`.
        """
        self._check()
        np.moveaxis(self._values, axis, 0)[index] = values
        self._map.GetImageData().GetPointData().GetScalars().Modified()
        self._map.GetImageData().Modified()
        self._map.Modified()

    def finish(self, result: Result, into: ResultNodes | None = None, files: Path | None = None) -> ResultNodes:
        """The whole result in the scene; arguments and errors as `scene.show_result`. When it fails, nothing of the run stays."""
        try:
            self._check()
            into = into or ResultNodes()
            if into.map is None:
                into = ResultNodes(map=self._map, segmentation=into.segmentation, table=into.table)
                made = scene.show_result(result, self._input, into, files, self._show)
                self._map = None
                return made
            made = scene.show_result(result, self._input, into, files, self._show)
        except BaseException:
            self.discard()
            raise
        self._remove_map()
        return made

    def discard(self) -> None:
        """Takes away all that the run put into the scene; slice views show again what they showed before. May be called twice."""
        if self._map is not None:
            self._remove_map()
            display.restore_layers(self._before)

    def _remove_map(self) -> None:
        scene.remove([self._map, *self._owned])  # if somebody took the map away, what served it is still there
        self._map = None

    def _check(self) -> None:
        for node in (self._input, self._map):
            if node is None or node.GetScene() is None or slicer.mrmlScene.GetNodeByID(node.GetID()) is not node:
                raise InvDetectError(_GONE.format(f'"{self._title}"'))
        if not same_place(geometry_of(self._input), self._geometry):
            raise InvDetectError(scene.MOVED.format(f'"{self._title}"'))


def begin_map(volume: Any, calibration: Calibration, show: bool = True) -> MapInProgress:
    """An empty map over `volume`, coloured for a model's `calibration` and, with `show`, laid over the scan in all slice views.

    Raises InvDetectError for a volume without image data.
    """
    return MapInProgress(volume, calibration, show)
