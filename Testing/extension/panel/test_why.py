"""Why the chosen finding is one, in words and as a picture: the panel with the real worker behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from Testing.support.needs import QT, need

slicer = need(*QT)

from Testing.support.panels import wait_for  # noqa: E402
from Testing.support.slicer_host.qt_host import process_events, start_qt, true_properties  # noqa: E402

start_qt()
true_properties(__name__)

from InvDetectSlicerLib.scene import findings_of  # noqa: E402


def drawn(panel: Any) -> Any:
    """The window with the picture, once it is there."""
    panel.ui.whyButton.click()
    assert not panel.ui.whyButton.enabled
    wait_for(lambda: panel.ui.whyButton.enabled)
    return panel.why._window


def test_the_words_are_those_of_the_chosen_finding(panel: Any, result: Any) -> None:
    findings = findings_of(result.table)
    assert not panel.ui.whyLabel.visible
    for finding in findings[:2]:
        panel.findings.choose(finding.label)
        assert panel.ui.whyLabel.text == f"Why? {finding.reasons.words()}"
    slicer.mrmlScene.Clear(0)
    process_events()
    assert not panel.ui.whyLabel.visible and not panel.ui.whyButton.visible


def test_the_picture_comes_into_a_window_that_goes_with_its_result(panel: Any, result: Any) -> None:
    assert panel.ui.whyButton.visible
    window = drawn(panel)
    assert window is not None and window.visible and panel.ui.statusLabel.text == ""
    folder = panel._logic.client.folder
    assert not [path.name for path in folder.iterdir() if "explained" in path.name or path.suffix == ".png"]
    panel.why.show(None)
    assert not window.visible


def test_a_refined_result_is_explained_as_it_stands(panel: Any, result: Any) -> None:
    before = len(findings_of(result.table))
    panel.ui.rateSlider.value = 30
    wait_for(lambda: not panel.refining.busy)
    assert len(findings_of(result.table)) != before
    assert drawn(panel) is not None


def test_without_the_model_that_found_it_the_picture_is_refused_in_words(panel: Any, result: Any, models: Path) -> None:
    aside = models / "tiny.aside"
    (models / "tiny.invdetect").rename(aside)
    try:
        panel.ui.whyButton.click()
    finally:
        aside.rename(models / "tiny.invdetect")
    assert "not among the installed ones" in panel.ui.statusLabel.text and panel.ui.whyButton.enabled


def test_scripts_get_the_picture_itself(panel: Any, result: Any, world: Any) -> None:
    picture = panel._logic.explain(result, world.model, device="cpu")
    assert picture.startswith(b"\x89PNG")


@pytest.mark.parametrize("lost", ["input", "stored"])
def test_a_result_that_lost_its_scan_or_what_it_keeps_offers_no_picture(panel: Any, result: Any, lost: str) -> None:
    slicer.mrmlScene.RemoveNode(getattr(result, lost))
    process_events()
    wait_for(lambda: not panel.ui.whyButton.visible)
