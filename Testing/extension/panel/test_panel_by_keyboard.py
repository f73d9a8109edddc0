"""The detection panel without a mouse and without seeing it: where Tab leads, and what a screen reader says there. Real Qt widgets; those
of ctk and qMRML are look-alikes, put together of parts like the originals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from Testing.support.needs import QT, need

slicer = need(*QT)

from Testing.support.slicer_host import Host  # noqa: E402
from Testing.support.slicer_host.qt_host import load_module, process_events, start_qt, true_properties  # noqa: E402

start_qt()
true_properties(__name__)

from InvDetectSlicerLib.scene import scene  # noqa: E402
from InvDetectSlicerLib.scene.findings_table import ACCEPTED, DISMISSED, OPEN  # noqa: E402
from InvDetectSlicerLib.scene.volumes import array_of  # noqa: E402

from Testing.support import focus  # noqa: E402
from Testing.support.scene_examples import add_volume, result_for  # noqa: E402

SECTIONS = """aboutButton optionsButton advancedButton findingsButton displayButton exportButton queueSection batchSection
    installSection""".split()
# What a user does, from the choice of a scan to the export.
USE = """scanSelector modelSelector importButton directionSelector aboutButton cardText optionsButton slicesSelector firstSlice
    lastSlice regionSelector deviceSelector schedulerEdit advancedButton brainCheck scrCheck adaptCheck
    warningLabel applyButton statusLabel findingsButton
    resultSelector rateSlider contiguitySlider findingsTable whyButton previousButton nextButton sideBySideButton acceptButton dismissButton
    undoButton commentEdit displayButton opacitySlider thresholdSlider pseudoNormalButton midlineCheck show3DCheck exportButton
    exportTableButton exportMaskButton queueSection queueTable queueButton batchSection scansFolder resultsFolder
    batchButton installSection pythonPath checkPythonButton""".split()


@pytest.fixture
def module_widget(host: Host) -> Iterator[Any]:
    """The panel with a result of MatchGen, its second finding chosen, all sections open, and something said everywhere."""
    widget = load_module("InvDetect")
    widget.parent.resize(420, 2600)
    widget.parent.show()
    volume = add_volume("straight")
    known = {"midline": {"origin": [0.0, 0.0, 0.0], "normal": [1.0, 0.0, 0.0]}}
    scene.show_result(result_for(volume, pseudo_normal=array_of(volume).astype(np.float32) / 2, provenance=known), volume)
    widget.enter()
    panel = widget.panel
    panel.ui.scanSelector.setCurrentNode(volume)
    for name in SECTIONS:
        getattr(panel.ui, name).collapsed = False
    panel.ui.slicesSelector.currentIndex = 1
    panel.ui.deviceSelector.currentIndex = panel.ui.deviceSelector.findData("scheduler")
    panel.queue.tick(volume)
    panel.findings.choose(2)
    panel.ui.directionLabel.visible = panel.ui.directionSelector.visible = True
    panel.run.warn("This scan is unlike the others.")
    panel.status.say("Something was done.")
    process_events()
    yield widget
    panel.options.reset()
    panel.ui.slicesSelector.currentIndex = panel.ui.deviceSelector.currentIndex = 0
    widget.cleanup()


def test_tab_leads_to_every_control_and_round(module_widget: Any) -> None:
    reached = focus.tab_order(module_widget.parent)
    assert set(focus.controls(module_widget.parent)) == set(reached)
    assert set(USE) <= set(reached), set(USE) - set(reached)


def test_tab_goes_in_the_order_of_use_and_never_backwards(module_widget: Any) -> None:
    reached = focus.tab_order(module_widget.parent)
    assert [name for name in reached if name in USE] == USE
    assert focus.jumps(module_widget.parent) == []


def test_a_screen_reader_can_say_what_each_control_is_for(module_widget: Any) -> None:
    assert focus.unnamed(module_widget.parent) == []


def test_while_the_pseudo_normal_image_is_shown_its_slider_is_on_the_way_instead(module_widget: Any) -> None:
    module_widget.panel.ui.pseudoNormalButton.click()
    reached = focus.tab_order(module_widget.parent)
    assert "pseudoNormalSlider" in reached and "opacitySlider" not in reached
    assert focus.unnamed(module_widget.parent) == []


def test_closed_sections_are_passed_by_their_titles_alone(module_widget: Any) -> None:
    ui = module_widget.panel.ui
    for name in SECTIONS:
        getattr(ui, name).collapsed = True
    process_events()
    reached = focus.tab_order(module_widget.parent)
    assert [name for name in reached if name in SECTIONS] == [name for name in SECTIONS if name != "advancedButton"]
    assert "findingsTable" not in reached and "applyButton" in reached


def test_the_sensitivity_is_spoken_as_the_share_that_is_marked(module_widget: Any) -> None:
    ui = module_widget.panel.ui
    ui.rateSlider.value = 80
    assert ui.rateSlider.accessibleDescription == ui.rateLabel.text != ""


def test_what_was_decided_is_told_in_words_and_not_in_colours(module_widget: Any) -> None:
    panel = module_widget.panel
    table = panel.ui.findingsTable
    for number, state in ((1, ACCEPTED), (2, DISMISSED)):
        panel.findings.choose(number)
        panel.findings.decide(state)
    assert [table.item(row, 5).text() for row in range(3)] == [ACCEPTED, DISMISSED, OPEN]
    looks = {(item.foreground().style(), item.background().style()) for item in (table.item(row, 5) for row in range(3))}
    assert len(looks) == 1
