"""How a result looks: colours that mean the same in every scan, outlines, surfaces on demand, and what is drawn of them. Real MRML."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from Testing.support.needs import need

slicer = need("slicer")

from InvDetectSlicerLib.scene import display, mask, scene  # noqa: E402
from InvDetectSlicerLib.scene.terminology import load_terminology  # noqa: E402

from InvDetectLib.results.backgrounds import display_range  # noqa: E402
from Testing.support.made_results import CALIBRATION  # noqa: E402
from Testing.support.scene_examples import SHAPE, add_volume, result_for, shown_segments, three_lumps, world  # noqa: E402
from Testing.support.slicer_host import Host  # noqa: E402
from Testing.support.slicer_host.pictures import slice_picture, view_picture  # noqa: E402

pytestmark = pytest.mark.usefixtures("host")


# Settings of the display


def test_colours_mean_the_same_in_every_scan() -> None:
    windows = []
    for scores in (three_lumps(), three_lumps() * 0.4):
        shown = scene.show_result(result_for(volume := add_volume(), scores), volume).map.GetDisplayNode()
        windows.append((shown.GetWindowLevelMin(), shown.GetWindowLevelMax(), shown.GetLowerThreshold(), shown.GetColorNodeID()))
        assert not shown.GetAutoWindowLevel() and shown.GetApplyThreshold()
    assert windows[0] == windows[1] and windows[0][:2] == display_range(CALIBRATION) and windows[0][2] == display_range(CALIBRATION)[0]


def test_the_colours_are_those_of_the_library_s_pictures() -> None:
    matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    expected = matplotlib.colormaps["inferno"](np.linspace(0.15, 1, 256))[:, :3]
    np.testing.assert_allclose(display.heat_table(), expected, atol=0.02)
    lightness = display.heat_table() @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) > 0).all()


def test_the_map_lies_over_the_scan_with_a_legend(host: Host) -> None:
    volume = add_volume()
    nodes = scene.show_result(result_for(volume), volume)
    for logic in host.slice_logics.values():
        view = logic.GetSliceCompositeNode()
        assert (view.GetBackgroundVolumeID(), view.GetForegroundVolumeID()) == (volume.GetID(), nodes.map.GetID())
    display.set_opacity(nodes.map, 0.3)
    display.set_threshold(nodes.map, 1.5)
    assert (display.opacity_of(nodes.map), display.threshold_of(nodes.map)) == (0.3, 1.5)
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(nodes.map)
    assert legend.GetVisibility() and legend.GetTitleText() == "Anomaly\nscore"


def test_segments_are_outlines_with_a_term_and_export_geometry() -> None:
    load_terminology()
    assert load_terminology() == "InvDetect anomalies"
    volume = add_volume()
    nodes = scene.show_result(result_for(volume), volume)
    look, segment = nodes.segmentation.GetDisplayNode(), nodes.segmentation.GetSegmentation().GetNthSegment(0)
    assert look.GetVisibility2DOutline() and not look.GetVisibility2DFill()
    assert segment.GetName() == "Finding 1" and "99INVDETECT^ANOM^Anomaly candidate" in segment.GetTerminology()
    reference = nodes.segmentation.GetNodeReference(slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole())
    assert reference is not None
    np.testing.assert_allclose(world(reference), world(volume), atol=1e-9)
    entry = slicer.vtkSlicerTerminologyEntry()
    assert slicer.modules.terminologies.logic().DeserializeTerminologyEntry(segment.GetTerminology(), entry)


def test_surfaces_come_on_demand_and_follow_the_mask() -> None:
    volume = add_volume()
    result = result_for(volume)
    nodes = scene.show_result(result, volume)
    assert not mask.has_surface(nodes.segmentation)
    mask.show_surface(nodes.segmentation)
    assert mask.has_surface(nodes.segmentation)
    scene.show_mask(nodes, result.refine(threshold=2.0))
    assert mask.has_surface(nodes.segmentation) and len(shown_segments(nodes)) == 2
    mask.show_surface(nodes.segmentation, False)
    assert not mask.has_surface(nodes.segmentation)


# Pictures


def test_pictures_show_map_outline_legend_and_surface(host: Host, tmp_path: Path) -> None:
    volume = add_volume("straight", np.full(SHAPE, 100, np.int16))
    volume.GetDisplayNode().SetAutoWindowLevel(False)
    volume.GetDisplayNode().SetWindowLevelMinMax(0, 200)
    bare = slice_picture(host, size=(300, 300))
    nodes = scene.show_result(result_for(volume), volume)
    place = scene.finding_place(nodes.table, 0)
    picture = slice_picture(host, tmp_path / "slice.png", size=(300, 300), ras=place)
    cyan = (np.abs(picture.astype(int) - np.array(display.finding_colour()) * 255) < 40).all(axis=2)
    assert not (np.abs(bare.astype(int) - np.array(display.finding_colour()) * 255) < 40).all(axis=2).any()
    rows, columns = np.nonzero(cyan)
    assert cyan.sum() > 50 and columns.min() < 80  # finding 1 lies in front and to the right: upper left
    bright = picture[85, 75].astype(int)
    assert bright[0] > bright[2] + 30  # the map's yellow inside the outline
    assert (picture[:, 220:].max(axis=2) > 200).sum() > 100  # the legend's letters
    mask.show_surface(nodes.segmentation)
    surface = view_picture(host, tmp_path / "surface.png", size=(300, 300)).astype(int)
    assert ((surface[..., 1] > surface[..., 0] + 60) & (surface[..., 2] > surface[..., 0] + 60)).sum() > 200
