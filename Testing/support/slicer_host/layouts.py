"""What Slicer's layout manager does when the layout node changes, without its widgets. A stand-in for tests, never shipped.

The layout node and the logic that makes the views of a layout are Slicer's own. Here is what the manager and its slice widgets add: a
slice logic (and so a composite node) for each new slice view, the mark "mapped in layout", and a size, which comes later than the layout.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer

WINDOW = (1200, 800)  # pixels of the area that the views of a layout share, side by side


class Layouts:
    """Follows the layout node of the scene, `node`.

    slice_logics  name of the view -> its logic: the three that are always there, and those of other layouts once they were shown
    later         calls something when the event loop gets to it; without Qt that is at once
    """

    def __init__(self, app: Any, scene: Any, slice_logics: dict[str, Any]) -> None:
        self._app, self._scene, self.slice_logics, self._shown = app, scene, dict(slice_logics), ""
        self.later: Callable[[Callable[[], None]], None] = lambda work: work()
        self._logic = slicer.vtkMRMLLayoutLogic()
        self._logic.SetMRMLApplicationLogic(app)
        self._logic.SetMRMLScene(scene)
        self.node = self._logic.GetLayoutNode()
        self.node.SetViewArrangement(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
        self._shown = self.node.GetCurrentLayoutDescription()
        self.node.AddObserver("ModifiedEvent", self._changed)
        scene.AddObserver(scene.EndBatchProcessEvent, self._changed)  # a scene that was read may have brought another layout

    def _changed(self, _caller: Any, _event: str) -> None:
        description = self.node.GetCurrentLayoutDescription() or ""
        if self._scene.IsBatchProcessing() or description == self._shown:
            return
        self._shown = description
        collection = self._logic.GetViewNodes()
        inside = [collection.GetItemAsObject(number) for number in range(collection.GetNumberOfItems())]
        inside = [view for view in inside if view.IsA("vtkMRMLSliceNode")]
        for view in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
            if view.GetLayoutName() not in self.slice_logics:
                self.slice_logics[view.GetLayoutName()] = self._widget(view)
            view.SetMappedInLayout(int(view in inside))
        self.later(lambda: self._resize(inside))

    def _widget(self, view: Any) -> Any:
        logic = slicer.vtkMRMLSliceLogic()
        logic.SetMRMLApplicationLogic(self._app)
        logic.SetMRMLScene(self._scene)
        self._app.GetSliceLogics().AddItem(logic)
        logic.SetSliceNode(view)
        return logic

    def _resize(self, views: list[Any]) -> None:
        for view in views:
            self.slice_logics[view.GetLayoutName()].ResizeSliceNode(WINDOW[0] // len(views), WINDOW[1])
