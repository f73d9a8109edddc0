"""The card: texts that a maker may give, and what of it people read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import InvDetectLib as invdetect
from InvDetectLib.common.errors import WrongUse
from InvDetectLib.models.card_words import CAN_REBUILD, CANNOT_REBUILD, describe, sees
from InvDetectLib.models.cards import LONGEST_TEXT, TEXTS, check_texts, first_sentence, read_texts
from InvDetectLib.models.presets import all_presets
from Testing.support.tiny_model import World, shell

CARD = {
    "modality": "MRI T1",
    "licence": "CC0 1.0",
    "created": "2026-11-23T14:08:35+00:00",
    "device": "cpu",
    "seconds": 1820.9,
    "trained_on": {"scans": 14, "slices": 1912, "unit": "mm", "pixel": [1.25, 1.5], "digests": ["ab"]},
    "validated_on": {"scans": 2},
    "calibrated_on": {"scans": 5},
    "unseen_normals": {"scans": 3, "normal_area": 0.0123},
    "contiguity": 0.5,
    "default_threshold": 0.78376,
    "score_unit": "calibrated",
    "normal_area": 0.0098,
    "rebuilds_images": False,
}


def shown(card: dict[str, Any], width: int = 200) -> dict[str, str]:
    """label -> text"""
    return {line[:17].strip(): line[17:] for line in describe(card, {"peaks": [1.0, 2.0], "peak_unit": "scan"}, width)}


def test_figures_are_shown_with_their_units() -> None:
    rows = shown(CARD)
    about = "1912 slices, a pixel of the model's grid is 1.25 to 1.5 mm"
    assert rows["Scans"] == f"14 to train ({about}), 2 others to validate, 5 others to calibrate"
    calibrated, unseen = "0.98 % is flagged in the 5 normal scans it was calibrated on", "1.23 % in 3 normal scans it had never seen"
    assert rows["Normal tissue"] == f"{calibrated}, {unseen}"
    assert rows["Operating point"].startswith("threshold 0.784 in the map's unit") and rows["Made"] == "2026-11-23, in 30 min, on cpu"
    assert rows["p-values"] == "rest on 2 held-out normal scans, so that the smallest is 1/3"
    slices = {line[:17].strip(): line[17:] for line in describe(CARD, {"peaks": [1.0, 2.0], "peak_unit": "slice"}, 200)}["p-values"]
    assert slices == f"{rows['p-values'].replace('scans', 'slices')} in a single slice; in a scan of N slices it is N times that, at most 1"


def test_what_counts_as_abnormal_is_told_and_what_else_may() -> None:
    calibration = {"other_directions": {"dark": {}, "both": {}, "sideways": {}}}
    rows = {line[:17].strip(): line[17:] for line in describe({**CARD, "direction": "bright"}, calibration, 200)}
    assert rows["Findings are"] == "brighter than normal (bright); calibrated for dark and both, too"
    assert shown({**CARD, "direction": "dark"})["Findings are"] == "darker than normal (dark)"
    for nothing in ("", "sideways", 3, None):
        assert "Findings are" not in shown({**CARD, "direction": nothing})


def test_whether_left_is_compared_with_right_is_told_with_how_symmetric_normals_are() -> None:
    agree = "normal scans agree with their own reflection to 0.83 (1 is perfect)"
    assert shown({**CARD, "mirror": True, "symmetry": 0.83})["Left and right"] == f"compared: {agree}"
    assert shown({**CARD, "mirror": False, "symmetry": 0.83})["Left and right"] == f"not compared: {agree}"
    assert shown({**CARD, "mirror": False})["Left and right"] == "not compared"
    assert "Left and right" not in shown(CARD)


def test_an_adapted_model_says_to_how_many_scans_and_how_far_they_were() -> None:
    told = shown({**CARD, "adapted": {"from": "0f", "scans": 6, "strangeness": 0.334}})["Adapted"]
    before = "what it makes out in them lay +0.33 above that in normal scans of its own kind"
    assert told == f"to 6 normal scans of another scanner, without training; {before}"
    assert "Adapted" not in shown(CARD)


def test_what_a_model_looks_at_is_told_of_every_preset() -> None:
    told = {name: sees(settings) for name, settings in all_presets().items()}
    noise = "noise that the network sees in them (level 0.7; cells of 1, 2, 4, 8, 16 pixels)"
    assert told["standard"].startswith(f"whole slices: {noise}, brightness, left against right of")
    assert told["paper"] == "patches of 32 pixels, by the noise that they come from"
    assert "brightness of the green channel" in told["fundus"] and "if they were normal" in told["matchgen dae quick"]
    assert shown({**CARD, "sees": told["fine"]})["Sees"] == told["fine"]


@pytest.mark.parametrize(("said", "sentence"), [(False, CANNOT_REBUILD), (True, CAN_REBUILD), (None, CAN_REBUILD), ("no", CAN_REBUILD)])
def test_only_a_card_that_says_so_counts_as_free_of_images(said: Any, sentence: str) -> None:
    assert shown({**CARD, "rebuilds_images": said})["Privacy"] == sentence


@pytest.mark.parametrize("width", [40, 72, 100])
def test_lines_fit_the_terminal(width: int) -> None:
    text = "\n".join(describe({**CARD, "misses": "small lesions " * 50}, {}, width))
    assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize(
    "card",
    [{}, {name: None for name in CARD}, {name: [1] for name in CARD}, {name: {"scans": "x"} for name in CARD}, {"seconds": 10**400}],
)
def test_any_card_can_be_shown(card: dict[str, Any]) -> None:
    assert shown(card)["Privacy"] == CAN_REBUILD


def test_a_card_cannot_drive_the_terminal() -> None:
    assert shown({"modality": "MRI\x1b[2J\n\u202eT1"})["Modality"] == "MRI[2J T1"


def test_the_first_sentence_is_one_line() -> None:
    assert first_sentence("Points out\n focal lesions. In brains.", 80) == "Points out focal lesions"
    assert first_sentence("word " * 50, 20) == "word word word ..." and first_sentence(None, 20) == ""


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        (["intended_use"], "must be an object of names and texts"),
        ({"normal_area": "0"}, "has no place for 'normal_area'; it may have intended_use, data,"),
        ({"misses": 3}, "needs a text as 'misses', not 3"),
        ({"misses": "  "}, "needs a text as 'misses', not an empty one"),
        ({"misses": "x" * (LONGEST_TEXT + 1)}, "has 2001 characters as 'misses'"),
    ],
)
def test_what_is_no_card_is_refused_in_a_sentence(tmp_path: Path, texts: Any, reason: str) -> None:
    path = tmp_path / "card.json"
    path.write_text(json.dumps(texts))
    with pytest.raises(WrongUse, match="^The card .*card.json ") as caught:
        read_texts(path)
    assert reason in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"{", b"\xff\xfe", b"[" * 100_000])
def test_a_card_that_cannot_be_read_stops_before_training(world: World, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "card.json"
    if content is not None:
        path.write_bytes(content)
    for more in ([], ["--dry-run"]):
        run = shell("train", world.normals, "-o", tmp_path / "x.invdetect", "--preset", "tiny", "--card", path, *more)
        assert run.status == 2 and run.err.startswith(f"invdetect: The card {path} ") and len(run.err.splitlines()) == 1


def test_texts_reach_the_card_and_the_reader(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {name: f"{what.capitalize()}:\n so and so, for {name}." for name, what in TEXTS.items()}
    path, model = tmp_path / "card.json", tmp_path / "carded.invdetect"
    path.write_text(json.dumps(texts))
    run = shell("train", world.normals, "-o", model, "--preset", "tiny", "--no-rehearsal", "--card", path, "--licence", "CC0 1.0")
    assert run.status == 0, run.err
    card = invdetect.load_model(model).card
    assert {name: card[name] for name in TEXTS} == {name: " ".join(text.split()) for name, text in texts.items()} == check_texts(texts)
    assert card["normal_area"] == world.card["normal_area"] and card["limits"] == world.card["limits"]
    monkeypatch.setenv("COLUMNS", "70")
    text = shell("info", model).out
    joined = " ".join(text.split())
    assert all(f"so and so, for {name}." in joined for name in TEXTS) and CANNOT_REBUILD in joined
    assert max(map(len, text.partition("\nsettings")[0].splitlines())) <= 17 + 64


def test_a_card_is_checked_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="^The card has no place for 'normal_area'"):
        invdetect.train(tmp_path / "nothing", card={"normal_area": "none"})
