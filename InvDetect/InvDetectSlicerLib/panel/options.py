"""What of the scan is examined, where it is computed, and with which options."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from InvDetectLib.common import InvDetectError

from ..models import InstalledModel
from ..scene import ResultNodes, shown_slice
from .installation import InstallationPanel
from .parameters import ALL, RANGE, SHOWN, DetectionParameters
from .scheduler import SchedulerPanel
from .status import Status

_AUTO, _SCHEDULER = "auto", "scheduler"


class OptionsPanel:
    """Owns the widgets of the section Options, and `costLabel`."""

    def __init__(self, ui: Any, logic: Any, status: Status, installation: InstallationPanel, onChanged: Any) -> None:
        """installation: through it comes what a scheduler needs;  onChanged: called when something is chosen otherwise"""
        self._ui, self._logic, self._status, self._on_changed = ui, logic, status, onChanged
        self._updating = False
        for which, words in ((ALL, _("all")), (RANGE, _("a range")), (SHOWN, _("the slice on screen"))):
            ui.slicesSelector.addItem(words, which)
        self._scheduler = SchedulerPanel(ui, logic, status, installation, onChanged)
        self.showDevices({})
        ui.deviceSelector.currentIndexChanged.connect(status.guarded(self._placeChosen))
        changed = status.guarded(self._changed)
        for signal in (
            ui.slicesSelector.currentIndexChanged,
            ui.firstSlice.valueChanged,
            ui.lastSlice.valueChanged,
            ui.regionSelector.currentNodeIDChanged,
            ui.deviceSelector.currentIndexChanged,
        ):
            signal.connect(changed)
        for check in (ui.brainCheck, ui.scrCheck, ui.adaptCheck):
            check.toggled.connect(changed)
        for box in (ui.startRate, ui.startContiguity):
            box.valueChanged.connect(changed)
        ui.resetButton.clicked.connect(status.guarded(self.reset))
        ui.rangeWidget.visible = False

    def show(self, parameters: DetectionParameters) -> None:
        """The widgets say what was remembered."""
        ui, self._updating = self._ui, True
        ui.slicesSelector.currentIndex = ui.slicesSelector.findData(parameters.slices)
        ui.lastSlice.maximum = ui.firstSlice.maximum = 99999
        ui.firstSlice.value, ui.lastSlice.value = parameters.firstSlice, parameters.lastSlice
        ui.regionSelector.setCurrentNode(parameters.region)
        ui.brainCheck.checked, ui.scrCheck.checked, ui.adaptCheck.checked = parameters.brain, parameters.scr, parameters.adapt
        ui.startRate.value, ui.startContiguity.value = 100 * parameters.rate, parameters.contiguity
        ui.rangeWidget.visible = parameters.slices == RANGE
        self._updating = False

    def keep(self, parameters: DetectionParameters) -> None:
        """Remember what the widgets say."""
        ui = self._ui
        parameters.slices, parameters.region = self._which(), ui.regionSelector.currentNode()
        parameters.firstSlice, parameters.lastSlice = ui.firstSlice.value, ui.lastSlice.value
        parameters.brain, parameters.scr, parameters.adapt = ui.brainCheck.checked, ui.scrCheck.checked, ui.adaptCheck.checked
        parameters.contiguity = round(ui.startContiguity.value, 3)
        parameters.rate = round(ui.startRate.value / 100, 6)

    def reset(self) -> None:
        """As the model was made."""
        ui = self._ui
        ui.brainCheck.checked, ui.scrCheck.checked, ui.adaptCheck.checked = False, True, False
        ui.startRate.value = 0.0
        ui.startContiguity.value = 1.0

    def fit(self, scan: Any, model: InstalledModel | None) -> None:
        """Slice numbers are those of this scan along the plane of this model. Says nothing where they do not fit each other."""
        try:
            count = self._logic.grid(scan, model.path).native[0] if scan is not None and model is not None and not model.problem else 0
        except InvDetectError:
            count = 0
        if count:
            self._updating = True
            whole = self._ui.lastSlice.value in (0, self._ui.lastSlice.maximum)
            self._ui.firstSlice.maximum = self._ui.lastSlice.maximum = count - 1
            if whole:
                self._ui.lastSlice.value = count - 1
            self._updating = False

    @property
    def elsewhere(self) -> bool:
        """Whether a scheduler computes, and not this computer."""
        return self._place() == _SCHEDULER

    def device(self) -> str:
        """The chosen device, by the name to ask for, or a scheduler's address; `InvDetectError` while that is missing."""
        return self._scheduler.address() if self.elsewhere else self._place()

    def close(self) -> None:
        """Wait for no answer any more."""
        self._scheduler.close()

    def showDevices(self, found: dict[str, str]) -> None:
        """List what can compute: {name: description}."""
        self._updating = True
        before, selector = self._place(), self._ui.deviceSelector
        selector.clear()
        best = next(iter(found.values()), "")
        selector.addItem(_("the fastest there is ({name})").format(name=best) if best else _("the fastest there is"), _AUTO)
        for name, description in found.items():
            selector.addItem(description, name)
        selector.addItem(_("a Dask scheduler"), _SCHEDULER)
        selector.currentIndex = max(selector.findData(before), 0)
        self._updating = False

    def slices(self, scan: Any, model: InstalledModel) -> tuple[int, int] | None:
        """What `InvDetectLogic.detect` takes as slices. Raises `InvDetectError` when they cannot be had."""
        which = self._which()
        if which == ALL:
            return None
        grid = self._logic.grid(scan, model.path)
        if which == SHOWN:
            index = shown_slice(self._logic, scan, grid.slice_axis)
            if index is None:
                plane = model.settings.preparation.plane
                raise InvDetectError(
                    _("No slice view shows a {plane} slice of the scan; show one, or examine all slices.").format(plane=plane)
                )
            first = last = index
        else:
            first, last = self._ui.firstSlice.value, self._ui.lastSlice.value
            if first > last:
                raise InvDetectError(_("The first slice comes after the last one; exchange them."))
        ends = sorted(grid.first_slice_index(index) for index in (first, last))
        return ends[0], ends[1] + 1

    def region(self) -> Any:
        """The segmentation that is chosen, else "brain" or None, as `InvDetectLogic.detect` takes them."""
        return self._ui.regionSelector.currentNode() or ("brain" if self._ui.brainCheck.checked else None)

    def wishes(self) -> dict[str, Any]:
        """The operating point and the region, as `InvDetectLogic.detect` takes them."""
        rate = self._ui.startRate.value / 100
        return {
            "foregroundNode": self.region(),
            "rate": rate if rate > 0 else None,
            "contiguity": self._ui.startContiguity.value,
            "scr": self._ui.scrCheck.checked,
            "adapt": "scan" if self._ui.adaptCheck.checked else "none",
        }

    def outputs(self) -> ResultNodes | None:
        """Nodes to be overwritten; None for none."""
        ui = self._ui
        chosen = ResultNodes(
            map=ui.mapOutput.currentNode(), segmentation=ui.maskOutput.currentNode(), table=ui.tableOutput.currentNode()
        )
        return chosen if chosen.made() else None

    def _place(self) -> str:
        return str(self._ui.deviceSelector.itemData(self._ui.deviceSelector.currentIndex) or _AUTO)

    def _placeChosen(self) -> None:
        if not self._updating:
            self._scheduler.show(self.elsewhere)

    def _which(self) -> str:
        return str(self._ui.slicesSelector.itemData(self._ui.slicesSelector.currentIndex) or ALL)

    def _changed(self) -> None:
        if not self._updating:
            self._ui.rangeWidget.visible = self._which() == RANGE
            self._on_changed()
