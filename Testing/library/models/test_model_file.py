"""The `.invdetect` file: what is saved comes back, and what is broken is told in one sentence."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors

from InvDetectLib.common.errors import InvDetectError, WrongUse
from InvDetectLib.models import model as model_file
from InvDetectLib.models.model import Model, load_model, output_path, read_card, read_header
from InvDetectLib.models.presets import PRESETS
from InvDetectLib.models.settings import Settings
from Testing.support import REPOSITORY

CARD = {"modality": "MRI T1", "trained_on": {"scans": 3, "digests": ["ab", "cd"]}, "tau": 6.6, "rebuilds_images": False, "note": "Größe ✓"}


def make_model() -> Model:
    arrays = {
        "network/weight": np.random.default_rng(1).standard_normal((3, 4, 5)).astype(np.float32),
        "normality/rho": np.array(0.1 + 0.2),
        "normality/half": np.array([1.5, -0.0, 65504], np.float16),
        "normality/strange": np.array([np.nan, np.inf, 5e-324]),
        "intensity/table": np.arange(6, dtype=np.uint8).reshape(2, 3),
        "intensity/used": np.array([True, False]),
        "network/steps": np.array([2**62], np.int64),
        "network/order": np.array([-7, 7], np.int32),
        "network/none": np.zeros((0, 3), np.float32),
    }
    return Model(PRESETS["standard"], arrays, {"contiguity": 0.5, "peaks": [1.0, 0.1 + 0.2]}, dict(CARD))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "brain.invdetect"
    make_model().save(path)
    return path


def split(path: Path) -> tuple[dict, bytes]:
    """The header and the bytes of the arrays, read as the safetensors format says and not by our code."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def join(path: Path, header: object, rest: bytes) -> None:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + rest)


def rewrite(path: Path, **metadata: str) -> None:
    header, rest = split(path)
    header["__metadata__"].update(metadata)
    join(path, header, rest)


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


# What is broken is told in one sentence


def break_file(path: Path, how: str) -> None:
    header, rest = split(path)
    weight = header["network/weight"]
    metadata = header["__metadata__"]
    if how == "text":
        path.write_text("This is not a model, whatever its name says.")
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "five bytes":
        path.write_bytes(b"\x02\0\0\0\0")
    elif how == "header of 2^60 bytes":
        path.write_bytes((2**60).to_bytes(8, "little") + b"{}")
    elif how == "cut in the header":
        path.write_bytes(path.read_bytes()[:200])
    elif how == "cut in the arrays":
        path.write_bytes(path.read_bytes()[:-3])
    elif how == "added to":
        path.write_bytes(path.read_bytes() + b"more")
    elif how == "flipped bit":
        path.write_bytes(path.read_bytes()[:-1] + bytes([rest[-1] ^ 1]))
    elif how == "changed card":
        rewrite(path, json=metadata["json"].replace("MRI T1", "MRI T2"))
    elif how == "foreign":
        del header["__metadata__"]
        join(path, header, rest)
    elif how == "foreign format":
        rewrite(path, format="pt")
    elif how == "newer":
        rewrite(path, version="2")
    elif how == "version in words":
        rewrite(path, version="new")
    elif how == "no checksum":
        del metadata["sha256"]
        join(path, header, rest)
    elif how == "wrong checksum":
        rewrite(path, sha256="0" * 64)
    elif how == "header a list":
        join(path, [1, 2], rest)
    elif how == "header no json":
        join(path, b"{'format': 1}", rest)
    elif how == "header not text":
        join(path, b"\xff\xfe{}", rest)
    elif how == "nested without end":
        join(path, b'{"a":' + b"[" * 200_000, rest)
    elif how == "number without end":
        join(path, b'{"a":' + b"9" * 200_000 + b"}", rest)
    elif how == "card nested without end":
        rewrite(path, json='{"card":' + "[" * 200_000)
    elif how == "card a list":
        rewrite(path, json='{"settings": {}, "calibration": {}, "card": []}')
    elif how == "card not a number":
        rewrite(path, json=metadata["json"].replace("6.6", "NaN"))
    elif how == "dtype":
        weight["dtype"] = "BF16"
        join(path, header, rest)
    elif how == "entry a text":
        header["network/weight"] = "pickle"
        join(path, header, rest)
    elif how == "offsets in words":
        weight["data_offsets"] = ["a", "b"]
        join(path, header, rest)
    elif how == "offsets overlap":
        weight["data_offsets"] = [0, 240]
        join(path, header, rest)
    elif how == "shape too large":
        weight["shape"] = [2**40, 2**40]
        join(path, header, rest)
    elif how == "shape negative":
        weight["shape"] = [-3, -4, 5]
        join(path, header, rest)
    else:
        raise AssertionError(how)


DAMAGES = {
    "text": "does not begin like one",
    "empty": "does not begin like one",
    "five bytes": "does not begin like one",
    "header of 2^60 bytes": "does not begin like one",
    "cut in the header": "cut short",
    "cut in the arrays": "cut short",
    "added to": "added to",
    "flipped bit": "checksum",
    "changed card": "checksum",
    "foreign": "something else",
    "foreign format": "something else",
    "newer": "newer InvDetect",
    "version in words": "version is not a number",
    "no checksum": "checksum is missing",
    "wrong checksum": "checksum",
    "header a list": "not a table",
    "header no json": "header cannot be read",
    "header not text": "header cannot be read",
    "nested without end": "header cannot be read",
    "number without end": "header cannot be read",
    "card nested without end": "header cannot be read",
    "card a list": "card are missing",
    "card not a number": "header cannot be read",
    "dtype": "'network/weight' is of a kind",
    "entry a text": "'network/weight' is of a kind",
    "offsets in words": "'network/weight' is not told",
    "offsets overlap": "arrays do not fit",
    "shape too large": "arrays do not fit",
    "shape negative": "arrays do not fit",
}


@pytest.mark.parametrize("how", DAMAGES)
def test_a_broken_file_is_one_clear_error(saved: Path, how: str) -> None:
    break_file(saved, how)
    with pytest.raises(InvDetectError) as caught:
        load_model(saved)
    text = str(caught.value)
    assert str(saved) in text and DAMAGES[how] in text and len(text) < 500 and "\n" not in text


def test_settings_of_a_newer_invdetect_are_told_with_the_file(saved: Path) -> None:
    text = json.loads(split(saved)[0]["__metadata__"]["json"])
    text["settings"]["telepathy"] = True
    newer = json.dumps(text)
    rewrite(saved, json=newer, sha256=model_file._checksum(newer, make_model().arrays))
    with pytest.raises(InvDetectError, match=r"brain\.invdetect.*telepathy.*Update InvDetect"):
        load_model(saved)


def test_any_single_wrong_byte_is_an_error_and_never_another_exception(saved: Path) -> None:
    content = saved.read_bytes()
    generator = np.random.default_rng(0)
    for place in [*range(24), *generator.integers(24, len(content), 200)]:
        broken = bytearray(content)
        broken[place] ^= 1 << int(generator.integers(8))
        saved.write_bytes(broken)
        with pytest.raises(InvDetectError):
            load_model(saved)


# Saving is all or nothing


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(saved: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    old = saved.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, full)
    model = make_model()
    model.card["modality"] = "CT"
    with pytest.raises(InvDetectError, match=r"brain\.invdetect: No space left on device\. Choose a folder"):
        model.save(saved)
    assert saved.read_bytes() == old and os.listdir(saved.parent) == ["brain.invdetect"]


def test_a_stop_while_writing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", stop)
    with pytest.raises(KeyboardInterrupt):
        make_model().save(tmp_path / "brain.invdetect")
    assert os.listdir(tmp_path) == []


def test_a_place_that_cannot_be_is_an_error(saved: Path) -> None:
    with pytest.raises(InvDetectError, match="cannot be written"):
        make_model().save(saved / "below" / "a-file.invdetect")


def test_saving_makes_the_folder_and_replaces_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "new" / "deep" / "brain.invdetect"
    model = make_model()
    model.save(target)
    model.card["modality"] = "CT"
    model.save(target)
    assert read_card(target)["modality"] == "CT" and os.listdir(target.parent) == ["brain.invdetect"]


def test_a_saved_model_can_be_read_by_those_who_may_read_files_made_here(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    assert saved.stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("name", ["brain", "brain.safetensors", "brain.invdetect.gz"])
def test_a_model_with_another_ending_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(WrongUse, match="must end in .invdetect"):
        make_model().save(tmp_path / name)
    assert os.listdir(tmp_path) == []


def test_a_folder_is_no_place_for_a_model(tmp_path: Path) -> None:
    (tmp_path / "brain.invdetect").mkdir()
    with pytest.raises(WrongUse, match="is a folder"):
        output_path(tmp_path / "brain.invdetect")


@pytest.mark.parametrize("array", [np.array(["text"]), np.array([{}], object), np.array([1j])], ids=["text", "object", "complex"])
def test_an_array_that_a_model_cannot_hold_is_a_bug_told_by_name(tmp_path: Path, array: np.ndarray) -> None:
    model = make_model()
    model.arrays["network/odd"] = array
    with pytest.raises(ValueError, match="network/odd"):
        model.save(tmp_path / "brain.invdetect")
    assert os.listdir(tmp_path) == []


def test_what_could_not_be_read_back_is_not_written(tmp_path: Path) -> None:
    model = make_model()
    model.card["losses"] = [float("nan")]
    with pytest.raises(ValueError):
        model.save(tmp_path / "brain.invdetect")
    model.card["losses"] = [0.123456789] * 1_000_000
    with pytest.raises(ValueError, match="too large"):
        model.save(tmp_path / "brain.invdetect")
    assert os.listdir(tmp_path) == []


def test_settings_keep_those_of_their_own_method_only() -> None:
    for method, other in (("invdetect", "matchgen"), ("matchgen", "invdetect")):
        settings = dataclasses.replace(PRESETS["standard"], method=method)
        values = json.loads(json.dumps(settings.as_dict()))
        assert method in values and other not in values
        again = Settings.from_dict(values)
        assert getattr(again, method) == getattr(settings, method) and again.training == getattr(settings, method).training
