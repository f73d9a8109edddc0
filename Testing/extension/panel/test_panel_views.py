"""What the panel does to the views: the images beside each other, and the mark on the chosen finding. Real Qt and MRML; new views get
their size when Qt lays the window out."""

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

from InvDetectSlicerLib.scene import scene, side_by_side  # noqa: E402
from InvDetectSlicerLib.scene.nodes import ResultNodes, results_in_scene  # noqa: E402
from InvDetectSlicerLib.scene.volumes import array_of  # noqa: E402

from Testing.support.scene_examples import add_volume, result_for  # noqa: E402

Layout = slicer.vtkMRMLLayoutNode


@pytest.fixture(scope="module")
def module_widget() -> Iterator[Any]:
    widget = load_module("InvDetect")
    widget.parent.show()
    yield widget
    widget.cleanup()


@pytest.fixture
def panel(host: Host, module_widget: Any) -> Iterator[Any]:
    process_events()
    host.layouts.node.SetViewArrangement(Layout.SlicerLayoutFourUpView)
    process_events()
    module_widget.panel.enter()
    yield module_widget.panel
    module_widget.panel.exit()
    host.layouts.node.SetViewArrangement(Layout.SlicerLayoutFourUpView)
    process_events()


def result(panel: Any, name: str = "Jane Doe") -> ResultNodes:
    """A result of MatchGen in the scene, chosen in the panel."""
    volume = add_volume("straight", name=name)
    nodes = scene.show_result(result_for(volume, pseudo_normal=array_of(volume).astype(np.float32) / 2), volume)
    choose(panel, nodes)
    return nodes


def choose(panel: Any, nodes: ResultNodes) -> None:
    panel.enter()
    panel.ui.resultSelector.currentIndex = panel.ui.resultSelector.findData(nodes.table.GetID())
    process_events()
    assert panel.result is not None and panel.result.table is nodes.table


def marked() -> str:
    """The number that is marked in the views; "" for none."""
    nodes = [node for node in slicer.util.getNodesByClass("vtkMRMLMarkupsNode") if node.GetDisplayNode().GetVisibility()]
    assert len(nodes) <= 1
    return nodes[0].GetNthControlPointLabel(0) if nodes else ""


def layout(host: Host) -> int:
    return int(host.layouts.node.GetViewArrangement())


def scans_on_screen() -> set[str]:
    shown = [view.GetLayoutName() for view in slicer.util.getNodesByClass("vtkMRMLSliceNode") if view.IsMappedInLayout()]
    layers = (slicer.mrmlScene.GetSingletonNode(name, "vtkMRMLSliceCompositeNode") for name in shown)
    return {str(one.GetBackgroundVolumeID()) for one in layers}


# Side by side


def test_one_press_lays_the_images_beside_each_other_and_the_next_goes_back(host: Host, panel: Any) -> None:
    result(panel)
    button = panel.ui.sideBySideButton
    assert button.enabled and not button.checked
    button.click()
    process_events()
    assert button.checked and layout(host) == side_by_side.LAYOUTS[3]
    views = [view for view in slicer.util.getNodesByClass("vtkMRMLSliceNode") if view.IsMappedInLayout()]
    for view in views:  # framed after the window was laid out: whole pictures, and as high as wide
        (columns, rows, _), (width, height, _) = view.GetDimensions(), view.GetFieldOfView()
        assert (columns, rows) == (400, 800) and width / height == pytest.approx(columns / rows)
        like = host.slice_logics["Red"].GetSliceNode().GetFieldOfView()
        assert width >= like[0] - 1e-6 and height >= like[1] - 1e-6
    button.click()
    assert not button.checked and layout(host) == Layout.SlicerLayoutFourUpView


def test_without_a_result_there_is_nothing_to_lay_out(host: Host, panel: Any) -> None:
    assert not panel.ui.sideBySideButton.enabled
    panel.ui.sideBySideButton.click()
    assert layout(host) == Layout.SlicerLayoutFourUpView


def test_another_result_takes_its_place(host: Host, panel: Any) -> None:
    first, second = result(panel), result(panel, "John Doe")
    panel.ui.sideBySideButton.click()
    assert second.input.GetID() in scans_on_screen()
    choose(panel, first)
    assert first.input.GetID() in scans_on_screen() and second.input.GetID() not in scans_on_screen()
    assert panel.ui.sideBySideButton.checked


def test_a_layout_that_is_chosen_in_slicer_lets_the_button_up(host: Host, panel: Any) -> None:
    result(panel)
    panel.ui.sideBySideButton.click()
    host.layouts.node.SetViewArrangement(Layout.SlicerLayoutOneUpRedSliceView)
    assert not panel.ui.sideBySideButton.checked
    panel.ui.sideBySideButton.click()
    panel.ui.sideBySideButton.click()
    assert layout(host) == Layout.SlicerLayoutOneUpRedSliceView


@pytest.mark.parametrize("lost", ["input", "map", "table", "scene"])
def test_what_is_deleted_meanwhile_brings_the_layout_back(host: Host, panel: Any, lost: str) -> None:
    nodes = result(panel)
    panel.ui.sideBySideButton.click()
    if lost == "scene":
        host.clear()
    else:
        slicer.mrmlScene.RemoveNode(getattr(nodes, lost))
    process_events()
    assert layout(host) == Layout.SlicerLayoutFourUpView
    assert not panel.ui.sideBySideButton.checked and not panel.ui.sideBySideButton.enabled


def test_a_saved_scene_comes_back_side_by_side_and_the_button_is_down(host: Host, panel: Any, tmp_path: Any) -> None:
    result(panel)
    panel.ui.sideBySideButton.click()
    path = host.save(tmp_path / "scene.mrb")
    host.load(path)
    process_events()
    (nodes,) = results_in_scene()
    assert panel.ui.sideBySideButton.checked and nodes.input.GetID() in scans_on_screen()
    panel.ui.sideBySideButton.click()
    assert layout(host) == Layout.SlicerLayoutFourUpView


def test_a_damaged_result_is_told_in_words_and_the_button_says_what_is(host: Host, panel: Any) -> None:
    nodes = result(panel)
    nodes.table.SetAttribute("InvDetect.Geometry", "[]")
    panel.ui.sideBySideButton.click()
    assert "Detect again" in panel.ui.statusLabel.text and not panel.ui.sideBySideButton.checked
    assert layout(host) == Layout.SlicerLayoutFourUpView


# The chosen finding


def test_the_chosen_finding_is_marked_and_no_other(panel: Any) -> None:
    result(panel)
    assert marked() == ""
    panel.ui.nextButton.click()
    assert marked() == "1"
    panel.ui.nextButton.click()
    assert marked() == "2"
    panel.ui.dismissButton.click()
    assert marked() == "2"
    panel.ui.findingsTable.clearSelection()
    panel.ui.findingsTable.setCurrentCell(-1, -1)
    panel.findings.refresh()
    assert marked() == ""


def test_next_keeps_the_zoom(host: Host, panel: Any) -> None:
    result(panel)
    panel.ui.nextButton.click()
    views = [logic.GetSliceNode() for logic in host.slice_logics.values()]
    for view in views:
        view.SetFieldOfView(3, 6, 1)
    for _ in range(3):
        panel.ui.nextButton.click()
        assert [view.GetFieldOfView()[:2] for view in views] == [(3, 6)] * 3


def test_the_mark_follows_a_finding_whose_mask_is_made_anew(panel: Any) -> None:
    nodes = result(panel)
    panel.ui.nextButton.click()
    scene.show_mask(nodes, result_for(nodes.input, threshold=50.0))  # nothing is found
    panel.findings.show(nodes)
    assert marked() == ""


def test_another_module_does_not_have_the_mark_in_its_way(panel: Any) -> None:
    nodes = result(panel)
    panel.ui.nextButton.click()
    panel.exit()
    assert marked() == ""
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode")
    slicer.mrmlScene.RemoveNode(nodes.segmentation)
    process_events()
    assert marked() == ""  # nor because the scene has changed
    panel.enter()
    assert marked() == "1"


@pytest.mark.parametrize("lost", ["table", "scene"])
def test_the_mark_goes_with_its_result(host: Host, panel: Any, lost: str) -> None:
    nodes = result(panel)
    panel.ui.nextButton.click()
    if lost == "scene":
        host.clear()
    else:
        slicer.mrmlScene.RemoveNode(nodes.table)
    process_events()
    assert not slicer.util.getNodesByClass("vtkMRMLMarkupsNode") and not slicer.util.getNodesByClass("vtkMRMLMarkupsDisplayNode")


def test_scenes_that_are_saved_and_opened_again_and_again_have_one_mark(host: Host, panel: Any, tmp_path: Any) -> None:
    result(panel)
    for _ in range(3):
        panel.ui.nextButton.click()
        assert marked() and len(slicer.util.getNodesByClass("vtkMRMLMarkupsNode")) == 1
        host.load(host.save(tmp_path / "scene.mrb"))
        process_events()
        assert marked() == ""


def test_a_panel_that_is_taken_down_takes_its_mark_along(host: Host, panel: Any) -> None:
    result(panel)
    widget = load_module("InvDetect")
    widget.enter()
    widget.panel.ui.nextButton.click()
    assert marked() == "1"
    widget.cleanup()
    assert not slicer.util.getNodesByClass("vtkMRMLMarkupsNode")
