"""The study of `Testing/evidence`: a run on made heads from data to table, its rows, interruptions."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import InvDetectLib as invdetect
from InvDetectLib.common.progress import Progress
from InvDetectLib.computing.checkpoint import Checkpoint
from InvDetectLib.methods.contract import Slices
from InvDetectLib.methods.invdetect.method import InvDetect
from InvDetectLib.metrics.agreement import ScoredScan
from InvDetectLib.models.model import Model
from InvDetectLib.models.presets import PRESETS
from InvDetectLib.models.settings import Settings
from Testing.evidence import __main__ as command
from Testing.evidence import figures, latents, pairs, report, sets, sites, table_of_rows
from Testing.evidence.maps import Mapped
from Testing.evidence.sizes import BUDGETS, SIZES, sized
from Testing.evidence.study import Study
from Testing.evidence.table_of_rows import SMOOTHED

REPOSITORY = Path(__file__).resolve().parents[1]
ROWS = "smoothed,standard,standard-noise,standard-no-network,latents"


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on made heads."""
    folder = tmp_path_factory.mktemp("evidence")
    assert command.main(["phantoms", "--out", str(folder), "--rows", ROWS]) == 0
    return folder / "phantoms"


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def row(out: Path, key: str) -> dict[str, Any]:
    return json.loads((out / "rows" / f"{key}.json").read_text())


# --- one run ----------------------------------------------------------------------------------------------------------------------------


def test_every_row_has_its_figures_patients_and_origin(out: Path) -> None:
    for key in ("standard", "standard-no-scr", "standard-noise", "standard-no-network", "latents", "smoothed", "smoothed-scr"):
        content = row(out, key)
        figures = content["parts"]["phantoms"]
        assert all(0 <= figures[name]["mean"] <= 1 for name in ("dice", "dice_oracle", "precision", "ap", "auroc", "normal_area"))
        assert figures["dice"]["mean"] <= figures["dice_oracle"]["mean"] + 0.05
        assert figures["seconds_a_slice"]["mean"] > 0
        assert len(content["patients"]["phantoms"]) == 2
        assert {"hardware", "versions", "command", "settings", "fingerprint", "library"} <= set(content)


def test_a_size_is_named_by_what_it_changed(out: Path) -> None:
    assert row(out, "standard")["size"] == "tiny" and row(out, "smoothed")["size"] == "full"


def test_what_is_flagged_in_bright_scans_is_told_and_counts_for_nothing_else(out: Path) -> None:
    content = row(out, "smoothed")
    assert 0 < content["parts"]["phantoms"]["bright_area"]["mean"] < 1
    assert content["parts"]["phantoms"]["bright_area"] != content["parts"]["phantoms"]["normal_area"]
    assert len(content["patients"]["phantoms"]) == 2
    assert "| area, bright scans |" in (out / "table.md").read_text()


def test_dice_is_told_by_the_size_of_the_lesion_where_each_patient_is_one_slice() -> None:
    def scan(number: int, slices: int = 1) -> ScoredScan:
        """Lesions grow with the number; the ten largest of forty are found whole, the others not at all."""
        truth = np.zeros((slices, 10, 10), bool)
        truth.reshape(slices, -1)[:, : number + 1] = True
        found = truth if number >= 30 else np.zeros_like(truth)
        return ScoredScan(f"patient {number}", truth.astype(np.float32), found, truth, np.ones_like(truth))

    quarters = figures.by_lesion_size(figures.Scored([scan(number) for number in (*range(20, 40), *range(20))], [], []))
    limits = [(one["from"], one["to"], one["scans"]) for one in quarters]
    assert limits == [(0.01, 0.1, 10), (0.11, 0.2, 10), (0.21, 0.3, 10), (0.31, 0.4, 10)]
    assert [one["dice"]["mean"] for one in quarters] == [0, 0, 0, 1]
    assert not figures.by_lesion_size(figures.Scored([scan(number) for number in range(39)], [], []))
    assert not figures.by_lesion_size(figures.Scored([scan(number, 2) for number in range(40)], [], []))
    assert not figures.by_lesion_size(figures.Scored([scan(number // 2) for number in range(80)], [], []))


def test_quarters_of_lesions_stand_in_a_table_of_their_own(out: Path) -> None:
    result = json.loads((out / "results.json").read_text())
    assert "share of the foreground" not in report.markdown(result)  # made heads have several slices
    dice = {"mean": 0.25, "low": 0.2, "high": 0.3}
    quarters = [{"from": share, "to": share + 0.005, "scans": 66, "dice": dice} for share in (0.001, 0.01, 0.02, 0.05)]
    result["rows"][0]["by_size"]["phantoms"] = quarters
    lines = report.markdown(result).splitlines()
    first = next(number for number, line in enumerate(lines) if "share of the foreground" in line)
    assert lines[first].endswith("| 0.1 to 0.6 % (66 scans) | 1 to 1.5 % (66 scans) | 2 to 2.5 % (66 scans) | 5 to 5.5 % (66 scans) |")
    assert lines[first + 2] == "| InvDetect standard |" + " 0.250 (0.20-0.30) |" * 4 and lines[first - 1] == lines[first + 3] == ""


@pytest.fixture
def other_columns() -> Iterator[None]:
    """Another table of columns; its order, which a row remembers, comes back."""
    own = dict(figures.COLUMNS)
    figures.COLUMNS["dice"] = figures.COLUMNS.pop("dice")
    yield
    figures.COLUMNS.clear()
    figures.COLUMNS.update(own)


@pytest.mark.usefixtures("other_columns")
def test_a_finished_row_gets_a_new_column_without_scoring_anew(out: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(out, tmp_path / "phantoms")
    before = {path: path.stat().st_mtime_ns for path in (copy / "maps").rglob("*.npz")}
    assert command.main(["phantoms", "--out", str(tmp_path), "--rows", "smoothed"]) == 0
    assert row(copy, "smoothed")["finished"] > row(out, "smoothed")["finished"]
    assert {path: path.stat().st_mtime_ns for path in (copy / "maps").rglob("*.npz")} == before


def test_results_table_and_pictures_are_written(out: Path) -> None:
    result = json.loads((out / "results.json").read_text())
    assert [entry["key"] for entry in result["rows"]] == [
        *("standard", "standard-no-scr", "standard-noise", "standard-no-network", "latents", "smoothed", "smoothed-scr")
    ]
    difference = result["reference_minus_row"]["phantoms"]["smoothed"]["ap"]
    figures = {key: row(out, key)["parts"]["phantoms"]["ap"]["mean"] for key in ("standard", "smoothed")}
    assert np.isclose(difference["mean"], figures["standard"] - figures["smoothed"], atol=2e-5) and difference["n"] == 2
    table = (out / "table.md").read_text()
    assert table.count("\n| smoothed intensity |") == 2 and "unseen normal scans" in table
    assert (out / "pictures" / "phantoms.png").read_bytes().startswith(b"\x89PNG")


def test_differences_are_figured_anew_only_where_a_row_has_changed(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(out, tmp_path / "phantoms")
    figured: list[object] = []
    own = pairs.paired_difference
    monkeypatch.setattr(pairs, "paired_difference", lambda *metrics: figured.append(metrics) or own(*metrics))
    asked = ["phantoms", "--out", str(tmp_path), "--rows", "smoothed"]
    before = (out / "results.json").read_text()
    assert command.main(asked) == 0 and figured == [] and (tmp_path / "phantoms" / "results.json").read_text() == before
    (tmp_path / "phantoms" / "differences" / "standard-minus-smoothed.json").write_text("{}")
    assert command.main(asked) == 0 and len(figured) == 2  # Dice and AP of the one part
    assert (tmp_path / "phantoms" / "results.json").read_text() == before
    (tmp_path / "phantoms" / "rows" / "smoothed.json").unlink()
    assert command.main(asked) == 0 and len(figured) == 6  # a row made anew, and the one made with it, by the same settings


def model(out: Path, key: str) -> Model:
    return Model.load(next((out / "models").glob(f"{key}-{'?' * 16}.invdetect")))


def test_the_noise_alone_shares_the_network_of_standard(out: Path) -> None:
    standard, alone = (model(out, key) for key in ("standard", "standard-noise"))
    names = [name for name in standard.arrays if name.startswith("network/")]
    assert names and all((standard.arrays[name] == alone.arrays[name]).all() for name in names)
    assert len(standard.arrays["views/views"][0]) == 3 and len(alone.arrays["views/views"][0]) == 1
    assert not list((out / "models").glob("*.checkpoint"))


def test_without_its_network_standard_says_what_the_slices_say_by_themselves(out: Path) -> None:
    scan = next((out / "phantoms" / "abnormal").iterdir())
    changes = {}
    for key in ("standard", "standard-no-network"):
        whole = model(out, key)
        arrays = {name: np.zeros_like(values) if name.startswith("network/") else values for name, values in whole.arrays.items()}
        maps = [invdetect.detect(scan, one).anomaly_map for one in (whole, Model(whole.settings, arrays, whole.calibration, whole.card))]
        changes[key] = np.abs(maps[0] - maps[1]).max()
    assert changes["standard"] > 0 == changes["standard-no-network"]
    assert [view.mirror for view in model(out, "standard-no-network").settings.invdetect.views.sum] == [False, True]


def test_rows_that_would_be_standard_again_or_nothing_are_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sets.SETTINGS, "phantoms", dataclasses.replace(sets.SETTINGS["phantoms"], preset="fine"))
    rows = "standard-noise,standard-no-network,standard-no-mirror"
    assert command.main(["phantoms", "--out", str(tmp_path), "--rows", rows]) == 0
    table = (tmp_path / "phantoms" / "table.md").read_text()
    assert table.count(": not run: of the views of InvDetect standard it has none in this setting") == 3
    monkeypatch.setitem(sets.SETTINGS, "phantoms", dataclasses.replace(sets.SETTINGS["phantoms"], preset="standard", plane="sagittal"))
    assert command.main(["phantoms", "--out", str(tmp_path), "--rows", "standard-no-mirror"]) == 0
    assert ": not run: of the views of InvDetect standard it has all in this setting" in (tmp_path / "phantoms" / "table.md").read_text()


def test_where_standard_still_is_the_detector_before_they_share_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sets.SETTINGS, "phantoms", dataclasses.replace(sets.SETTINGS["phantoms"], preset="fine"))
    assert command.main(["phantoms", "--out", str(tmp_path), "--rows", "standard,latents"]) == 0
    before, today = (row(tmp_path / "phantoms", key)["parts"]["phantoms"] for key in ("latents", "standard"))
    assert before["ap"] == today["ap"] and before["dice"] == today["dice"]
    assert [path.name.split("-")[0] for path in (tmp_path / "phantoms" / "models").glob("*.invdetect")] == ["standard"]


def test_the_detector_before_is_held_fast_and_runs_by_itself_at_full_size_only(out: Path, tmp_path: Path) -> None:
    before = model(out, "latents")
    assert not before.settings.invdetect.views.sum and "normality/alpha" in before.arrays and "views/views" not in before.arrays
    kept = {}
    for name in ("flair", "fundus", "t1", "stroke-sagittal"):
        for job in (latents.LATENTS, latents.LATENTS_QUICK):
            study = Study(sets.SETTINGS[name], sets.Data([], [], {}, [], ""), "full", tmp_path, "cpu", Progress())
            found = job.library_settings(study)
            assert (found.preparation.modality, found.preparation.plane) == (sets.SETTINGS[name].modality, study.preparation.plane)
            assert found.invdetect.training.mirror == (name != "stroke-sagittal")
            kept[name, job.key] = (found.preparation.grid, found.invdetect.features.window, found.invdetect.inversion.evaluations)
    assert [kept[name, "latents"] for name in ("flair", "fundus", "t1")] == [(128, 12, 12), (256, 3, 10), (128, 5, 12)]
    assert [kept[name, "latents-quick"] for name in ("flair", "fundus", "t1")] == [(96, 9, 8), (256, 9, 8), (96, 9, 8)]
    by_size = {size: {row.key for job in table_of_rows.choose(None, False, size) for row in job.rows} for size in SIZES}
    assert by_size["small"] == by_size["tiny"] == by_size["full"] - {"latents", "latents-quick"} and len(by_size["tiny"]) > 15
    assert all("latents-quick" in sites.rows(size) for size in SIZES)


@pytest.mark.parametrize("wanted", [PRESETS["standard"], latents.SETTINGS["standard"]], ids=["standard", "latents"])
def test_a_method_refitted_on_its_own_network_is_itself(wanted: Settings, rng: np.random.Generator) -> None:
    settings = sized(wanted, "standard", "tiny").invdetect
    scans = [Slices(rng.uniform(-1, 1, (2, 32, 32, 1)).astype(np.float32), np.ones((2, 32, 32), bool)) for _ in range(2)]
    first, second = (InvDetect(settings, 1, torch.device("cpu")) for _ in range(2))
    first.fit(scans[:1], scans[1:], 0, Checkpoint(None, ""), Progress())
    first.settle(scans[1:], Progress())
    second.refit(first.arrays(), scans[:1], 0, Progress())
    second.settle(scans[1:], Progress())
    assert all(np.array_equal(values, second.arrays()[name]) for name, values in first.arrays().items())


def test_held_out_normals_are_flagged_at_the_rate(tmp_path: Path) -> None:
    setting = sets.SETTINGS["phantoms"]
    study = Study(setting, sets.load(setting, tmp_path, tmp_path), "tiny", tmp_path, "cpu", Progress())
    SMOOTHED.fit(study)
    found = [SMOOTHED.score(study, case)[0] for case in study.data.calibration]
    share = sum(one.mask.sum() for one in found) / sum(one.foreground.sum() for one in found)
    assert 0.009 < share <= 0.0101


def test_a_map_comes_back_from_disk(tmp_path: Path, rng: np.random.Generator) -> None:
    foreground = rng.random((2, 5, 7)) > 0.3
    one = Mapped(rng.random((2, 5, 7)).astype(np.float32), foreground & (rng.random((2, 5, 7)) > 0.5), foreground, 1, 0.5, 2)
    one.save(tmp_path / "map.npz")
    back = Mapped.load(tmp_path / "map.npz")
    assert back is not None and (back.anomaly[foreground] == one.anomaly[foreground]).all() and (back.mask == one.mask).all()
    assert (back.foreground == foreground).all() and (back.axis, back.seconds, back.slices) == (1, 0.5, 2)
    (tmp_path / "map.npz").write_bytes((tmp_path / "map.npz").read_bytes()[:100])
    assert Mapped.load(tmp_path / "map.npz") is None


@pytest.mark.parametrize("size", SIZES)
def test_every_size_fits_every_preset(size: str) -> None:
    for name, settings in PRESETS.items():
        assert sized(settings, name, size) == settings or size != "full"
    assert BUDGETS[size].coreset <= BUDGETS[size].bank


def test_unknown_rows_are_wrong_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["phantoms", "--out", str(tmp_path), "--rows", "intensity,magic"]) == 2
    assert "There is no row magic here; choose from standard," in capsys.readouterr().err


def test_institutions_stand_in_one_table(out: Path, tmp_path: Path) -> None:
    result = json.loads((out / "results.json").read_text())
    for name in ("parts", "reference_minus_row"):
        result[name]["flair"] = result[name].pop("phantoms")
    for entry in result["rows"]:
        entry["parts"]["flair"] = entry["parts"].pop("phantoms")
    asked: list[str] = []
    sites.compare(lambda site: asked.append(site) or result, tmp_path)
    assert tuple(asked) == sets.SITES
    lines = (tmp_path / "flair-sites" / "table.md").read_text().splitlines()
    for site in sets.SITES:  # every row that was run, whatever --rows asked for
        assert [line.split(" | ")[2] for line in lines if line.startswith(f"| {site} | 2 |")] == [one["title"] for one in result["rows"]]


# --- interruption -----------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[str]]]:
    """Whatever a test started is gone afterwards."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()


def test_a_stopped_and_a_killed_study_go_on_where_they_were(tmp_path: Path, processes: list[subprocess.Popen[str]]) -> None:
    words = [sys.executable, "-m", "Testing.evidence", "phantoms", "--out", str(tmp_path), "--rows", "intensity,standard"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    work = tmp_path / "phantoms"

    def start_until(pattern: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(words, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8")
        processes.append(process)
        end = time.monotonic() + 120
        while not list(work.glob(pattern)):
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.02)
        return process

    process = start_until("rows/intensity.json")
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 1 and "Traceback" not in said
    assert said.strip().splitlines()[-1] == "evidence: Stopped on request. The same command goes on from here."
    first = (work / "rows" / "intensity.json").stat()

    for checkpoint in (work / "models").glob("*.checkpoint"):
        checkpoint.unlink()  # of the stopped run, so that the next one is that of the run to be killed
    process = start_until("models/standard-*.checkpoint")
    process.kill()
    process.communicate()
    assert not (work / "rows" / "standard.json").exists()

    done = subprocess.run(words, cwd=REPOSITORY, env=environment, capture_output=True, encoding="utf-8", timeout=120)
    assert done.returncode == 0, done.stderr
    assert "1 of 2 pieces of work are finished already; going on with the others" in done.stderr
    assert "going on with the training of standard" in done.stderr
    assert (work / "rows" / "intensity.json").stat().st_mtime_ns == first.st_mtime_ns
    assert row(work, "standard")["facts"]["resumed"] and "| InvDetect standard |" in done.stdout
