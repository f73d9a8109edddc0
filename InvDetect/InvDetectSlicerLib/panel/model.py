"""Choosing a model in the panel: the list with its cards, import of a file, the models folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from InvDetectLib.common import InvDetectError
from InvDetectLib.models import DIRECTION_WORDS, SUFFIX, ContrastDetail, models_folder

from ..models import InstalledModel, NameTaken, import_model, installed_models
from .chart import show_false_alarms
from .rehearsal import RehearsalChart
from .status import Status, even_font, show_text

_CARD_WIDTH = 44  # columns of the card, so that nothing is cut off in a panel of 400 pixels
_DISCLAIMER = "Research use only; not a medical device."


class ModelPanel:
    """Owns the widgets from `modelSelector` to `modelsFolderLabel`."""

    def __init__(self, ui: Any, logic: Any, status: Status, onChanged: Any) -> None:
        """logic: asked for the chart;  onChanged: called when another model is chosen"""
        self._ui, self._status, self._on_changed = ui, status, onChanged
        self._models: list[InstalledModel] = []
        self._direction: str | None = None
        self._updating = False
        self._chart = RehearsalChart(ui.chartImage, ui.aboutButton, logic, status)
        ui.aboutButton.contentsCollapsed.connect(status.guarded(self._draw))
        ui.modelSelector.currentIndexChanged.connect(status.guarded(self._changed))
        ui.importButton.clicked.connect(status.guarded(self.importFile))
        ui.refreshButton.clicked.connect(status.guarded(self.refresh))
        ui.openFolderButton.clicked.connect(status.guarded(self._openFolder))
        ui.cardText.font = even_font()

    def current(self) -> InstalledModel | None:
        """The chosen model, usable or not; None without any."""
        index = self._ui.modelSelector.currentIndex
        return self._models[index] if 0 <= index < len(self._models) else None

    def usable(self) -> InstalledModel:
        """The chosen model. Raises `InvDetectError` with what to do when there is none that can be used."""
        model = self.current()
        if model is None:
            raise InvDetectError(_("There is no model yet. Import a model file, or train one in the module InvDetect Training."))
        if model.problem:
            raise InvDetectError(model.problem)
        return model

    def choose(self, name: str) -> None:
        """The model of that name, if there is one."""
        for index, model in enumerate(self._models):
            if model.name == name:
                self._ui.modelSelector.currentIndex = index

    def tellDirection(self, direction: str | None) -> None:
        """What is told of the model is told of this direction; None: of its own, or of none."""
        self._direction = direction
        self._tell()

    def refresh(self) -> None:
        """Look at the folders again; the choice stays where it can."""
        before = self.current()
        self._updating = True
        self._models = installed_models()
        self._ui.modelSelector.clear()
        for model in self._models:
            self._ui.modelSelector.addItem(model.title)
        if before is not None:
            self.choose(before.name)
        self._updating = False
        self._ui.modelsFolderLabel.text = _("Your models: {folder}").format(folder=models_folder())
        self._changed()

    def importFile(self) -> None:
        """Ask for a model file and copy it into the models folder; a model of the same name is replaced only when that is agreed."""
        path = qt.QFileDialog.getOpenFileName(self._ui.importButton, _("Import a model"), "", f"InvDetect (*{SUFFIX})")
        if not path:
            return
        try:
            model = import_model(Path(path))
        except NameTaken as error:
            if not slicer.util.confirmYesNoDisplay(_("{problem}\n\nReplace it?").format(problem=error)):
                return
            model = import_model(Path(path), replace=True)
        self.refresh()
        self.choose(model.name)
        self._status.say(_("The model {name} is in your models folder.").format(name=model.name))

    def _changed(self) -> None:
        if self._updating:
            return
        model = self.current()
        if model is None:
            show_text(self._ui.modelSummary, _("No model yet: import one, or train one in InvDetect Training."))
            self._ui.cardText.plainText = ""
        else:
            summary = model.summary.rstrip(".") + "." if model.summary else ""
            show_text(self._ui.modelSummary, f"{summary} {_(_DISCLAIMER)}".strip())
            self._ui.cardText.plainText = model.text(_CARD_WIDTH)
        self._tell()
        self._draw()
        self._on_changed()

    def _tell(self) -> None:
        model = self.current()
        if model is None or model.problem:
            show_text(self._ui.methodLabel, "")
            show_text(self._ui.sightLabel, "")
            show_false_alarms(self._ui.alarmsImage, {}, {})
        else:
            show_text(self._ui.methodLabel, " ".join([_method(model), *_direction(model, self._direction)]))
            show_text(self._ui.sightLabel, _sight(model, self._direction))
            show_false_alarms(self._ui.alarmsImage, model.calibration_in(self._direction), model.card)

    def _draw(self) -> None:
        """The chart, as soon as somebody looks."""
        self._chart.show(None if self._ui.aboutButton.collapsed else self.current())

    def _openFolder(self) -> None:
        folder = models_folder()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvDetectError(f"The models folder {folder} cannot be made: {error.strerror or error}.") from error
        qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(folder)))


def _direction(model: InstalledModel, chosen: str | None) -> Iterator[str]:
    """What its findings are, for a model that tells directions apart."""
    if known := model.directions:
        yield _("Findings are {direction}.").format(direction=_(DIRECTION_WORDS[chosen if chosen in known else known[0]]))


def _sight(model: InstalledModel, chosen: str | None) -> str:
    """What it finds of made lesions, in a sentence; "" where nobody tried, or tried another direction only."""
    detail = ContrastDetail.of_card(model.card)
    return "" if detail is None or (chosen or detail.direction) != detail.direction else detail.sentences()[0]


def _method(model: InstalledModel) -> str:
    """How the model looks at a scan: what a user cannot change."""
    settings = model.settings
    preparation = settings.preparation
    slices = f"whole {preparation.plane} slices" if settings.whole_slices else f"patches of {preparation.plane} slices"
    grid = f"{preparation.grid} pixels" if preparation.spacing_mm is None else f"{preparation.spacing_mm:g} mm a pixel"
    colour = "colour" if preparation.channels == 3 else "grey"
    return f"Method {settings.method}, preset {settings.preset}: {slices}, {colour}, grid of {grid}."
