"""The cut and its controls: which pixels become the mask, and what refining moves and what it leaves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from InvDetectLib.common.errors import Cancelled, InvDetectError, WrongUse
from InvDetectLib.common.progress import Event, Progress
from InvDetectLib.results.result import Controls
from InvDetectLib.scans.geometry import Geometry
from Testing.support.made_results import CALIBRATION, FLOOR, SAME, agree, blob, make_result, noise


def about(value: float) -> Any:
    return pytest.approx(value)


# --- the mask --------------------------------------------------------------------------------------------------------------------


def test_scr_keeps_the_block_and_drops_the_speck() -> None:
    # above t = 0.25 a pixel gains 1; with lambda 0.5 the block costs 12 edges * 0.5 = 6 < 9, the speck 4 * 0.5 = 2 > 1
    result = make_result(blob())
    expected = blob() > 0
    expected[0] = False
    assert np.array_equal(result.mask, expected)
    assert np.array_equal(result.grid_mask, expected)
    assert result.provenance["solver"] in ("maxflow", "scipy")


def test_without_scr_the_mask_is_the_map_above_the_threshold() -> None:
    result = make_result(blob(), scr=False)
    assert np.array_equal(result.mask, blob() > 0)
    assert result.provenance["solver"] is None
    assert not make_result(np.full((4, 8, 8), 0.25), scr=False).mask.any()


def test_contiguity_multiplies_the_models_lambda() -> None:
    # the block gains 9 and costs 12 * 0.5 * contiguity: worth it below 1.5. The speck: 1 against 2 * contiguity
    masks = {c: make_result(blob(), contiguity=c).mask for c in (0.4, 0.6, 1.4, 1.6)}
    assert [(int(m[0].sum()), int(m[2].sum())) for m in masks.values()] == [(1, 9), (0, 9), (0, 9), (0, 0)]


def test_edge_weights_let_the_cut_run_where_tissue_changes() -> None:
    weak = np.ones((4, 7, 8))
    weak[0] = 0.2  # the speck now costs 0.5 * (0.2 + 0.2 + 1 + 1) = 1.2, still too much; with weak sides 0.4
    sides = np.ones((4, 8, 7))
    assert not make_result(blob(), edges_down=weak, edges_right=sides).mask[0].any()
    sides[0] = 0.2
    assert make_result(blob(), edges_down=weak, edges_right=sides).mask[0].sum() == 1


def test_nothing_is_labelled_or_mapped_where_nothing_was_scored() -> None:
    scored = np.ones((4, 8, 8), bool)
    scored[2, 3] = False
    foreground = np.ones(SAME.shape, bool)
    foreground[2, 2, 3] = False
    values = blob(value=9.0)
    values[2, 3, 4] = np.nan
    result = make_result(values, grid_scored=scored, foreground=foreground)
    expected = (blob() > 0) & scored & foreground
    assert np.array_equal(result.mask, expected)
    assert (result.anomaly_map[~(scored & foreground)] == FLOOR).all()
    assert (result.anomaly_map[expected] == 9.0).all()


def test_the_cut_cannot_fill_a_hole_that_was_not_scored() -> None:
    values, scored = blob(value=9.0), np.ones((4, 8, 8), bool)
    values[2, 3, 4] = FLOOR
    hole = (2, 3, 4)  # with contiguity 4 its edges weigh 4 * 2 against 2.25 below the threshold
    assert make_result(values, grid_scored=scored, contiguity=4.0).mask[hole]
    scored[hole] = False
    result = make_result(values, grid_scored=scored, contiguity=4.0)
    assert not result.mask[hole] and result.mask[2, 3, 3]


# --- choosing and refining -------------------------------------------------------------------------------------------------------


def test_a_rate_sets_the_threshold_for_the_contiguity_at_hand() -> None:
    assert Controls.choose(CALIBRATION, rate=0.01) == Controls(1.0, 0.01, about(0.4), True)
    assert Controls.choose(CALIBRATION, rate=0.01, contiguity=2.0).threshold == pytest.approx(0.3)
    assert Controls.choose(CALIBRATION, rate=0.01, contiguity=2.0, scr=False).threshold == pytest.approx(0.5)
    assert Controls.choose(CALIBRATION) == Controls(1.0, None, 0.25, True)
    assert Controls.choose(CALIBRATION, threshold=-1) == Controls(1.0, None, -1.0, True)


def test_refining_moves_only_what_was_asked_for() -> None:
    first = make_result(blob(), rate=0.01)
    assert first.refine(contiguity=2.0).controls == Controls(2.0, 0.01, about(0.3), True)
    assert first.refine(scr=False).controls == Controls(1.0, 0.01, about(0.5), False)
    assert first.refine(rate=0.1).controls == Controls(1.0, 0.1, about(0.1), True)
    assert first.refine(threshold=0.7).controls == Controls(1.0, None, 0.7, True)
    assert first.refine(threshold=0.7).refine(contiguity=2.0).controls == Controls(2.0, None, 0.7, True)
    assert first.refine(threshold=0.7).refine(rate=0.01).controls == first.controls
    assert make_result(blob()).refine(contiguity=2.0).controls == Controls(2.0, None, 0.25, True)


def test_a_refined_result_is_the_one_that_detection_would_have_given() -> None:
    parts = noise((4, 8, 8))
    wishes: list[dict[str, Any]] = [{"contiguity": 3.0}, {"threshold": 0.8}, {"rate": 0.1, "contiguity": 0.3}, {"scr": False}]
    first = make_result(**parts)
    before = first.mask.copy()
    for wish in wishes:
        assert agree(first.refine(**wish), make_result(**parts, **wish)), wish
        assert not np.array_equal(first.refine(**wish).mask, before), wish
    assert np.array_equal(first.mask, before)
    assert first.refine(contiguity=3.0).grid_map is first.grid_map


@pytest.mark.parametrize("axes", [(1, 0, 0, 0, 1, 0, 0, 0, 1), (-1, 0, 0, 0, 1, 0, 0, 0, -1), (0, 0, 1, 1, 0, 0, 0, -1, 0)])
def test_one_slice_is_refined_as_all_of_them_are(axes: tuple[float, ...]) -> None:
    geometry = Geometry((8, 8, 8), spacing=(2.0, 2.0, 2.0), direction=axes)
    result = make_result(geometry=geometry, **noise((8, 8, 8)))
    for wishes in ({"rate": 0.05}, {"contiguity": 2.0}, {"threshold": 0.1, "scr": False}):
        whole, controls = result.refine(**wishes), result.wished(**wishes)
        assert controls == whole.controls and whole.mask.any()
        for index in range(8):
            assert np.array_equal(result.refine_slice(index, controls), whole.mask.take(index, result.slice_axis))


def test_p_values_do_not_move_with_the_controls() -> None:
    first = make_result(blob(value=2.5), threshold=0.25)
    assert first.findings[0].p_value == first.refine(threshold=1.0, contiguity=0.5).findings[0].p_value


def test_refining_reports_slices_and_can_be_cancelled() -> None:
    events: list[Event] = []
    result = make_result(blob())
    result.refine(contiguity=2.0, progress=Progress(events.append))
    assert [(event.stage, event.done, event.total) for event in events] == [("refining", k, 4) for k in range(5)]
    stopped = Progress()
    stopped.cancel()
    with pytest.raises(Cancelled):
        result.refine(contiguity=2.0, progress=stopped)


@pytest.mark.parametrize("wish", [{"rate": 0.01, "threshold": 0.0}, {"contiguity": -1.0}, {"contiguity": np.nan}, {"threshold": np.inf}])
def test_impossible_controls_are_wrong_use(wish: dict[str, Any]) -> None:
    with pytest.raises(WrongUse):
        make_result(blob()).refine(**wish)
    with pytest.raises(WrongUse):
        make_result(blob(), **wish)


def test_a_rate_outside_the_calibration_is_an_error() -> None:
    with pytest.raises(InvDetectError, match="rate of 0.5"):
        make_result(blob()).refine(rate=0.5)
