"""Scan, map and pseudo-normal image beside each other and back again, on the real layout node, layout and link logics of Slicer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from Testing.support.needs import need

slicer = need("slicer")

from InvDetectSlicerLib.scene import display, scene, side_by_side, slice_views  # noqa: E402
from InvDetectSlicerLib.scene.nodes import ResultNodes, nodes_of  # noqa: E402
from InvDetectSlicerLib.scene.volumes import array_of  # noqa: E402

from InvDetectLib.common.errors import InvDetectError  # noqa: E402
from Testing.support.scene_examples import add_volume, result_for  # noqa: E402
from Testing.support.slicer_host import Host  # noqa: E402
from Testing.support.slicer_host.layouts import WINDOW  # noqa: E402
from Testing.support.slicer_host.pictures import slice_picture  # noqa: E402

Layout = slicer.vtkMRMLLayoutNode


@pytest.fixture(autouse=True)
def four_views(host: Host, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Slicer as it starts: three slice views and one in 3-D, each slice view straight. No Qt, so the window is laid out at once."""
    monkeypatch.setattr(host.layouts, "later", lambda work: work())
    host.layouts.node.SetViewArrangement(Layout.SlicerLayoutFourUpView)
    for name, orientation in (("Red", "Axial"), ("Yellow", "Sagittal"), ("Green", "Coronal")):
        view = host.slice_logics[name].GetSliceNode()
        view.SetOrientation(orientation)
        view.SetDimensions(WINDOW[0] // 3, WINDOW[1], 1)
        view.SetFieldOfView(40, 80, 1)
    yield
    host.layouts.node.SetViewArrangement(Layout.SlicerLayoutFourUpView)


def shown(direction: str = "straight", normal: bool = True, name: str = "Jane Doe") -> ResultNodes:
    """A result of MatchGen, or without `normal` one of InvDetect, on show."""
    volume = add_volume(direction, name=name)
    more = {"pseudo_normal": array_of(volume).astype(np.float32) / 2} if normal else {}
    nodes = scene.show_result(result_for(volume, **more), volume)
    scene.jump(nodes.table, 0)
    return nodes


def contents(host: Host) -> list[tuple[str, str | None, str | None]]:
    """(label, background, foreground) of the views in the layout, from left to right."""
    views = [view for view in slicer.util.getNodesByClass("vtkMRMLSliceNode") if view.IsMappedInLayout()]
    found = []
    for view in views:
        layers = host.layouts.slice_logics[view.GetLayoutName()].GetSliceCompositeNode()
        found.append((view.GetLayoutLabel(), layers.GetBackgroundVolumeID(), layers.GetForegroundVolumeID()))
    return found


def users_views() -> dict[str, Any]:
    """Everything that a user sees of his own views: layers, opacities, links, place, zoom, orientation. The third number of the zoom, the
    thickness, is the slice logic's own business."""
    found: dict[str, Any] = {"layout": side_by_side.layout_node().GetViewArrangement()}
    for name in ("Red", "Yellow", "Green"):
        view = slicer.mrmlScene.GetSingletonNode(name, "vtkMRMLSliceNode")
        layers = slicer.mrmlScene.GetSingletonNode(name, "vtkMRMLSliceCompositeNode")
        place = slicer.util.arrayFromVTKMatrix(view.GetSliceToRAS()).tolist()
        look = (view.GetOrientation(), view.GetDimensions(), view.GetFieldOfView()[:2], view.GetXYZOrigin(), view.GetViewGroup())
        lies = (layers.GetBackgroundVolumeID(), layers.GetForegroundVolumeID(), layers.GetLabelVolumeID(), layers.GetForegroundOpacity())
        found[name] = (place, look, lies, layers.GetLinkedControl(), layers.GetHotLinkedControl(), view.IsMappedInLayout())
    return found


def centre(view: Any) -> np.ndarray:
    columns, rows, _ = view.GetDimensions()
    return np.array(view.GetXYToRAS().MultiplyPoint((columns / 2, rows / 2, 0, 1))[:3])


def own(number: int) -> Any:
    views = [view for view in slicer.util.getNodesByClass("vtkMRMLSliceNode") if slice_views.is_own(view)]
    return views[number]


def test_scan_map_and_pseudo_normal_image_lie_beside_each_other_and_go_again(host: Host) -> None:
    nodes = shown()
    display.set_opacity(nodes.map, 0.35)
    before = users_views()
    side_by_side.show(nodes)
    scan, heat, normal = nodes.input.GetID(), nodes.map.GetID(), nodes.pseudo_normal.GetID()
    assert side_by_side.is_shown()
    assert contents(host) == [("Scan", scan, None), ("Map", scan, heat), ("Normal", normal, None)]
    assert host.layouts.slice_logics[own(1).GetLayoutName()].GetSliceCompositeNode().GetForegroundOpacity() == pytest.approx(0.35)
    side_by_side.leave()
    assert users_views() == before and not side_by_side.is_shown()


def test_a_method_without_a_pseudo_normal_image_has_two_views(host: Host) -> None:
    nodes = shown(normal=False)
    side_by_side.show(nodes)
    assert [label for label, _, _ in contents(host)] == ["Scan", "Map"]


@pytest.mark.parametrize("direction", ["straight", "oblique"])
def test_the_views_lie_along_the_slices_and_show_all_that_was_on_screen(host: Host, direction: str) -> None:
    nodes = shown(direction)
    reading = host.slice_logics["Red"].GetSliceNode()
    reading.SetDimensions(500, 400, 1)
    reading.SetFieldOfView(25, 20, 1)
    place, wanted = centre(reading), reading.GetFieldOfView()
    normal = slicer.util.arrayFromVTKMatrix(reading.GetSliceToRAS())[:3, 2]
    side_by_side.show(nodes)
    side_by_side.frame()
    for number in range(3):
        view = own(number)
        np.testing.assert_allclose(centre(view), place, atol=1e-6)
        np.testing.assert_allclose(slicer.util.arrayFromVTKMatrix(view.GetSliceToRAS())[:3, 2], normal, atol=1e-6)
        width, height, _ = view.GetFieldOfView()
        assert width >= wanted[0] - 1e-6 and height >= wanted[1] - 1e-6 and min(width - wanted[0], height - wanted[1]) < 1e-6
        assert width / height == pytest.approx((WINDOW[0] // 3) / WINDOW[1])  # or the pictures would be stretched


def test_what_one_view_does_the_others_do_too_and_the_user_s_own_do_not(host: Host) -> None:
    side_by_side.show(shown())
    side_by_side.frame()
    before = users_views()
    moved, other = host.layouts.slice_logics[own(0).GetLayoutName()], own(2)
    moved.StartSliceNodeInteraction(slicer.vtkMRMLSliceNode.FieldOfViewFlag)
    moved.GetSliceNode().SetFieldOfView(10, 20, 1)
    moved.EndSliceNodeInteraction()
    moved.StartSliceOffsetInteraction()
    moved.SetSliceOffset(moved.GetSliceOffset() + 4)
    moved.EndSliceOffsetInteraction()
    assert other.GetFieldOfView()[0] == 10 and other.GetSliceOffset() == pytest.approx(own(0).GetSliceOffset())
    assert users_views() == before


def test_the_layout_that_was_comes_back_whichever_it_was(host: Host) -> None:
    nodes = shown()
    for layout in (Layout.SlicerLayoutOneUp3DView, Layout.SlicerLayoutOneUpYellowSliceView, Layout.SlicerLayoutConventionalView):
        host.layouts.node.SetViewArrangement(layout)
        before = users_views()
        side_by_side.show(nodes)
        side_by_side.show(nodes)  # anew, as when the result was refined
        assert users_views() != before
        side_by_side.leave()
        assert users_views() == before


def test_the_plane_in_which_the_user_reads_is_kept_where_only_that_is_on_screen(host: Host) -> None:
    nodes = shown()
    host.layouts.node.SetViewArrangement(Layout.SlicerLayoutOneUpGreenSliceView)
    side_by_side.show(nodes)
    assert own(0).GetOrientation() == "Coronal"


def test_without_any_slice_view_on_screen_the_slices_of_the_scan_are_shown(host: Host) -> None:
    nodes = shown()
    host.layouts.node.SetViewArrangement(Layout.SlicerLayoutOneUp3DView)
    side_by_side.show(nodes)
    assert own(0).GetOrientation() == "Axial"


def test_a_layout_that_the_user_chooses_meanwhile_ends_it(host: Host) -> None:
    side_by_side.show(shown())
    host.layouts.node.SetViewArrangement(Layout.SlicerLayoutOneUpGreenSliceView)
    assert not side_by_side.is_shown()
    side_by_side.leave()
    assert host.layouts.node.GetViewArrangement() == Layout.SlicerLayoutOneUpGreenSliceView


def test_another_result_takes_the_place_of_the_first_and_the_way_back_stays(host: Host) -> None:
    first, second = shown(), shown(normal=False, name="John Doe")
    before = users_views()
    side_by_side.show(first)
    side_by_side.show(second)
    scan, heat = second.input.GetID(), second.map.GetID()
    assert contents(host) == [("Scan", scan, None), ("Map", scan, heat)]
    side_by_side.leave()
    assert users_views() == before


def test_a_run_and_other_volumes_leave_the_views_beside_each_other_alone(host: Host) -> None:
    nodes = shown()
    side_by_side.show(nodes)
    before = contents(host)
    other = shown(name="John Doe")
    app = slicer.app.applicationLogic()
    app.GetSelectionNode().SetActiveVolumeID(other.input.GetID())
    app.PropagateVolumeSelection(0)  # what loading a volume does
    display.restore_layers(display.layers())
    assert contents(host) == before
    display.set_opacity(nodes.map, 0.2)  # the slider of the panel counts here, too
    assert host.layouts.slice_logics[own(1).GetLayoutName()].GetSliceCompositeNode().GetForegroundOpacity() == pytest.approx(0.2)


@pytest.mark.parametrize("lost", ["input", "map", "pseudo_normal", "table"])
def test_a_node_that_is_deleted_meanwhile_breaks_nothing(host: Host, lost: str) -> None:
    nodes = shown()
    layout = host.layouts.node.GetViewArrangement()
    side_by_side.show(nodes)
    slicer.mrmlScene.RemoveNode(getattr(nodes, lost))
    left = nodes_of(nodes.map if lost != "map" else nodes.table)
    assert left is not None and side_by_side.can_show(left) == (lost == "pseudo_normal")
    if lost == "pseudo_normal":
        side_by_side.show(left)
        assert [label for label, _, _ in contents(host)] == ["Scan", "Map"]
    else:
        with pytest.raises(InvDetectError, match="cannot be shown side by side"):
            side_by_side.show(left)
    side_by_side.leave()
    assert host.layouts.node.GetViewArrangement() == layout and not side_by_side.is_shown()


def test_closing_the_scene_meanwhile_breaks_nothing(host: Host) -> None:
    side_by_side.show(shown())
    host.clear()
    side_by_side.leave()
    assert host.layouts.node.GetViewArrangement() == Layout.SlicerLayoutFourUpView
    nodes = shown()
    side_by_side.show(nodes)
    assert [label for label, _, _ in contents(host)] == ["Scan", "Map", "Normal"] and own(0).GetFieldOfView()[1] > 1


def test_a_scene_that_was_saved_side_by_side_comes_back_so_and_knows_the_way_back(host: Host, tmp_path: Path) -> None:
    host.layouts.node.SetViewArrangement(Layout.SlicerLayoutConventionalView)
    side_by_side.show(shown())
    path = host.save(tmp_path / "scene.mrb")
    count = len(slicer.util.getNodesByClass("vtkMRMLSliceNode"))
    for _ in range(2):
        side_by_side.leave()
        host.load(path)
        assert side_by_side.is_shown() and [label for label, _, _ in contents(host)] == ["Scan", "Map", "Normal"]
        assert all(background for _, background, _ in contents(host))
        assert len(slicer.util.getNodesByClass("vtkMRMLSliceNode")) == count
    side_by_side.leave()
    assert host.layouts.node.GetViewArrangement() == Layout.SlicerLayoutConventionalView


def test_slicer_that_was_left_side_by_side_starts_with_a_layout_of_its_own(host: Host) -> None:
    """Slicer keeps the number of the layout in its settings, and that one is known only after the first press of the button."""
    node = host.layouts.node
    node.SetViewArrangement(side_by_side.LAYOUTS[2])
    node.RemoveAttribute(side_by_side.BEFORE)
    side_by_side.leave()
    assert node.GetViewArrangement() == Layout.SlicerLayoutFourUpView


def test_the_three_pictures_are_of_three_images(host: Host, tmp_path: Path) -> None:
    nodes = shown()
    side_by_side.show(nodes)
    place = scene.finding_place(nodes.table, 0)
    pictures = [slice_picture(host, tmp_path / f"{n}.png", own(n).GetLayoutName(), (200, 300), place) for n in range(3)]
    scan, heat, normal = (picture.astype(int) for picture in pictures)
    coloured = [(np.abs(picture[..., 0] - picture[..., 2]) > 60).sum() for picture in (scan, heat, normal)]
    assert coloured[1] > 2 * max(coloured[0], coloured[2])
