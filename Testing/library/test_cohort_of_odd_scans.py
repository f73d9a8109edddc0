"""Cohorts with scans that cannot be used, or only with a warning: each is told, and costs only itself."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from InvDetectLib.detection import Detector
from InvDetectLib.results import canvas
from InvDetectLib.results.result import Result
from Testing.support.tiny_model import Run, World, head, of_one_name, rewrite, shell

OF_A_VOLUME = {".anomaly.nii.gz", ".mask.seg.nrrd", ".findings.csv", ".result.json", ".refine.npz"}  # and a preview
pytestmark = pytest.mark.usefixtures("no_pictures", "no_stability")


@pytest.fixture(scope="module")
def detector(world: World) -> Detector:
    return Detector(world.model, "cpu")


def statuses(run: Run) -> list[str]:
    return [row["status"] for row in run.json["scans"]]

def four_dimensions(path: Path) -> None:
    volume = sitk.GetImageFromArray(np.zeros((3, 64, 64), np.int16))
    sitk.WriteImage(sitk.JoinSeries([volume, volume]), str(path))


def with_value(value: float, row: int) -> Any:
    def change(array: np.ndarray) -> np.ndarray:
        array[1, row, 32] = value
        return array

    return change


BAD = {
    "flat.nii.gz": "constant (every value is 5)",
    "nan.nii.gz": "NaN",
    "infinite.nii.gz": "infinite",
    "half.nii.gz": "cut off",
    "words.nii.gz": "no NIfTI file",
    "four.nii.gz": "4 dimensions (64 x 64 x 3 x 2)",
    "colour.png": "is a colour scan, and the model was trained on grey ones",
    "small.png": "has 12 x 64 pixels, and the model's patches 16 x 16; use a larger image",
    "twin.nrrd": "would write the same files as",
    "missing.nii.gz": "does not exist. Check the path",
}
GOOD = ["good.nii.gz", "outside.nii.gz", "twin.mha", "ward/good.nrrd"]


@pytest.fixture(scope="module")
def mixed(world: World, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    """A folder of good and bad scans and one missing file, detected in one go; and the folder that holds scans and `out`."""
    folder = tmp_path_factory.mktemp("mixed")
    scans, source = folder / "scans", world.scans / "head-1000.nii.gz"
    (scans / "ward").mkdir(parents=True)
    shutil.copy(source, scans / "good.nii.gz")
    head(scans / "ward" / "good.nrrd", 1002, lesions=1)
    shutil.copy(head(scans / "twin.mha", 1003), scans / "ward")
    (scans / "ward" / "twin.mha").rename(scans / "ward" / "other.mha")
    head(scans / "twin.nrrd", 1004)
    rewrite(source, scans / "flat.nii.gz", lambda array: 0 * array + 5)
    rewrite(source, scans / "nan.nii.gz", with_value(np.nan, 32))
    rewrite(source, scans / "outside.nii.gz", with_value(np.nan, 0))
    rewrite(source, scans / "infinite.nii.gz", with_value(np.inf, 0))
    (scans / "half.nii.gz").write_bytes(source.read_bytes()[:9000])
    (scans / "words.nii.gz").write_text("no scan at all")
    four_dimensions(scans / "four.nii.gz")
    rng = np.random.default_rng(0)
    sitk.WriteImage(sitk.GetImageFromArray(rng.integers(0, 255, (64, 64, 3), np.uint8), isVector=True), str(scans / "colour.png"))
    sitk.WriteImage(sitk.GetImageFromArray(rng.integers(0, 255, (12, 64), np.uint8)), str(scans / "small.png"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(canvas, "available", lambda: False)
        return shell("detect", scans, scans / "missing.nii.gz", "-m", world.model, "-o", folder / "out", "--json"), folder


@pytest.mark.parametrize("name", BAD)
def test_a_bad_scan_is_told_with_file_reason_and_remedy(mixed: tuple[Run, Path], name: str) -> None:
    run, folder = mixed
    (row,) = (row for row in run.json["scans"] if Path(row["scan"]).name == name)
    assert row["status"] == "failed" and BAD[name] in row["reason"]
    assert row["reason"].endswith(".") and len(row["reason"].split()) > 3
    lines = [line for line in run.err.splitlines() if f"/{name}: " in line]
    assert lines == [f"warning: {folder / 'scans' / name}: {row['reason']}"]


def test_a_bad_scan_costs_only_itself(mixed: tuple[Run, Path]) -> None:
    run, folder = mixed
    assert run.status == 1
    good = [*GOOD, "ward/other.mha"]
    named = [Path(row["scan"]).relative_to(folder / "scans") for row in run.json["scans"] if row["status"] == "done"]
    assert sorted(map(str, named)) == sorted(good)
    stems = {name.rpartition(".")[0].removesuffix(".nii") for name in good}
    written = {str(path.relative_to(folder / "out")) for path in (folder / "out").rglob("*") if path.is_file()}
    assert written == {f"{stem}{suffix}" for stem in stems for suffix in OF_A_VOLUME} | {"findings.csv"}
    assert {row["scan"] for row in csv.DictReader((folder / "out" / "findings.csv").open(newline=""))} == set(good)


def test_the_first_of_two_scans_with_one_name_keeps_its_result(mixed: tuple[Run, Path], detector: Detector) -> None:
    folder = mixed[1]
    found = Result.load(folder / "out" / "twin.result.json")
    assert np.array_equal(found.anomaly_map, detector.detect(folder / "scans" / "twin.mha").anomaly_map)


def test_a_number_missing_outside_the_foreground_is_only_a_warning(mixed: tuple[Run, Path]) -> None:
    warnings = Result.load(mixed[1] / "out" / "outside.result.json").provenance["warnings"]
    assert warnings == ["1 voxels outside the foreground hold no number (NaN) and count as background."]


def test_scans_of_one_name_have_the_foreground_masks_of_their_own_folders(world: World, tmp_path: Path) -> None:
    scans, masks = of_one_name(tmp_path)
    words = ["-m", world.model, "--foreground", masks, "--json"]
    assert shell("detect", scans, "-o", tmp_path / "out", *words).status == 0
    first, second = (Result.load(tmp_path / "out" / patient / "flair.result.json").foreground for patient in ("p1", "p2"))
    assert not first[..., 32:].any() and not second[..., :32].any()
    (masks / "p2" / "flair_mask.nii.gz").unlink()
    first, second = shell("detect", scans, "-o", tmp_path / "again", *words).json["scans"]
    assert first["status"] == "done" and "does not lie in the folder of this one" in second["reason"]


def test_a_scan_without_its_foreground_mask_fails_alone(world: World, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    rewrite(world.scans / "head-1000.nii.gz", masks / "head-1000.nii.gz", lambda array: array > 0)
    run = shell("detect", world.scans, "-m", world.model, "-o", tmp_path / "out", "--foreground", masks, "--json")
    assert run.status == 1 and statuses(run) == ["done", "failed"]
    assert "There is no mask for head-1001" in run.json["scans"][1]["reason"]
