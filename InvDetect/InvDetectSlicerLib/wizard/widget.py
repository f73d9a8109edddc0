"""The training wizard: its pages in their order, and the training that was left unfinished."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from InvDetectLib.common import InvDetectError
from InvDetectLib.models import Preparation

from ..install import dependencies, installing, pythons
from ..models import resource
from ..panel import Delay, Status, name_parts
from ..training_logic import TrainingLogic
from ..worker import TrainingChoices, slices_along
from .adapt_page import AdaptPage
from .paths import TYPING
from .preparation_page import PreparationPage
from .run_pages import ResultPage, TrainPage
from .scans_page import ScansPage
from .settings_page import SettingsPage

_POLL = 50  # milliseconds
_TITLES = ("Normal scans", "How they are read", "The model", "Training", "Result")
_SCANS, _PREPARATION, _SETTINGS, _TRAIN, _RESULT, _ADAPT = range(6)


class TrainingWidget:
    """The panel of the module InvDetectTraining; `widget` is to be put into the module's layout.

    logic  closed with the wizard;  onUse  called with the name of a model that is to be used; None: the detection panel gets it
    """

    def __init__(self, logic: TrainingLogic | None = None, onUse: Callable[[str], None] | None = None) -> None:
        self._logic = logic or TrainingLogic()
        self.widget = slicer.util.loadUI(str(resource("UI/InvDetectTraining.ui")))
        self.ui = ui = slicer.util.childWidgetVariables(self.widget)
        self.status = status = Status(ui, self._logic.report)
        self.scans = ScansPage(ui, self._logic, status, self._scansChanged)
        self.preparation = PreparationPage(ui, self._logic, status, self.choices)
        self.settings = SettingsPage(ui, self._logic, status, self.choices, self._presetChanged, self._showState)
        self.training = TrainPage(ui, self._logic, status, self._finished, self._ended)
        self.result = ResultPage(ui, self._logic, status, onUse or use_in_detection, self.startAgain)
        self.adapting = AdaptPage(ui, self._logic, status, self._adapted, self._showState)
        name_parts(ui.folderPath, ui.masksPath, ui.adaptFolderPath, ui.adaptMasksPath)
        self._typed = Delay(TYPING, status.guarded(self._look))
        ui.folderPath.currentPathChanged.connect(status.guarded(self._folderTyped))
        ui.backButton.clicked.connect(status.guarded(self.back))
        ui.nextButton.clicked.connect(status.guarded(self.next))
        ui.adaptPageButton.clicked.connect(status.guarded(self.adapt))
        ui.installButton.clicked.connect(status.guarded(self.install))
        ui.goOnButton.clicked.connect(status.guarded(self.goOn))
        ui.discardButton.clicked.connect(status.guarded(self.discard))
        # Where the keyboard is on a new page. Left on a button that goes off, Qt would carry it on, maybe out of the panel.
        self._first = (ui.folderPath.comboBox(), ui.modalityEdit, ui.methodSelector, ui.pauseButton, ui.useButton, ui.adaptModelSelector)
        self._timer = qt.QTimer()
        self._timer.interval = _POLL
        self._timer.timeout.connect(status.guarded(self._logic.poll))
        self._timer.start()
        self._show(_SCANS)

    def enter(self) -> None:
        """The user came to the module: offer a training that was left unfinished, and see whether the folder is still there."""
        self._offer()
        if self.page == _SCANS:
            self.scans.there(self.choices().folder)

    def _offer(self) -> None:
        unfinished = None if self.training.running else self._logic.unfinished()
        self.ui.unfinishedFrame.visible = unfinished is not None and self.page < _TRAIN
        if unfinished is not None:
            text = _('The training of "{name}" was not finished. What it learned is kept.')
            self.ui.unfinishedText.text = text.format(name=unfinished.name)

    def exit(self) -> None:
        """The user went to another module. A training goes on."""

    def cleanup(self) -> None:
        """The wizard goes: a training stops at a safe place, to be gone on with."""
        self._timer.stop()
        self._typed.stop()
        self.preparation.hide()
        self.adapting.hide()
        self._logic.close()

    @property
    def page(self) -> int:
        """The number of the page that is shown, from 0."""
        return int(self.ui.pages.currentIndex)

    def choices(self) -> TrainingChoices:
        """What is chosen now."""
        return TrainingChoices(self.ui.folderPath.currentPath.strip(), **self.preparation.values(), **self.settings.values())

    # Steps

    def next(self) -> None:
        """One step on; from the settings into the training."""
        self.status.say("")
        if self.page in (_SCANS, _SETTINGS):
            self.scans.there(self.choices().folder)  # it may be gone
        if problem := self._problem():
            raise InvDetectError(problem)
        if self.page == _SCANS and not self._ready():
            return
        if self.page == _ADAPT:
            if self._ready():
                self.adapting.start()
        elif self.page == _SETTINGS:
            if self._ready():
                self.train(self.choices(), resume=False)
        elif self.page == _TRAIN:
            assert self.training.choices is not None
            self.train(self.training.choices, resume=os.path.exists(self.training.choices.checkpoint()))
        else:
            self._turn(self.page + 1)

    def back(self) -> None:
        """One step back. What was chosen stays."""
        self.status.say("")
        self._turn(_SCANS if self.page == _ADAPT else self.page - 1)

    def adapt(self) -> None:
        """To the page on which a model is adapted to another scanner, instead of training one."""
        self.status.say("")
        self._turn(_ADAPT)

    def train(self, choices: TrainingChoices, resume: bool) -> None:
        """Begin a training, or go on with one. Raises InvDetectError."""
        self.training.start(choices, resume)
        self._turn(_TRAIN)

    def goOn(self) -> None:
        """Go on with the training that was left unfinished."""
        unfinished = self._logic.unfinished()
        if unfinished is None:
            self._offer()
            raise InvDetectError(_("What was kept of it is no longer there. Train anew."))
        if self._ready():
            self.train(unfinished, resume=True)

    def discard(self) -> None:
        """Give the unfinished training up, if that is meant."""
        unfinished = self._logic.unfinished()
        question = _("What the training has learned so far will be deleted. Give it up?")
        if unfinished is not None and slicer.util.confirmOkCancelDisplay(question):
            self._logic.discard(unfinished)
        self._offer()

    def startAgain(self) -> None:
        """From the first page, for another model."""
        self.ui.nameEdit.text = ""
        self._turn(_SCANS)

    def install(self) -> bool:
        """Ask, then install what is missing; whether all is there now."""
        missing = dependencies.missing()
        question = dependencies.question(missing, not installing.pytorch_extension_found())
        if missing and slicer.util.confirmOkCancelDisplay(question):
            self.ui.installButton.enabled = False  # what waits in the queue is let in meanwhile
            try:
                self.status.say(installing.install_with_extension(missing))
            finally:
                self.ui.installButton.enabled = True
            self._logic.close()  # a worker that runs knows nothing of it
        return self._ready()

    def _ready(self) -> bool:
        """Whether there is all that computing needs; what is missing is said."""
        state = dependencies.state(chosen_python=pythons.chosen_python())
        self.ui.neededLabel.text = state.text
        self.ui.neededWidget.visible = not state.ready
        return state.ready

    def _folderTyped(self) -> None:
        """A key at a time: what was found elsewhere goes at once, but nothing is looked into before the path is whole."""
        self.status.say("")
        self.scans.clear()
        self._typed.start()

    def _look(self) -> None:
        choices = self.choices()
        self.scans.look(choices if self.page == _SETTINGS or not self.preparation.problem() else choices.readAsPreset())
        self._showState()

    def _presetChanged(self, preparation: Preparation) -> None:
        self.preparation.fill(preparation)
        if self.page == _SETTINGS:
            self._lookAgain()

    def _lookAgain(self) -> None:
        """Which scans can be used, and how many slices they have, depends on how they are read and on the preset."""
        self._look()
        self._scansChanged()

    def _scansChanged(self) -> None:
        if self.page == _SETTINGS:
            plane = self.choices().settings().preparation.plane
            self.settings.show(sum(slices_along(row, plane) for row in self.scans.usable))
            self.status.say(self.scans.problem())
        self._showState()

    def _turn(self, page: int) -> None:
        """As the user wished, and so the keyboard goes with it."""
        self._show(page)
        self._first[page].setFocus()

    def _show(self, page: int) -> None:
        self.ui.pages.currentIndex = page
        step = _("Step {number} of {count}: {title}")
        title = _("Adapt a model to this scanner")
        self.ui.stepLabel.text = title if page == _ADAPT else step.format(number=page + 1, count=len(_TITLES), title=_(_TITLES[page]))
        self.preparation.hide()
        self.adapting.hide()
        if page == _SCANS:
            self.status.guarded(self._look)()
        elif page == _PREPARATION:
            self.preparation.show(self.scans.usable)
        elif page == _SETTINGS:
            self._lookAgain()
        elif page == _ADAPT:
            self.adapting.show(self.choices().folder)
        self._offer()
        self._showState()

    def _problem(self) -> str:
        """Why the next step cannot be taken; "" when it can."""
        if self.page == _SCANS:
            return self.scans.problem()
        if self.page == _PREPARATION:
            return self.preparation.problem()
        if self.page == _ADAPT:
            return self.adapting.problem()
        return self.scans.problem() or self.settings.problem() if self.page == _SETTINGS else ""

    def _showState(self) -> None:
        ui, page, running = self.ui, self.page, self.training.running or self.adapting.running
        ui.backButton.enabled = page > _SCANS and not running and page != _RESULT
        ui.backButton.visible = ui.nextButton.visible = page != _RESULT
        problem = self._problem() if page in (_SCANS, _SETTINGS, _ADAPT) else ""
        ui.nextButton.enabled = not problem and not running
        ui.nextButton.toolTip = problem
        ui.nextButton.text = {_SETTINGS: _("Train"), _TRAIN: _("Go on"), _ADAPT: _("Adapt")}.get(page, _("Next"))

    def _finished(self, facts: dict[str, Any]) -> None:
        self.scans.forget()
        self.result.show(facts["model"], facts["warnings"])
        self.status.say("")
        self._show(_RESULT)

    def _adapted(self, facts: dict[str, Any]) -> None:
        self._finished(facts)
        self.ui.stepLabel.text = _("The adapted model")  # which is no step of a training

    def _ended(self) -> None:
        """The training stopped without a model."""
        self._showState()


def use_in_detection(name: str) -> None:
    """Go to the detection panel, with this model chosen."""
    slicer.util.selectModule("InvDetect")
    panel = slicer.modules.invdetect.widgetRepresentation().self().panel
    panel.models.refresh()
    panel.models.choose(name)
