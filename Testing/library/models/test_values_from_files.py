"""Values in models: whatever stands in a file, it ends in a sound model or in one short sentence, and before anything large is made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

from InvDetectLib.common import InvDetectError, WrongUse
from InvDetectLib.detection import Detector
from InvDetectLib.models import Model, Preparation, Settings, all_presets, choose_settings, read_header
from InvDetectLib.models import model as model_file
from InvDetectLib.training import train
from Testing.support import REPOSITORY
from Testing.support.mutations import frugal, mutants, text_of
from Testing.support.tiny_model import shell

GOLDEN = {method: REPOSITORY / "Testing" / "golden" / f"{method}.invdetect" for method in ("invdetect", "matchgen")}
LONGEST = 1500  # characters of a sentence, paths included


def parts(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Settings, calibration and card of a model as plain values, and its arrays."""
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return json.loads(header["__metadata__"]["json"]), load(content)


def written(path: Path, values: dict[str, Any], arrays: dict[str, np.ndarray]) -> Path:
    """A model file with a right checksum, whatever is in it."""
    text = text_of(values)
    metadata = {"format": "invdetect-model", "version": "1", "json": text, "sha256": model_file._checksum(text, arrays)}
    path.write_bytes(save(arrays, metadata))
    return path


def told(path: Path) -> str:
    """What loading the model says; "" when it can be used."""
    try:
        with frugal(path.name):
            Detector(path, "cpu")
    except InvDetectError as error:
        return str(error)
    return ""


def test_every_preset_may_be_in_a_file() -> None:
    for settings in all_presets().values():
        settings.check()
        assert Settings.from_dict(json.loads(json.dumps(settings.as_dict()))) == settings


@pytest.mark.parametrize("method", GOLDEN)
def test_one_odd_value_in_a_model_is_told_in_one_sentence_or_does_no_harm(method: str, tmp_path: Path) -> None:
    values, arrays = parts(GOLDEN[method])
    assert told(written(tmp_path / "whole.invdetect", values, arrays)) == ""
    refused = 0
    for what, odd in mutants(values, 150, seed=6):
        try:
            said = told(written(tmp_path / "odd.invdetect", odd, arrays))
        except Exception as error:
            raise AssertionError(f"{what} ends in {type(error).__name__}") from error
        assert len(said) < LONGEST and "\n" not in said, what
        refused += bool(said)
    assert refused > 30


@pytest.mark.parametrize("place", [("network", "widths"), ("patches", "size"), ("network", "timesteps"), ("training", "batch")])
def test_settings_of_a_thousand_million_are_refused_before_anything_is_made(place: tuple[str, str], tmp_path: Path) -> None:
    values, arrays = parts(GOLDEN["invdetect"])
    values["settings"]["invdetect"][place[0]][place[1]] = [10**9] if place[1] == "widths" else 10**9
    said = told(written(tmp_path / "large.invdetect", values, arrays))
    assert f"settings.invdetect.{place[0]}.{place[1]} must be between" in said


def test_a_network_that_its_settings_allow_is_not_made_before_its_weights_are_there(tmp_path: Path) -> None:
    values, arrays = parts(GOLDEN["invdetect"])
    values["settings"]["invdetect"]["network"]["widths"] = [4096] * 6
    assert "do not fit its settings" in told(written(tmp_path / "wide.invdetect", values, arrays))


@pytest.mark.parametrize("method", GOLDEN)
def test_a_model_with_one_array_that_is_no_number_or_of_another_shape_does_not_score(method: str, tmp_path: Path) -> None:
    values, arrays = parts(GOLDEN[method])
    weights = [name for name in arrays if name.startswith(("network/", "base/"))]
    for name in (*weights[:2], *(name for name in arrays if name not in weights)):
        array = arrays[name]
        endless = np.full_like(array, 1)
        endless.flat[-1] = np.inf
        for odd in (np.full_like(array, np.nan), endless, array[..., None], array[:0]):
            said = told(written(tmp_path / "odd.invdetect", values, {**arrays, name: odd}))
            assert "get it again" in said and len(said) < LONGEST, (name, odd.shape)
        rest = {other: kept for other, kept in arrays.items() if other != name}
        assert "do not fit its settings" in told(written(tmp_path / "odd.invdetect", values, rest)), name


def test_what_a_file_may_not_ask_for_cannot_be_trained_either(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="settings.preparation.modality must be 0 to 1000 long"):
        choose_settings(modality="x" * 1001)
    with pytest.raises(WrongUse, match="settings.preparation.grid must be between 1 and 4096, not 1000000000"):
        train(tmp_path, settings=Settings(preparation=Preparation(grid=10**9)))
    with pytest.raises(WrongUse, match="seed"):
        train(tmp_path, seed=2**63)


# The list of models


def with_dtype(path: Path, dtype: Any) -> Path:
    """The golden model with another dtype of its first array."""
    content = GOLDEN["invdetect"].read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header[next(name for name in header if name != "__metadata__")]["dtype"] = dtype
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])
    return path


def test_a_bad_file_in_the_models_folder_is_a_row_that_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from InvDetectSlicerLib.models import installed_models

    monkeypatch.setenv("INVDETECT_MODELS", str(tmp_path))
    values, arrays = parts(GOLDEN["invdetect"])
    written(tmp_path / "good.invdetect", values, arrays)
    with_dtype(tmp_path / "list.invdetect", ["F32"])
    values["settings"]["refinement"]["rate"] = 10**400
    written(tmp_path / "large.invdetect", values, arrays)
    for name in ("modality", "intended_use", "licence"):
        values["card"][name] = "x" * 100_000
    values["settings"]["refinement"]["rate"] = 0.01
    written(tmp_path / "long.invdetect", values, arrays)
    done = shell("info", "--models")
    lines = [line for line in done.out.splitlines() if not line.startswith("    ")]
    assert done.status == 0 and all(any(f"  {name}: " in line for line in lines) for name in ("good", "list", "large", "long"))
    assert "its array" in done.out and "rate must be" in done.out and max(map(len, done.out.splitlines())) < 500
    rows = {model.name: model for model in installed_models()}
    assert [bool(rows[name].problem) for name in ("good", "list", "large", "long")] == [False, True, True, False]
    assert max(len(model.title) + len(model.summary) for model in rows.values()) < 500


def test_a_header_whose_array_is_of_no_kind_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvDetectError, match="of a kind that models do not hold"):
        read_header(with_dtype(tmp_path / "bad.invdetect", {"F32": 1}))


def test_what_a_card_tells_beyond_what_is_known_here_is_no_harm(tmp_path: Path) -> None:
    values, arrays = parts(GOLDEN["invdetect"])
    values["card"]["something that a newer InvDetect tells"] = {"deep": [1, 2, {"x": None}]}
    assert told(written(tmp_path / "newer.invdetect", values, arrays)) == ""
    assert Model.load(tmp_path / "newer.invdetect").card["something that a newer InvDetect tells"]
