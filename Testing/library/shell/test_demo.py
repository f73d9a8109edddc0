"""The demo's folder: what an earlier demo left is replaced, and whatever is somebody's own is never touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from InvDetectLib.common import InvDetectError
from InvDetectLib.shell import demo
from Testing.support.tiny_model import shell


def test_a_demo_into_a_file_is_refused_and_leaves_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    run = shell("demo", "-o", tmp_path / "file")
    assert run.status == 1 and "demo cannot be written" in run.err and (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("mine", ["notes.txt", "normals", "normals/case01.nii.gz", "scans/old/head-1000.nii.gz", "results/why.png"])
def test_a_demo_into_a_folder_with_files_of_ones_own_is_refused_and_leaves_them(tmp_path: Path, mine: str) -> None:
    (tmp_path / mine).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / mine).write_text("mine")
    run = shell("demo", "-o", tmp_path)
    named = tmp_path / mine.removesuffix("/head-1000.nii.gz")
    assert run.status == 1 and f"{named} is not the demo's" in run.err and (tmp_path / mine).read_text() == "mine"


def test_what_an_earlier_demo_left_is_replaced_also_when_it_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = ("normals/head-0000.nii.gz", "scans/head-1000.nii.gz", "results/findings.csv", "results/head-1000.mask.seg.nrrd")
    for name in (*whole, "phantoms.invdetect", ".invdetect-x", "results/.invdetect-y"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("older")

    def stop(*_: object, **__: object) -> None:
        raise InvDetectError("That is far enough.")

    monkeypatch.setattr(demo, "write_phantoms", stop)
    run = shell("demo", "-o", tmp_path)
    assert run.status == 1 and "far enough" in run.err and not [name for name in whole if (tmp_path / name).exists()]
