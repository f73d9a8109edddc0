"""Results that a stranger made so that they harm: each is refused at once, or what it says stays out of paths."""

from __future__ import annotations

import gzip
import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from InvDetectLib.common import InvDetectError
from InvDetectLib.results import Result, fault, read_findings, write_table
from Testing.support.made_results import blob, make_result

PARTS = {"result": "jane-doe.result.json", "refine": "jane-doe.refine.npz", "pseudo_normal": "jane-doe.pseudo-normal.nii.gz"}


def saved(folder: Path, **entries: Any) -> Path:
    """The result.json of a saved result, in which these entries are others."""
    path = make_result(blob()).save(folder)["result"]
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))
    return path


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in folders here")
@pytest.mark.parametrize("kind", PARTS)
@pytest.mark.parametrize("way", ["pipe", "device"])
def test_what_is_no_file_is_not_waited_for(kind: str, way: str, tmp_path: Path) -> None:
    path = saved(tmp_path)
    part = tmp_path / PARTS[kind]
    part.unlink(missing_ok=True)
    os.mkfifo(part) if way == "pipe" else os.symlink("/dev/zero", part)
    with pytest.raises(InvDetectError, match=f"{part.name} cannot be read.*no regular file"):
        Result.load(path)
    told: list[str] = []
    write_table(tmp_path / "findings.csv", {}, told.append)
    assert len(told) == (kind == "result")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in folders here")
def test_a_pipe_among_the_parts_of_a_result_is_a_fault(tmp_path: Path) -> None:
    path = saved(tmp_path, parts={"refine": {"bytes": 0, "sha256": "0"}})
    (tmp_path / PARTS["refine"]).unlink()
    os.mkfifo(tmp_path / PARTS["refine"])
    assert fault(path, verify=True) == "jane-doe.refine.npz is no regular file"


def test_what_a_result_says_of_its_parts_is_told_shortly_and_on_one_line(tmp_path: Path) -> None:
    words = fault(saved(tmp_path, parts={"refine": {"bytes": "\x1b[2J\n" * 1000}}), verify=False)
    assert words.isprintable() and len(words) < 300


def test_a_small_pseudo_normal_file_that_becomes_a_large_one_is_not_read(tmp_path: Path) -> None:
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, 20_000, 20_000, 20_000, 1, 1, 1, 1)
    struct.pack_into("<2h", header, 70, 16, 32)
    struct.pack_into("<8f", header, 76, *[1.0] * 8)
    struct.pack_into("<f", header, 108, 352.0)
    header[344:348] = b"n+1\0"
    path = saved(tmp_path)
    (tmp_path / PARTS["pseudo_normal"]).write_bytes(gzip.compress(bytes(header) + bytes(1 << 20)))
    with pytest.raises(InvDetectError, match=r"pseudo-normal\.nii\.gz cannot be read: it is said to have .* of voxels"):
        Result.load(path)


def test_a_scan_that_no_machine_holds_is_refused_before_its_bits_are_unpacked(tmp_path: Path) -> None:
    told = json.loads(saved(tmp_path).read_text())
    columns = 2**31 - 1
    geometry = told["geometry"] | {"shape": [4, 8, columns]}
    path = saved(tmp_path / "large", geometry=geometry, findings=[], preparation=told["preparation"] | {"grid": 8, "spacing_mm": None})
    facts = json.loads(path.read_text())
    with pytest.raises(InvDetectError) as caught:
        Result.load(path)
    grid = np.array([int(n) for n in str(caught.value).partition("makes them (")[2].partition(")")[0].split(",")])
    facts["arrays"]["grid_shape"] = grid.tolist()
    path.write_text(json.dumps(facts))
    with pytest.raises(InvDetectError, match=f"said to be of a scan of .*{columns}.* more than can be computed with here"):
        Result.load(path)


@pytest.mark.parametrize("ending", ["/x", "/../../x", "\\x", "c:", ".", "\n", "\x1b[2J", "\0"])
def test_the_ending_of_a_scan_that_a_result_tells_is_no_path(ending: str, tmp_path: Path) -> None:
    provenance = json.loads(saved(tmp_path).read_text())["provenance"]
    path = saved(tmp_path / "more", provenance=provenance | {"ending": ending})
    assert read_findings(path).ending == ""
    write_table(tmp_path / "more" / "findings.csv", {}, pytest.fail)
    assert "jane-doe," in (tmp_path / "more" / "findings.csv").read_text()
