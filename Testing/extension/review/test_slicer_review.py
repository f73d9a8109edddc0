"""Reviewing findings in the scene: states, undo, what a refined mask keeps of them, and what is exported. Real MRML of slicer-core."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from Testing.support.needs import need

slicer = need("slicer")

from InvDetectSlicerLib.review.review import Reviewing  # noqa: E402
from InvDetectSlicerLib.scene import scene  # noqa: E402
from InvDetectSlicerLib.scene.findings_table import Review, findings_of  # noqa: E402
from InvDetectSlicerLib.scene.nodes import ResultNodes, results_in_scene  # noqa: E402

from InvDetectLib.common.errors import InvDetectError, WrongUse  # noqa: E402
from InvDetectLib.results.result import Result  # noqa: E402
from Testing.support.scene_examples import SHAPE, add_volume, cells, numbers_of, result_for, shown_mask, shown_segments, three_lumps, world  # noqa: E402  # noqa: E402
from Testing.support.slicer_host import Host  # noqa: E402

pytestmark = pytest.mark.usefixtures("host")


def three(direction: str = "oblique", moved: bool = True, **changes: Any) -> tuple[ResultNodes, Result, Reviewing]:
    volume = add_volume(direction, moved=moved)
    result = result_for(volume, **changes)
    nodes = scene.show_result(result, volume)
    return nodes, result, Reviewing(nodes)


def reload(host: Host, folder: Path) -> tuple[ResultNodes, Reviewing]:
    host.load(host.save(folder / "scene.mrb"))
    (nodes,) = results_in_scene()
    return nodes, Reviewing(nodes)


def without(labels: np.ndarray, *numbers: int) -> np.ndarray:
    return np.where(np.isin(labels, numbers), 0, labels)


# States


def test_a_dismissed_finding_leaves_the_mask_and_comes_back() -> None:
    nodes, result, review = three()
    labels = numbers_of(result)
    review.set_state(2, "dismissed")
    assert np.array_equal(shown_mask(nodes), without(labels, 2)) and cells(nodes.table, "State") == ["open", "dismissed", "open"]
    review.set_state(1, "dismissed")
    review.set_state(3, "dismissed")
    assert not shown_mask(nodes).any() and shown_segments(nodes) == []
    for number in (3, 1, 2):
        review.set_state(number, "open")
    assert np.array_equal(shown_mask(nodes), labels) and shown_segments(nodes) == ["Finding 1", "Finding 2", "Finding 3"]


def test_dismissing_leaves_a_segment_that_somebody_edited_alone() -> None:
    nodes, result, review = three(moved=False)
    edited = np.zeros(SHAPE, np.uint8)
    edited[0, :3, :3] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(edited, nodes.segmentation, "Finding_1", nodes.input)
    review.set_state(2, "dismissed")
    review.undo()
    expected = without(numbers_of(result), 1)
    expected[edited > 0] = 1
    assert np.array_equal(shown_mask(nodes), expected)


def test_changes_are_undone_one_by_one() -> None:
    nodes, result, review = three()
    review.set_state(1, "accepted")
    review.set_comment(1, "sure")
    review.set_state(2, "dismissed")
    review.set_state(2, "dismissed")
    assert [review.undo() for _ in range(4)] == [2, 1, 1, None]
    assert set(review.reviews().values()) == {Review()} and np.array_equal(shown_mask(nodes), numbers_of(result))


def test_what_is_undone_belongs_to_the_findings_of_now() -> None:
    nodes, result, review = three()
    review.set_state(1, "accepted")
    scene.show_mask(nodes, result.refine(threshold=2.0))
    assert review.undo() is None and review.reviews()[1].state == "accepted"


@pytest.mark.parametrize(("number", "state", "message"), [(4, "open", "no finding 4; there are 3"), (1, "maybe", "no state 'maybe'")])
def test_impossible_wishes_are_refused(number: int, state: str, message: str) -> None:
    with pytest.raises(WrongUse, match=message):
        three()[2].set_state(number, state)


def test_steps_go_to_open_findings_round_the_end() -> None:
    review = three()[2]
    assert [review.next_open(), review.next_open(1), review.next_open(3), review.next_open(1, step=-1)] == [1, 2, 1, 3]
    review.set_state(2, "accepted")
    assert [review.next_open(1), review.next_open(3, step=-1), review.next_open(2)] == [3, 1, 3]
    review.set_state(3, "dismissed")
    assert review.next_open(1) == 1
    review.set_state(1, "accepted")
    assert review.next_open() is None and review.next_open(1) is None


# Saved and reloaded


def test_reviews_survive_save_and_reload_word_by_word(host: Host, tmp_path: Path) -> None:
    nodes, result, review = three()
    comment = 'said "no",\n#3\t=1+1 ümlaut ;|&<'
    review.set_comment(1, comment)
    review.set_state(2, "dismissed")
    review.set_state(3, "accepted")
    nodes, review = reload(host, tmp_path)
    assert review.reviews() == {1: Review("open", comment), 2: Review("dismissed"), 3: Review("accepted")}
    assert cells(nodes.table, "State") == ["open", "dismissed", "accepted"] and cells(nodes.table, "Voxels") == cells(nodes.table, "Voxels")
    assert np.array_equal(shown_mask(nodes), without(numbers_of(result), 2))
    review.set_state(2, "open")
    assert np.array_equal(shown_mask(nodes), numbers_of(result))


def test_a_comment_does_not_shift_the_saved_columns(host: Host, tmp_path: Path) -> None:
    nodes, _, review = three()
    before = {name: cells(nodes.table, name) for name in ("Voxels", "Slice", "R")}
    review.set_comment(2, 'a # b "c"\td\ne')
    nodes, _ = reload(host, tmp_path)
    for name, values in before.items():
        assert cells(nodes.table, name) == pytest.approx(values, rel=1e-5)
    assert cells(nodes.table, "Comment") == ["", "a No.  b 'c' d e", ""]


def test_without_its_voxels_a_dismissed_finding_cannot_come_back() -> None:
    nodes, _, review = three()
    review.set_state(2, "dismissed")
    scene.remove([nodes.labels])
    nodes.labels = None
    with pytest.raises(InvDetectError, match="voxels of finding 2 were not saved"):
        review.set_state(2, "open")
    assert review.reviews()[2].state == "dismissed"


# A refined mask


def test_reviews_follow_findings_to_their_new_numbers() -> None:
    nodes, result, review = three(threshold=3.0)
    review.set_state(1, "accepted")
    review.set_comment(1, "the large one")
    assert scene.show_mask(nodes, result.refine(threshold=0.5)) == []
    assert review.reviews() == {1: Review("accepted", "the large one"), 2: Review(), 3: Review()}


def test_a_dismissed_finding_stays_away_when_the_mask_is_refined() -> None:
    nodes, result, review = three()
    review.set_state(1, "dismissed")
    refined = result.refine(threshold=2.0)
    assert scene.show_mask(nodes, refined) == []
    assert np.array_equal(shown_mask(nodes), without(numbers_of(refined), 1))
    index = result.findings[0].peak_index[0]
    scene.show_mask_slice(nodes, 0, index, result.mask[index])
    assert 1 not in shown_mask(nodes)


def test_a_slider_that_is_moved_back_brings_the_reviews_back(host: Host, tmp_path: Path) -> None:
    nodes, result, review = three()
    review.set_state(2, "accepted")
    review.set_comment(3, "artefact")
    review.set_state(3, "dismissed")
    said = scene.show_mask(nodes, result.refine(threshold=3.0))
    assert len(said) == 2 and "Finding 2 (accepted) is no longer in the mask" in said[0] and "Finding 3 (dismissed)" in said[1]
    nodes, review = reload(host, tmp_path)
    assert scene.show_mask(nodes, result) == []
    assert review.reviews() == {1: Review(), 2: Review("accepted"), 3: Review("dismissed", "artefact")}
    assert np.array_equal(shown_mask(nodes), without(numbers_of(result), 3))


def test_a_dismissal_does_not_hide_tissue_that_nobody_looked_at() -> None:
    scores = np.full(SHAPE, -1.0, np.float32)
    scores[2, 2:10, 2:14] = 1.0
    scores[2, 4:6, 4:6] = 4.0
    volume = add_volume()
    result = result_for(volume, scores, threshold=2.0)
    nodes = scene.show_result(result, volume)
    Reviewing(nodes).set_state(1, "dismissed")
    grown = result.refine(threshold=0.5)
    said = scene.show_mask(nodes, grown)
    assert len(said) == 1 and "Finding 1 is much larger than the dismissed finding 1" in said[0]
    assert np.array_equal(shown_mask(nodes), numbers_of(grown)) and Reviewing(nodes).reviews()[1].state == "open"


def test_what_merges_into_another_finding_is_said() -> None:
    scores = three_lumps()
    scores[2, 4:9, 5:10] = np.maximum(scores[2, 4:9, 5:10], 0.6)
    volume = add_volume()
    result = result_for(volume, scores, threshold=1.2, scr=False)
    nodes = scene.show_result(result, volume)
    review = Reviewing(nodes)
    review.set_state(1, "accepted")
    review.set_comment(2, "look again")
    assert len(findings_of(nodes.table)) == 3
    said = scene.show_mask(nodes, result.refine(threshold=0.5))
    assert len(said) == 1 and "Finding 2 (open) is now part of finding 1" in said[0]
    assert review.reviews()[1].state == "accepted"
    assert scene.show_mask(nodes, result) == [] and review.reviews()[2].comment == "look again"


# Exports


def test_the_csv_holds_states_and_comments_and_no_formula(tmp_path: Path) -> None:
    nodes, result, review = three()
    review.set_state(1, "accepted")
    review.set_state(2, "dismissed")
    review.set_comment(2, '=HYPERLINK("x")')
    review.set_comment(3, "line\nbreak, comma")
    review.export_csv(tmp_path / "findings.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "findings.csv").read_text(encoding="utf-8"))))
    assert [row["finding"] for row in rows] == ["1", "2", "3"] and [row["state"] for row in rows] == ["accepted", "dismissed", "open"]
    assert [row["comment"] for row in rows] == ["", '\'=HYPERLINK("x")', "line break, comma"]
    assert [float(row["volume_mm3"]) for row in rows] == pytest.approx([finding.volume for finding in result.findings])


@pytest.mark.parametrize("direction", ["straight", "oblique", "sagittal"])
def test_the_exported_mask_lies_on_the_scan_without_dismissed_findings(direction: str, tmp_path: Path) -> None:
    nodes, result, review = three(direction)
    review.set_state(2, "dismissed")
    review.export_mask(tmp_path / "mask.seg.nrrd")
    image = sitk.ReadImage(str(tmp_path / "mask.seg.nrrd"))
    values, geometry = sitk.GetArrayFromImage(image), result.geometry
    expected = without(numbers_of(result), 2) > 0
    inside = {tuple(np.round(geometry.ras_from_index(index), 3) + 0.0) for index in np.argwhere(expected)}
    lps = [image.TransformIndexToPhysicalPoint([int(i) for i in index[::-1]]) for index in np.argwhere(values)]
    assert {tuple(np.round(np.array(place) * (-1, -1, 1), 3) + 0.0) for place in lps} == inside
    names = {image.GetMetaData(key) for key in image.GetMetaDataKeys() if key.endswith("_Name")}
    assert names == {"Finding 1", "Finding 3"} and nodes.segmentation.GetStorageNode() is None


def test_a_mask_with_nothing_left_is_still_a_file(tmp_path: Path) -> None:
    nodes, _, review = three()
    for number in (1, 2, 3):
        review.set_state(number, "dismissed")
    review.export_mask(tmp_path / "mask.seg.nrrd")
    assert not sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "mask.seg.nrrd"))).any()
    assert world(nodes.map).size


def test_exports_that_cannot_be_written_say_so_and_leave_older_files(tmp_path: Path) -> None:
    _, _, review = three()
    for export, name in ((review.export_csv, "a.csv"), (review.export_mask, "a.seg.nrrd")):
        with pytest.raises(InvDetectError, match="cannot be written"):
            export(tmp_path / "missing" / name)
        export(tmp_path / name)
        export(tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "a.seg.nrrd"]
    with pytest.raises(WrongUse, match="must end in .seg.nrrd"):
        review.export_mask(tmp_path / "a.nii.gz")


def test_a_damaged_review_is_told_in_words() -> None:
    nodes, _, review = three()
    for name, text in (("Reviews", '{"1": {"state": "x", "comment": ""}}'), ("Reviews", "["), ("Findings", "[{}]")):
        kept = nodes.table.GetAttribute(f"InvDetect.{name}")
        nodes.table.SetAttribute(f"InvDetect.{name}", text)
        with pytest.raises(InvDetectError, match="is damaged. Detect again"):
            review.reviews()
        nodes.table.SetAttribute(f"InvDetect.{name}", kept)
