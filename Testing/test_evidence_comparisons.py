"""The study's commands beside the table: ways to invert, settings that share a network, the bases of MatchGen."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from InvDetectLib.models.presets import PRESETS
from Testing.evidence import __main__ as command
from Testing.evidence import choosing, solvers

STANDARD_ROWS = ["standard", "standard-no-scr"]


def test_ways_to_invert_stand_side_by_side_with_the_distance_of_their_latents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(solvers, "_PASSES", (3, 10))
    monkeypatch.setattr(solvers, "_MULTISTEP", ((10, 4),))
    assert command.main(["phantoms-solvers", "--out", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "phantoms" / "solvers" / "results.json").read_text())
    found = result["latents"]
    assert [found[key]["passes"] for key in ("latents", "ddim-3", "ddim-10", "multistep-10")] == [5, 3, 10, 10]
    assert found["ddim-3"]["error"] > found["ddim-10"]["error"] > found["multistep-10"]["error"] > 0
    lines = (tmp_path / "phantoms" / "solvers" / "table.md").read_text().splitlines()
    assert sum(line.startswith("| DDIM, ") for line in lines) == 2 and all(line.count("|") == lines[4].count("|") for line in lines[4:10])
    assert lines[4] in capsys.readouterr().out


def test_settings_that_share_a_network_rank_by_made_lesions_and_by_real_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = ("standard", "level 0.6", "noise alone", "intensity alone")
    every = choosing.candidates
    monkeypatch.setattr(choosing, "candidates", lambda views: {name: every(views)[name] for name in few})
    assert command.main(["phantoms-choosing", "--out", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "phantoms" / "choosing" / "results.json").read_text())
    assert tuple(row["name"] for row in result["rows"]) == few
    assert (result["rehearsed_on"], result["scans"]) == ("calibration", 3)  # of eight scans that train, one validates
    assert all(0 <= row["detection"] <= 1 and 0 <= row["quoted"]["ap"]["mean"] <= 1 for row in result["rows"])
    assert len({row["detection"] for row in result["rows"]}) > 2 and len({row["choice"]["ap"]["mean"] for row in result["rows"]}) > 2
    for name in ("dice", "ap"):
        made, real = ([row["detection"] for row in result["rows"]], [row["quoted"][name]["mean"] for row in result["rows"]])
        assert result["spearman"]["quoted"][name] == choosing.rank_agreement(made, real)
    assert "| standard |" in (tmp_path / "phantoms" / "choosing" / "table.md").read_text()


@pytest.mark.parametrize("name", ["standard", "flair", "fundus"])
def test_at_least_eight_settings_that_differ_share_a_network(name: str) -> None:
    views = PRESETS[name].invdetect.views
    found = choosing.candidates(views)
    assert len(found) >= 8 and next(iter(found.values())) == views
    assert all(one.sum and list(found.values()).count(one) == 1 for one in found.values())
    assert {one.levels for one in found.values()} == {(level,) for level in (0.6, 0.7, 0.8, 0.9)}


def test_the_agreement_of_two_orders_is_that_of_their_ranks() -> None:
    made = [0.1, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    same, reverse = choosing.rank_agreement(made, [one**3 for one in made]), choosing.rank_agreement(made, [-one for one in made])
    assert same == {"rho": 1.0, "low": 1.0, "high": 1.0, "candidates": 8} and reverse["rho"] == -1
    none = choosing.rank_agreement(made, [0.5, 0.1, 0.8, 0.3, 0.7, 0.2, 0.6, 0.4])
    assert none["low"] < 0 < none["high"] and abs(none["rho"]) < 0.3


@pytest.fixture(scope="module")
def one_base_done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("one_base")
    assert command.main(["phantoms-matchgen", "--out", str(out), "--rows", "ae"]) == 0
    return out


def test_the_bases_of_matchgen_stand_by_themselves_and_matched_and_a_second_run_makes_nothing_anew(
    one_base_done: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(one_base_done, tmp_path, dirs_exist_ok=True)
    asked = ["phantoms-matchgen", "--out", str(tmp_path), "--rows", "ae"]
    result = json.loads((tmp_path / "phantoms" / "matchgen" / "results.json").read_text())
    keys = [row["key"] for row in result["rows"]]
    assert keys == [*STANDARD_ROWS, "ae", "ae-scr", "ae-matchgen", "ae-matchgen-scr", "intensity", "smoothed", "smoothed-scr"]
    rows = {one["key"]: one for one in result["rows"]}
    assert rows["ae-matchgen"]["facts"]["epsilon"] > 0 and "epsilon" not in rows["ae"]["facts"]
    part = next(iter(result["parts"]))
    lifted = result["lifts"]["ae"][part]["dice"]["mean"]
    means = [rows[key]["parts"][part]["dice"]["mean"] for key in ("ae-matchgen", "ae")]
    assert lifted == pytest.approx(means[0] - means[1], abs=1e-3)
    above = result["minus_invdetect"][part]["ae-scr"]
    assert list(above) == STANDARD_ROWS and above["standard"]["dice"]["n"] == 2
    for metric in ("ap", "dice"):
        base, own = (rows[key]["parts"][part][metric]["mean"] for key in ("ae-scr", "standard"))
        assert above["standard"][metric]["mean"] == pytest.approx(base - own, abs=1e-4)
    below = result["reference_minus_row"][part]["ae-scr"]["ap"]  # of InvDetect minus the row, which is the same pair
    assert [below["low"], below["high"]] == pytest.approx([-above["standard"]["ap"]["high"], -above["standard"]["ap"]["low"]], abs=1e-9)
    assert above["standard"]["ap"]["ahead"] is (above["standard"]["ap"]["low"] > 0)
    table = (tmp_path / "phantoms" / "matchgen" / "table.md").read_text()
    assert "| MatchGen minus the base alone |" in table
    line = next(line for line in table.split("| row minus InvDetect |")[1].splitlines() if line.startswith("| ae, SCR |"))
    assert f"| {above['standard']['dice']['mean']:.3f} (" in line and line.endswith("| 2 |")
    assert list((tmp_path / "phantoms" / "models").glob("standard-*.invdetect"))  # where the study itself would look for it
    finished = {key: one["finished"] for key, one in rows.items()}
    assert command.main(asked) == 0
    again = json.loads((tmp_path / "phantoms" / "matchgen" / "results.json").read_text())
    assert {one["key"]: one["finished"] for one in again["rows"]} == finished
    assert command.main([*asked[:-1], "gan"]) == 2 and "no base gan" in capsys.readouterr().err


def test_a_run_of_one_base_of_matchgen_still_tells_of_the_bases_finished_before_and_does_not_pair_them_anew(
    one_base_done: Path, tmp_path: Path
) -> None:
    shutil.copytree(one_base_done, tmp_path, dirs_exist_ok=True)
    folder = tmp_path / "phantoms" / "matchgen"
    before = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    pairs = {path: path.stat().st_mtime_ns for path in (folder / "differences").iterdir()}
    assert command.main(["phantoms-matchgen", "--out", str(tmp_path), "--rows", "vae"]) == 0
    after = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    part = next(iter(after["parts"]))
    assert {"ae", "ae-matchgen-scr", "vae", "vae-matchgen-scr"} <= {row["key"] for row in after["rows"]}
    assert list(after["lifts"]) == ["ae", "vae"] and after["lifts"]["ae"] == before["lifts"]["ae"]
    assert set(before["minus_invdetect"][part]) < set(after["minus_invdetect"][part])
    assert pairs and {path: path.stat().st_mtime_ns for path in pairs} == pairs
