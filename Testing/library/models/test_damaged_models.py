"""Model files that are damaged, foreign or newer: each is told in one sentence, and never by another exception."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from InvDetectLib.common.errors import InvDetectError
from InvDetectLib.models import model as model_file
from InvDetectLib.models.model import check_whole, load_model
from Testing.support.made_models import join, make_model, rewrite, split


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


@pytest.mark.parametrize("how", ["shared", "axes without end", "long axes"])
def test_a_small_file_cannot_keep_the_machine_busy(saved: Path, how: str) -> None:
    header, rest = split(saved)
    if how == "shared":  # fifty thousand times the same bytes
        header = {"__metadata__": header["__metadata__"]}
        header |= {f"a{k}": {"dtype": "U8", "shape": [10**7], "data_offsets": [0, 10**7]} for k in range(50_000)}
        rest = bytes(10**7)
    else:
        header["network/weight"]["shape"] = [2**62] * 300_000 if how == "axes without end" else [10**4000] * 1500
    join(saved, header, rest)
    for read in (check_whole, load_model):
        with pytest.raises(InvDetectError, match="arrays do not fit"):
            read(saved)


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
