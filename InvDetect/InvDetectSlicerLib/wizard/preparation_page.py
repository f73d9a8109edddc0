"""The wizard's second page: how the scans are read, with a picture of what the model will see of one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ctk
import qt
from slicer.i18n import tr as _

from InvDetectLib.common import InvDetectError
from InvDetectLib.models import PLANES, Preparation, preset

from ..panel import Delay, Status, count
from ..training_logic import TrainingLogic
from ..worker import Run, RunFailed, TrainingChoices
from .paths import TYPING, folder_problem
from .pictures import pixmap_of, slice_with_patches

_PICTURE = 300
_SOON = 300  # milliseconds that choices have to rest before the picture is made anew
_INTENSITIES = {
    "median": "relative to the median",
    "landmarks": "matched to landmarks",
    "percentile": "between low and high percentiles",
    "window": "a fixed range of values",
    "full": "as it is",
    "channels": "colour by colour",
    "local": "relative to the surroundings",
}
_FOREGROUNDS = {
    "auto": "the body, found by itself",
    "brain": "the brain, in MRI of whole heads",
    "none": "the whole slice",
    "masks": "masks that I have",
}
# How a resolution is given, in pixels a side and in mm a pixel: digits after the point, the least, the most, and one to begin with.
_RESOLUTIONS = ((0, 32.0, 4096.0, 128.0), (2, 0.05, 50.0, 1.5))
_MASKS = 1 + list(_FOREGROUNDS).index("masks")  # where it stands, below what is recommended


class PreparationPage:
    """Owns the widgets from `modalityEdit` to `previewText`."""

    def __init__(self, ui: Any, logic: TrainingLogic, status: Status, choices: Callable[[], TrainingChoices]) -> None:
        """choices: what is chosen now, in the whole wizard"""
        self._ui, self._logic, self._status, self._choices = ui, logic, status, choices
        self._run: Run | None = None
        self._again = self._filling = False
        self._paths: list[str] = []
        self._slice: int | None = None
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)  # the property has the name of a static function, so PythonQt refuses to set it
        self._timer.interval = _SOON
        self._timer.timeout.connect(status.guarded(self._ask))
        ui.masksPath.filters = ctk.ctkPathLineEdit.Dirs
        for box in (ui.windowFrom, ui.windowTo):
            box.minimum, box.maximum, box.decimals = -100000.0, 100000.0, 0
        ui.windowTo.value = 100
        self.fill(preset("standard").preparation)
        for selector in (ui.planeSelector, ui.gridSelector, ui.intensitySelector, ui.foregroundSelector):
            selector.currentIndexChanged.connect(status.guarded(self._changed))
        ui.previewSelector.currentIndexChanged.connect(status.guarded(self._otherScan))
        for box in (ui.gridSpinBox, ui.windowFrom, ui.windowTo):
            box.valueChanged.connect(status.guarded(self._changed))
        self._typed = Delay(TYPING, status.guarded(self._ask))
        ui.masksPath.currentPathChanged.connect(status.guarded(self._pathTyped))
        ui.previewSlider.valueChanged.connect(status.guarded(self._otherSlice))

    def fill(self, own: Preparation) -> None:
        """The lists, with what a preset has as their first entries; what was chosen stays."""
        ui = self._ui
        grid = f"{own.grid} pixels a side" if own.spacing_mm is None else f"{own.spacing_mm:g} mm a pixel"
        intensity = own.intensity.partition(":")[0]
        entries = {
            ui.planeSelector: [own.plane, *PLANES],
            ui.gridSelector: [grid, _("pixels a side"), _("mm a pixel")],
            ui.intensitySelector: [_INTENSITIES[intensity], *_INTENSITIES.values()],
            ui.foregroundSelector: [_FOREGROUNDS[own.foreground], *_FOREGROUNDS.values()],
        }
        self._filling = True
        for selector, texts in entries.items():
            index = max(selector.currentIndex, 0)
            selector.clear()
            selector.addItem(_("Recommended: {choice}").format(choice=texts[0]))
            for text in texts[1:]:
                selector.addItem(text)
            selector.currentIndex = index
        self._filling = False
        self._changed()

    def show(self, rows: Sequence[dict[str, Any]]) -> None:
        """The page is to be seen, with these scans to look at."""
        paths = [row["path"] for row in rows]
        if paths != self._paths:
            self._filling, self._paths, self._slice = True, paths, None
            self._ui.previewSelector.clear()
            for row in rows:
                self._ui.previewSelector.addItem(Path(row["file"]).name)
            self._filling = False
        self._timer.start()

    def hide(self) -> None:
        """The page is no longer seen."""
        self._timer.stop()
        self._typed.stop()
        self._again = False

    def values(self) -> dict[str, Any]:
        """What is chosen here, for `TrainingChoices`."""
        ui = self._ui
        plane, grid, intensity, foreground = (
            selector.currentIndex for selector in (ui.planeSelector, ui.gridSelector, ui.intensitySelector, ui.foregroundSelector)
        )
        rule = list(_INTENSITIES)[intensity - 1] if intensity > 0 else None
        return {
            "modality": ui.modalityEdit.text,
            "plane": PLANES[plane - 1] if plane > 0 else None,
            "grid": int(ui.gridSpinBox.value) if grid == 1 else None,
            "spacing_mm": float(ui.gridSpinBox.value) if grid == 2 else None,
            "intensity": f"window:{ui.windowFrom.value:g},{ui.windowTo.value:g}" if rule == "window" else rule,
            "foreground": list(_FOREGROUNDS)[foreground - 1] if foreground > 0 else None,
            "masks": ui.masksPath.currentPath.strip() if foreground == _MASKS else "",
        }

    def problem(self) -> str:
        """Why scans cannot be read so; "" when they can."""
        try:
            choices = self._choices()
            choices.settings()
        except InvDetectError as error:
            return str(error)
        return folder_problem(choices.masks)

    def _pathTyped(self) -> None:
        if self._paths:
            self._timer.stop()  # until the path is whole
            self._typed.start()

    def _changed(self) -> None:
        if self._filling:
            return
        ui = self._ui
        grid = ui.gridSelector.currentIndex
        decimals, least, most, usual = _RESOLUTIONS[grid == 2]
        if grid > 0 and ui.gridSpinBox.maximum != most:  # the number is of another unit, or of none yet
            self._filling = True
            ui.gridSpinBox.decimals = decimals
            ui.gridSpinBox.minimum, ui.gridSpinBox.maximum = least, most
            ui.gridSpinBox.value = usual
            self._filling = False
        ui.gridSpinBox.visible = grid > 0
        ui.windowWidget.visible = ui.intensitySelector.currentIndex == 1 + list(_INTENSITIES).index("window")
        ui.masksPath.visible = ui.foregroundSelector.currentIndex == _MASKS
        if self._paths:
            self._timer.start()

    def _otherScan(self) -> None:
        if not self._filling:
            self._slice = None
            self._timer.start()

    def _otherSlice(self) -> None:
        if not self._filling:
            self._slice = self._ui.previewSlider.value
            self._timer.start()

    def _ask(self) -> None:
        index = self._ui.previewSelector.currentIndex
        if not 0 <= index < len(self._paths):
            return
        if self._run is not None and self._run.running:
            self._again = True  # not cancelled: ending a worker that reads a large scan would cost more
            return
        self._again = False
        try:
            if problem := self.problem():
                raise InvDetectError(problem)
            self._run = self._logic.preview(self._choices(), self._paths[index], self._slice, self._shown, self._failed)
        except InvDetectError as error:
            self._ui.previewImage.clear()
            self._say(str(error))

    def _shown(self, facts: dict[str, Any]) -> None:
        ui = self._ui
        picture = slice_with_patches(facts["image"], facts["foreground"], facts["patches"], facts["patch_size"], _PICTURE)
        pixmap = pixmap_of(picture)
        ui.previewImage.pixmap = pixmap.scaled(_PICTURE, _PICTURE, qt.Qt.KeepAspectRatio, qt.Qt.SmoothTransformation)
        self._filling = True
        ui.previewSlider.maximum = facts["slices"] - 1
        ui.previewSlider.value = facts["slice"]
        self._filling = False
        ui.previewSlider.enabled = facts["slices"] > 1
        unit = "mm" if facts["unit"] == "mm" else _("pixels of the scan")
        patches = _("{patches} of {size} x {size} pixels (orange) in what is looked at (blue)").format(
            patches=count(len(facts["patches"]), "patch", "patches"), size=facts["patch_size"]
        )
        looked_at = patches if facts["patch_size"] else _("the whole slice; findings come from what is inside the blue line")
        text = _("Slice {number} of {slices}: {looked_at}.").format(number=facts["slice"] + 1, slices=facts["slices"], looked_at=looked_at)
        size = _("A pixel is {pixel} {unit}.").format(pixel=f"{facts['pixel']:.3g}", unit=unit)
        self._say(" ".join([text, size, *facts["warnings"]]))

    def _failed(self, failure: RunFailed) -> None:
        self._ui.previewImage.clear()
        self._say(str(failure))

    def _say(self, text: str) -> None:
        self._ui.previewText.text = text
        if self._again:
            self._timer.start()
