"""Folders for work in hand: nobody else's, and gone with it, however it ends."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from InvDetectLib.common import PREFIX, private_folder


def aged(path: Path) -> Path:
    """Make a folder as a killed process left it a while ago."""
    path.mkdir()
    (path / "owner").touch()
    (path / "image.dcm").write_text("of a patient")
    for part in (path / "owner", path):
        os.utime(part, (0, 0))
    return path


def test_a_private_folder_can_be_read_by_its_owner_alone_and_goes_with_the_block(tmp_path: Path) -> None:
    with pytest.raises(KeyError), private_folder(tmp_path / "new" / "place") as private:
        (private / "image.dcm").write_text("of a patient")
        assert private.parent == tmp_path / "new" / "place"
        assert os.name == "nt" or stat.S_IMODE(private.stat().st_mode) == 0o700
        raise KeyError
    assert list((tmp_path / "new" / "place").iterdir()) == []


def test_what_killed_processes_left_goes_and_what_others_work_in_stays(tmp_path: Path) -> None:
    left, other, alike = aged(tmp_path / f"{PREFIX}left"), aged(tmp_path / "results"), tmp_path / f"{PREFIX}link"
    if os.name != "nt":
        alike.symlink_to(other)
    with private_folder(tmp_path) as first:
        os.utime(first / "owner", (0, 0))
        with private_folder(tmp_path):
            assert first.exists() and not left.exists()
    assert (other / "image.dcm").exists()
