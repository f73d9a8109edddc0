"""A result that was saved with its scene: reloaded it shows the same and can be refined, and what is damaged is told. Real MRML."""

from __future__ import annotations

import io
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from Testing.support.needs import need

slicer = need("slicer")

from InvDetectSlicerLib.scene import display, scene, stored_result  # noqa: E402
from InvDetectSlicerLib.scene.findings_table import DISMISSED, Review, findings_of, reviews_of, write_reviews  # noqa: E402
from InvDetectSlicerLib.scene.nodes import ResultNodes, results_in_scene, write_facts  # noqa: E402
from InvDetectSlicerLib.scene.volumes import array_of  # noqa: E402

from InvDetectLib.common.errors import InvDetectError  # noqa: E402
from InvDetectLib.results.backgrounds import display_range  # noqa: E402
from Testing.support.made_results import CALIBRATION  # noqa: E402
from Testing.support.scene_examples import DIRECTIONS, add_volume, at, numbers_of, result_for, shown_mask, world  # noqa: E402
from Testing.support.slicer_host import Host  # noqa: E402

pytestmark = pytest.mark.usefixtures("host")


def reload(host: Host, folder: Path) -> ResultNodes:
    host.load(host.save(folder / "scene.mrb"))
    (nodes,) = results_in_scene()
    return nodes


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_reloaded_scene_shows_the_same(host: Host, direction: str, tmp_path: Path) -> None:
    volume = add_volume(direction, moved=True)
    result = result_for(volume)
    place = scene.finding_place(scene.show_result(result, volume).table, 1)
    nodes = reload(host, tmp_path)
    assert np.array_equal(at(nodes.map, array_of(nodes.map), result.geometry), result.anomaly_map)
    assert np.array_equal(shown_mask(nodes), numbers_of(result))
    np.testing.assert_allclose(world(nodes.map), world(nodes.input), atol=1e-4)
    np.testing.assert_allclose(scene.finding_place(nodes.table, 1), place, atol=1e-4)
    assert findings_of(nodes.table) == result.findings
    look = nodes.map.GetDisplayNode()
    assert (look.GetWindowLevelMin(), look.GetWindowLevelMax()) == pytest.approx(display_range(CALIBRATION))
    assert look.GetColorNode() is display.heat_colours() and look.GetApplyThreshold()
    np.testing.assert_allclose([look.GetColorNode().GetLookupTable().GetTableValue(200)[:3]], [display.heat_table()[200]], atol=0.01)
    assert host.slice_logics["Red"].GetSliceCompositeNode().GetForegroundVolumeID() == nodes.map.GetID()
    assert "99INVDETECT" in nodes.segmentation.GetSegmentation().GetNthSegment(0).GetTerminology()


def test_a_reloaded_result_refines_to_the_same_masks(host: Host, tmp_path: Path) -> None:
    volume = add_volume("oblique")
    result = result_for(volume)
    scene.show_result(result, volume)
    again = stored_result.restore(reload(host, tmp_path))
    assert again is not None and again.controls == result.controls and again.provenance == result.provenance
    wishes: list[dict[str, Any]] = [
        {},
        {"threshold": 2.0},
        {"rate": 0.05},
        {"contiguity": 3.0},
        {"scr": False},
        {"rate": 0.02, "contiguity": 0.0},
    ]
    for wish in wishes:
        one, other = result.refine(**wish), again.refine(**wish)
        assert np.array_equal(one.mask, other.mask) and one.findings == other.findings and np.array_equal(one.grid_mask, other.grid_mask)


@pytest.mark.parametrize("wish", [{"threshold": 2.0}, {"rate": 0.05, "contiguity": 2.0}, {"scr": False, "threshold": 1.0}])
def test_a_reloaded_result_stands_where_the_sliders_stood(host: Host, wish: dict[str, Any], tmp_path: Path) -> None:
    volume = add_volume()
    nodes = scene.show_result(result_for(volume), volume)
    moved = result_for(volume).refine(**wish)
    scene.show_mask(nodes, moved)
    again = stored_result.restore(reload(host, tmp_path))
    assert again is not None and again.controls == moved.controls and np.array_equal(again.mask, moved.mask)


def test_the_worker_s_files_are_kept_as_they_are(tmp_path: Path) -> None:
    volume = add_volume()
    result = result_for(volume)
    path = result.save_for_loading(tmp_path)
    again = stored_result.restore(scene.show_result(result, volume, files=path))
    assert again is not None and np.array_equal(again.grid_map, result.grid_map) and again.findings == result.findings


def test_without_the_stored_part_there_is_nothing_to_refine_and_a_sentence(host: Host, tmp_path: Path) -> None:
    volume = add_volume()
    nodes = scene.show_result(result_for(volume), volume)
    scene.remove([nodes.stored])
    nodes = reload(host, tmp_path)
    assert stored_result.restore(nodes) is None and stored_result.MISSING.endswith("with all its files.")


@pytest.mark.parametrize("damage", ["bytes", "length", "controls"])
def test_a_damaged_stored_part_is_told_in_words(damage: str) -> None:
    volume = add_volume()
    nodes = scene.show_result(result_for(volume), volume)
    if damage == "bytes":
        slicer.util.arrayFromVolume(nodes.stored)[0, 0, 200:900] = 7
    else:
        nodes.stored.SetAttribute(*{"length": ("InvDetect.Bytes", "12"), "controls": ("InvDetect.Controls", "[1]")}[damage])
    with pytest.raises(InvDetectError, match="[Dd]etect again"):
        stored_result.restore(nodes)


@pytest.mark.parametrize("damage", ["encrypted", "compressed", "another method", "foreign", "cut", "empty"])
def test_a_stored_part_that_is_no_zip_of_ours_is_told_in_words(damage: str) -> None:
    volume = add_volume()
    content = stored_result.content_of(scene.show_result(result_for(volume), volume))
    assert content is not None and stored_result.unpack(content).findings
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        files = {name: packed.read(name) for name in packed.namelist()}
    again = io.BytesIO()
    with zipfile.ZipFile(again, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in files if damage != "foreign" else ():
            archive.writestr(name, files[name])
    changed = bytearray(content)
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = changed.find(mark)
        while at >= 0 and damage in ("encrypted", "another method"):
            changed[at + flags + (2 if damage == "another method" else 0)] |= 97 if damage == "another method" else 1
            at = changed.find(mark, at + 1)
    odd = {"compressed": again.getvalue(), "foreign": again.getvalue(), "cut": content[: len(content) // 2], "empty": b""}
    with pytest.raises(InvDetectError, match="What the scene keeps for refining is damaged"):
        stored_result.unpack(odd.get(damage, bytes(changed)))


def test_a_finding_of_any_volume_in_a_scene_can_be_reviewed() -> None:
    volume = add_volume()
    table = scene.show_result(result_for(volume), volume).table
    write_facts(table, "Findings", [asdict(finding) | {"volume": 1e30} for finding in findings_of(table)])
    write_reviews(table, {1: Review(DISMISSED, "")})
    assert reviews_of(table)[1].state == DISMISSED


def test_the_sliders_work_on_a_reloaded_scene(host: Host, tmp_path: Path) -> None:
    volume = add_volume("flipped", moved=True)
    result = result_for(volume)
    scene.show_result(result, volume)
    nodes = reload(host, tmp_path)
    refined = result.refine(threshold=3.0)
    scene.show_mask_slice(nodes, 0, 2, refined.mask[2])
    expected = numbers_of(result)
    expected[2] *= refined.mask[2]
    assert np.array_equal(shown_mask(nodes), expected)
    scene.show_mask(nodes, refined)
    assert np.array_equal(shown_mask(nodes), numbers_of(refined))
