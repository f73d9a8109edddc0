"""The page beside the steps: a model that is there already is adapted to another scanner by normal scans of it, without training."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import ctk
from slicer.i18n import tr as _

from InvDetectLib.common import InvDetectError

from ..models import InstalledModel, installed_models
from ..panel import Delay, Status
from ..training_logic import TrainingLogic
from ..worker import Run, RunFailed, TrainingChoices
from .paths import TYPING, folder_problem
from .run_pages import stage_in_words


class AdaptPage:
    """Owns the widgets from `adaptModelSelector` to `adaptStopButton`."""

    def __init__(
        self,
        ui: Any,
        logic: TrainingLogic,
        status: Status,
        onFinished: Callable[[dict[str, Any]], None],
        onChanged: Callable[[], None],
    ) -> None:
        """onFinished: called with what the worker says of the model;  onChanged: when something was chosen, has begun, or ended"""
        self._ui, self._logic, self._status = ui, logic, status
        self._on_finished, self._on_changed = onFinished, onChanged
        self._models: list[InstalledModel] = []
        self._run: Run | None = None
        self._stopping = False
        self._typed = Delay(TYPING, status.guarded(onChanged))
        for line in (ui.adaptFolderPath, ui.adaptMasksPath):
            line.filters = ctk.ctkPathLineEdit.Dirs
            line.currentPathChanged.connect(status.guarded(self._typed.start))
        ui.adaptModelSelector.currentIndexChanged.connect(status.guarded(self._changed))
        ui.adaptNameEdit.textChanged.connect(status.guarded(onChanged))
        ui.adaptStopButton.clicked.connect(status.guarded(self.cancel))

    def show(self, folder: str) -> None:
        """The page is to be seen; `folder` is what was chosen on the first page."""
        ui, before = self._ui, self._model()
        self._models = [model for model in installed_models() if not model.problem]
        ui.adaptModelSelector.clear()
        for model in self._models:
            ui.adaptModelSelector.addItem(model.title)
        names = [model.name for model in self._models]
        if names:
            ui.adaptModelSelector.currentIndex = names.index(before.name) if before is not None and before.name in names else 0
        if not ui.adaptFolderPath.currentPath.strip():
            ui.adaptFolderPath.currentPath = folder
        self._say("")
        self._changed()

    def hide(self) -> None:
        """The page is no longer seen."""
        self._typed.stop()

    @property
    def running(self) -> bool:
        """Whether a model is being adapted."""
        return self._run is not None and self._run.running

    def problem(self) -> str:
        """Why it cannot begin; "" when it can."""
        ui, model = self._ui, self._model()
        if model is None:
            return _("There is no model yet that could be adapted. Train one, or import one in the module InvDetect.")
        folder = ui.adaptFolderPath.currentPath.strip()
        if problem := folder_problem(folder):
            return problem
        if not folder:
            return _("Choose the folder with normal scans of the other scanner.")
        if self._wants_masks():
            masks = ui.adaptMasksPath.currentPath.strip()
            if problem := folder_problem(masks):
                return problem
            if not masks:
                return _("Choose the folder with the masks of the foreground, one for each scan.")
        if not ui.adaptNameEdit.text.strip():
            return _("Give the adapted model a name.")
        try:
            target = TrainingChoices(name=ui.adaptNameEdit.text).target()
        except InvDetectError as error:
            return str(error)
        return _("There is a model of this name already; give another one.") if os.path.exists(target) else ""

    def start(self) -> None:
        """Begin. Raises `InvDetectError`."""
        ui, model = self._ui, self._model()
        if problem := self.problem():
            raise InvDetectError(problem)
        assert model is not None
        self._stopping = False
        self._status.say("")
        self._run = self._logic.adapt(
            model.path,
            ui.adaptFolderPath.currentPath.strip(),
            ui.adaptNameEdit.text,
            masks=ui.adaptMasksPath.currentPath.strip() if self._wants_masks() else "",
            onFinished=self._finished,
            onFailed=self._failed,
            onProgress=self._progressed,
        )
        self._say(_("Starting ..."))

    def cancel(self) -> None:
        """Stop it; nothing is kept."""
        if self._run is not None and self._run.running:
            self._stopping = True
            self._run.cancel()
            self._ui.adaptStopButton.enabled = False
            self._ui.adaptStageText.text = _("Stopping ...")

    def _model(self) -> InstalledModel | None:
        index = self._ui.adaptModelSelector.currentIndex
        return self._models[index] if 0 <= index < len(self._models) else None

    def _wants_masks(self) -> bool:
        model = self._model()
        return model is not None and model.settings.preparation.foreground == "masks"

    def _changed(self) -> None:
        wanted = self._wants_masks()
        self._ui.adaptMasksLabel.visible = self._ui.adaptMasksPath.visible = wanted
        self._on_changed()

    def _say(self, text: str) -> None:
        """What it does, and whether it can be stopped."""
        ui, running = self._ui, self.running
        ui.adaptStageText.text = text
        ui.adaptProgress.visible = ui.adaptStopButton.visible = ui.adaptStopButton.enabled = running
        for widget in (ui.adaptModelSelector, ui.adaptFolderPath, ui.adaptMasksPath, ui.adaptNameEdit):
            widget.enabled = not running
        if running:
            ui.adaptProgress.maximum = 0
        self._on_changed()

    def _progressed(self, event: Any) -> None:
        if not self._stopping:
            self._ui.adaptStageText.text = stage_in_words(event)
        self._ui.adaptProgress.maximum = event.total
        self._ui.adaptProgress.value = event.done

    def _finished(self, facts: dict[str, Any]) -> None:
        self._say("")
        self._ui.adaptNameEdit.text = ""  # of the next one
        self._on_finished(facts)

    def _failed(self, failure: RunFailed) -> None:
        if failure.kind == "cancelled":
            self._say(_("Stopped. Nothing was kept."))
        else:
            self._say("")
            self._status.fail(failure)
