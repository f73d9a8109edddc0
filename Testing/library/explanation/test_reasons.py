"""What speaks for a finding, where the answer is known: bright and rough squares in a plain slice, whose views say what we let them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from InvDetectLib.common import Progress
from InvDetectLib.detection import Detector
from InvDetectLib.explanation import with_reasons
from InvDetectLib.methods import SliceMap, Slices
from InvDetectLib.results import Finding, Reasons, Result
from InvDetectLib.scans import Geometry, read_scan
from InvDetectLib.symmetry import Midlines
from Testing.support.made_results import AXIAL, CALIBRATION, make_result
from Testing.support.tiny_model import DIRECTED, TINY, World, nearly_symmetric, rewrite

SIDE = 40
GRID = replace(AXIAL, grid=SIDE)
LESION = (slice(12, 20), slice(8, 16))  # left of the middle


class Views:
    """A method whose views say 3 : 0 : 1 in the lesion (noise, intensity, left against right), and which counts what it is asked."""

    def __init__(self) -> None:
        self.scored: list[int] = []

    def map_and_edges(self, slices: Slices, progress: Progress) -> Iterator[SliceMap]:
        for number, foreground in enumerate(slices.foreground):
            self.scored.append(int(round(float(slices.values[number, 0, 0, 0]) * 10)))  # the slice's own number is written there
            views = np.zeros((3, *foreground.shape), np.float32)
            views[0], views[1], views[2] = 3, -2, 1
            yield SliceMap(number, views.sum(axis=0), foreground, lambda: (np.zeros(0), np.zeros(0)), views=views)


def found(change: Callable[[np.ndarray], None], lesion: tuple[slice, slice] = LESION, slices: int = 3) -> tuple[Result, Slices]:
    """A result with one finding in slice 1, and its slices, in which `change` did something to slice 1 (row, column)."""
    values = np.random.default_rng(0).normal(0, 0.1, (slices, SIDE, SIDE)).astype(np.float32)
    values[:, :, SIDE // 2 :] = values[:, :, : SIDE // 2][:, :, ::-1]  # symmetric but for what is changed
    change(values[1])
    for number in range(slices):
        values[number, 0, 0] = number / 10
    grid_map = np.zeros((slices, SIDE, SIDE), np.float32)
    grid_map[1][lesion] = 2.5
    result = make_result(grid_map, Geometry((slices, SIDE, SIDE), spacing=(2.0, 2.0, 5.0)), GRID, scr=False)
    straight = Midlines(np.zeros(slices), np.zeros(slices), np.ones(slices, np.float32))
    return result, Slices(values[..., None], np.ones(values.shape, bool), straight)


def reasons(change: Callable[[np.ndarray], None], **options: Any) -> Reasons:
    result, slices = found(change, **options)
    (finding,) = with_reasons(result, Views(), slices, DIRECTED, Progress()).findings  # type: ignore[arg-type]
    assert finding.reasons is not None
    return finding.reasons


def brighter(image: np.ndarray) -> None:
    image[LESION] += 0.4


def test_the_views_that_say_so_have_shares_of_what_all_say_above_0() -> None:
    assert reasons(brighter).views == (("predicted noise", 0.75), ("left against right", 0.25), ("intensity", 0.0))
    assert reasons(brighter).main_view == "predicted noise"


def test_brighter_is_told_in_spreads_of_the_ring_around_and_against_the_other_side() -> None:
    why = reasons(brighter)
    assert why.contrast == pytest.approx(4, rel=0.15) and why.mirrored == pytest.approx(4, rel=0.15)
    assert why.looks == "brighter"


def test_darker_is_told_and_what_both_sides_have_is_no_difference_of_sides() -> None:
    def darker(image: np.ndarray) -> None:
        image[LESION] -= 0.4
        image[:, ::-1][LESION] -= 0.4

    why = reasons(darker)
    assert why.looks == "darker" and why.mirrored == pytest.approx(0, abs=0.1)
    assert "darker than around it, much like the other side" in why.words()


@pytest.mark.parametrize(("factor", "word"), [(3.0, "rougher"), (0.2, "smoother"), (1.0, "")])
def test_rough_and_smooth_are_told_by_fine_detail_alone(factor: float, word: str) -> None:
    def rough(image: np.ndarray) -> None:
        image[LESION] *= factor

    why = reasons(rough)
    assert why.looks == word and why.roughness == pytest.approx(factor, rel=0.35)


def test_a_finding_of_a_few_pixels_has_no_roughness_and_one_that_fills_all_nothing_around_it() -> None:
    assert reasons(brighter, lesion=(slice(12, 14), slice(8, 10))).roughness is None
    everything = reasons(brighter, lesion=(slice(0, SIDE), slice(0, SIDE)))
    assert everything.contrast is None and "nothing around it" in everything.words()


def test_the_rank_counts_the_held_out_peaks_below() -> None:
    assert (reasons(brighter).below, reasons(brighter).of) == (2, len(CALIBRATION.peaks)) == (2, 3)


def test_only_the_slices_with_peaks_are_scored_again_and_none_by_a_method_without_views() -> None:
    result, slices = found(brighter, slices=5)
    watched, idle = Views(), Views()
    with_reasons(result, watched, slices, DIRECTED, Progress())  # type: ignore[arg-type]
    assert watched.scored == [1]
    plain = with_reasons(result, idle, slices, TINY, Progress())  # type: ignore[arg-type]
    assert not idle.scored and plain.findings[0].reasons is not None and plain.findings[0].reasons.views == ()


def test_the_words_tell_views_looks_and_rank_in_one_sentence() -> None:
    views = (("predicted noise", 0.62), ("left against right", 0.28), ("intensity", 0.06), ("windows", 0.04))
    why = Reasons(views, 2.12, 1.5, 2.0, 27, 28, "slice")
    assert why.words() == (
        "Predicted noise says so (62 %), then left against right (28 %): 2.1 spreads brighter than around it and rougher, 1.5 spreads "
        "brighter than the other side; its peak is above that of 27 of 28 held-out normal slices."
    )
    assert Reasons((), 0.1, None, 0.3, 0, 0, "scan").words() == "Hardly brighter or darker than around it, but smoother."
    assert "peak is not above that of the one held-out normal scan." in replace(why, below=0, of=1, unit="scan").words()
    assert "above that of all 2 held-out normal scans" in replace(why, below=2, of=2, unit="scan").words()


def test_reasons_survive_being_saved_and_are_columns_of_the_table(tmp_path: Path) -> None:
    result, slices = found(brighter)
    result = with_reasons(result, Views(), slices, DIRECTED, Progress())  # type: ignore[arg-type]
    paths = result.save(tmp_path)
    assert Result.load(paths["result"]).findings == result.findings
    header, row = paths["findings"].read_text().splitlines()
    told = dict(zip(header.split(","), row.split(",")))
    assert (told["looks"], told["main_view"]) == ("brighter", "predicted noise")


def test_a_finding_from_before_there_were_reasons_still_loads() -> None:
    result, _ = found(brighter)
    older = json.loads(json.dumps(asdict(result.findings[0])))
    del older["reasons"]
    assert Finding.from_dict(older) == result.findings[0]


def test_refining_keeps_the_reasons_of_findings_with_the_same_peak_alone() -> None:
    result, slices = found(brighter)
    result.grid_map[1][25:30, 25:30] = 0.2  # below the threshold of now, and a finding at a lower one
    result = with_reasons(result, Views(), slices, DIRECTED, Progress())  # type: ignore[arg-type]
    refined = result.refine(threshold=0.15)
    assert [finding.reasons is not None for finding in refined.findings] == [True, False]
    assert refined.findings[0].reasons == result.findings[0].reasons


def test_a_finding_that_was_gone_for_a_while_has_its_reasons_again(tmp_path: Path) -> None:
    result, slices = found(brighter)
    result = with_reasons(result, Views(), slices, DIRECTED, Progress())  # type: ignore[arg-type]
    gone = result.refine(threshold=5.0)
    assert not gone.findings
    saved = Result.load(gone.save(tmp_path)["result"])
    for without in (gone, saved, gone.refine(threshold=4.0)):
        assert without.refine(threshold=result.controls.threshold).findings == result.findings


def test_detection_says_why_and_a_lesion_put_on_one_side_is_brighter_than_the_other(directed: Path, world: World, tmp_path: Path) -> None:
    def with_lesion(array: np.ndarray) -> np.ndarray:
        whole = nearly_symmetric(array)
        whole[1, 30:38, 16:24] += 0.6 * float(np.percentile(whole, 99))
        return whole

    scan = read_scan(rewrite(world.scans / "head-1000.nii.gz", tmp_path / "one-side.nii.gz", with_lesion))
    strongest = Detector(directed, "cpu").detect(scan).findings[0].reasons
    assert strongest is not None and "brighter" in strongest.looks
    assert strongest.mirrored is not None and strongest.mirrored > 1
    assert sum(share for _, share in strongest.views) == pytest.approx(1, abs=1e-3)
    names = {name for name, _ in strongest.views}
    assert names == {"predicted noise", "intensity", "left against right"}


def test_a_strip_of_skull_beside_it_and_a_generous_outline_hide_no_lesion() -> None:
    """A patch model's finding reaches beyond its lesion, and bright bone runs through the ring around it."""

    def lesion_and_skull(image: np.ndarray) -> None:
        image[13:19, 9:15] += 0.5
        image[:, 3] += 3.0

    result, slices = found(lesion_and_skull)
    result.grid_map[1][13:19, 9:15] = 3.0
    (finding,) = with_reasons(result, Views(), slices, DIRECTED, Progress()).findings  # type: ignore[arg-type]
    assert finding.reasons is not None and finding.reasons.looks.startswith("brighter")
    assert finding.reasons.contrast == pytest.approx(5, rel=0.2)  # of the lesion, not of the outline
