"""Saving a result whole or not at all: older files, failures half-way, folders that cannot be written, and a full disk."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from InvDetectLib.common.errors import InvDetectError
from InvDetectLib.results import result as results
from InvDetectLib.results.publishing import all_or_nothing
from InvDetectLib.results.result import Result
from Testing.support import REPOSITORY
from Testing.support.made_results import blob, make_result, noise


def test_existing_files_are_left_alone_unless_overwriting_was_asked_for(tmp_path: Path) -> None:
    first = make_result(blob())
    first.save(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(InvDetectError, match=r"jane-doe\.result\.json exists already.*--overwrite"):
        first.refine(scr=False).save(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    first.refine(scr=False).save(tmp_path, overwrite=True)
    assert not Result.load(tmp_path / "jane-doe.result.json").controls.scr


def test_overwriting_removes_a_preview_that_is_not_drawn_anew(tmp_path: Path) -> None:
    drawn = make_result(blob(), background=np.zeros((4, 8, 8), np.float32)).save(tmp_path)
    assert drawn["preview"].exists()
    paths = Result.load(drawn["result"]).save(tmp_path, overwrite=True)
    assert "preview" not in paths and not drawn["preview"].exists()


def test_a_failure_while_moving_brings_the_older_files_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = make_result(blob())
    first.save(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    real = results.result_files.os.replace

    def failing(source: Path, target: Path) -> None:
        if Path(source).parent.name.startswith(".invdetect-") and str(target).endswith(".refine.npz"):
            raise PermissionError(13, "in use by another program")
        real(source, target)

    monkeypatch.setattr(results.result_files.os, "replace", failing)
    with pytest.raises(InvDetectError, match="in use by another program"):
        first.refine(scr=False).save(tmp_path, overwrite=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_an_interrupted_block_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), all_or_nothing(tmp_path, "x", False) as private:
        (private / "x.result.json").write_text("{}")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvDetectError, match=r"file: .*not a folder"):
        make_result(blob()).save(tmp_path / "file")
    with pytest.raises(InvDetectError, match=r"below: .*Not a directory"):
        make_result(blob()).save(tmp_path / "file" / "below")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that not even the administrator can write to")
def test_a_read_only_folder_is_named_with_the_reason() -> None:
    with pytest.raises(InvDetectError, match=r"^/proc/none: .*cannot be written"):
        make_result(blob()).save("/proc/none")


FULL_DISK = """
import sys
from pathlib import Path
from resource import RLIMIT_FSIZE, getrlimit, setrlimit
from Testing.support.made_results import SAME, make_result, noise
from InvDetectLib.common import InvDetectError
from InvDetectLib.results.files import write_map
result, folder = make_result(**noise((4, 8, 8))), Path(sys.argv[1])
for limit in map(int, sys.argv[2:]):
    setrlimit(RLIMIT_FSIZE, (limit, getrlimit(RLIMIT_FSIZE)[1]))
    try:
        result.save(folder, overwrite=True)
    except InvDetectError as error:
        print(error, sorted(path.name for path in folder.iterdir()), sep="|")
try:
    write_map(folder.parent / "alone.nii.gz", result.anomaly_map, SAME)
except OSError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a limit on the size of files stands for the full disk")
def test_a_full_disk_leaves_the_older_result_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "out"
    sizes = sorted(path.stat().st_size for path in make_result(**noise((4, 8, 8))).save(tmp_path / "whole").values())
    make_result(blob()).save(out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    limits = [sizes[-1] - 1, sizes[-2] - 1, sizes[0] - 1, 0, 500]
    command = [sys.executable, "-c", FULL_DISK, str(out), *map(str, limits)]
    lines = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(lines) == len(limits) + 1
    for line in lines[:-1]:
        message, names = line.split("|")
        assert message.startswith(f"{out}: the result cannot be written there (") and "full" in message or "large" in message
        assert names == str(sorted(before))
    assert "incomplete" in lines[-1]  # the map alone at 500 bytes: a file that ITK takes for whole
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
