"""Results that cannot be loaded: damaged, foreign, newer or mixed up with another's, each told in a sentence."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from InvDetectLib.common.errors import InvDetectError
from InvDetectLib.results.result import Result
from Testing.support.made_results import SAME, blob, make_result


def damage(path: Path, **entries: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))


def rewrite_arrays(folder: Path, **changes: Any) -> None:
    """The arrays changed, with a checksum that fits: what a hostile file would look like."""
    npz, result = folder / "jane-doe.refine.npz", folder / "jane-doe.result.json"
    with np.load(npz) as packed:
        arrays = {name: packed[name] for name in packed.files}
    packed_again = io.BytesIO()
    np.savez_compressed(packed_again, **{name: value for name, value in {**arrays, **changes}.items() if value is not None})
    npz.write_bytes(packed_again.getvalue())
    damage(result, arrays={"sha256": hashlib.sha256(npz.read_bytes()).hexdigest(), "grid_shape": [4, 8, 8]})


DAMAGES = {
    "no such file": (lambda d: (d / "jane-doe.result.json").unlink(), "cannot be read"),
    "half a file": (
        lambda d: (d / "jane-doe.result.json").write_text((d / "jane-doe.result.json").read_text()[:300]),
        "damaged or no result",
    ),
    "binary": (lambda d: (d / "jane-doe.result.json").write_bytes(b"\xff\xfe\x00"), "damaged or no result"),
    "foreign": (lambda d: (d / "jane-doe.result.json").write_text('{"format": "other"}'), "no result of InvDetect"),
    "a list": (lambda d: (d / "jane-doe.result.json").write_text("[]"), "no result of InvDetect"),
    "newer": (lambda d: damage(d / "jane-doe.result.json", version=2), "version 2.*Update"),
    "no geometry": (lambda d: damage(d / "jane-doe.result.json", geometry={}), "damaged"),
    "another geometry": (lambda d: damage(d / "jane-doe.result.json", geometry=replace(SAME, shape=(5, 8, 8)).as_dict()), "damaged"),
    "strange preparation": (lambda d: damage(d / "jane-doe.result.json", preparation={"tilt": 3}), "tilt"),
    "strange calibration": (lambda d: damage(d / "jane-doe.result.json", calibration=[1]), "damaged"),
    "strange controls": (lambda d: damage(d / "jane-doe.result.json", controls={"contiguity": "x"}), "damaged"),
    "no arrays": (lambda d: (d / "jane-doe.refine.npz").unlink(), "refine.npz cannot be read.*beside"),
    "half the arrays": (
        lambda d: (d / "jane-doe.refine.npz").write_bytes((d / "jane-doe.refine.npz").read_bytes()[:500]),
        "refine.npz is damaged",
    ),
    "another result's arrays": (lambda d: shutil.copy(d / "other.refine.npz", d / "jane-doe.refine.npz"), "belongs to another result"),
    "arrays of another shape": (lambda d: rewrite_arrays(d, map=np.zeros((4, 8, 9), np.float32)), r"map is float32 \(4, 8, 9\)"),
    "arrays of another type": (lambda d: rewrite_arrays(d, map=np.zeros((4, 8, 8))), "map is float64"),
    "an array missing": (lambda d: rewrite_arrays(d, scored=None), "does not hold"),
    "NaN in the map": (lambda d: rewrite_arrays(d, map=np.full((4, 8, 8), np.nan, np.float32)), "finite"),
    "something that runs": (lambda d: rewrite_arrays(d, map=np.array([print], object)), "does not hold"),
}


@pytest.mark.parametrize("case", DAMAGES)
def test_a_damaged_result_is_told_in_a_sentence(case: str, tmp_path: Path) -> None:
    make_result(blob()).save(tmp_path)
    make_result(blob(value=2.0), name="other").save(tmp_path)
    harm, message = DAMAGES[case]
    harm(tmp_path)
    with pytest.raises(InvDetectError, match=message) as caught:
        Result.load(tmp_path / "jane-doe.result.json")
    assert str(tmp_path) in str(caught.value)


def test_only_a_result_file_can_be_loaded(tmp_path: Path) -> None:
    with pytest.raises(InvDetectError, match=r"NAME\.result\.json"):
        Result.load(tmp_path)
