"""The wizard's last two pages: the training itself, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from InvDetectLib.models import SUFFIX, ContrastDetail

from ..models import read_model
from ..panel import RehearsalChart, Status, ask_where, duration, even_font, percent, show_false_alarms, show_text
from ..training_logic import TrainingLogic, TrainingRun
from ..worker import RunFailed, TrainingChoices
from .pictures import loss_plot

_PLOT = (360, 170)  # pixels
_CARD_WIDTH = 44  # columns
_LEFT_OUT = "left out "  # so the library's warnings begin of which the first page has a table
_STAGES = {
    "looking at scans": "Looking at the scans",
    "preparing scans": "Preparing the scans",
    "scoring normal scans as before": "Scoring them as the model did so far",
    "measuring the unit of views": "Measuring how much normal scans differ",
    "training": "Learning what is normal",
    "choosing epsilon": "Choosing how far a slice may be moved",
    "inverting normal patches": "Collecting normal patches",
    "fitting the one-class model": "Drawing the border of the normal",
    "measuring neighbour distances": "Measuring how alike neighbours are",
    "scoring held-out normal scans": "Scoring normal scans that were held out",
    "calibrating on held-out normal scans": "Calibrating on normal scans that were held out",
    "rehearsing with made lesions": "Trying out which made lesions it finds",
}


def stage_in_words(event: Any) -> str:
    """What is being done, of the library's progress."""
    return _(_STAGES.get(event.stage, event.stage.capitalize()))


class TrainPage:
    """Owns the widgets from `stageText` to `trainNote`."""

    def __init__(
        self,
        ui: Any,
        logic: TrainingLogic,
        status: Status,
        onFinished: Callable[[dict[str, Any]], None],
        onEnded: Callable[[], None],
    ) -> None:
        """onFinished: called with what the worker says of the model; onEnded: called when it ended in another way"""
        self._ui, self._logic, self._status = ui, logic, status
        self._on_finished, self._on_ended = onFinished, onEnded
        self._run: TrainingRun | None = None
        self.choices: TrainingChoices | None = None
        ui.pauseButton.clicked.connect(status.guarded(self.pause))
        ui.cancelButton.clicked.connect(status.guarded(self.cancel))

    @property
    def running(self) -> bool:
        """Whether a model is being trained."""
        return self._run is not None and self._run.running

    def start(self, choices: TrainingChoices, resume: bool) -> None:
        """Begin, or go on with what was begun. Raises InvDetectError."""
        self.choices = choices
        self._run = self._logic.train(choices, resume, self._finished, self._failed, self._progressed, self._warned)
        self._status.say("")
        self._ui.numbersText.text = ""
        self._ui.trainProgress.maximum = 0
        self._paint()
        self._show()

    def pause(self) -> None:
        """Let it wait, or go on."""
        if self._run is not None:
            if self._run.paused:
                self._run.resume()
            else:
                self._run.pause()
            self._show()

    def cancel(self) -> None:
        """Stop it; what was learned is kept."""
        if self._run is not None:
            self._run.cancel()
            self._ui.pauseButton.enabled = self._ui.cancelButton.enabled = False
            self._ui.stageText.text = _("Stopping ...")

    def _show(self) -> None:
        paused = self._run is not None and self._run.paused
        self._ui.pauseButton.enabled = self._ui.cancelButton.enabled = self.running
        self._ui.pauseButton.text = _("Go on") if paused else _("Pause")
        if self.running:
            self._ui.stageText.text = _("Waiting, as you wished.") if paused else self._stage()

    def _stage(self) -> str:
        event = None if self._run is None else self._run.event
        return _("Starting ...") if event is None else stage_in_words(event)

    def _progressed(self, event: Any) -> None:
        ui = self._ui
        if self._run is None or self._run.paused or not ui.cancelButton.enabled:
            return  # "Waiting" and "Stopping" stay
        ui.stageText.text = self._stage()
        ui.trainProgress.maximum = event.total
        ui.trainProgress.value = event.done
        parts = []
        if "samples" in event.facts:
            whole = self.choices is not None and self.choices.settings().whole_slices
            seen = _("{samples} slices seen") if whole else _("{samples} patches seen")
            parts += [seen.format(samples=int(event.facts["samples"]))]
            parts += [_("loss {loss:.4f}").format(loss=event.facts["loss"])]
            self._paint()
        if event.seconds_left is not None:
            parts += [_("{time} left for this step").format(time=duration(event.seconds_left))]
        ui.numbersText.text = ", ".join(parts)

    def _warned(self, text: str) -> None:
        if not text.startswith(_LEFT_OUT):
            self._status.say(text)

    def _paint(self) -> None:
        assert self._run is not None and self.choices is not None
        steps = self.choices.settings().training.steps
        self._ui.plotImage.pixmap = loss_plot(self._run.losses, steps, *_PLOT, self._ui.plotImage.palette)

    def _finished(self, facts: dict[str, Any]) -> None:
        self._show()
        self._on_finished(facts)

    def _failed(self, failure: RunFailed) -> None:
        self._show()
        self._ui.trainProgress.maximum = 1
        self._ui.trainProgress.value = 0
        if failure.kind == "cancelled":
            self._ui.stageText.text = _("Stopped.")
        else:
            self._ui.stageText.text = _("It could not be finished.")
            self._status.fail(failure)
        self._on_ended()


class ResultPage:
    """Owns the widgets from `resultText` to `anotherButton`."""

    def __init__(self, ui: Any, logic: TrainingLogic, status: Status, onUse: Callable[[str], None], onAnother: Callable[[], None]) -> None:
        """onUse: called with the model's name; onAnother: called when another one is to be trained"""
        self._ui, self._logic, self._status, self._on_use = ui, logic, status, onUse
        self._path = Path()
        self._chart = RehearsalChart(ui.chartImage, ui.pages, logic, status)
        ui.cardText.font = even_font()
        ui.useButton.clicked.connect(status.guarded(lambda: self._on_use(self._path.stem)))
        ui.saveButton.clicked.connect(status.guarded(self.save))
        ui.anotherButton.clicked.connect(status.guarded(onAnother))

    def show(self, path: str, warnings: Sequence[str] = ()) -> None:
        """Tell of a model that was trained."""
        self._path = Path(path)
        model = read_model(path)
        ui, calibration, card = self._ui, model.calibration, model.card
        ui.resultText.text = _('The model "{name}" is ready, and in your models folder.').format(name=model.name)
        adapted = "adapted" in card
        measured = _("{share} of normal tissue in {scans} normal scans that were held out")
        if adapted:
            measured = _("{share} of normal tissue in the {scans} normal scans that it was adapted to")
        ui.areaText.text = measured.format(share=percent(calibration["normal_area"]), scans=card["calibrated_on"]["scans"])
        ui.thresholdText.text = f"{calibration['default_threshold']:.3g}"
        ui.contiguityText.text = f"{calibration['contiguity']:.3g}"
        detail = ContrastDetail.of_card(card)
        show_text(ui.sightText, "" if detail is None else "\n".join(detail.sentences()))
        self._chart.show(model)
        show_false_alarms(ui.alarmsImage, calibration, card)
        told = [text for text in warnings if adapted or not text.startswith(_LEFT_OUT)]
        ui.cardText.plainText = "\n".join([model.text(_CARD_WIDTH), *([""] if told else []), *told])

    def save(self) -> None:
        """Ask for a place and write a copy of the model there."""
        kinds = f"InvDetect (*{SUFFIX})"
        target = ask_where(self._ui.saveButton, _("Save a copy of the model"), self._path.name, kinds, SUFFIX)
        if target is not None:
            self._logic.copyModel(self._path, target)
            self._status.say(_("Saved as {target}.").format(target=target))
