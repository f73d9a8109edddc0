"""What the settings page says of presets that look at whole slices: what counts as abnormal, and what a training has seen. Qt is real."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from Testing.support.needs import QT, need

slicer = need(*QT)

from Testing.support.quiet_wizard import fill, quiet_wizard  # noqa: E402
from Testing.support.silent_worker import SilentWorker  # noqa: E402
from Testing.support.slicer_host.qt_host import process_events, true_properties  # noqa: E402

true_properties(__name__)

from InvDetectSlicerLib.wizard import TrainingWidget  # noqa: E402
from InvDetectSlicerLib.worker import TrainingChoices  # noqa: E402

pytestmark = pytest.mark.usefixtures("host")


@pytest.fixture
def worker() -> SilentWorker:
    return SilentWorker()


@pytest.fixture
def wizard(worker: SilentWorker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TrainingWidget]:
    """On its third page."""
    monkeypatch.setenv("INVDETECT_MODELS", str(tmp_path / "models"))
    (tmp_path / "normals").mkdir()
    with quiet_wizard(worker) as made:
        fill(made, worker, tmp_path / "normals")
        made.ui.nextButton.click()
        made.ui.nextButton.click()
        process_events()
        yield made


def choose(selector: Any, text: str) -> None:
    selector.currentIndex = next(i for i in range(selector.count) if selector.itemText(i).startswith(text))


def test_presets_that_tell_bright_from_dark_offer_the_choice_and_begin_with_their_own(wizard: TrainingWidget) -> None:
    ui = wizard.ui
    assert ui.directionSelector.visible and wizard.choices().direction == "both"
    choose(ui.presetSelector, "FLAIR")
    assert "FLAIR of the brain" in ui.presetText.text and wizard.choices().direction == "bright"
    assert wizard.choices().settings().preparation.modality == "MRI FLAIR"
    choose(ui.directionSelector, "darker")
    assert wizard.choices().settings().direction == "dark"
    assert TrainingChoices.from_dict(wizard.choices().as_dict()) == wizard.choices()
    for preset, offered in (("Quick", True), ("Fine", False), ("Fundus", True), ("Paper", False)):
        choose(ui.presetSelector, preset)
        assert ui.directionSelector.visible is offered and ui.directionLabel.visible is offered
        assert wizard.choices().direction == ("both" if offered else None)
        wizard.choices().settings()
    choose(ui.methodSelector, "MatchGen")
    assert not ui.directionSelector.visible and wizard.choices().direction is None


def test_what_is_looked_at_is_told_in_true_words(wizard: TrainingWidget) -> None:
    ui = wizard.ui
    for preset, words in (("Standard", "whole slices."), ("FLAIR", "whole slices."), ("Paper", "patches of 32 pixels.")):
        choose(ui.presetSelector, preset)
        assert ui.presetText.text.endswith(words)


def test_the_choice_reaches_the_training_and_its_slices_are_counted_as_such(wizard: TrainingWidget, worker: SilentWorker) -> None:
    ui = wizard.ui
    choose(ui.directionSelector, "brighter than")
    ui.nameEdit.text = "bright"
    rows = wizard.scans.facts.get("scans", [])
    worker.of("inspect")[-1].answer(scans=rows, left_out=[], problem="")
    ui.nextButton.click()
    (job,) = worker.of("train")
    assert job.command["settings"]["invdetect"]["views"]["direction"] == "bright"
    job.progress("training", loss=0.5, samples=16)
    assert ui.numbersText.text.startswith("16 slices seen")
    job.progress("measuring the unit of views")
    assert ui.stageText.text == "Measuring how much normal scans differ"
