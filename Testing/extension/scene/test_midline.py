"""The midline in the slice views: where it is drawn, how faintly, and that it stays out of everybody's way. Real MRML, real pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from Testing.support.needs import need

slicer = need("slicer")

from InvDetectSlicerLib.scene import midline, scene  # noqa: E402
from InvDetectSlicerLib.scene.nodes import nodes_of, results_in_scene, write_facts  # noqa: E402
from InvDetectSlicerLib.scene.volumes import geometry_of  # noqa: E402

from Testing.support.scene_examples import DIRECTIONS, SHAPE, add_volume, everything, result_for  # noqa: E402
from Testing.support.slicer_host import Host  # noqa: E402
from Testing.support.slicer_host.pictures import slice_picture, view_picture  # noqa: E402

pytestmark = pytest.mark.usefixtures("host")


def plane_of(volume: Any) -> dict[str, list[float]]:
    """Through the middle of a scan, across its columns, somewhat turned; LPS."""
    geometry = geometry_of(volume)
    middle = geometry.ras_from_index((np.array(geometry.shape) - 1) / 2) * (-1, -1, 1)
    across = np.array(geometry.direction).reshape(3, 3) @ (np.cos(0.1), np.sin(0.1), 0)
    return {"origin": list(map(float, middle)), "normal": list(map(float, across))}


def shown(volume: Any) -> Any:
    """The nodes of a result of this volume that knows its midline."""
    return scene.show_result(result_for(volume, provenance={"midline": plane_of(volume)}), volume)


def lines() -> list[Any]:
    """The models that are InvDetect's; each slice view has one, too."""
    return [node for node in slicer.util.getNodesByClass("vtkMRMLModelNode") if node.GetAttribute("InvDetect.Role")]


def points(node: Any) -> np.ndarray:
    """(points, 3) of the midline in its own RAS."""
    return slicer.util.arrayFromModelPoints(node).copy()


@pytest.mark.parametrize("direction", list(DIRECTIONS))
def test_the_line_lies_in_the_plane_and_reaches_from_end_to_end_of_the_scan(direction: str) -> None:
    volume = add_volume(direction)
    nodes = shown(volume)
    midline.show_midline(nodes)
    (node,) = lines()
    plane, geometry = plane_of(volume), geometry_of(volume)
    lps = points(node) * (-1, -1, 1)
    np.testing.assert_allclose((lps - plane["origin"]) @ plane["normal"], 0, atol=1e-3)
    index = geometry.index_from_ras(points(node))
    assert (index > -0.51).all() and (index < np.array(SHAPE) - 0.49).all()
    assert np.ptp(index[:, 0]) == pytest.approx(SHAPE[0], abs=0.01) and np.ptp(index[:, 1]) == pytest.approx(SHAPE[1], abs=0.01)


def test_the_line_follows_the_scan_s_transform() -> None:
    volume = add_volume("straight", moved=True)
    midline.show_midline(shown(volume))
    assert lines()[0].GetTransformNodeID() == volume.GetTransformNodeID()


def test_another_result_takes_the_line_and_none_takes_it_away() -> None:
    first, second = add_volume("straight"), add_volume("oblique", name="John Doe")
    nodes, others = shown(first), shown(second)
    before = everything()
    midline.hide_midline()
    midline.show_midline(nodes)
    at = points(lines()[0])
    midline.show_midline(others)
    assert len(lines()) == 1 and not np.allclose(points(lines()[0])[0], at[0])
    midline.hide_midline()
    assert everything() == before
    midline.show_midline(others)
    midline.show_midline(scene.show_result(result_for(first), first))
    assert not lines()


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"midline": None},
        {"midline": {"origin": [0, 0, 0]}},
        {"midline": {"origin": [0, 0], "normal": [1, 0, 0]}},
        {"midline": {"origin": ["a", 0, 0], "normal": [1, 0, 0]}},
        {"midline": {"origin": [0, 0, 0], "normal": [0, 0, 0]}},
        [1],
    ],
)
def test_a_scene_of_another_version_has_no_line(facts: Any) -> None:
    nodes = shown(add_volume())
    assert midline.has_midline(nodes)
    write_facts(nodes.table, "Provenance", facts)
    assert not midline.has_midline(nodes)
    midline.show_midline(nodes)
    assert not lines() and not midline.has_midline(None)


def test_a_plane_beside_the_scan_draws_nothing() -> None:
    volume = add_volume("straight")
    far = {"origin": [1000.0, 0.0, 0.0], "normal": [1.0, 0.0, 0.0]}
    nodes = scene.show_result(result_for(volume, provenance={"midline": far}), volume)
    midline.show_midline(nodes)
    assert lines()[0].GetPolyData().GetNumberOfPolys() == 0


def test_nobody_can_choose_or_save_the_line(host: Host, tmp_path: Path) -> None:
    nodes = shown(add_volume())
    midline.show_midline(nodes)
    (node,) = lines()
    assert not node.GetSelectable() and node.GetHideFromEditors() and nodes_of(node) is None
    looks = len(slicer.util.getNodesByClass("vtkMRMLModelDisplayNode"))
    for _ in range(2):
        host.load(host.save(tmp_path / "scene.mrb"))
        assert not lines() and len(slicer.util.getNodesByClass("vtkMRMLModelDisplayNode")) == looks - 1
        (again,) = results_in_scene()
        assert midline.has_midline(again)
        midline.show_midline(again)
        assert len(lines()) == 1
    host.clear()
    assert not lines()


def test_the_line_is_drawn_faintly_in_slices_and_not_in_3d(host: Host, tmp_path: Path) -> None:
    volume = add_volume("straight", np.full(SHAPE, 100, np.int16))
    volume.GetDisplayNode().SetAutoWindowLevel(False)
    volume.GetDisplayNode().SetWindowLevelMinMax(0, 400)
    nodes = shown(volume)
    slicer.mrmlScene.RemoveNode(nodes.segmentation)
    nodes = nodes_of(nodes.table)
    where = geometry_of(volume).ras_from_index((np.array(SHAPE) - 1) / 2)
    bare = slice_picture(host, view="Red", size=(300, 300), ras=where)
    midline.show_midline(nodes)
    drawn = slice_picture(host, tmp_path / "line.png", "Red", (300, 300), where)
    changed = np.abs(drawn.astype(int) - bare).max(axis=2) > 8
    assert 100 < changed.sum() < 1500, "a thin line"
    assert drawn[changed].max() < 230, "half transparent"
    columns = np.nonzero(changed)[1]
    assert abs(columns.mean() - 150) < 10 and np.ptp(columns) < 40, "upright, in the middle"
    solid = view_picture(host, size=(300, 300)).astype(int)
    assert (solid[..., 1] <= solid[..., 2]).all(), "something green stands in 3-D"
    midline.hide_midline()
    assert np.array_equal(slice_picture(host, view="Red", size=(300, 300), ras=where), bare)
