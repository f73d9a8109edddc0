"""Many scans at once: outputs mirror inputs, what is done is skipped, and whatever is wrong with one scan costs only that scan."""

from __future__ import annotations

import csv
import dataclasses
import gzip
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from InvDetectLib.cohort import detect_cohort
from InvDetectLib.common.errors import Cancelled
from InvDetectLib.common.progress import Progress
from InvDetectLib.detection import Detector
from InvDetectLib.models.model import Model
from InvDetectLib.results import table as results_table
from InvDetectLib.results.result import Result
from Testing.support.tiny_model import Run, World, full_disk, head, rewrite, running, shell

OF_A_VOLUME = {".anomaly.nii.gz", ".mask.seg.nrrd", ".findings.csv", ".result.json", ".refine.npz"}  # and a preview
pytestmark = pytest.mark.usefixtures("no_pictures", "no_stability")


@pytest.fixture(scope="module")
def detector(world: World) -> Detector:
    return Detector(world.model, "cpu")


@pytest.fixture(scope="module")
def done(world: World, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    """Both scans of the world, detected by the shell command, with previews, into a folder that tests copy and leave as it is."""
    out = tmp_path_factory.mktemp("done") / "out"
    return shell("detect", world.scans, "-m", world.model, "-o", out, "--json"), out


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def table(out: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((out / "findings.csv").open(newline="")))


def statuses(run: Run) -> list[str]:
    return [row["status"] for row in run.json["scans"]]


# Outputs


def test_outputs_mirror_the_folders_of_the_scans(done: tuple[Run, Path]) -> None:
    run, out = done
    assert run.status == 0 and statuses(run) == ["done", "done"]
    expected = {f"{name}{suffix}" for name in ("head-1000", "ward/night/head-1001") for suffix in OF_A_VOLUME | {".preview.png"}}
    assert files_in(out).keys() == expected | {"findings.csv"}

@pytest.mark.parametrize("damage", ["a map that is cut", "a mask that is gone"])
def test_a_result_that_lacks_something_is_made_anew(world: World, done: tuple[Run, Path], tmp_path: Path, damage: str) -> None:
    out = tmp_path / "out"
    shutil.copytree(done[1], out)
    if damage == "a map that is cut":
        (out / "head-1000.anomaly.nii.gz").write_bytes(files_in(out)["head-1000.anomaly.nii.gz"][:100])
    else:
        (out / "head-1000.mask.seg.nrrd").unlink()
    assert statuses(shell("detect", world.scans, "-m", world.model, "-o", out, "--json")) == ["done", "skipped"]
    assert Result.load(out / "head-1000.result.json").mask.any() and (out / "head-1000.mask.seg.nrrd").exists()


def test_a_changed_byte_is_noticed_when_it_is_asked_for(world: World, done: tuple[Run, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(done[1], out)
    content = bytearray(files_in(out)["head-1000.anomaly.nii.gz"])
    content[-1] ^= 1
    (out / "head-1000.anomaly.nii.gz").write_bytes(content)
    for more, first in (((), "skipped"), (("--verify",), "done")):
        assert statuses(shell("detect", world.scans, "-m", world.model, "-o", out, "--json", *more)) == [first, "skipped"]


def test_a_deterministic_run_says_on_what_it_computed(world: World, tmp_path: Path) -> None:
    import torch

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        shell("detect", world.scans / "head-1000.nii.gz", "-m", world.model, "-o", tmp_path, "--deterministic")
        facts = Result.load(tmp_path / "head-1000.result.json").provenance
        assert facts["threads"] == 1 and facts["batch"] == 8
    finally:
        torch.set_num_threads(before)
        torch.use_deterministic_algorithms(False)


def test_a_scan_on_which_a_reader_dies_costs_one_row(world: World, detector: Detector, tmp_path: Path) -> None:
    scans = tmp_path / "scans"
    shutil.copytree(world.scans, scans)
    head_of_text = b"NRRD0004\ntype: uint8\ndimension: 3\nsizes: 64 64 1\nencoding: text\n\n"
    (scans / "aaa.nrrd").write_bytes(head_of_text + b"0 " * 2000 + b"\0" * 100_000)
    outcomes = detect_cohort(scans, detector, tmp_path / "out")
    assert [outcome.status for outcome in outcomes] == ["failed", "done", "done"]
    assert "its reader breaks on" in outcomes[0].reason


def test_one_table_holds_the_findings_of_all_scans(done: tuple[Run, Path]) -> None:
    run, out = done
    rows = table(out)
    for row, name in zip(run.json["scans"], ("head-1000", "ward/night/head-1001")):
        findings = Result.load(out / f"{name}.result.json").findings
        mine = [entry for entry in rows if entry["scan"] == f"{name}.nii.gz"]
        assert row["findings"] == len(findings) == len(mine) > 0 and row["strongest"] == findings[0].peak
        assert [float(entry["peak_score"]) for entry in mine] == pytest.approx([finding.peak for finding in findings], rel=1e-5)
        assert [float(entry["volume"]) for entry in mine] == pytest.approx([finding.volume for finding in findings])
        assert {entry["volume_unit"] for entry in mine} == {"mm3"} and {entry["held_out_normals"] for entry in mine} == {"2"}
    assert len(rows) == sum(row["findings"] for row in run.json["scans"])


def test_a_scan_without_findings_has_a_line_that_says_so(world: World, tmp_path: Path) -> None:
    run = shell("detect", world.scans, "-m", world.model, "-o", tmp_path, "--threshold", "99")
    assert run.status == 0 and run.out.count(": 0 findings\n") == 2
    assert [(row["scan"], row["finding"]) for row in table(tmp_path)] == [("head-1000.nii.gz", "0"), ("ward/night/head-1001.nii.gz", "0")]


def test_a_2d_image_gets_pictures_beside_the_volume(world: World, tmp_path: Path) -> None:
    image = sitk.ReadImage(str(world.scans / "head-1000.nii.gz"))[:, :, 1]
    sitk.WriteImage(sitk.Cast(sitk.RescaleIntensity(image, 0, 255), sitk.sitkUInt8), str(tmp_path / "slice.png"))
    run = shell("detect", tmp_path / "slice.png", "-m", world.model, "-o", tmp_path / "out")
    assert run.status == 0
    names = {f"slice{suffix}" for suffix in OF_A_VOLUME | {".anomaly.png", ".mask.png"}}
    assert files_in(tmp_path / "out").keys() == names | {"findings.csv"}
    picture = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "out" / "slice.mask.png")))
    assert np.array_equal(picture > 0, Result.load(tmp_path / "out" / "slice.result.json").mask[0])
    assert {row["volume_unit"] for row in table(tmp_path / "out")} == {"pixels"}


def test_no_file_of_a_result_names_the_scan_or_its_folder(world: World, tmp_path: Path) -> None:
    def without_number(array: np.ndarray) -> np.ndarray:
        array[:, :2, :2] = np.nan
        return array - 200

    rewrite(world.scans / "head-1000.nii.gz", tmp_path / "clinic" / "hans meier" / "hans-meier.nii.gz", without_number)
    run = shell("detect", tmp_path / "clinic", "-m", world.model, "-o", tmp_path / "out", "--no-scr", "--foreground", "auto", "--json")
    result = Result.load(tmp_path / "out" / "hans meier" / "hans-meier.result.json")
    assert run.status == 0 and len(result.provenance["warnings"]) >= 2
    for name, content in files_in(tmp_path / "out" / "hans meier").items():
        plain = (gzip.decompress(content) if name.endswith(".gz") else content).lower()
        assert not [word for word in (b"hans", b"meier", b"clinic", str(tmp_path).encode().lower()) if word in plain], name


# Running again


def test_a_second_run_skips_what_is_done(world: World, done: tuple[Run, Path], tmp_path: Path) -> None:
    out = shutil.copytree(done[1], tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.result.json")}
    (out / "findings.csv").unlink()
    again = shell("detect", world.scans, "-m", world.model, "-o", out, "--json")
    assert again.status == 0 and statuses(again) == ["skipped", "skipped"] and "scoring slices" not in again.err
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.result.json")} == before
    assert files_in(out) == files_in(done[1])
    assert [row["findings"] for row in again.json["scans"]] == [row["findings"] for row in done[0].json["scans"]]


def test_other_settings_are_refused_unless_overwriting_was_asked_for(world: World, done: tuple[Run, Path], tmp_path: Path) -> None:
    out = shutil.copytree(done[1], tmp_path / "out")
    command = ("detect", world.scans, "-m", world.model, "-o", out, "--rate", "0.05")
    refused = shell(*command)
    assert refused.status == 1 and refused.err.count("is of another model, scan or settings; add --overwrite to replace it") == 2
    assert "0 of 2 scans done" in refused.out and "scoring slices" not in refused.err
    changed = {name for name, content in files_in(out).items() if content != files_in(done[1])[name]}
    assert changed <= {"findings.csv"}
    replaced = shell(*command, "--overwrite", "--json")
    assert replaced.status == 0 and statuses(replaced) == ["done", "done"]
    assert Result.load(out / "head-1000.result.json").controls.rate == 0.05


def test_another_model_or_another_scan_of_the_name_is_no_reason_to_skip(world: World, done: tuple[Run, Path], tmp_path: Path) -> None:
    out = shutil.copytree(done[1], tmp_path / "out")
    scans = shutil.copytree(world.scans, tmp_path / "scans")
    rewrite(scans / "head-1000.nii.gz", scans / "head-1000.nii.gz", lambda array: array + 1)
    options = {"contiguity": 1.0, "scr": True}
    one_changed = detect_cohort(scans, Detector(world.model, "cpu"), out, options=options)
    assert [outcome.status for outcome in one_changed] == ["failed", "skipped"]
    model = Model.load(world.model)
    other = dataclasses.replace(model, card={**model.card, "seed": 7})
    assert [outcome.status for outcome in detect_cohort(scans, Detector(other, "cpu"), out, options=options)] == ["failed", "failed"]


def test_what_is_finished_stays_when_a_cohort_is_stopped(world: World, detector: Detector, tmp_path: Path) -> None:
    progress = Progress(lambda event: progress.cancel() if (event.stage, event.done) == ("scans", 1) else None)
    with pytest.raises(Cancelled):
        detect_cohort(world.scans, detector, tmp_path, progress=progress)
    assert files_in(tmp_path).keys() == {f"head-1000{suffix}" for suffix in OF_A_VOLUME}
    assert [outcome.status for outcome in detect_cohort(world.scans, detector, tmp_path)] == ["skipped", "done"]


def test_a_cohort_keeps_no_arrays_in_memory(world: World, detector: Detector, tmp_path: Path) -> None:
    outcomes = detect_cohort(world.scans, detector, tmp_path)
    assert all(outcome.findings for outcome in outcomes) and len(pickle.dumps(outcomes)) < 20_000


def rows_of(out: Path) -> set[str]:
    return {row["scan"] for row in table(out)}


def test_the_table_has_the_results_of_earlier_runs_too(world: World, done: tuple[Run, Path], tmp_path: Path) -> None:
    out = shutil.copytree(done[1], tmp_path / "out")
    shutil.copy(world.normals / "dicom" / "series-7" / "slice1.dcm", tmp_path / "one.dcm")
    for scan in (head(tmp_path / "other.mha", 1002), tmp_path / "one.dcm"):
        run = shell("detect", scan, "-m", world.model, "-o", out)
        assert run.status == 0, run.err
    assert rows_of(out) == {"head-1000.nii.gz", "ward/night/head-1001.nii.gz", "other.mha", "one.dcm"}
    (out / "other.result.json").write_text("{")
    damaged = shell("detect", world.scans / "head-1000.nii.gz", "-m", world.model, "-o", out)
    assert "other.result.json is damaged" in damaged.err and "It is not in the table" in damaged.err
    assert rows_of(out) == {"head-1000.nii.gz", "ward/night/head-1001.nii.gz", "one.dcm"}


def test_two_runs_into_one_folder_at_once_make_one_table(world: World, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        shutil.copy(world.scans / "head-1000.nii.gz", tmp_path / name / f"{name}1.nii.gz")
    with running("detect", tmp_path / "a", "-m", world.model, "-o", tmp_path / "out") as one:
        with running("detect", tmp_path / "b", "-m", world.model, "-o", tmp_path / "out") as other:
            assert one.wait(120) == other.wait(120) == 0
    assert rows_of(tmp_path / "out") == {"a1.nii.gz", "b1.nii.gz"}


def test_a_run_that_finishes_while_another_writes_the_table_is_in_it(
    world: World, detector: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worst moment: the other run begins and ends between this one's look into the folder and its table."""
    write, others = results_table.write_whole, [world.scans / "ward"]

    def late(*arguments: Any) -> None:
        if others:
            detect_cohort(others.pop(), detector, tmp_path)
        write(*arguments)

    monkeypatch.setattr(results_table, "write_whole", late)
    detect_cohort(world.scans / "head-1000.nii.gz", detector, tmp_path)
    assert rows_of(tmp_path) == {"head-1000.nii.gz", "night/head-1001.nii.gz"}


def test_warnings_name_their_scan_and_results_do_not(world: World, tmp_path: Path) -> None:
    bad = tmp_path / "scans" / "cold.nii.gz"
    rewrite(world.scans / "head-1000.nii.gz", bad, lambda array: array - 500)
    run = shell("detect", bad.parent, world.scans, "-m", world.model, "-o", tmp_path / "out", "--json")
    warned = [line for line in run.err.splitlines() if line.startswith("warning: ")]
    assert warned and all(line.startswith(f"warning: {bad}: ") for line in warned)
    assert [f"warning: {text}" for text in run.json["warnings"]] == warned
    (result,) = (tmp_path / "out").rglob("cold.result.json")
    assert [f"warning: {bad}: {text}" for text in Result.load(result).provenance["warnings"]] == warned


def test_a_name_that_is_too_long_is_told_before_anything_is_scored(world: World, tmp_path: Path) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    shutil.copy(world.scans / "head-1000.nii.gz", scans / "a.nii.gz")
    shutil.copy(world.scans / "head-1000.nii.gz", scans / f"{'n' * 241}.nii.gz")
    shutil.copy(world.scans / "head-1000.nii.gz", scans / f"{'m' * 240}.nii.gz")
    shutil.copy(world.scans / "head-1000.nii.gz", scans / f"{'é' * 121}.nii.gz")
    run = shell("detect", scans, "-m", world.model, "-o", tmp_path / "out", "--json")
    assert run.status == 1 and sorted(statuses(run)) == ["done", "done", "failed", "failed"]
    told = [line for line in run.err.splitlines() if "name is too long" in line or "scoring slices" in line]
    assert [" bytes, and 255 can be; give it a shorter one." in line for line in told[:2]] == [True, True]
    assert len([line for line in told if "too long" in line]) == 2
    assert rows_of(tmp_path / "out") == {"a.nii.gz", f"{'m' * 240}.nii.gz"}


# Places that cannot be written


def test_an_output_below_a_file_is_told_before_anything_is_scored(world: World, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    run = shell("detect", world.scans, "-m", world.model, "-o", tmp_path / "file" / "out")
    assert run.status == 1 and f"cannot be written to {tmp_path / 'file' / 'out'}" in run.err and "writable" in run.err
    assert "scoring slices" not in run.err


def test_a_full_disk_leaves_nothing_half_written(world: World, tmp_path: Path) -> None:
    with full_disk(8000):
        run = shell("detect", world.scans, "-m", world.model, "-o", tmp_path, "--json")
    assert run.status == 1 and statuses(run) == ["failed", "failed"]
    assert all("cannot be written" in row["reason"] and "Free some space" in row["reason"] for row in run.json["scans"])
    assert files_in(tmp_path).keys() == {"findings.csv"}


def test_results_of_another_direction_are_not_those_that_are_asked_for(directed: Path, world: World, tmp_path: Path) -> None:
    scan = world.scans / "head-1000.nii.gz"
    for direction, status in (("bright", "done"), ("bright", "skipped"), ("dark", "failed")):
        (outcome,) = detect_cohort(scan, Detector(directed, "cpu", direction), tmp_path, options={"adapt": "scan"})
        assert outcome.status == status
    assert "of another model, scan or settings" in outcome.reason
