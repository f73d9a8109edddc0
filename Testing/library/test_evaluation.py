"""Evaluation end to end: the table of DESIGN's interface, its figures by hand, and scans that cannot be evaluated."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

import InvDetectLib as invdetect
from InvDetectLib.detection import Detector
from InvDetectLib.scans import read_mask, read_scan
from Testing.support.tiny_model import Run, World, head, rewrite, shell

ROWS = ["map", "scr", "calibrated", "intensity"]
METRICS = {"dice", "dice_oracle", "precision", "ap", "auroc", "normal_area", "seconds"}


@pytest.fixture(scope="module")
def normals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two heads without lesions that no model was trained on."""
    folder = tmp_path_factory.mktemp("normals")
    for seed in (4000, 4001):
        head(folder / f"normal{seed}.nii.gz", seed)
    return folder


@pytest.fixture(scope="module")
def table(world: World, normals: Path) -> Run:
    return shell("evaluate", world.scans, world.masks, "-m", world.model, "--normals", normals, "--json")


def by_name(run: Run) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in run.json["rows"]}


def dice_by_hand(world: World, **controls: Any) -> float:
    """Mean over the slices with lesion, by the definition, from what detection finds."""
    detector, values = Detector(world.model, "cpu"), []
    for path in sorted(world.scans.rglob("*.nii.gz")):
        found = detector.detect(path, **controls)
        truth = read_mask(world.masks / path.name, found.geometry) & found.foreground
        for mask, lesion in zip(found.mask, truth):
            if lesion.any():
                values.append(2 * (mask & lesion).sum() / (mask.sum() + lesion.sum()))
    return float(np.mean(values))


# The table


def test_the_table_has_exactly_the_promised_rows_and_columns(table: Run) -> None:
    assert table.status == 0 and [row["name"] for row in table.json["rows"]] == ROWS
    for row in table.json["rows"]:
        assert row.keys() == METRICS | {"name"}
        for metric in METRICS:
            assert row[metric].keys() == {"mean", "low", "high"}
            assert row[metric]["low"] <= row[metric]["mean"] <= row[metric]["high"]
        assert all(0 <= row[metric]["mean"] <= 1 for metric in METRICS - {"seconds"}) and row["seconds"]["mean"] > 0
    assert (table.json["scans"], table.json["normals"], table.json["failed"]) == (2, 2, [])


def test_every_figure_of_dice_is_what_detection_gives(world: World, table: Run) -> None:
    rows = by_name(table)
    assert rows["calibrated"]["dice"]["mean"] == pytest.approx(dice_by_hand(world))
    assert rows["map"]["dice"]["mean"] == pytest.approx(dice_by_hand(world, threshold=0.0, scr=False))
    assert rows["scr"]["dice"]["mean"] == pytest.approx(dice_by_hand(world, threshold=0.0))
    assert len({rows[name]["dice"]["mean"] for name in ROWS}) == 4


def test_the_flagged_share_of_normal_scans_is_what_detection_flags(world: World, table: Run, normals: Path) -> None:
    found = [Detector(world.model, "cpu").detect(path) for path in sorted(normals.iterdir())]
    share = sum(result.mask.sum() for result in found) / sum(result.foreground.sum() for result in found)
    assert by_name(table)["calibrated"]["normal_area"]["mean"] == pytest.approx(share)
    assert by_name(table)["map"]["normal_area"]["mean"] > share


def test_rows_of_one_map_share_the_figures_that_need_no_mask(table: Run) -> None:
    rows = by_name(table)
    for metric in ("ap", "auroc", "dice_oracle"):
        assert rows["map"][metric] == rows["scr"][metric] == rows["calibrated"][metric] != rows["intensity"][metric]
    assert all(rows[name]["dice_oracle"]["mean"] >= rows["map"]["dice"]["mean"] for name in ("map", "scr", "calibrated"))


def test_what_is_not_defined_is_null_and_the_json_is_strict(world: World) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    run = shell("evaluate", world.scans / "head-1000.nii.gz", world.masks, "-m", world.model, "--json")
    rows = json.loads(run.out, parse_constant=refuse)["rows"]
    assert all(row["normal_area"] == {"mean": None, "low": None, "high": None} for row in rows)
    assert all(row["dice"]["mean"] is not None for row in rows)


def test_the_controls_move_only_the_calibrated_row(world: World, table: Run, normals: Path) -> None:
    moved = shell("evaluate", world.scans, world.masks, "-m", world.model, "--normals", normals, "--threshold", "99", "--json")
    before, after = by_name(table), by_name(moved)
    assert after["calibrated"]["dice"]["mean"] == after["calibrated"]["normal_area"]["mean"] == 0
    for name in ("map", "scr", "intensity"):
        assert all(after[name][metric] == before[name][metric] for metric in METRICS - {"seconds"})


def test_people_get_a_table_of_text(world: World, table: Run, normals: Path) -> None:
    run = shell("evaluate", world.scans, world.masks, "-m", world.model, "--normals", normals)
    lines = run.out.splitlines()
    assert run.status == 0 and lines[0].split() == [
        "dice", "dice_oracle", "precision", "ap", "auroc", "normal_area", "seconds",
    ]  # fmt: skip
    assert [line.split()[0] for line in lines[1:5]] == ROWS
    assert f"{by_name(table)['map']['dice']['mean']:.3f} (" in lines[1]
    assert "2 scans, 2 normal scans" in lines and "a bound, not a result" in run.out


def test_a_scan_that_the_model_was_trained_on_is_named(world: World) -> None:
    run = shell("evaluate", world.scans / "head-1000.nii.gz", world.masks, "-m", world.model, "--normals", world.normals)
    warned = [line for line in run.err.splitlines() if "trained on this very scan" in line]
    assert warned and not any("head-1000" in line for line in warned)


def test_python_gives_the_same_table(world: World, table: Run) -> None:
    stages: list[str] = []
    listen = {"on_progress": lambda event: stages.append(event.stage)}
    mine = invdetect.evaluate(world.scans, world.masks, model=world.model, device="cpu", **listen)
    assert mine.rows["calibrated"]["dice"] == by_name(table)["calibrated"]["dice"] and "scans" in stages


# Another tool


@pytest.fixture(scope="module")
def maps(world: World, normals: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Anomaly maps of all scans and normals, in one folder, as any tool may give them: here they are the model's own, by other names,
    stored the other way round, in another range."""
    folder, detector = tmp_path_factory.mktemp("maps"), Detector(world.model, "cpu")
    for number, path in enumerate([*sorted(world.scans.rglob("*.nii.gz")), *sorted(normals.iterdir())]):
        result = detector.detect(path, stability=False, reasons=False)
        image = result.geometry.to_image(result.anomaly_map * 100 + 7)
        name = path.name.replace(".nii.gz", ("_map.nrrd", ".anomaly.nii.gz", ".nrrd", "-score.nii")[number])
        sitk.WriteImage(sitk.Flip(image, (True, True, False)), str(folder / name))
    for name in ("head-1000_map.png", "head-1000_map.seg.nrrd"):  # which tools write beside their maps
        (folder / name).touch()
    return folder


def against(world: World, normals: Path, *words: str | Path) -> Run:
    return shell("evaluate", world.scans, world.masks, "-m", world.model, "--normals", normals, "--json", *words)


def test_maps_of_another_tool_are_a_row_at_the_same_rate(world: World, table: Run, normals: Path, maps: Path) -> None:
    run = against(world, normals, "--against", maps, "--rate", "0.05")
    assert run.status == 0, run.err
    theirs, own = by_name(run)["against"], by_name(table)
    for metric in ("ap", "auroc", "dice_oracle"):  # which go by the order of scores alone
        assert theirs[metric]["mean"] == pytest.approx(own["map"][metric]["mean"], abs=1e-6)
    assert theirs["normal_area"]["mean"] == pytest.approx(0.05, abs=1e-3) and theirs["seconds"]["mean"] is None
    detector = Detector(world.model, "cpu")
    found = [detector.detect(path) for path in sorted(normals.iterdir())]
    threshold = np.quantile(np.concatenate([one.anomaly_map[one.foreground] for one in found]), 0.95, method="inverted_cdf")
    assert theirs["dice"]["mean"] == pytest.approx(dice_by_hand(world, threshold=float(threshold), scr=False), abs=1e-3)
    assert all(by_name(run)[name]["dice"] == own[name]["dice"] for name in ("map", "scr", "intensity"))


def test_without_a_rate_the_models_own_is_taken_and_told(world: World, normals: Path, maps: Path, tmp_path: Path) -> None:
    apart = shutil.copytree(maps, tmp_path / "maps")
    (tmp_path / "of-normals").mkdir()
    for path in apart.glob("normal*"):
        path.rename(tmp_path / "of-normals" / path.name)
    words = ("--normals", normals, "--against", apart, "--against-normals", tmp_path / "of-normals")
    run = shell("evaluate", world.scans, world.masks, "-m", world.model, *words)
    assert run.status == 0 and "\nagainst: the maps of the other tool, at the threshold that flags 1.00% of" in run.out


def test_a_map_is_not_that_of_a_scan_with_a_shorter_name(world: World, normals: Path, maps: Path, tmp_path: Path) -> None:
    healthy, folder = shutil.copytree(normals, tmp_path / "normals"), shutil.copytree(maps, tmp_path / "maps")
    (healthy / "normal4000.nii.gz").rename(healthy / "head-1000_healthy.nii.gz")
    (folder / "normal4000.nrrd").rename(folder / "head-1000_healthy.nrrd")
    (folder / "head-1000_map.nrrd").rename(folder / "head-1000_tool.nrrd")
    run = against(world, healthy, "--against", folder)
    assert run.status == 0 and run.json["failed"] == []


def values_of(path: Path, change: Any) -> None:
    image = sitk.ReadImage(str(path))
    changed = sitk.GetImageFromArray(change(sitk.GetArrayFromImage(image)))
    changed.CopyInformation(image)
    sitk.WriteImage(changed, str(path))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: cut(path), "the map has 64 x 63 x 3 voxels, the scan"),
        (lambda path: values_of(path, lambda array: np.where(array > array.mean(), np.nan, array)), "holds NaN (no number) or infinite"),
        (lambda path: sitk.WriteImage(sitk.Compose([sitk.ReadImage(str(path))] * 3), str(path)), "it holds 3 values a voxel"),
        (lambda path: path.unlink(), "There is no map for "),
        (lambda path: shutil.copy(path, path.with_name("head-1000-score.nrrd")), "Several maps fit head-1000: "),
        (lambda path: move(path), "it lies elsewhere in space (up to "),
    ],
    ids=["another shape", "NaN", "several values", "none", "two", "elsewhere"],
)
def test_a_map_that_cannot_be_used_costs_its_scan_a_sentence(
    world: World, normals: Path, maps: Path, tmp_path: Path, spoil: Any, reason: str
) -> None:
    folder = shutil.copytree(maps, tmp_path / "maps")
    spoil(folder / "head-1000_map.nrrd")
    run = against(world, normals, "--against", folder)
    ((path, told),) = run.json["failed"]
    assert run.status == 1 and path.endswith("head-1000.nii.gz") and reason in told and run.json["scans"] == 1
    assert len(by_name(run)) == 5


@pytest.mark.parametrize(
    ("words", "status", "reason"),
    [
        (["--against", "MAPS"], 2, "comes from normal scans; give such with --normals, and its maps of them."),
        (["--against-normals", "MAPS", "--normals", "NORMALS"], 2, "Maps of normal scans alone say nothing"),
        (["--against", "MAPS", "--normals", "SCANS"], 2, "have names in common, such as head-1000; give the maps of the normal scans with"),
        (["--against", "MAPS", "--normals", "NORMALS", "--against-normals", "MASKS"], 1, "tool has no threshold (There is no map"),
        (["--against", "SCANS", "--normals", "NORMALS", "--against-normals", "MAPS"], 2, "head-1000.nii.gz lies both among the scans and"),
        (["--against", "missing", "--normals", "NORMALS"], 1, "missing does not exist"),
    ],
)
def test_without_maps_of_normals_there_is_no_row(
    world: World, normals: Path, maps: Path, words: list[str], status: int, reason: str
) -> None:
    places = {"MAPS": maps, "NORMALS": normals, "SCANS": world.scans, "MASKS": world.masks}
    run = shell("evaluate", world.scans, world.masks, "-m", world.model, *[places.get(word, word) for word in words])
    assert run.status == status and reason in run.err and run.out == ""


# Scans that cannot be evaluated


@pytest.fixture
def broken(world: World, tmp_path: Path) -> tuple[Path, Path]:
    """Copies of scans and masks, in which the second scan shall not be usable."""
    return shutil.copytree(world.scans, tmp_path / "scans"), shutil.copytree(world.masks, tmp_path / "masks")


def cut(path: Path) -> None:
    sitk.WriteImage(sitk.ReadImage(str(path))[:, :-1], str(path))


def all_but_one(array: np.ndarray) -> np.ndarray:
    return np.indices(array.shape).any(axis=0)


def move(path: Path) -> None:
    image = sitk.ReadImage(str(path))
    image.SetOrigin([place + 20 for place in image.GetOrigin()])
    sitk.WriteImage(image, str(path))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda scan, mask: cut(mask), "the mask has 64 x 63 x 3 voxels, the scan 64 x 64 x 3"),
        (lambda scan, mask: move(mask), "it lies elsewhere in space (up to "),
        (lambda scan, mask: rewrite(mask, mask, lambda array: array + 1), "calls every voxel of its scan a lesion"),
        (lambda scan, mask: rewrite(mask, mask, all_but_one), "calls the whole foreground of its scan a lesion"),
        (lambda scan, mask: rewrite(mask, mask, lambda array: 0.9 * array), "holds numbers such as 0.9, and labels are whole"),
        (lambda scan, mask: mask.unlink(), "There is no mask for head-1001"),
        (lambda scan, mask: shutil.copy(mask, mask.with_name("head-1001.nii")), "Several masks fit head-1001: "),
        (lambda scan, mask: rewrite(scan, scan, lambda array: 0 * array), "constant"),
        (lambda scan, mask: scan.write_text("milk"), "no NIfTI file"),
    ],
    ids=[
        *("mask of another shape", "mask elsewhere", "everything lesion", "whole foreground lesion", "fractions", "no mask"),
        *("two masks", "constant", "no scan"),
    ],
)
def test_a_scan_that_cannot_be_evaluated_is_told_and_the_others_are_done(
    world: World, broken: tuple[Path, Path], spoil: Any, reason: str
) -> None:
    scans, masks = broken
    scan = scans / "ward" / "night" / "head-1001.nii.gz"
    spoil(scan, masks / "head-1001.nii.gz")
    run = shell("evaluate", scans, masks, "-m", world.model, "--json")
    ((path, told),) = run.json["failed"]
    assert run.status == 1 and path == str(scan) and reason in told and run.json["scans"] == 1
    assert f"warning: {scan}: {told}" in run.err and not told.startswith(str(scan))
    assert by_name(run)["map"]["dice"]["mean"] > 0


def test_without_any_usable_scan_there_is_no_table(world: World, broken: tuple[Path, Path]) -> None:
    scans, masks = broken
    for path in masks.iterdir():
        cut(path)
    run = shell("evaluate", scans, masks, "-m", world.model)
    assert run.status == 1 and run.out == "" and "None of the scans could be evaluated" in run.err
    assert "the mask has 64 x 63 x 3 voxels" in run.err.splitlines()[-1]


def test_scans_given_as_their_own_masks_are_refused_before_anything_is_computed(world: World, tmp_path: Path) -> None:
    together = tmp_path / "together"
    shutil.copytree(world.scans, together)
    for path in world.masks.iterdir():
        shutil.copy(path, together / path.name.replace(".nii", "_mask.nii"))
    for folder in (world.scans, together):
        run = shell("evaluate", folder, folder, "-m", world.model)
        assert run.status == 2 and "is among the scans; give scans and masks in folders of their own." in run.err


def test_masks_that_invdetect_made_itself_are_told(world: World, tmp_path: Path) -> None:
    assert shell("detect", world.scans, "-m", world.model, "-o", tmp_path / "found", "--threshold", "0").status == 0
    run = shell("evaluate", world.scans, tmp_path / "found", "-m", world.model)
    assert run.status == 0 and "part of what InvDetect found itself" in run.err and "2 masks, such as " in run.err
    for path in (tmp_path / "found").rglob("*.result.json"):
        path.unlink()  # now they are anybody's
    again = shell("evaluate", world.scans, tmp_path / "found", "-m", world.model)
    assert again.status == 0 and "found itself" not in again.err


def test_a_mask_belongs_to_every_scan_whose_name_begins_with_its_own(world: World, tmp_path: Path) -> None:
    image = sitk.ReadImage(str(world.scans / "head-1000.nii.gz"))
    (tmp_path / "scans").mkdir()
    sitk.WriteImage(image, str(tmp_path / "scans" / "head-1000_flair.nii.gz"))
    run = shell("evaluate", tmp_path / "scans", world.masks, "-m", world.model, "--json")
    assert run.status == 0 and run.json["scans"] == 1
    assert read_scan(tmp_path / "scans" / "head-1000_flair.nii.gz").name == "head-1000_flair"


def test_masks_of_other_names_and_of_probabilities_give_the_same_table(world: World, table: Run, tmp_path: Path) -> None:
    def likely(array: np.ndarray) -> np.ndarray:
        return np.where(array, 0.9, 0.001)

    for path, name in zip(sorted(world.masks.iterdir()), ("head-1000_mask.nii.gz", "mask_head-1001.nii.gz")):
        rewrite(path, tmp_path / name, likely)
    run = shell("evaluate", world.scans, tmp_path, "-m", world.model, "--truth-at", "0.5", "--json")
    assert run.status == 0 and by_name(run)["calibrated"]["dice"] == by_name(table)["calibrated"]["dice"]
