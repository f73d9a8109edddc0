"""How the result on show looks: opacity and threshold of the map, findings in 3-D; and its export into files."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from InvDetectLib.common import InvDetectError

from ..review import Reviewing
from ..scene import ResultNodes, display, has_midline, hide_midline, mask, show_midline
from .saving import ask_where
from .status import Status


class DisplayPanel:
    """Owns the widgets of the sections Display and Export."""

    def __init__(self, ui: Any, status: Status) -> None:
        self._ui, self._status, self._updating = ui, status, False
        self._nodes: ResultNodes | None = None
        self._opacity = display.OPACITY  # of the map, while the pseudo-normal image stands in its place
        ui.opacitySlider.valueChanged.connect(status.guarded(self._opacityMoved))
        ui.thresholdSlider.valueChanged.connect(status.guarded(self._thresholdMoved))
        ui.pseudoNormalButton.toggled.connect(status.guarded(self._compare))
        ui.pseudoNormalSlider.valueChanged.connect(status.guarded(self._faded))
        ui.midlineCheck.toggled.connect(status.guarded(self._midline))
        ui.show3DCheck.toggled.connect(status.guarded(self._show3D))
        ui.exportTableButton.clicked.connect(status.guarded(self.exportTable))
        ui.exportMaskButton.clicked.connect(status.guarded(self.exportMask))

    def show(self, nodes: ResultNodes | None) -> None:
        """The controls say how this result looks now."""
        ui, self._nodes = self._ui, nodes
        there = nodes is not None and nodes.map is not None and nodes.map.GetDisplayNode() is not None
        normal = None if nodes is None else nodes.pseudo_normal
        compared = normal is not None and display.is_in_front(normal)
        ui.opacitySlider.enabled = ui.thresholdSlider.enabled = there and not compared
        for widget in (ui.pseudoNormalLabel, ui.pseudoNormalSlider, ui.pseudoNormalButton):
            widget.visible = normal is not None
        ui.pseudoNormalSlider.enabled = compared
        ui.show3DCheck.enabled = ui.exportMaskButton.enabled = nodes is not None and nodes.segmentation is not None
        ui.exportTableButton.enabled = nodes is not None
        ui.midlineCheck.visible = has_midline(nodes)
        self._midline()
        self._updating = True
        if there and nodes is not None:
            low, high = display_limits(nodes.map)
            ui.opacitySlider.value = self._opacity if compared else display.opacity_of(nodes.map)
            ui.thresholdSlider.minimum = low
            ui.thresholdSlider.maximum = max(high, low + 1)
            ui.thresholdSlider.value = display.threshold_of(nodes.map)
        if ui.show3DCheck.enabled and nodes is not None:
            ui.show3DCheck.checked = _is_3d(nodes.segmentation)
        ui.pseudoNormalButton.checked = compared
        ui.pseudoNormalSlider.value = display.opacity_of(normal) if compared else 1.0
        self._updating = False

    def close(self) -> None:
        """The panel goes."""
        hide_midline()

    def exportTable(self) -> None:
        """Ask for a file and write the findings into it."""
        nodes = self._result()
        target = ask_where(self._ui.exportTableButton, _("Save the findings"), "findings.csv", "CSV (*.csv)", ".csv")
        if target is not None:
            Reviewing(nodes).export_csv(target)
            self._status.say(_("The findings are in {path}.").format(path=target))

    def exportMask(self) -> None:
        """Ask for a file and write the mask into it."""
        nodes, kinds = self._result(), "Segmentation (*.seg.nrrd)"
        target = ask_where(self._ui.exportMaskButton, _("Save the mask"), "mask.seg.nrrd", kinds, ".seg.nrrd")
        if target is not None:
            with slicer.util.WaitCursor():
                Reviewing(nodes).export_mask(target)
            self._status.say(_("The mask without dismissed findings is in {path}.").format(path=target))

    def _result(self) -> ResultNodes:
        if self._nodes is None:
            raise InvDetectError(_("There is no result yet. Examine a scan first."))
        return self._nodes

    def _opacityMoved(self) -> None:
        if not self._updating and self._nodes is not None:
            display.set_opacity(self._nodes.map, self._ui.opacitySlider.value)

    def _compare(self) -> None:
        """Pressed, the pseudo-normal image stands over the scan; released, the map does again, as it was."""
        nodes = self._nodes
        if self._updating or nodes is None or nodes.pseudo_normal is None:
            return
        if self._ui.pseudoNormalButton.checked:
            self._opacity = display.opacity_of(nodes.map) if nodes.map is not None else display.OPACITY
            display.show_over(nodes.input, nodes.pseudo_normal, 1.0)
        elif nodes.map is not None:
            display.show_over(nodes.input, nodes.map, self._opacity)
        self.show(nodes)

    def _faded(self) -> None:
        if not self._updating and self._nodes is not None and self._nodes.pseudo_normal is not None:
            display.set_opacity(self._nodes.pseudo_normal, self._ui.pseudoNormalSlider.value)

    def _thresholdMoved(self) -> None:
        if not self._updating and self._nodes is not None:
            display.set_threshold(self._nodes.map, self._ui.thresholdSlider.value)

    def _midline(self) -> None:
        if self._nodes is not None and self._ui.midlineCheck.checked:
            show_midline(self._nodes)
        else:
            hide_midline()

    def _show3D(self) -> None:
        if self._updating or self._nodes is None or self._nodes.segmentation is None:
            return
        with slicer.util.WaitCursor():
            mask.show_surface(self._nodes.segmentation, self._ui.show3DCheck.checked)


def display_limits(volume: Any) -> tuple[float, float]:
    """Between which scores a threshold makes sense: from the start of the colours to the highest score."""
    low = volume.GetDisplayNode().GetWindowLevelMin()
    image = volume.GetImageData()
    return low, image.GetScalarRange()[1] if image is not None else low + 1


def _is_3d(segmentation: Any) -> bool:
    shown = segmentation.GetDisplayNode()
    return bool(shown is not None and shown.GetVisibility3D() and mask.has_surface(segmentation))
