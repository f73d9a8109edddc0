"""The detection surface: what is fitted, how sure it is, and what is read from it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from InvDetectLib.common import InvDetectError
from InvDetectLib.models import ContrastDetail, Surface, describe
from InvDetectLib.rehearsal import Lesion, fit


def logit(size: float, contrast: float) -> float:
    """The truth of these tests: half are found at 8 mm and 20 %."""
    return 2.0 * np.log2(size / 8) + 1.5 * np.log2(contrast / 0.2)


def tried(count: int, seed: int = 0, kind: str = "bright") -> Surface:
    rng = np.random.default_rng(seed)
    lesions = [
        Lesion(kind, float(size), float(contrast)) for size, contrast in np.exp(rng.uniform(np.log((2, 0.05)), np.log((32, 1)), (count, 2)))
    ]
    found = [rng.random() < 1 / (1 + np.exp(-logit(one.size, one.contrast))) for one in lesions]
    return fit(lesions, found, [4 * one.contrast for one in lesions])


def detail(*surfaces: Surface, **facts: object) -> ContrastDetail:
    plain = {"unit": "mm", "direction": "", "rate": None, "flagged": 0.01, "false_findings": 0.4, "scans": 6, "calibrating": 6, "seed": 0}
    return ContrastDetail(**{**plain, **facts}, surfaces=surfaces)  # type: ignore[arg-type]


def level(kind: str, found: bool) -> Surface:
    """A kind of which all are found, or none."""
    lesions = [Lesion(kind, size, contrast) for size in (2.0, 8.0, 32.0) for contrast in (0.1, 0.3, 0.9)] * 6
    return fit(lesions, [found] * len(lesions), [1.0] * len(lesions))


def test_with_many_lesions_the_truth_comes_out() -> None:
    surface = tried(4000)
    assert surface.probability(8, 0.2)[0] == pytest.approx(0.5, abs=0.04)
    assert surface.size_at(0.5, 0.2) == pytest.approx(8, rel=0.08)
    assert surface.size_at(0.9, 0.2) == pytest.approx(8 * 2 ** (np.log(9) / 2), rel=0.1)
    assert surface.spread == pytest.approx(4)


def test_intervals_of_sixty_lesions_hold_the_truth_nineteen_times_of_twenty() -> None:
    chances, sizes = [], []
    for seed in range(300):
        surface = tried(60, seed)
        for size, contrast in ((4, 0.1), (8, 0.2), (16, 0.4), (4, 0.8)):
            _, low, high = surface.probability(size, contrast)
            chances.append(low <= 1 / (1 + np.exp(-logit(size, contrast))) <= high)
        ends = surface.size_interval(0.5, 0.2)
        sizes.append(ends is not None and ends[0] <= 8 <= ends[1])
    assert 0.92 <= np.mean(chances) <= 0.99 and 0.91 <= np.mean(sizes) <= 0.99


def test_where_all_or_none_are_found_the_surface_stays_finite_and_unsure() -> None:
    every, none = level("bright", True), level("bright", False)
    assert every.size_at(0.9, 0.3) == 2 and every.size_interval(0.9, 0.3) is None  # the smallest tried
    assert none.size_at(0.5, 0.9) is None
    chance, low, high = every.probability(8, 0.3)
    assert 0.9 < chance < 1 and low < chance < high and np.isfinite(every.coefficients).all()


def test_outside_what_was_tried_nothing_is_said() -> None:
    surface = tried(400)
    assert surface.size_at(0.5, 0.01) is None and surface.size_at(0.5, 2.0) is None
    assert surface.size_at(0.9, surface.contrasts[0]) is None  # no size that was tried is found so often


def test_where_large_lesions_are_found_less_the_size_is_that_up_to_which_they_are() -> None:
    falling = Surface("bright", 60, 30, (2.0, 32.0), (0.05, 1.0), 4.0, (6.0, -2.0, 0.0), ((0.1, 0, 0), (0, 0.1, 0), (0, 0, 0.1)))
    assert not falling.grows and falling.size_at(0.5, 0.25) == pytest.approx(8)
    told, more, *_ = detail(falling).sentences()
    assert told == "Of made bright lesions at a contrast of 25 % it finds 9 of 10 up to 3.7 mm."
    assert more == "Larger bright ones are found less often."


def test_the_words_name_sizes_kinds_false_findings_and_scans() -> None:
    many = detail(tried(4000), level("smooth", False), level("pushing", False))
    assert many.sentences() == [
        "Of made bright lesions at a contrast of 25 % it finds 9 of 10 from 15 mm on.",
        "Of smooth ones that have lost 75 % of their texture it finds hardly any.",
        "Of pushing ones that move the tissue around by 40 % of their radius it finds hardly any.",
        "Sizes are diameters.",
        "1 % of normal tissue is flagged, in 0.4 false findings a scan.",
        "Tried on the 6 scans that set the threshold, so not independent.",
    ]
    assert many.words() == " ".join(many.sentences())
    assert detail(tried(400), calibrating=0).words().endswith("on 6 other normal scans.")
    assert detail(tried(400), calibrating=2).words().endswith("on 6 normal scans, of which 2 set the threshold.")
    pictures = detail(tried(4000), unit="pixels").words()
    assert "from 15 pixels on" in pictures and "diameters in pixels of the scan" in pictures


def test_what_kinds_have_in_common_is_said_once_and_what_is_found_most_comes_first() -> None:
    many, few = tried(4000), tried(4000, kind="rough")
    half = Surface("dark", 60, 30, few.sizes, few.contrasts, 4.0, (-8.8, 2.0, 0.0), few.covariance)
    first, second, *_ = detail(half, many, few).sentences()
    assert first == (
        "Of made lesions at a contrast of 25 % it finds 9 of 10 bright ones from 15 mm on, 9 of 10 rough ones from 15 mm on and half of "
        "the dark ones from 21 mm on."
    )
    assert second == "Sizes are diameters."


def test_what_a_model_does_not_look_for_is_told_as_that() -> None:
    both = tried(400), level("dark", False)
    assert "hardly any dark ones" in detail(*both).words()
    assert "Dark ones are not looked for." in detail(*both, direction="bright").sentences()
    assert "Bright ones are not looked for." in detail(*both, direction="dark").sentences()


def test_it_comes_back_from_json_as_it_was() -> None:
    before = detail(tried(60), level("dark", True), rate=0.01)
    stored = json.loads(json.dumps(before.as_dict()))
    assert ContrastDetail.from_dict(stored) == before and stored == before.as_dict()
    (row, *_) = stored["surfaces"][0]["found_at"][2:]
    assert row["half"]["size"] == pytest.approx(before.size_at("bright", 0.5, row["contrast"]), rel=1e-3) and row[
        "in_spreads"
    ] == pytest.approx(4 * row["contrast"], rel=1e-3)


@pytest.mark.parametrize(
    "harm",
    [
        {"surfaces": []},
        {"surfaces": 3},
        {"flagged": "much"},
        {"flagged": float("nan")},
        {"scans": -1},
        {"calibrating": 7},
        {"false_findings": None},
        {"surfaces": [{"kind": "loud"}]},
    ],
)
def test_a_damaged_entry_is_refused_in_words_and_left_out_of_a_card(harm: dict[str, object]) -> None:
    stored = {**detail(tried(60)).as_dict(), **harm}
    with pytest.raises(InvDetectError, match="Rehearse again"):
        ContrastDetail.from_dict(stored)
    assert not any("Rehearsed" in line for line in describe({"rehearsal": stored}, {}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sizes", [4.0, 2.0]),
        ("contrasts", [0.0, 1.0]),
        ("coefficients", [1, 2]),
        ("covariance", [[1]]),
        ("kind", "loud"),
        ("spread", 1e12),
    ],
)
def test_a_damaged_surface_is_refused(name: str, value: object) -> None:
    stored = detail(tried(60)).as_dict()
    stored["surfaces"][0][name] = value
    with pytest.raises(InvDetectError, match="Rehearse again"):
        ContrastDetail.from_dict(stored)


def test_a_card_tells_it() -> None:
    shown = "\n".join(describe({"rehearsal": detail(tried(4000)).as_dict()}, {}, 200))
    assert "Rehearsed        Of made bright lesions at a contrast of 25 % it finds 9 of 10 from 15 mm on. Sizes" in shown
