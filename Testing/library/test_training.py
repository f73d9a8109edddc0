"""Training end to end: what it takes and leaves out, what it holds out, what it writes, and how it survives being stopped."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from InvDetectLib.common.errors import Cancelled, InvDetectError, WrongUse
from InvDetectLib.common.progress import Event, Progress
from InvDetectLib.detection import Detector
from InvDetectLib.models.model import Model
from InvDetectLib.models.settings import Settings
from InvDetectLib.scans import read_scan
from InvDetectLib.training import train
from Testing.support.tiny_model import STEPS, TINY, World, full_disk, head, process, rewrite, running, shell, wait_for


def digests(model: Model) -> dict[str, list[str]]:
    return {part: model.card[part]["digests"] for part in ("trained_on", "validated_on", "calibrated_on")}


def same_model(one: Model, other: Model) -> bool:
    """Equal but for the time of day and the time it took."""
    cards = [{name: value for name, value in model.card.items() if name not in ("created", "seconds")} for model in (one, other)]
    equal = one.arrays.keys() == other.arrays.keys() and all(np.array_equal(one.arrays[name], other.arrays[name]) for name in one.arrays)
    return equal and cards[0] == cards[1] and one.calibration == other.calibration and one.settings == other.settings


def short(steps: int, **preparation: Any) -> Settings:
    """The tiny settings with fewer steps and another preparation."""
    training = dataclasses.replace(TINY.invdetect.training, steps=steps)
    method = dataclasses.replace(TINY.invdetect, training=training)
    return dataclasses.replace(TINY, invdetect=method, preparation=dataclasses.replace(TINY.preparation, **preparation))


@pytest.fixture(scope="module")
def other_seed(world: World) -> tuple[Model, list[Event]]:
    """A model of the same scans and settings with another seed, from Python and still in memory, and what training reported."""
    events: list[Event] = []
    return train(world.normals, settings=TINY, seed=1, device="cpu", on_progress=events.append, rehearse=False), events


# What is taken


def test_a_dry_run_lists_what_is_used_held_out_and_left_out_and_writes_nothing(world: World, tmp_path: Path) -> None:
    command = ("train", world.normals, "-o", tmp_path / "new.invdetect", "--preset", "tiny", "--dry-run")
    planned = shell(*command, "--json")
    assert planned.status == 0 and list(tmp_path.iterdir()) == []
    assert Counter(row["use"] for row in planned.json["scans"]) == {"training": 5, "validation": 1, "calibration": 2}
    assert {"dicom/series-7", "2019/maria lopez/head-0003.nrrd"} < {row["scan"] for row in planned.json["scans"]}
    assert planned.json["preparation"]["channels"] == 1
    reasons = {Path(row["file"]).name: row["reason"] for row in planned.json["left_out"]}
    assert reasons.keys() == world.left_out.keys()
    assert all(words in reasons[name] for name, words in world.left_out.items())
    text = shell(*command).out
    assert text.endswith("8 scans would be used and 6 files left out.\n")
    assert text.count("\nleft out") == 6 and "\ncalibration  " in text and "(3 x 64 x 64, [3.5, 3.5, 24.0] mm)" in text


def test_training_does_what_the_dry_run_said(world: World, tmp_path: Path) -> None:
    planned = shell("train", world.normals, "-o", tmp_path / "new.invdetect", "--preset", "tiny", "--dry-run", "--json")
    parts = {"trained_on": "training", "validated_on": "validation", "calibrated_on": "calibration"}
    for part, use in parts.items():
        wanted = [read_scan(world.normals / row["scan"]).digest for row in planned.json["scans"] if row["use"] == use]
        assert sorted(world.card[part]["digests"]) == sorted(wanted)


def test_label_maps_beside_the_scans_are_left_out_and_what_only_looks_like_one_is_warned_of(world: World, tmp_path: Path) -> None:
    scans = sorted((world.normals / "mueller").iterdir())
    for number, path in enumerate(scans):
        shutil.copy(path, tmp_path / path.name)
        rewrite(path, tmp_path / f"{path.name[:9]}_seg.nii.gz", lambda array: np.digitize(array, (80, 150 + number, 300)))  # noqa: B023
    rewrite(scans[0], tmp_path / "phantom.nii.gz", lambda array: np.array([-1000, 0, 60, 1200])[np.digitize(array, (80, 150, 300))])
    run = shell("train", tmp_path, "-o", tmp_path / "new.invdetect", "--preset", "tiny", "--dry-run", "--json")
    assert {row["scan"] for row in run.json["scans"]} == {path.name for path in scans} | {"phantom.nii.gz"}
    assert len(run.json["left_out"]) == len(scans)
    for row in run.json["left_out"]:
        assert row["file"].endswith("_seg.nii.gz")
        assert re.fullmatch(r"a mask or label map: its name says so, and it holds only \d different whole numbers", row["reason"])
    assert [line for line in run.err.splitlines() if "warning" in line] == [
        f"warning: {tmp_path / 'phantom.nii.gz'}: it holds only 4 different whole numbers, yet it is used as a scan; "
        "take it out of the folder if it is a label map"
    ]


def test_held_out_scans_are_never_trained_on_and_no_scan_counts_twice(world: World, other_seed: tuple[Model, list[Event]]) -> None:
    for model in (Model.load(world.model), other_seed[0]):
        every = sum(digests(model).values(), [])
        assert len(every) == len(set(every)) == 8
    assert digests(Model.load(world.model))["calibrated_on"] != digests(other_seed[0])["calibrated_on"]


def test_training_says_once_what_it_left_out_and_why(world: World) -> None:
    lines = world.progress.splitlines()
    for name, reason in world.left_out.items():
        assert len([line for line in lines if name in line.partition(": ")[2] and "left out" in line and reason in line]) == 1
        assert not [line for line in lines if line.count(f"/{name}") > 1]


def test_calibration_scans_given_apart_are_all_used_but_not_those_trained_on(world: World, tmp_path: Path) -> None:
    apart = tmp_path / "apart"
    shutil.copytree(world.normals / "mueller", apart)
    new = [read_scan(head(apart / f"new{seed}.nii.gz", seed)).digest for seed in (3000, 3001)]
    planned = shell("train", world.normals, "-o", "new.invdetect", "--preset", "tiny", "--normals-test", apart, "--dry-run", "--json").json
    assert Counter(row["use"] for row in planned["scans"]) == {"training": 7, "validation": 1, "calibration": 2}
    progress = Progress()
    model = train(world.normals, settings=short(steps=1), normals_test=apart, device="cpu", progress=progress, rehearse=False)
    assert sorted(model.card["calibrated_on"]["digests"]) == sorted(new)
    assert model.card["trained_on"]["scans"] == 7
    assert len([text for text in progress.warnings if str(apart) in text and text.endswith(": also trained on")]) == 4
    with pytest.raises(WrongUse, match="All scans to calibrate on are also trained on; give others"):
        train(world.normals, settings=TINY, normals_test=world.normals / "mueller", device="cpu", rehearse=False)


def test_colour_pictures_make_a_colour_model(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(4):
        noise = rng.normal(size=(40, 48, 3)).cumsum(axis=0).cumsum(axis=1)
        picture = np.uint8(255 * (noise - noise.min()) / np.ptp(noise))
        sitk.WriteImage(sitk.GetImageFromArray(picture, isVector=True), str(tmp_path / f"eye{number}.png"))
    sitk.WriteImage(sitk.GetImageFromArray(picture[..., 0]), str(tmp_path / "grey.png"))
    progress = Progress()
    settings = short(steps=2, channels=0, foreground="none", grid=48)
    model = train(tmp_path, settings=settings, device="cpu", progress=progress, rehearse=False)
    assert (model.settings.preparation.channels, model.settings.preparation.intensity) == (3, "channels")
    assert [text.endswith("grey.png: grey, and the model is to be colour") for text in progress.warnings] == [True]
    found = Detector(model, "cpu").detect(tmp_path / "eye0.png")
    assert found.anomaly_map.shape == (1, 40, 48) and found.geometry.dimension == 2
    with pytest.raises(InvDetectError, match="grey is a grey scan, and the model .* colour ones"):
        Detector(model, "cpu").detect(tmp_path / "grey.png")


# What comes out


def test_the_card_says_what_the_model_is(world: World) -> None:
    card = Model.load(world.model).card
    assert card == world.card
    assert (card["modality"], card["seed"], card["device"], card["steps"]) == ("made heads", 0, "cpu", STEPS)
    assert (card["trained_on"]["slices"], card["trained_on"]["scans"], card["calibrated_on"]["scans"]) == (15, 5, 2)
    assert 0 < card["normal_area"] <= 0.01 and 0 < card["validation_loss"] < 1
    assert card["rebuilds_images"] is False and card["trained_on"]["pixel"] == pytest.approx([3.5, 3.5])


def test_the_model_file_holds_no_names_of_scans(world: World) -> None:
    content = world.model.read_bytes().lower()
    assert not [name for name in (b"head-0", b"mueller", b"maria", b"lopez", b"series-7", b"normals") if name in content]
    assert str(world.folder).encode().lower() not in content


def test_a_held_out_scan_scores_in_detection_exactly_as_in_calibration(world: World) -> None:
    model = Model.load(world.model)
    paths = [path for path in (world.normals / "mueller", world.normals / "dicom") for path in path.iterdir()]
    scans = [read_scan(path) for path in [*paths, *(world.normals / "2019" / "maria lopez").iterdir()]]
    held_out = {scan.digest: scan for scan in scans if scan.digest in model.card["calibrated_on"]["digests"]}
    results = [Detector(model, "cpu").detect(scan) for scan in held_out.values()]
    assert sorted(float(result.grid_map[result.grid_scored].max()) for result in results) == list(model.calibration["peaks"])


def test_a_saved_and_loaded_model_gives_the_very_map_of_the_one_in_memory(
    world: World, other_seed: tuple[Model, list[Event]], tmp_path: Path
) -> None:
    model, scan = other_seed[0], read_scan(world.scans / "head-1000.nii.gz")
    model.save(tmp_path / "other.invdetect")
    fresh, loaded = (Detector(source, "cpu").detect(scan) for source in (model, tmp_path / "other.invdetect"))
    assert np.array_equal(fresh.anomaly_map, loaded.anomaly_map) and np.array_equal(fresh.mask, loaded.mask)
    assert np.array_equal(fresh.edges_down, loaded.edges_down) and fresh.findings == loaded.findings
    assert Model.load(tmp_path / "other.invdetect").checksum == model.checksum


def test_another_seed_makes_another_model(world: World, other_seed: tuple[Model, list[Event]]) -> None:
    mine, theirs = Model.load(world.model).arrays, other_seed[0].arrays
    assert mine.keys() == theirs.keys() and not np.array_equal(mine["network/stem.weight"], theirs["network/stem.weight"])


def test_progress_tells_loss_and_time_left(other_seed: tuple[Model, list[Event]]) -> None:
    training = [event for event in other_seed[1] if event.stage == "training"]
    assert [(event.done, event.total) for event in training] == [(done, STEPS) for done in range(20, STEPS + 1, 20)]
    assert all(0 < event.facts["loss"] < 2 for event in training) and training[-1].facts["loss"] < training[0].facts["loss"]
    assert training[1].seconds_left is not None and training[1].seconds_left > training[-1].seconds_left == 0


# Being stopped


def test_a_training_stopped_by_ctrl_c_goes_on_to_the_model_of_an_unbroken_run(world: World, tmp_path: Path) -> None:
    target, checkpoint = tmp_path / "new.invdetect", tmp_path / "new.invdetect.checkpoint"
    command = ("train", world.normals, "-o", target, "--preset", "tiny", "--no-rehearsal", "--modality", "made heads")
    stopped = process(*command, TINY_SIGNAL="25:INT")
    assert stopped.status == 1 and stopped.err.splitlines()[-1] == "invdetect: Stopped on request."
    assert checkpoint.exists() and list(tmp_path.iterdir()) == [checkpoint]
    before = checkpoint.read_bytes()
    refused = shell(*command)
    assert refused.status == 2 and "add --resume to go on" in refused.err
    foreign = shell(*command, "--seed", "1", "--resume")
    assert foreign.status == 1 and "belongs to other scans, settings or seed" in foreign.err
    assert list(tmp_path.iterdir()) == [checkpoint] and checkpoint.read_bytes() == before
    resumed = shell(*command, "--resume")
    assert resumed.status == 0 and f"training {STEPS}/{STEPS}" in resumed.err and f"training 20/{STEPS}" not in resumed.err
    assert list(tmp_path.iterdir()) == [target]
    assert same_model(Model.load(target), Model.load(world.model))


def test_a_killed_training_goes_on_to_the_model_of_an_unbroken_run(world: World, tmp_path: Path) -> None:
    target, checkpoint = tmp_path / "new.invdetect", tmp_path / "new.invdetect.checkpoint"
    command = ("train", world.normals, "-o", target, "--preset", "tiny", "--no-rehearsal", "--modality", "made heads", "--resume")
    assert process(*command, TINY_SIGNAL="35:KILL").status == -9
    assert list(tmp_path.iterdir()) == [checkpoint]
    resumed = shell(*command)
    assert resumed.status == 0 and f"training 40/{STEPS}" in resumed.err and f"training 20/{STEPS}" not in resumed.err
    assert list(tmp_path.iterdir()) == [target]
    assert same_model(Model.load(target), Model.load(world.model))


def test_a_second_training_on_one_checkpoint_says_that_the_first_is_running(world: World, tmp_path: Path) -> None:
    target, checkpoint = tmp_path / "new.invdetect", tmp_path / "new.invdetect.checkpoint"
    command = ("train", world.normals, "-o", target, "--preset", "tiny", "--no-rehearsal", "--modality", "made heads")
    with running(*command, TINY_SIGNAL="25:STOP") as first:
        wait_for(lambda: checkpoint.exists() and checkpoint.stat().st_size)
        before = checkpoint.read_bytes()
        for more in ((), ("--resume",)):
            second = process(*command, *more)
            assert second.status == 1 and second.err.splitlines()[-1] == (
                f"invdetect: {checkpoint} belongs to a training that is running; wait until it is done, or give this one another name."
            )
        assert list(tmp_path.iterdir()) == [checkpoint] and checkpoint.read_bytes() == before
        first.kill()
    resumed = process(*command, "--resume")
    assert resumed.status == 0 and list(tmp_path.iterdir()) == [target]
    assert same_model(Model.load(target), Model.load(world.model))


def test_a_training_has_its_checkpoint_for_itself_before_anything_is_saved(world: World, tmp_path: Path) -> None:
    told: list[str] = []

    def start_another(event: Event) -> None:
        if not told:
            told.append("")
            told[0] = shell("train", world.normals, "-o", tmp_path / "x.invdetect", "--preset", "tiny", "--no-rehearsal").err
            progress.cancel()

    progress = Progress(start_another)
    with pytest.raises(Cancelled):
        train(world.normals, settings=TINY, device="cpu", checkpoint=tmp_path / "x.invdetect.checkpoint", progress=progress, rehearse=False)
    assert "belongs to a training that is running" in told[0] and list(tmp_path.iterdir()) == []


def test_a_training_that_is_cancelled_before_it_learns_leaves_nothing(world: World, tmp_path: Path) -> None:
    progress = Progress(lambda event: progress.cancel())
    with pytest.raises(Cancelled):
        train(world.normals, settings=TINY, device="cpu", checkpoint=tmp_path / "x.checkpoint", progress=progress, rehearse=False)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_model_is_not_replaced(world: World) -> None:
    before = world.model.read_bytes()
    for more in ((), ("--resume",)):
        refused = shell("train", world.normals, "-o", world.model, "--preset", "tiny", *more)
        assert refused.status == 2 and f"{world.model} exists already; give another name" in refused.err
    assert world.model.read_bytes() == before


# What cannot be


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--preset", "best"), "no preset 'best'; choose one of paper, standard, flair, quick, fine, fundus"),
        (("--plane", "oblique"), "no plane 'oblique'; choose one of axial"),
        (("--intensity", "bright"), "no intensity rule 'bright'; use median"),
        (("--intensity", "window:9,1"), "window of 'window:9,1' is empty"),
        (("--grid", "8"), "A grid of 8 pixels cannot be"),
        (("--spacing", "-1"), "A pixel of -1 mm cannot be"),
        (("--grid", "64", "--spacing", "1"), "not allowed with argument"),
        (("--seed", "-1"), "seed"),
        (("-o", "model.pt"), "must end in .invdetect"),
        (("--truth-at", "0.5"), "--truth-at cuts the masks of --tune; give both, or neither"),
        (("--truth-at", "0"), "is not a number above 0"),
        (("--fast",), "unrecognized arguments: --fast"),
    ],
)
def test_wrong_use_is_told_before_any_scan_is_read(world: World, tmp_path: Path, words: tuple[str, ...], reason: str) -> None:
    refused = shell("train", world.normals, "-o", tmp_path / "new.invdetect", "--preset", "tiny", *words)
    assert refused.status == 2 and reason in refused.err and "looking at scans" not in refused.err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_a_usable_scan_is_told(world: World, tmp_path: Path) -> None:
    folder, target = tmp_path / "normals", tmp_path / "new.invdetect"
    folder.mkdir()
    empty = shell("train", folder, "-o", target)
    assert empty.status == 1 and f"There is no scan in {folder}. Give a folder with .nii.gz" in empty.err
    rewrite(world.scans / "head-1000.nii.gz", folder / "flat.nii.gz", lambda array: 0 * array + 7)
    flat = shell("train", folder, "-o", target)
    assert flat.status == 1 and "flat.nii.gz" in flat.err and "constant (every value is 7)" in flat.err
    assert f"No usable normal scan in {folder} (" in flat.err


def test_too_few_scans_are_told_also_by_a_dry_run(world: World, tmp_path: Path) -> None:
    for number in range(2):
        shutil.copy(world.normals / "mueller" / f"head-000{number}.nii.gz", tmp_path)
    for words in ((), ("--dry-run",)):
        few = shell("train", tmp_path, "-o", tmp_path / "new.invdetect", "--preset", "tiny", *words)
        assert few.status == 1 and "Only 2 usable normal scans, and at least 3 are needed" in few.out + few.err


def test_a_place_that_cannot_be_written_is_told_before_the_work(world: World, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused = shell("train", world.normals, "-o", tmp_path / "file" / "new.invdetect", "--preset", "tiny")
    assert refused.status == 1 and f"{tmp_path / 'file'}" in refused.err and "writable" in refused.err
    assert "looking at scans" not in refused.err


def test_a_name_that_is_too_long_is_told_before_the_work(world: World, tmp_path: Path) -> None:
    for length in (240, 300):
        refused = shell("train", world.normals, "-o", tmp_path / f"{'n' * length}.invdetect", "--preset", "tiny")
        assert refused.status == 1 and "is too long there" in refused.err and "Give a shorter name" in refused.err
        assert "looking at scans" not in refused.err and list(tmp_path.iterdir()) == []


def test_a_full_disk_ends_training_with_a_sentence_and_leaves_nothing_half_written(world: World, tmp_path: Path) -> None:
    with full_disk(20_000):
        full = shell("train", world.normals, "-o", tmp_path / "new.invdetect", "--preset", "tiny", "--no-rehearsal", "--json")
    assert full.status == 1 and "cannot be written" in full.err and "has room" in full.err
    assert "cannot be written" in json.loads(full.out)["error"]
    assert list(tmp_path.iterdir()) == []
