"""Choosing settings by made lesions: of models that see smoothed intensity, in pictures of noise, so that which is best is known."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

import InvDetectLib as invdetect
from InvDetectLib.common import Progress, WrongUse
from InvDetectLib.models import Model, Settings, View, alternatives
from InvDetectLib.models.method_settings import Patches, Training, Views
from InvDetectLib.models.presets import PRESETS
from Testing.support.tiny_model import WHOLE, shell

STRONG, WEAK = View("intensity", sigma=2.0), View("intensity", sigma=1.0, weight=4.0)  # the latter drowns in noise
MEAN, NOISE, SIDE = 100.0, 40.0, 64


def pictures(folder: Path, count: int) -> Path:
    """White noise, as float32 NIfTI with pixels of 1 mm."""
    folder.mkdir()
    for seed in range(count):
        values = np.maximum(np.random.default_rng(seed).normal(MEAN, NOISE, (SIDE, SIDE)), 0)
        sitk.WriteImage(sitk.GetImageFromArray(values.astype(np.float32)), str(folder / f"{seed}.nii.gz"))
    return folder


def seeing(*views: View, direction: str = "bright") -> Settings:
    """Settings of a model that sees these views, with a third of its scans held out to validate."""
    return dataclasses.replace(
        WHOLE,
        preparation=dataclasses.replace(WHOLE.preparation, intensity="window:-400,800", foreground="none"),
        invdetect=dataclasses.replace(
            WHOLE.invdetect,
            training=Training(steps=1, batch=2, validation=0.34),
            views=Views(sum=views, direction=direction, mirror="no"),
        ),
        refinement=dataclasses.replace(WHOLE.refinement, contiguity=0.0),
    )


@pytest.fixture(scope="module")
def normals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pictures(tmp_path_factory.mktemp("noise") / "normals", 24)


def trained(normals: Path, settings: Settings, **wishes: Any) -> Model:
    return invdetect.train(normals, settings=settings, device="cpu", rehearse=False, **wishes)


@pytest.fixture(scope="module")
def chosen(normals: Path) -> Model:
    return trained(normals, seeing(STRONG, WEAK), choose=True)


def detection(model: Model) -> dict[str, float]:
    return {one["name"]: one["detection"] for one in model.card["chosen"]["candidates"]}


def test_the_view_that_drowns_lesions_in_noise_is_left_out(chosen: Model) -> None:
    assert chosen.card["chosen"]["kept"] == "without brightness (2)"
    assert chosen.settings.invdetect.views.sum == (STRONG,) and chosen.settings.preset == "custom"
    assert detection(chosen)["without brightness (2)"] > detection(chosen)["as given"] + 0.1
    assert detection(chosen)["without brightness (1)"] <= detection(chosen)["as given"]


def test_the_card_lists_all_at_equal_false_findings(chosen: Model) -> None:
    told = chosen.card["chosen"]
    assert [one["name"] for one in told["candidates"]] == list(alternatives(seeing(STRONG, WEAK)))
    assert told["scans"] == chosen.card["validated_on"]["scans"] == 8
    given = told["candidates"][0]["false_findings"]
    assert given > 5 and [one["false_findings"] for one in told["candidates"]] == pytest.approx([given] * 5, rel=0.1)
    assert max(one["rate"] for one in told["candidates"]) > 3 * min(one["rate"] for one in told["candidates"])


def test_the_model_that_is_kept_is_the_one_trained_with_these_settings(chosen: Model, normals: Path) -> None:
    alone = trained(normals, chosen.settings)
    assert chosen.calibration == alone.calibration and set(chosen.arrays) == set(alone.arrays)
    for name, values in alone.arrays.items():
        np.testing.assert_array_equal(chosen.arrays[name], values)


def test_a_direction_that_is_blind_to_half_of_the_lesions_loses(normals: Path) -> None:
    model = trained(normals, seeing(STRONG, direction="both"), choose=True)
    found = detection(model)
    assert model.card["chosen"]["kept"] == "as given" and model.settings.invdetect.direction == "both"
    assert max(found["bright alone"], found["dark alone"]) < found["as given"] - 0.1


def test_nothing_is_chosen_unasked(normals: Path) -> None:
    assert "chosen" not in trained(normals, seeing(STRONG)).card


def test_what_was_chosen_goes_through_the_file_into_words(chosen: Model, tmp_path: Path) -> None:
    chosen.save(tmp_path / "chosen.invdetect")
    told = " ".join(shell("info", tmp_path / "chosen.invdetect").out.split())
    assert "Chosen without brightness (2), of 5 settings: finds " in told
    assert "% of the made lesions in 8 validation scans at" in told and "false findings a scan, as given" in told


def test_a_foreign_card_that_chose_nonsense_is_shown_without_it(chosen: Model, tmp_path: Path) -> None:
    for nonsense in ("yes", {"kept": "x"}, {"kept": "x", "scans": 2, "candidates": ["x", {"name": "x"}]}):
        dataclasses.replace(chosen, card={**chosen.card, "chosen": nonsense}).save(tmp_path / "foreign.invdetect")
        told = shell("info", tmp_path / "foreign.invdetect")
        assert told.status == 0 and "Chosen" not in told.out, told.err


def test_the_shell_chooses_the_same_with_the_same_seed(
    chosen: Model, normals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PRESETS, "seeing", seeing(STRONG, WEAK))
    words = ("--preset", "seeing", "--choose", "--no-rehearsal", "--json", "--device", "cpu")
    done = shell("train", normals, "-o", tmp_path / "a.invdetect", *words)
    assert done.status == 0 and done.json["card"]["chosen"] == chosen.card["chosen"], done.err


# What cannot be


def test_too_few_validation_scans_are_told_before_training(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match=r"chosen on the scans held out to validate, and of these normal scans that is 1; give more normal"):
        trained(pictures(tmp_path / "few", 4), seeing(STRONG, WEAK), choose=True)


def test_a_method_without_views_has_nothing_to_choose(normals: Path, tmp_path: Path) -> None:
    for words in (("--method", "matchgen", "--preset", "quick"), ("--preset", "tiny")):
        done = shell("train", normals, "-o", tmp_path / "a.invdetect", *words, "--choose")
        assert done.status == 2 and "has no views to choose between; train without choosing" in done.err
    assert not list(tmp_path.glob("*.invdetect"))


def test_scans_too_small_for_lesions_leave_the_settings_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    for seed in range(8):  # on the model's grid of 64 pixels, each of them is 2 of the scan: lesions of 4 mm in 12
        values = np.zeros((128, 128), np.float32)
        values[60:72, 60:72] = np.random.default_rng(seed).normal(MEAN, NOISE / 4, (12, 12))
        sitk.WriteImage(sitk.GetImageFromArray(values), str(tmp_path / "small" / f"{seed}.nii.gz"))
    told, settings = Progress(), seeing(STRONG, WEAK)
    settings = dataclasses.replace(
        settings,
        preparation=dataclasses.replace(settings.preparation, foreground="auto"),
        invdetect=dataclasses.replace(settings.invdetect, patches=Patches(size=64, stride=32, min_foreground=0.0)),
    )
    model = trained(tmp_path / "small", settings, choose=True, progress=told)
    assert "chosen" not in model.card and model.settings.invdetect.views.sum == (STRONG, WEAK)
    assert any("Nothing was chosen, and the settings stay as they are" in text for text in told.warnings)
