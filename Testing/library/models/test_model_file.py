"""The `.invdetect` file: what is saved comes back, bit for bit, under a checksum that sees every part of it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors

from InvDetectLib.models import model as model_file
from InvDetectLib.models.model import Model, load_model, read_card, read_header
from InvDetectLib.models.presets import PRESETS
from InvDetectLib.models.settings import Settings
from Testing.support import REPOSITORY
from Testing.support.made_models import CARD, make_model, rewrite, split

# What is saved comes back


def test_a_model_comes_back_bit_for_bit(saved: Path) -> None:
    before, after = make_model(), load_model(saved)
    assert after.settings == before.settings and after.calibration == before.calibration and after.card == before.card
    assert after.name == "brain"
    assert sorted(after.arrays) == sorted(before.arrays)
    for name, array in before.arrays.items():
        back = after.arrays[name]
        assert back.dtype == array.dtype and back.shape == array.shape and back.tobytes() == array.tobytes(), name
        assert back.flags.writeable, name


def test_arrays_of_another_memory_layout_keep_their_values(tmp_path: Path) -> None:
    table = np.arange(12, dtype=np.float64).reshape(3, 4)
    model = make_model()
    model.arrays = {"swapped": table.astype(">f8"), "columns": np.asfortranarray(table), "every_second": table[:, ::2]}
    model.save(tmp_path / "layout.invdetect")
    back = load_model(tmp_path / "layout.invdetect").arrays
    assert np.array_equal(back["swapped"], table) and np.array_equal(back["columns"], table)
    assert np.array_equal(back["every_second"], [[0, 2], [4, 6], [8, 10]])


def test_equal_models_are_equal_files(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.invdetect" for number in range(8)]
    for path in paths:
        make_model().save(path)
    assert len({path.read_bytes() for path in paths}) == 1


def test_settings_keep_those_of_their_own_method_only() -> None:
    for method, other in (("invdetect", "matchgen"), ("matchgen", "invdetect")):
        settings = dataclasses.replace(PRESETS["standard"], method=method)
        values = json.loads(json.dumps(settings.as_dict()))
        assert method in values and other not in values and values == settings.as_dict()
        again = Settings.from_dict(values)
        assert getattr(again, method) == getattr(settings, method) and again.training == getattr(settings, method).training


# What stands in the file


def test_any_reader_of_safetensors_can_open_the_file(saved: Path) -> None:
    with safetensors.safe_open(str(saved), framework="np") as file:
        assert set(file.keys()) == set(make_model().arrays) and file.metadata()["format"] == "invdetect-model"
        assert file.get_tensor("network/order").tolist() == [-7, 7]


def test_the_header_is_what_the_format_says(saved: Path) -> None:
    metadata = split(saved)[0]["__metadata__"]
    assert metadata["format"] == "invdetect-model" and metadata["version"] == "1"
    text = json.loads(metadata["json"])
    assert sorted(text) == ["calibration", "card", "settings"] and text["card"] == CARD
    assert metadata["sha256"] == load_model(saved).checksum == make_model().checksum


def test_a_card_is_read_without_numpy_safetensors_or_torch(saved: Path) -> None:
    code = (
        "import sys\n"
        "for name in ('numpy', 'safetensors', 'torch'): sys.modules[name] = None\n"
        "from InvDetectLib.models.model import read_card\n"
        f"assert read_card({str(saved)!r})['tau'] == 6.6"
    )
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True)


def test_the_header_gives_settings_calibration_card_and_checksum_though_the_arrays_are_wrong(saved: Path) -> None:
    content = bytearray(saved.read_bytes())
    content[-1] ^= 1
    saved.write_bytes(content)
    model = make_model()
    assert read_header(saved) == {
        "settings": json.loads(json.dumps(model.settings.as_dict())),
        "calibration": model.calibration,
        "card": CARD,
        "checksum": model.checksum,
    }
    assert read_card(saved) == CARD


# The checksum


def test_the_checksum_is_of_the_json_and_then_of_each_array_by_name() -> None:
    model = Model(PRESETS["quick"], {"b": np.array([1, 2], np.uint8), "a": np.array(True)}, {}, {})
    text = json.dumps({"calibration": {}, "card": {}, "settings": model.settings.as_dict()}, sort_keys=True, separators=(",", ":"))
    by_hand = hashlib.sha256(text.encode() + b'["a", "bool", []]\x01' + b'["b", "uint8", [2]]\x01\x02').hexdigest()
    assert model.checksum == by_hand


@pytest.mark.parametrize("part", ["settings", "array", "array name", "dtype", "shape", "calibration", "card"])
def test_the_checksum_sees_every_part(part: str) -> None:
    model = make_model()
    if part == "settings":
        model.settings = PRESETS["quick"]
    elif part == "array":
        model.arrays["network/weight"][0, 0, 0] += 1e-3
    elif part == "array name":
        model.arrays["network/other"] = model.arrays.pop("network/weight")
    elif part == "dtype":
        model.arrays["network/order"] = model.arrays["network/order"].view(np.float32)
    elif part == "shape":
        model.arrays["network/weight"] = model.arrays["network/weight"].reshape(5, 4, 3)
    elif part == "calibration":
        model.calibration["contiguity"] = 0.25
    else:
        model.card["modality"] = "CT"
    assert model.checksum != make_model().checksum


def test_the_checksum_knows_neither_name_nor_order_nor_tuples(saved: Path) -> None:
    model = make_model()
    model.name = "another"
    model.arrays = dict(reversed(model.arrays.items()))
    model.card = dict(reversed(model.card.items()))
    model.calibration["peaks"] = tuple(model.calibration["peaks"])
    assert model.checksum == load_model(saved).checksum


def test_a_file_from_before_a_setting_existed_loads_with_the_default_and_keeps_its_checksum(saved: Path, tmp_path: Path) -> None:
    metadata = split(saved)[0]["__metadata__"]
    text = json.loads(metadata["json"])
    del text["settings"]["refinement"]["rate"]
    older = json.dumps(text, sort_keys=True, separators=(",", ":"))
    checksum = model_file._checksum(older, make_model().arrays)
    rewrite(saved, json=older, sha256=checksum)
    model = load_model(saved)
    assert model.settings.refinement.rate == 0.01 and model.checksum == checksum
    model.save(tmp_path / "again.invdetect")
    assert load_model(tmp_path / "again.invdetect").checksum == checksum
    model.settings = dataclasses.replace(model.settings, method="other")
    assert model.checksum != checksum
