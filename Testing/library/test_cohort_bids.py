"""Detection in a BIDS dataset: the results are a derivative that BIDS's own validator accepts, and all else is as in any folder."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from InvDetectLib.cluster.parcel_work import examine_parcel
from InvDetectLib.cluster.parcels import Parcel, packed
from InvDetectLib.cohort import Asked
from InvDetectLib.common import Progress
from InvDetectLib.detection import Detector
from InvDetectLib.results import Result, derivative_files
from InvDetectLib.scans import BidsFolder, Case, ForegroundChoice, find_scans
from Testing.support.made_bids import complaints, make_dataset
from Testing.support.tiny_model import Run, World, process, running, shell, wait_for

FIRST, SECOND, OTHER = (f"sub-0{number}" for number in (1, 2, 3))
SCANS = {FIRST: f"{FIRST}/ses-1/anat/{FIRST}_ses-1_acq-space_FLAIR", SECOND: f"{SECOND}/anat/{SECOND}_FLAIR"}
pytestmark = pytest.mark.usefixtures("no_pictures", "no_stability")


def dataset_of(world: World, root: Path) -> Path:
    """Two heads with lesions as FLAIR, and one as T1w of the same subject."""
    heads = sorted(world.scans.rglob("*.nii.gz"))
    images = {f"{scan}.nii.gz": head for scan, head in zip(SCANS.values(), heads)}
    return make_dataset(root, {**images, f"{SECOND}/anat/{SECOND}_T1w.nii.gz": heads[1]})


def detect(world: World, dataset: Path, *words: str | Path, suffix: str = "FLAIR") -> Run:
    return shell("detect", dataset, "-m", world.model, "--bids", f"suffix={suffix}", "--json", *words)


@pytest.fixture(scope="module")
def done(world: World, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    """What detection said, and a dataset with its derivative, which tests copy and leave as it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("InvDetectLib.results.canvas.available", lambda: False)
        patch.setattr("InvDetectLib.detection.QUICK", 0.0)
        root = dataset_of(world, tmp_path_factory.mktemp("bids") / "heads")
        return detect(world, root), root


@pytest.fixture
def dataset(done: tuple[Run, Path], tmp_path: Path) -> Path:
    return shutil.copytree(done[1], tmp_path / "heads")


def statuses(run: Run) -> list[str]:
    assert run.out, run.err
    return [row["status"] for row in run.json["scans"]]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def written(done: tuple[Run, Path], subject: str, ending: str) -> Path:
    entities, _, suffix = SCANS[subject].rpartition("_")
    return done[1] / "derivatives" / "invdetect" / f"{entities}_desc-anomaly{'' if ending[0] == '_' else suffix + '_'}{ending}"


def objections(root: Path) -> list[dict[str, Any]]:
    """All that the validator says, but that a derivative has no authors, whom only its owner knows."""
    return [one for one in complaints(root) if one["code"] != "TOO_FEW_AUTHORS"]


def read(path: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


# What is written


def test_results_lie_in_the_datasets_derivatives_under_its_own_names(done: tuple[Run, Path]) -> None:
    run, root = done
    out = root / "derivatives" / "invdetect"
    assert run.status == 0 and statuses(run) == ["done", "done"] and run.json["output"] == str(out)
    assert names(out) == {"dataset_description.json", "README.md", ".bidsignore", "findings.csv", FIRST, SECOND}
    known = [f"anomaly_FLAIR.{end}" for end in ("nii.gz", "json")]
    known += [f"anomalyFLAIR_{end}" for end in ("mask.nii.gz", "mask.json", "dseg.nii.gz", "dseg.json", "dseg.tsv")]
    own = [f"FLAIR.{end}" for end in ("mask.seg.nrrd", "findings.csv", "refine.npz", "result.json")]
    expected = {f"{FIRST}_ses-1_acq-space_{'desc-' if end in known else ''}{end}" for end in known + own}
    assert names(out / FIRST / "ses-1" / "anat") == expected


def test_the_validator_of_bids_has_nothing_against_the_derivative_nor_the_dataset(done: tuple[Run, Path]) -> None:
    assert objections(done[1] / "derivatives" / "invdetect") == []
    assert [one for one in complaints(done[1]) if one["severity"] == "error"] == []


def test_the_validator_sees_a_name_that_is_none_of_bids(dataset: Path) -> None:
    out = dataset / "derivatives" / "invdetect"
    (out / ".bidsignore").write_text("")
    assert {Path(one["location"]).name for one in complaints(out) if one["severity"] == "error"} >= {"findings.csv"}


def test_map_mask_labels_and_table_say_what_the_result_says(done: tuple[Run, Path]) -> None:
    result = Result.load(done[1] / "derivatives" / "invdetect" / f"{SCANS[FIRST]}.result.json")
    assert result.findings and result.mask.any()
    assert np.array_equal(read(written(done, FIRST, "_FLAIR.nii.gz")), result.anomaly_map)
    assert np.array_equal(read(written(done, FIRST, "mask.nii.gz")), result.mask)
    labels = read(written(done, FIRST, "dseg.nii.gz"))
    with written(done, FIRST, "dseg.tsv").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert [row["index"] for row in rows] == [str(finding.label) for finding in result.findings]
    for row, finding in zip(rows, result.findings):
        place = tuple(int(row[f"peak_{axis}"]) for axis in ("slice", "row", "column"))
        assert place == finding.peak_index and labels[place] == finding.label
        assert float(row["peak_score"]) == pytest.approx(finding.peak, rel=1e-5) and row["stability"] == "n/a"
    scan = sitk.ReadImage(str(done[1] / f"{SCANS[FIRST]}.nii.gz"))
    for ending in ("_FLAIR.nii.gz", "mask.nii.gz", "dseg.nii.gz"):
        image = sitk.ReadImage(str(written(done, FIRST, ending)))
        assert image.GetOrigin() == pytest.approx(scan.GetOrigin()) and image.GetDirection() == pytest.approx(scan.GetDirection())


def test_every_image_says_where_it_comes_from(done: tuple[Run, Path]) -> None:
    out = done[1] / "derivatives" / "invdetect"
    description = json.loads((out / "dataset_description.json").read_text())
    assert description["DatasetType"] == "derivative" and description["GeneratedBy"][0]["Name"] == "InvDetect"
    assert (out / description["DatasetLinks"]["raw"]).resolve() == done[1].resolve()
    for ending in ("_FLAIR.json", "mask.json", "dseg.json"):
        facts = json.loads(written(done, SECOND, ending).read_text())
        assert facts["Sources"] == [f"bids:raw:{SCANS[SECOND]}.nii.gz"]
    of_map = json.loads(written(done, SECOND, "_FLAIR.json").read_text())
    assert of_map["SkullStripped"] is False and of_map["Model"]["preset"] == "tiny"


def test_two_kinds_of_image_of_one_subject_do_not_write_the_same_files(world: World, dataset: Path) -> None:
    folder = dataset / "derivatives" / "invdetect" / SECOND / "anat"
    before = {name: (folder / name).read_bytes() for name in names(folder)}
    assert statuses(detect(world, dataset, suffix="T1w")) == ["done"]
    after = {name: (folder / name).read_bytes() for name in names(folder)}
    assert {name: after[name] for name in before} == before and len(after) == 2 * len(before)
    assert objections(dataset / "derivatives" / "invdetect") == []


def test_images_that_are_derivatives_themselves_keep_space_and_description(world: World, tmp_path: Path) -> None:
    head = next(world.scans.rglob("*.nii.gz"))
    dataset = make_dataset(tmp_path / "prepared", {f"{FIRST}/anat/{FIRST}_space-MNI152Lin_desc-preproc_T1w.nii.gz": head})
    assert statuses(detect(world, dataset, "-o", tmp_path / "out", suffix="T1w")) == ["done"]
    assert f"{FIRST}_space-MNI152Lin_desc-anomalypreprocT1w_mask.nii.gz" in names(tmp_path / "out" / FIRST / "anat")
    assert objections(tmp_path / "out") == []


def test_a_scan_without_findings_is_whole_too(world: World, tmp_path: Path) -> None:
    dataset = dataset_of(world, tmp_path / "heads")
    assert statuses(detect(world, dataset, "--threshold", "99")) == ["done", "done"]
    assert objections(dataset / "derivatives" / "invdetect") == []


# Again, and after accidents


def test_a_second_run_skips_what_is_done(world: World, dataset: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (dataset / "derivatives").rglob("sub-*") if path.is_file()}
    assert statuses(detect(world, dataset)) == ["skipped", "skipped"]
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.parametrize("gone", ["desc-anomalyFLAIR_mask.nii.gz", "desc-anomaly_FLAIR.nii.gz", "desc-anomalyFLAIR_dseg.json"])
def test_a_result_that_lacks_a_file_is_made_anew(world: World, dataset: Path, gone: str) -> None:
    path = dataset / "derivatives" / "invdetect" / SECOND / "anat" / f"{SECOND}_{gone}"
    content = path.read_bytes()
    path.unlink()
    assert statuses(detect(world, dataset)) == ["skipped", "done"] and path.read_bytes() == content


def test_what_a_worker_makes_of_a_shipped_image_is_the_same(world: World, done: tuple[Run, Path], tmp_path: Path) -> None:
    (entry, _), _ = find_scans(BidsFolder(done[1], "suffix=FLAIR"))
    options = {"contiguity": 1.0, "scr": True, "stability": False}
    asked = Asked(tmp_path, options, ForegroundChoice(None), more=derivative_files)
    parcel = packed(Case(entry), ship=True)
    assert isinstance(parcel, Parcel)
    examined = examine_parcel(parcel, asked, Detector(world.model, "cpu"), Progress())
    assert examined.outcome.status == "done"
    for kind, ending in {"bids_map_facts": "_FLAIR.json", "bids_mask": "mask.nii.gz", "bids_findings": "dseg.tsv"}.items():
        assert examined.files[kind] == written(done, FIRST, ending).read_bytes(), kind


def test_results_of_a_plain_run_become_a_derivative(world: World, dataset: Path, tmp_path: Path) -> None:
    shell("detect", dataset / f"{SCANS[SECOND]}.nii.gz", "-m", world.model, "-o", tmp_path / "out" / SECOND / "anat")
    assert statuses(detect(world, dataset, "-o", tmp_path / "out")) == ["done", "done"]
    folder = tmp_path / "out" / SECOND / "anat"
    assert f"{SECOND}_desc-anomaly_FLAIR.nii.gz" in names(folder) and f"{SECOND}_FLAIR.anomaly.nii.gz" not in names(folder)


def test_a_killed_run_leaves_nothing_half_and_is_finished_by_the_next(world: World, tmp_path: Path) -> None:
    dataset = dataset_of(world, tmp_path / "heads")
    out = dataset / "derivatives" / "invdetect"
    with running("detect", dataset, "-m", world.model, "--bids", "suffix=FLAIR", "--no-stability") as run:
        wait_for(lambda: (out / f"{SCANS[FIRST]}.result.json").exists())
        run.send_signal(signal.SIGKILL)
        run.wait(30)
    assert objections(out) == []
    again = process("detect", dataset, "-m", world.model, "--bids", "suffix=FLAIR", "--no-stability", "--json")
    assert statuses(again) == ["skipped", "done"]


def test_without_bids_the_results_are_no_scans(dataset: Path) -> None:
    scans = {entry.relative.as_posix() for entry in find_scans(dataset)[0]}
    assert scans == {f"{SCANS[FIRST]}.nii.gz", f"{SCANS[SECOND]}.nii.gz", f"{SECOND}/anat/{SECOND}_T1w.nii.gz"}


# Other commands, and what cannot be


def test_training_learns_from_what_the_filter_chooses(world: World, tmp_path: Path) -> None:
    normals = sorted((world.normals / "mueller").glob("*.nii.gz"))
    images: dict[str, Path | None] = {f"sub-{number}/anat/sub-{number}_FLAIR.nii.gz": head for number, head in enumerate(normals, 1)}
    dataset = make_dataset(tmp_path / "normals", {**images, "sub-1/anat/sub-1_T1w.nii.gz": world.normals / "words.nii.gz"})
    run = shell("train", dataset, "-o", tmp_path / "x.invdetect", "--preset", "tiny", "--bids", "suffix=FLAIR", "--dry-run", "--json")
    assert run.status == 0 and {row["scan"] for row in run.json["scans"]} == images.keys() and run.json["left_out"] == []


@pytest.mark.parametrize(
    "words",
    [
        ["calibrate", "MODEL", "DATASET", "-o", "OUT"],
        ["rehearse", "MODEL", "DATASET"],
        ["evaluate", "DATASET", "MASKS", "-m", "MODEL"],
        ["train", "DATASET", "-o", "OUT", "--dry-run"],
    ],
)
def test_other_commands_take_datasets_too(world: World, done: tuple[Run, Path], tmp_path: Path, words: list[str]) -> None:
    places = {"MODEL": world.model, "DATASET": done[1], "MASKS": world.masks, "OUT": tmp_path / "out.invdetect"}
    run = shell(*[places.get(word, word) for word in words], "--bids", "suffix=T2w")
    assert run.status == 1 and "fits suffix=T2w. There are: suffix FLAIR (2), T1w (1)." in run.err


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"filters": "suffix=T2w"}, 1, "fits suffix=T2w. There are: suffix FLAIR (2), T1w (1)."),
        ({"filters": "sufix=T2w"}, 2, "'sufix' is no entity of BIDS"),
        ({"more": ["derivatives"]}, 2, "A derivative is of one BIDS dataset; give one"),
        ({"model": "no-such"}, 1, "There is no model 'no-such'"),
        ({"words": ["--rate", "2"]}, 1, "A rate of 2 is not what this model was calibrated for"),
        ({"words": ["--foreground", "no-such-folder"]}, 1, "no-such-folder does not exist"),
        ({"out": "."}, 1, "is a dataset that InvDetect did not write, and is left as it is; choose another folder."),
        ({"remove": "dataset_description.json"}, 1, "is no BIDS dataset: it has no dataset_description.json"),
    ],
)
def test_what_cannot_be_ends_with_a_sentence_and_writes_nothing(
    world: World, tmp_path: Path, change: dict[str, Any], status: int, said: str
) -> None:
    dataset = dataset_of(world, tmp_path / "heads")
    if "remove" in change:
        (dataset / change["remove"]).unlink()
    before = sorted(dataset.rglob("*"))
    out = ["-o", os.path.join(dataset, change["out"])] if "out" in change else []
    more = [dataset / one for one in change.get("more", [])]
    words = [*out, *change.get("words", [])]
    run = shell("detect", dataset, *more, "-m", change.get("model", world.model), "--bids", change.get("filters", "suffix=FLAIR"), *words)
    assert run.status == status and said in run.err and "scoring" not in run.err
    assert sorted(dataset.rglob("*")) == before


def test_a_server_is_no_dataset(world: World, tmp_path: Path) -> None:
    run = shell("detect", "-m", world.model, "--bids", "suffix=FLAIR", "-o", tmp_path / "out", "--dicomweb", "http://127.0.0.1:9")
    assert run.status == 2 and "A derivative is of one BIDS dataset; give one" in run.err


def test_one_derivative_is_of_one_dataset(world: World, dataset: Path, tmp_path: Path) -> None:
    other = dataset_of(world, tmp_path / "other")
    run = detect(world, other, "-o", dataset / "derivatives" / "invdetect")
    assert run.status == 1 and "holds results of another dataset than" in run.err
