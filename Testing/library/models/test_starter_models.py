"""Starter models: those that are shipped keep their promises, and the command that makes them works on made heads."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import InvDetectLib as invdetect
from InvDetectLib.common.progress import Progress
from InvDetectLib.computing.checkpoint import Checkpoint
from InvDetectLib.computing.tensors import find_device
from InvDetectLib.methods.choosing import make_method
from InvDetectLib.models import presets
from InvDetectLib.models.cards import TEXTS, read_texts
from InvDetectLib.models.method_settings import View
from InvDetectLib.models.model import Model, find_models
from InvDetectLib.scans.phantoms import write_phantoms
from Testing.evidence import sets, splits, starter, weighing
from Testing.evidence.study import Study
from Testing.support import REPOSITORY, sample_model
from Testing.support.tiny_model import TINY, WHOLE, World, head, shell

LICENCES = ("CC0 1.0", "CC BY 4.0")
DATA = {
    "brain-t1": ("ds002748", "CC0 1.0"),
    "brain-flair": ("ds004889", "CC0 1.0"),
    "fundus": ("Indian Diabetic Retinopathy Image Dataset", "CC BY 4.0"),
}
MADE = ("made heads drawn by InvDetect", "CC0 1.0")  # of the model that fits the extension's sample scan (`sample_model.py`)
SHIPPED = sorted((REPOSITORY / "Resources" / "Models").glob("*.invdetect"))
none_yet = pytest.param(None, marks=pytest.mark.skip(reason="no starter model is shipped yet"), id="none")

every_shipped = pytest.mark.parametrize("path", SHIPPED or [none_yet], ids=lambda path: path.stem if path else None)
every_shipped_starter = pytest.mark.parametrize("path", [path for path in SHIPPED if path.stem in DATA], ids=lambda path: path.stem)
every_starter = pytest.mark.parametrize("name", starter.STARTERS)


# What is shipped


@every_shipped
def test_a_shipped_model_is_small_loads_and_is_found_by_its_name(path: Path) -> None:
    assert path.stem in (*starter.STARTERS, "made-heads") and path.stat().st_size <= 6_000_000
    assert path in find_models() and invdetect.load_model(path.stem).checksum == Model.load(path).checksum


@every_shipped
def test_a_shipped_card_is_complete_and_names_data_and_licence(path: Path) -> None:
    card = Model.load(path).card
    data, licence = DATA.get(path.stem, MADE)
    assert {name: card[name] for name in TEXTS} == read_texts(starter.CARDS / f"{path.stem}.json")
    assert data in card["data"] and card["data_licence"].startswith(licence) and card["licence"] == licence in LICENCES
    assert card["modality"] not in ("", "unknown") and card["limits"] and card["rebuilds_images"] is False
    assert 0 < card["normal_area"] <= 0.0105 and card["calibrated_on"]["scans"] >= 5
    unseen = card["unseen_normals"]
    scans = len(splits.read()[starter.STARTERS[path.stem].setting]["test_normal"]) if path.stem in DATA else sample_model.UNSEEN
    assert unseen["scans"] == scans and 0 <= unseen["normal_area"] < 1


@every_shipped_starter
def test_a_shipped_model_was_trained_on_the_study_s_splits(path: Path, shared_data: Path) -> None:
    from InvDetectLib.scans import read_scan

    scans = starter.find(starter.STARTERS[path.stem], shared_data)
    card = Model.load(path).card
    digests = {part: {read_scan(file).digest for file in getattr(scans, part)} for part in ("train", "calibration", "unseen")}
    assert set(card["trained_on"]["digests"]) | set(card["validated_on"]["digests"]) == digests["train"]
    assert set(card["calibrated_on"]["digests"]) == digests["calibration"]
    assert not digests["unseen"] & (digests["train"] | digests["calibration"])


@every_shipped
def test_a_shipped_model_scores_by_name_without_any_other_option(path: Path, tmp_path: Path, no_pictures: None) -> None:
    preparation, size = Model.load(path).settings.preparation, 160
    scan = tmp_path / "scan.png"
    if preparation.channels == 1:
        scan = head(tmp_path / "scan.nii.gz")
    else:
        import SimpleITK as sitk

        rows, columns = np.ogrid[:size, :size]
        disc = ((rows - size / 2) ** 2 + (columns - size / 2) ** 2 < (0.45 * size) ** 2)[..., None]
        colours = np.array([180, 90, 40]) + np.random.default_rng(0).integers(-20, 20, (size, size, 1))
        sitk.WriteImage(sitk.GetImageFromArray((disc * colours).astype(np.uint8), isVector=True), str(scan))
    run = shell("detect", scan, "--model", path.stem, "-o", tmp_path / "out")
    assert run.status == 0 and (tmp_path / "out" / "scan.result.json").exists(), run.err


@every_shipped
def test_info_lists_a_shipped_model_with_what_one_chooses_by(path: Path) -> None:
    model = json.loads(shell("info", "--models", "--json").out)["models"][path.stem]
    assert model["file"] == str(path) and model["licence"] in LICENCES and model["bytes"] == path.stat().st_size
    assert f"  {path.stem}: {model['modality']}; {model['licence']}; " in shell("info", "--models").out


# What makes them


@every_starter
def test_a_starter_is_made_from_free_data_and_hides_its_images(name: str) -> None:
    made = starter.STARTERS[name]
    data, licence = DATA[name]
    texts = read_texts(starter.CARDS / f"{name}.json")
    assert set(texts) == set(TEXTS) and data in texts["data"] and texts["data_licence"].startswith(licence) and made.licence == licence
    wanted = starter.settings(made)
    setting = sets.SETTINGS[made.setting]
    study = Study(setting, sets.Data([], [], {}, [], ""), "full", Path(), "cpu", Progress())
    # whose figures are quoted for it; a preset is called by its own name where the study tells the direction beside another
    assert dataclasses.replace(wanted, preset=setting.preset) == study.settings("standard", "standard")
    assert wanted.invdetect == presets.PRESETS[wanted.preset].invdetect
    assert not make_method(wanted, find_device("cpu")).rebuilds_images
    assert wanted.preparation.modality == setting.modality and not setting.private


@pytest.fixture
def made_heads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data folder of made heads, which the starter `heads` learns from; its card is the only one."""
    folder = tmp_path / "data" / "phantoms"
    normal = [path.name for path in write_phantoms(folder / "normal", 8, size=(3, 64, 64))]
    unseen = [path.name for path in write_phantoms(folder / "test_normal", 2, 500, (3, 64, 64))]
    table = {"phantoms": {"train": normal[:6], "calibration": normal[6:], "test_normal": unseen}}
    cards = tmp_path / "cards"
    cards.mkdir()
    (cards / "heads.json").write_text(json.dumps({name: f"Made heads, for {name}." for name in TEXTS}))
    monkeypatch.setattr(splits, "read", lambda: table)
    monkeypatch.setattr(starter, "CARDS", cards)
    monkeypatch.setitem(sets.SETTINGS, "phantoms", dataclasses.replace(sets.SETTINGS["phantoms"], preset="tiny"))
    monkeypatch.setitem(starter.STARTERS, "heads", starter.Starter("phantoms", "CC0 1.0"))
    monkeypatch.setitem(presets.PRESETS, "tiny", TINY)
    yield tmp_path / "data"


def test_one_command_makes_a_model_with_its_card_and_another_renews_it(made_heads: Path, tmp_path: Path) -> None:
    out = tmp_path / "heads.invdetect"
    words = ["heads", "--data", str(made_heads), "--out", str(out)]
    assert starter.main(words) == 0 and not starter.checkpoint(out).exists()
    model = Model.load(out)
    assert model.card["data"] == "Made heads, for data." and model.card["licence"] == "CC0 1.0"
    assert model.card["unseen_normals"]["scans"] == 2 and 0 <= model.card["unseen_normals"]["normal_area"] < 0.2
    assert starter.main(words) == 2  # a finished model is never replaced
    (starter.CARDS / "heads.json").write_text(json.dumps({"misses": "Everything."}))
    assert starter.main([*words, "--model", str(out)]) == 0
    renewed = Model.load(out)
    assert renewed.card == {**model.card, "misses": "Everything."}
    assert all(np.array_equal(array, renewed.arrays[name]) for name, array in model.arrays.items())


def _calibrated_before_masses(path: Path, **changes: Any) -> Model:
    """The model in a file, which knows no masses any more; `changes` of its calibration."""
    model = Model.load(path)
    kept = {name: value for name, value in model.calibration.items() if name not in weighing.MASSES}
    Model(model.settings, model.arrays, kept | changes, model.card).save(path)
    return model


def test_a_model_of_before_is_weighed_without_training_and_stays_what_it_was(made_heads: Path, tmp_path: Path) -> None:
    out = tmp_path / "heads.invdetect"
    words = ["heads", "--data", str(made_heads), "--out", str(out)]
    assert starter.main(words) == 0
    model = _calibrated_before_masses(out)
    assert starter.main([*words, "--model", str(out)]) == 0
    assert Model.load(out).checksum == model.checksum and max(model.calibration["masses"]) > 0


def test_normals_that_score_otherwise_than_when_the_model_was_calibrated_are_not_weighed(
    made_heads: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "heads.invdetect"
    words = ["heads", "--data", str(made_heads), "--out", str(out)]
    assert starter.main(words) == 0
    _calibrated_before_masses(out, offset=0.123)
    assert starter.main([*words, "--model", str(out)]) == 1 and "offset differs" in capsys.readouterr().err
    assert "masses" not in Model.load(out).calibration


def test_a_stopped_training_goes_on(made_heads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, out = tmp_path / "whole.invdetect", tmp_path / "resumed.invdetect"
    words = ["heads", "--data", str(made_heads), "--out"]
    assert starter.main([*words, str(whole)]) == 0

    def interrupted(*_: Any, **__: Any) -> Model:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "due", lambda self: True)
        patch.setattr(starter, "finished", interrupted)
        assert starter.main([*words, str(out)]) == 1 and starter.checkpoint(out).exists() and not out.exists()
    assert starter.main([*words, str(out)]) == 0
    arrays = Model.load(whole).arrays
    assert all(np.array_equal(array, arrays[name]) for name, array in Model.load(out).arrays.items())


def test_a_model_of_the_study_is_finished_under_the_starter_s_own_preset_unless_its_settings_differ(
    made_heads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    views = dataclasses.replace(WHOLE.invdetect.views, sum=(View("noise"), View("intensity", mirror=True)))
    whole = dataclasses.replace(WHOLE, preset="tiny", invdetect=dataclasses.replace(WHOLE.invdetect, views=views))
    monkeypatch.setitem(presets.PRESETS, "tiny", whole)
    study_s, out, other = (tmp_path / f"{name}.invdetect" for name in ("study", "out", "other"))
    words = ["heads", "--data", str(made_heads), "--out"]
    assert starter.main([*words, str(study_s)]) == 0
    made = Model.load(study_s).settings
    assert made.invdetect.views.mirror == "yes"  # settled in training, and no other setting for that
    monkeypatch.setitem(starter.STARTERS, "heads", starter.Starter("phantoms", "CC0 1.0", "tiny-bright"))
    assert starter.main([*words, str(out), "--model", str(study_s)]) == 0
    assert Model.load(out).settings == dataclasses.replace(made, preset="tiny-bright")
    assert "other settings" not in capsys.readouterr().err
    monkeypatch.setitem(presets.PRESETS, "tiny", dataclasses.replace(whole, refinement=dataclasses.replace(whole.refinement, rate=0.02)))
    assert starter.main([*words, str(other), "--model", str(study_s)]) == 0
    assert Model.load(other).settings == made and "other settings" in capsys.readouterr().err


def test_a_model_of_other_scans_is_not_shipped(
    made_heads: Path, world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.invdetect"
    assert starter.main(["heads", "--data", str(made_heads), "--out", str(out), "--model", str(world.model)]) == 1
    assert "made from other scans" in capsys.readouterr().err and not out.exists()


def test_missing_data_and_wrong_names_are_told_in_a_sentence(made_heads: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "x.invdetect")]
    assert starter.main(["heads", "--data", str(tmp_path / "nowhere"), *out]) == 1
    assert starter.main(["heads", "--data", str(made_heads), "--out", str(tmp_path / "x.bin")]) == 2
    shutil.move(made_heads / "phantoms" / "normal" / splits.read()["phantoms"]["train"][0], tmp_path)
    assert starter.main(["heads", "--data", str(made_heads), *out]) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 3 and all(line.startswith("starter: ") for line in said)
    assert "--data" in said[0] and ".invdetect" in said[1] and "is missing, which splits.json names" in said[2]
