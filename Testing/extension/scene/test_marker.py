"""The chosen finding on screen: where its mark is, what it looks like, and that it stays out of everybody's way. Real MRML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from Testing.support.needs import need

slicer = need("slicer")

from InvDetectSlicerLib.scene import display, marker, scene  # noqa: E402
from InvDetectSlicerLib.scene.nodes import nodes_of, results_in_scene  # noqa: E402

from Testing.support.scene_examples import SHAPE, add_volume, everything, result_for  # noqa: E402
from Testing.support.slicer_host import Host  # noqa: E402
from Testing.support.slicer_host.pictures import slice_picture, view_picture  # noqa: E402

pytestmark = pytest.mark.usefixtures("host")


def marks() -> list[Any]:
    """What is marked now."""
    nodes = slicer.util.getNodesByClass("vtkMRMLMarkupsNode")
    return [node for node in nodes if node.GetDisplayNode() is not None and node.GetDisplayNode().GetVisibility()]


def place(node: Any) -> np.ndarray:
    world = [0.0, 0.0, 0.0]
    node.GetNthControlPointPositionWorld(0, world)
    return np.array(world)


@pytest.mark.parametrize("moved", [False, True])
def test_the_mark_lies_on_the_finding_and_bears_its_number(moved: bool) -> None:
    volume = add_volume("oblique", moved=moved)
    table = scene.show_result(result_for(volume), volume).table
    for row in (2, 0, 1):
        marker.mark(table, row)
        (node,) = marks()
        np.testing.assert_allclose(place(node), scene.finding_place(table, row), atol=1e-6)
        assert node.GetNumberOfControlPoints() == 1 and node.GetNthControlPointLabel(0) == str(row + 1)


def test_the_mark_goes_along_when_the_scan_is_moved() -> None:
    volume = add_volume(moved=True)
    table = scene.show_result(result_for(volume), volume).table
    marker.mark(table, 0)
    pose = np.eye(4)
    pose[:3, 3] = (50.0, -20.0, 5.0)
    volume.GetParentTransformNode().SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(pose))
    np.testing.assert_allclose(place(marks()[0]), scene.finding_place(table, 0), atol=1e-6)


def test_the_mark_goes_and_leaves_no_trace() -> None:
    volume = add_volume()
    table = scene.show_result(result_for(volume), volume).table
    before = everything()
    marker.unmark()
    marker.remove_marker()
    marker.mark(table, 0)
    marker.unmark()
    assert not marks()
    marker.mark(table, 1)
    marker.remove_marker()
    assert everything() == before


def test_a_mark_that_somebody_took_apart_is_made_anew() -> None:
    volume = add_volume()
    table = scene.show_result(result_for(volume), volume).table
    marker.mark(table, 0)
    slicer.mrmlScene.RemoveNode(marks()[0].GetDisplayNode())
    marker.mark(table, 1)
    (node,) = marks()
    assert node.GetNthControlPointLabel(0) == "2"


def test_nobody_can_choose_move_or_save_the_mark(host: Host, tmp_path: Path) -> None:
    volume = add_volume()
    table = scene.show_result(result_for(volume), volume).table
    marker.mark(table, 0)
    (node,) = marks()
    assert node.GetLocked() and not node.GetSelectable() and node.GetHideFromEditors() and nodes_of(node) is None
    kinds = ("vtkMRMLMarkupsNode", "vtkMRMLMarkupsDisplayNode", "vtkMRMLStorageNode")
    for _ in range(2):
        host.load(host.save(tmp_path / "scene.mrb"))
        assert not slicer.util.getNodesByClass(kinds[0]) and not slicer.util.getNodesByClass(kinds[1])
        (nodes,) = results_in_scene()
        marker.mark(nodes.table, 0)
        assert len(marks()) == 1 and len(slicer.util.getNodesByClass(kinds[1])) == 1
    host.clear()
    assert not slicer.util.getNodesByClass(kinds[0]) and not slicer.util.getNodesByClass(kinds[1])


def test_the_mark_is_drawn_in_every_view(host: Host, tmp_path: Path) -> None:
    volume = add_volume("straight", np.full(SHAPE, 100, np.int16))
    volume.GetDisplayNode().SetAutoWindowLevel(False)
    volume.GetDisplayNode().SetWindowLevelMinMax(0, 400)
    table = scene.show_result(result_for(volume), volume).table
    where = scene.finding_place(table, 0)
    slicer.mrmlScene.RemoveNode(scene.nodes_of(table).segmentation)  # its outlines have the same colour
    for view in ("Red", "Yellow", "Green"):
        marker.unmark()
        bare = slice_picture(host, view=view, size=(300, 300), ras=where)
        marker.mark(table, 0)
        drawn = slice_picture(host, tmp_path / f"{view}.png", view, (300, 300), where)
        assert not cyan(bare).any() and cyan(drawn).sum() > 30
    marker.unmark()
    bare = view_picture(host, size=(300, 300))
    marker.mark(table, 0)
    assert cyan(view_picture(host, tmp_path / "3d.png", (300, 300))).sum() > cyan(bare).sum() + 15


def cyan(picture: np.ndarray) -> np.ndarray:
    return (np.abs(picture.astype(int) - np.array(display.finding_colour()) * 255) < 40).all(axis=2)


def test_outlines_and_mark_are_told_from_every_colour_of_the_map_without_red_and_green() -> None:
    """Who does not see red and green apart still sees how light a colour is, and how blue."""
    left = [[0.2126, 0.0], [0.7152, 0.0], [0.0722, 1.0]]
    differences = np.linalg.norm((display.heat_table() - display.finding_colour()) @ left, axis=1)
    assert differences.min() > 0.3


# Going there


def views(host: Host) -> list[Any]:
    return [logic.GetSliceNode() for logic in host.slice_logics.values()]


def in_view(view: Any, ras: np.ndarray) -> np.ndarray:
    """Column and row in the view's pixels, and how far in front of its plane."""
    return (np.linalg.inv(slicer.util.arrayFromVTKMatrix(view.GetXYToRAS())) @ [*ras, 1])[:3]


def test_going_to_a_finding_that_is_in_view_changes_neither_zoom_nor_place(host: Host) -> None:
    volume = add_volume("straight")
    table = scene.show_result(result_for(volume), volume).table
    for logic in host.slice_logics.values():
        logic.GetSliceNode().SetDimensions(400, 300, 1)
        logic.FitSliceToBackground()
    other = scene.finding_place(table, 1)
    before = [(view.GetFieldOfView()[:2], in_view(view, other)[:2]) for view in views(host)]
    scene.jump(table, 0)
    for view, (zoom, at) in zip(views(host), before):
        assert view.GetFieldOfView()[:2] == zoom
        np.testing.assert_allclose(in_view(view, other)[:2], at, atol=1e-6)
        assert abs(in_view(view, scene.finding_place(table, 0))[2]) < 1e-6


def test_going_to_a_finding_out_of_view_brings_it_to_the_middle_at_the_same_zoom(host: Host) -> None:
    volume = add_volume("straight")
    table = scene.show_result(result_for(volume), volume).table
    for view in views(host):
        view.SetDimensions(400, 300, 1)
        view.SetFieldOfView(4, 3, 1)
        view.JumpSliceByCentering(*scene.finding_place(table, 1))
    scene.jump(table, 0)
    for view in views(host):
        assert view.GetFieldOfView()[:2] == (4, 3)
        np.testing.assert_allclose(in_view(view, scene.finding_place(table, 0)), (200, 150, 0), atol=1)
