"""Values in results: a changed byte, a bomb or an odd number ends in one sentence, before anything is inflated or computed."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from InvDetectLib.common import InvDetectError, WrongUse
from InvDetectLib.results import Result
from InvDetectLib.results.table import read_findings
from Testing.support import REPOSITORY
from Testing.support.made_results import make_result
from Testing.support.mutations import frugal, mutants, text_of

GOLDEN = REPOSITORY / "Testing" / "golden" / "result-invdetect"


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """The NAME.result.json of a copy of the golden result."""
    for kind in ("result.json", "refine.npz"):
        shutil.copy(GOLDEN / f"scan.{kind}", tmp_path)
    return tmp_path / "scan.result.json"


def with_arrays(path: Path, content: bytes) -> Path:
    """The same result with another refine.npz, which it says is its own."""
    values = json.loads(path.read_text())
    values["arrays"]["sha256"] = hashlib.sha256(content).hexdigest()
    path.write_text(text_of(values))
    path.with_name("scan.refine.npz").write_bytes(content)
    return path


def npz(path: Path, **changes: np.ndarray) -> bytes:
    """The arrays of the result with some exchanged, packed."""
    with np.load(path.with_name("scan.refine.npz")) as packed:
        arrays = {name: packed[name] for name in packed}
    file = io.BytesIO()
    np.savez_compressed(file, **{**arrays, **changes})  # type: ignore[arg-type]
    return file.getvalue()


def test_one_odd_value_in_a_result_is_told_in_one_sentence_or_does_no_harm(stored: Path) -> None:
    values = json.loads(stored.read_text())
    whole = Result.load(stored)
    refused = 0
    for what, odd in mutants(values, 250, seed=6):
        stored.write_text(text_of(odd))
        try:
            with frugal(what):
                read_findings(stored)
                result = Result.load(stored, whole.anomaly_map, whole.mask)
                result.refine(threshold=result.controls.threshold, scr=False)
        except InvDetectError as error:
            assert len(str(error)) < 1500 and "\n" not in str(error), what
            refused += 1
        except Exception as error:
            raise AssertionError(f"{what} ends in {type(error).__name__}: {error}") from error
    assert refused > 80


def test_a_finding_outside_of_its_scan_is_told(stored: Path) -> None:
    values = json.loads(stored.read_text())
    values["findings"][0]["peak_index"] = [0, 10_000, 0]
    stored.write_text(json.dumps(values))
    with pytest.raises(InvDetectError, match="The finding 1 lies outside of its scan"):
        Result.load(stored)


def test_a_file_that_would_inflate_to_gigabytes_is_refused_by_its_directory(stored: Path) -> None:
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as packed:
        with np.load(stored.with_name("scan.refine.npz")) as arrays:
            for name in arrays:
                with packed.open(f"{name}.npy", "w", force_zip64=True) as file:
                    if name != "map":
                        np.lib.format.write_array(file, arrays[name])
                        continue
                    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (1000, 500, 200)})
                    for _ in range(100):
                        file.write(bytes(4_000_000))
    with frugal("a bomb of 400 MB", megabytes=100.0), pytest.raises(InvDetectError, match=r"map would take 400000\d+ bytes"):
        Result.load(with_arrays(stored, bomb.getvalue()))


def test_a_header_that_says_more_than_there_is_allocates_nothing(stored: Path) -> None:
    content = bytearray(npz(stored))
    with np.load(stored.with_name("scan.refine.npz")) as arrays:
        header = {"descr": "<f4", "fortran_order": False, "shape": (10**6, 10**4)}
        file = io.BytesIO()
        np.lib.format.write_array_header_1_0(file, header)
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for name in arrays:
                inside = io.BytesIO()
                np.save(inside, arrays[name])
                archive.writestr(f"{name}.npy", file.getvalue() + bytes(arrays["map"].nbytes) if name == "map" else inside.getvalue())
    with frugal("a header"), pytest.raises(InvDetectError, match="where float32"):
        Result.load(with_arrays(stored, packed.getvalue()))
    assert Result.load(with_arrays(stored, bytes(content))).findings


@pytest.mark.parametrize("flag", [1, 0x40])
def test_arrays_that_are_encrypted_are_told(stored: Path, flag: int) -> None:
    content = bytearray(npz(stored))
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.find(mark)
        while at >= 0:
            content[at + place] |= flag
            at = content.find(mark, at + 1)
    with pytest.raises(InvDetectError, match="does not hold what a result needs"):
        Result.load(with_arrays(stored, bytes(content)))


def test_a_byte_changed_anywhere_in_the_arrays_is_told(stored: Path) -> None:
    whole, rng = npz(stored), np.random.default_rng(6)
    for place in rng.integers(len(whole), size=150):
        content = bytearray(whole)
        content[place] ^= int(rng.integers(1, 256))
        try:
            Result.load(with_arrays(stored, bytes(content)))
        except InvDetectError as error:
            assert len(str(error)) < 1500


@pytest.mark.parametrize(
    ("name", "value"),
    [("edges_down", -1.0), ("map", np.nan), ("map", np.inf), ("edges_right", np.nan)],
)
def test_arrays_that_cannot_be_cut_are_told(stored: Path, name: str, value: float) -> None:
    with np.load(stored.with_name("scan.refine.npz")) as packed:
        values = packed[name]
    values.flat[0] = value
    with pytest.raises(InvDetectError, match="the file is damaged"):
        Result.load(with_arrays(stored, npz(stored, **{name: values})))


@pytest.mark.parametrize(
    "wish", [{"threshold": 1e39}, {"threshold": -1e39}, {"threshold": 10**400}, {"contiguity": 1e39}, {"contiguity": 10**400}]
)
def test_a_threshold_beyond_every_map_is_no_operating_point(wish: dict[str, Any]) -> None:
    with pytest.raises(WrongUse, match="must be a number"):
        make_result().refine(**wish)
