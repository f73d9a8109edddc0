"""Epsilon and threshold by the best Dice on annotated scans: the paper's grid search, and what it refuses."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from InvDetectLib.calibration.tuning import Annotated, choose_radius, choose_threshold, read_annotated
from InvDetectLib.common.errors import InvDetectError, WrongUse
from InvDetectLib.common.progress import Progress
from InvDetectLib.detection import Detector
from InvDetectLib.methods.contract import SliceMap, Slices
from InvDetectLib.methods.scoring import Scores, score_slices
from InvDetectLib.models.card_words import describe
from InvDetectLib.models.model import Model
from InvDetectLib.models.settings import Settings
from InvDetectLib.refinement.cutting import cut
from InvDetectLib.scans.phantoms import write_phantoms
from InvDetectLib.scans.preparing import prepare
from InvDetectLib.training import train
from Testing.support.tiny_matchgen import changed

TINY = changed(steps=30, intensity="median", epsilon=0.5, learning_rate=1e-3, most_steps=10)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """normal/ to learn from, sick/ with lesions and sick-masks/."""
    folder = tmp_path_factory.mktemp("world")
    write_phantoms(folder / "normal", 5, size=(6, 48, 48))
    write_phantoms(folder / "sick", 2, first_seed=50, size=(6, 48, 48), lesions=2)
    return folder


class Made:
    """A method whose maps are known: at the radius 2 lesions stand out, at the others they do not."""

    epsilon: float | None = None

    def radii(self) -> list[float]:
        return [1.0, 2.0, 4.0]

    def look_over(self, slices: Slices) -> Slices:
        return slices

    def map_and_edges(self, slices: Slices, progress: Progress) -> Iterator[SliceMap]:
        for number, values in enumerate(slices.values[..., 0]):
            scores = values if self.epsilon == 2.0 else 1 - values
            yield SliceMap(number, scores.astype(np.float32), slices.foreground[number], lambda: (np.zeros(0), np.zeros(0)))


def test_the_radius_and_the_threshold_with_the_best_dice_are_kept() -> None:
    values = np.full((2, 4, 4, 1), 0.1, np.float32)
    truth = np.zeros((2, 4, 4), bool)
    truth[:, :2, :2] = True
    values[truth] = 0.7
    method = Made()
    annotated = [Annotated("one", Slices(values, np.ones(truth.shape, bool)), truth)]
    facts = choose_radius(method, annotated, Progress())
    assert method.epsilon == 2.0 and facts["epsilon"] == 2.0
    # elsewhere the best that can be had is everything: 2 * 4 / (16 + 4)
    assert facts["tuned"]["dice"] == pytest.approx([0.4, 1.0, 0.4])
    scores = score_slices(method, annotated[0].slices, 1.0, "image", Progress())  # type: ignore[arg-type]
    threshold, dice = choose_threshold(annotated, [scores], 0.0, 1.0, 0.0, Progress())
    assert 0.1 <= threshold < np.float32(0.7) and dice == 1.0  # a cut flags what lies above a threshold, not what lies on it


def test_the_threshold_is_the_best_for_the_masks_that_are_cut_not_for_the_map_alone() -> None:
    rng = np.random.default_rng(0)
    truth = np.zeros((2, 32, 32), bool)
    truth[:, 8:24, 8:24] = True
    raw = (5 + 2 * np.where(truth, 1.5, 0) + rng.normal(0, 1.2, truth.shape)).astype(np.float32)  # offset 5, scale 2
    inside = np.ones(truth.shape, bool)
    one = Annotated("one", Slices(np.zeros((*truth.shape, 1), np.float32), inside), truth)
    scores = Scores(raw, inside, np.ones((2, 31, 32), np.float16), np.ones((2, 32, 31), np.float16))
    alone, least = choose_threshold([one], [scores], 5.0, 2.0, 0.0, Progress())
    together, most = choose_threshold([one], [scores], 5.0, 2.0, 1.0, Progress())
    assert 0.4 < alone < 1.2 and 0.8 < least < most and most > 0.97

    def dice(threshold: float) -> float:
        mask = np.stack([cut((raw[k] - 5) / 2, scores.down[k], scores.right[k], 1.0, threshold, inside[k]) for k in range(2)])
        return float(np.mean(2 * (mask & truth).sum((1, 2)) / (mask.sum((1, 2)) + truth.sum((1, 2)))))

    assert dice(together) == pytest.approx(most) and most >= dice(alone)


def test_a_tuned_model_detects_at_the_threshold_that_was_chosen_and_its_card_says_so(world: Path, tmp_path: Path) -> None:
    model = train(world / "normal", settings=TINY, tune=(world / "sick", world / "sick-masks"), rehearse=False)
    tuned = model.card["tuned"]
    assert model.card["epsilon"] in tuned["epsilon"] and tuned["scans"] == 2
    assert 0.6 in tuned["epsilon"] and len(tuned["epsilon"]) > 6  # the paper's six, and those of this base's codes
    assert 0 < tuned["best_dice"] <= 1
    model.save(tmp_path / "tuned.invdetect")
    loaded = Model.load(tmp_path / "tuned.invdetect")
    assert float(loaded.arrays["epsilon"][0]) == loaded.card["epsilon"]
    calibration = Detector(loaded, "cpu").calibration
    assert calibration.default_threshold == tuned["threshold"]
    assert Detector(loaded, "cpu").controls().threshold == calibration.default_threshold
    assert "chosen with epsilon on 2 annotated scans" in " ".join("\n".join(describe(loaded.card, loaded.calibration)).split())


def test_without_matching_only_the_threshold_is_tuned(world: Path) -> None:
    alone = changed(TINY, way="none", epsilon=None)
    model = train(world / "normal", settings=alone, tune=(world / "sick", world / "sick-masks"), rehearse=False)
    assert model.card["tuned"]["epsilon"] == [None] and "epsilon" not in model.arrays


def test_foreground_masks_are_those_of_the_annotated_scans_too(world: Path, tmp_path: Path) -> None:
    masks = tmp_path / "fields"
    masks.mkdir()
    for path in (*(world / "normal").iterdir(), *(world / "sick").iterdir()):
        inside = np.zeros((6, 48, 48), np.uint8)
        inside[:, 4:-4, 4:-4] = 1
        image = sitk.GetImageFromArray(inside)
        image.CopyInformation(sitk.ReadImage(str(path)))
        sitk.WriteImage(image, str(masks / path.name))
    by_masks = replace(TINY, preparation=replace(TINY.preparation, foreground="masks"))
    model = train(world / "normal", settings=by_masks, masks=masks, tune=(world / "sick", world / "sick-masks"), rehearse=False)
    assert model.card["tuned"]["scans"] == 2

    missing = sorted((world / "sick").iterdir())[0].name
    (masks / missing).unlink()
    with pytest.raises(InvDetectError, match="There is no mask for head-0050"):
        train(world / "normal", settings=by_masks, masks=masks, tune=(world / "sick", world / "sick-masks"), rehearse=False)


def test_annotated_scans_of_one_name_have_the_foreground_of_their_own_folder(world: Path, tmp_path: Path) -> None:
    """As one folder for each patient has them: the middle of the one is not the middle of the other."""
    image = sitk.ReadImage(str(sorted((world / "sick").iterdir())[0]))
    truth = sitk.ReadImage(str(sorted((world / "sick-masks").iterdir())[0]))
    for patient, rows in (("p1", slice(0, 30)), ("p2", slice(10, 48))):
        inside = np.zeros((6, 48, 48), np.uint8)
        inside[:, rows] = 1
        own = sitk.GetImageFromArray(inside)
        own.CopyInformation(image)
        for folder, kept in (("scans", image + rows.start), ("lesions", truth), ("fields", own)):
            (tmp_path / folder / patient).mkdir(parents=True)
            sitk.WriteImage(kept, str(tmp_path / folder / patient / "flair.nii.gz"))
    by_masks = replace(TINY.preparation, foreground="masks")
    found = read_annotated(
        tmp_path / "scans",
        tmp_path / "lesions",
        lambda scan, inside: prepare(scan, by_masks, {}, inside),
        (),
        Progress(),
        foreground=tmp_path / "fields",
    )
    first, second = (np.flatnonzero(one.slices.foreground.any(axis=(0, 2))) for one in found)
    assert first[0] < second[0] and first[-1] < second[-1]


def test_annotations_that_do_not_match_are_one_sentence_before_anything_is_learned(world: Path, tmp_path: Path) -> None:
    def refused(scans: Path, masks: Path, settings: Settings = TINY) -> str:
        with pytest.raises(InvDetectError) as error:
            train(world / "normal", settings=settings, tune=(scans, masks), checkpoint=tmp_path / "checkpoint", rehearse=False)
        assert not (tmp_path / "checkpoint").exists()
        return str(error.value)

    masks = tmp_path / "masks"
    shutil.copytree(world / "sick-masks", masks)
    first = sorted(masks.iterdir())[0]
    kept = sitk.ReadImage(str(first))
    first.unlink()
    assert "There is no mask for head-0050" in refused(world / "sick", masks)
    sitk.WriteImage(kept[:-1], str(first))
    assert "does not fit its scan: the mask has 47 x 48 x 6 voxels" in refused(world / "sick", masks)
    for path in (world / "sick-masks").iterdir():
        sitk.WriteImage(sitk.ReadImage(str(path)) * 0, str(masks / path.name))
    assert "has an annotation inside its foreground; check the masks" in refused(world / "sick", masks)
    own = tmp_path / "own"
    own.mkdir()
    scan = sorted((world / "normal").iterdir())[0]
    shutil.copy(scan, own / scan.name)
    sitk.WriteImage(sitk.Cast(sitk.ReadImage(str(scan)) > 100, sitk.sitkUInt8), str(masks / scan.name))
    assert "is also among the normal scans" in refused(own, masks)


def test_invdetect_has_nothing_to_tune(world: Path) -> None:
    with pytest.raises(WrongUse, match="invdetect has nothing to tune on annotated scans; choose matchgen"):
        train(world / "normal", preset="quick", tune=(world / "sick", world / "sick-masks"), rehearse=False)


def test_annotated_scans_of_one_name_have_the_masks_of_their_folders(world: Path, tmp_path: Path) -> None:
    for number, path in enumerate(sorted((world / "sick").iterdir())):
        for place, source in (("sick", path), ("masks", world / "sick-masks" / path.name)):
            (tmp_path / place / f"p{number}").mkdir(parents=True)
            shutil.copy(source, tmp_path / place / f"p{number}" / "flair.nii.gz")

    def read(folder: Path, masks: str) -> list[Annotated]:
        ready = lambda scan, inside: prepare(scan, TINY.preparation, {}, inside)  # noqa: E731
        return read_annotated(folder / "sick", folder / masks, ready, (), Progress())

    for one, other in zip(read(tmp_path, "masks"), read(world, "sick-masks"), strict=True):
        assert np.array_equal(one.truth, other.truth)
    (tmp_path / "masks" / "p1" / "flair.nii.gz").unlink()
    with pytest.raises(InvDetectError, match="does not lie in the folder of this one. Name its mask p1/flair_mask in the folder of masks"):
        read(tmp_path, "masks")
