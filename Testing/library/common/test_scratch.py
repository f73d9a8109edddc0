"""Files for work in hand: they go with whoever made them, however that ends."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from InvDetectLib.common import InvDetectError, scratch
from Testing.support import REPOSITORY

KILLED = """
import os, signal, sys
from pathlib import Path
from InvDetectLib.common import scratch

with scratch(Path(sys.argv[1]), "slices", 0) as file:
    os.write(file.file, b"half")
    if sys.argv[2] == "hidden":
        file.hide()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def killed(folder: Path, how: str) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(folder), how], cwd=REPOSITORY, timeout=60, check=False)
    assert done.returncode == -9


def test_it_is_there_for_the_block_alone(tmp_path: Path) -> None:
    with scratch(tmp_path / "new", "slices", 0) as file:
        assert list((tmp_path / "new").iterdir()) == [file.path]
    assert list((tmp_path / "new").iterdir()) == []


def test_a_hidden_one_goes_on_without_a_name_and_is_not_left_by_a_kill(tmp_path: Path) -> None:
    with scratch(tmp_path, "slices", 0) as file:
        file.hide()
        assert list(tmp_path.iterdir()) == []
        with open(file.file, "r+b", closefd=False) as stream:
            stream.write(b"whole")
            stream.seek(0)
            assert stream.read() == b"whole"
    killed(tmp_path, "hidden")
    assert list(tmp_path.iterdir()) == []


def test_what_a_kill_left_goes_when_the_next_one_is_made_and_what_is_in_use_stays(tmp_path: Path) -> None:
    killed(tmp_path, "named")
    assert len(list(tmp_path.iterdir())) == 1
    time.sleep(1.1)  # what is younger may be in the making
    with scratch(tmp_path, "slices", 0) as first, scratch(tmp_path, "slices", 0) as second:
        assert set(tmp_path.iterdir()) == {first.path, second.path}


def test_a_disk_too_small_is_told_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(InvDetectError, match=r"The slices need 1e\+09 GB in .* are free there; make room") as told:
        with scratch(tmp_path, "slices", 10**18):
            pytest.fail("there is no such disk")
    assert str(tmp_path) in str(told.value) and list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvDetectError, match="The slices cannot be written to .*file"), scratch(tmp_path / "file", "slices", 0):
        pytest.fail("a file is no folder")
