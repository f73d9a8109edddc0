"""The sliders and switches of a result: how much of it counts as a finding, and how map and findings are shown."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from Testing.support.needs import QT, need

slicer = need(*QT)

from Testing.support.panels import center, press, states, wait_for  # noqa: E402
from Testing.support.slicer_host import Host  # noqa: E402
from Testing.support.slicer_host.qt_host import process_events, true_properties  # noqa: E402

true_properties(__name__)

from InvDetectSlicerLib.panel.refine import position_of, rate_at  # noqa: E402
from InvDetectSlicerLib.scene import display  # noqa: E402
from InvDetectSlicerLib.scene.findings_table import ACCEPTED, findings_of  # noqa: E402
from InvDetectSlicerLib.scene.stored_result import controls_of  # noqa: E402
from InvDetectSlicerLib.scene.volumes import add_like, array_of  # noqa: E402

from InvDetectLib.calibration.calibration import RATES  # noqa: E402

# What counts as a finding


def test_the_sensitivity_slider_changes_the_shown_slice_at_once_and_the_rest_after(panel: Any, scan: Any, result: Any) -> None:
    finding = findings_of(result.table)[0]
    center(scan, finding.peak_index[0])
    wait_for(lambda: panel._logic.prepareRefining(result))
    before = array_of(result.labels).copy()
    start = time.process_time()
    panel.ui.rateSlider.value = position_of(0.005)
    spent = time.process_time() - start
    assert spent < 0.1, spent
    assert "normal tissue" in panel.ui.rateLabel.text
    assert np.array_equal(array_of(result.labels), before)  # the findings follow when the slider rests
    wait_for(lambda: not panel.refining.busy)
    assert (array_of(result.labels) > 0).sum() < (before > 0).sum()
    assert controls_of(result).rate == pytest.approx(rate_at(position_of(0.005)))
    assert panel.ui.findingsTable.rowCount == len(findings_of(result.table))


def test_contiguity_changes_the_mask(panel: Any, result: Any) -> None:
    wait_for(lambda: panel._logic.prepareRefining(result))
    panel.ui.contiguitySlider.value = 4.0
    wait_for(lambda: not panel.refining.busy)
    assert controls_of(result).contiguity == pytest.approx(4.0)


def test_a_node_that_leaves_the_scene_meanwhile_does_not_stop_a_slider(panel: Any, result: Any) -> None:
    """The slice on screen would show another mask than all others."""
    wait_for(lambda: panel._logic.prepareRefining(result))
    other = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode", "somebody's")
    panel.ui.rateSlider.value = position_of(0.005)
    slicer.mrmlScene.RemoveNode(other)
    process_events()
    assert panel.refining.busy and panel.ui.rateSlider.value == position_of(0.005)
    wait_for(lambda: not panel.refining.busy)
    assert controls_of(result).rate == pytest.approx(rate_at(position_of(0.005)))


def test_positions_and_rates_of_the_slider_belong_together() -> None:
    assert rate_at(0) == RATES[0] and rate_at(100) == RATES[-1]
    assert [position_of(rate_at(position)) for position in range(101)] == list(range(101))


def test_a_saved_scene_brings_the_sliders_back(host: Host, panel: Any, result: Any, tmp_path: Path) -> None:
    wait_for(lambda: panel._logic.prepareRefining(result))
    panel.ui.rateSlider.value = 70
    wait_for(lambda: not panel.refining.busy)
    number = panel.ui.findingsTable.rowCount
    panel.findings.choose(1)
    press(panel, "A")
    host.load(host.save(tmp_path / "reviewed.mrb"))
    wait_for(lambda: panel.ui.findingsTable.rowCount > 0)
    ui = panel.ui
    assert ui.findingsTable.rowCount == number and states(panel.result)[0] == ACCEPTED
    assert ui.rateSlider.enabled and ui.rateSlider.value == 70
    assert ui.scanSelector.currentNode() is panel.result.input
    wait_for(lambda: panel._logic.prepareRefining(panel.result))
    before = (array_of(panel.result.labels) > 0).sum()
    ui.rateSlider.value = 20
    wait_for(lambda: not panel.refining.busy)
    assert (array_of(panel.result.labels) > 0).sum() < before


def test_sliders_are_off_with_a_sentence_where_the_scene_lacks_what_they_need(panel: Any, result: Any) -> None:
    slicer.mrmlScene.RemoveNode(result.stored)
    panel.enter()
    assert not panel.ui.rateSlider.enabled and "Detect again" in panel.ui.refineLabel.text


# How it is shown


def test_opacity_threshold_and_3d_follow_the_controls(panel: Any, result: Any) -> None:
    panel.ui.opacitySlider.value = 0.25
    assert display.opacity_of(result.map) == pytest.approx(0.25)
    panel.ui.thresholdSlider.value = panel.ui.thresholdSlider.minimum + 0.5
    assert display.threshold_of(result.map) == pytest.approx(panel.ui.thresholdSlider.value)
    panel.ui.show3DCheck.checked = True
    assert result.segmentation.GetSegmentation().ContainsRepresentation("Closed surface")
    panel.ui.show3DCheck.checked = False
    assert not result.segmentation.GetDisplayNode().GetVisibility3D()


def test_one_click_shows_the_pseudo_normal_image_and_a_slider_fades_back_to_the_scan(panel: Any, result: Any) -> None:
    ui = panel.ui
    assert ui.pseudoNormalButton.isHidden() and ui.pseudoNormalSlider.isHidden()  # this model does not say what normal looks like
    ui.opacitySlider.value = 0.4
    normal = add_like(result.input, array_of(result.input).astype("float32") / 2, "normal")
    result.pseudo_normal = normal
    result.connect()
    panel.display.show(result)
    assert not ui.pseudoNormalButton.isHidden() and not ui.pseudoNormalSlider.enabled
    ui.pseudoNormalButton.click()
    assert display.is_in_front(normal) and display.opacity_of(normal) == 1.0 and not ui.opacitySlider.enabled
    ui.pseudoNormalSlider.value = 0.5
    assert display.opacity_of(normal) == pytest.approx(0.5)
    ui.pseudoNormalButton.click()
    assert display.opacity_of(result.map) == pytest.approx(0.4) and not display.is_in_front(normal)
    assert ui.opacitySlider.enabled and not ui.pseudoNormalSlider.enabled
