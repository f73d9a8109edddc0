"""Results that come whole or not at all, judged by processes that are killed for real between two steps."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from InvDetectLib.common import InvDetectError
from InvDetectLib.results import Result
from InvDetectLib.results.publishing import all_or_nothing, fault, recover
from Testing.support.made_results import blob, make_result

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kill -9")


def die(folder: Path, last: int, overwrite: bool) -> bool:
    """Save a result in a process that ends as by kill -9 just before its step `last`; whether it was killed, rather than done before."""
    child = os.fork()
    if not child:
        _save_and_die(folder, last, overwrite)
    status = os.waitpid(child, 0)[1]
    assert status in (0, signal.SIGKILL), status
    for left in folder.rglob(".invdetect-*/owner"):  # as if a second had gone by
        os.utime(left, (time.time() - 60,) * 2)
    return status == signal.SIGKILL


def _save_and_die(folder: Path, last: int, overwrite: bool) -> NoReturn:
    calls = 0

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == last:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **named)

        return call

    os.replace, os.fsync, os.mkdir = (counted(real) for real in (os.replace, os.fsync, os.mkdir))
    try:
        make_result(blob()).refine(scr=False).save(folder, overwrite=overwrite)
    except BaseException:
        os._exit(1)
    os._exit(0)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_first_save_that_is_killed_anywhere_can_be_made_again(tmp_path: Path) -> None:
    whole = names(tmp_path / "whole") if make_result(blob()).save(tmp_path / "whole") else []
    last, killed = 1, True
    while killed:
        folder = tmp_path / str(last)
        folder.mkdir()
        killed = die(folder, last, overwrite=False)
        recover(folder)
        if not (folder / "jane-doe.result.json").exists():
            make_result(blob()).save(folder)
        assert names(folder) == whole and not fault(folder / "jane-doe.result.json", verify=True)
        last += 1
    assert last > 8


def test_an_overwriting_that_is_killed_anywhere_is_completed_or_undone(tmp_path: Path) -> None:
    last, killed, outcomes = 1, True, set()
    while killed:
        folder = tmp_path / str(last)
        make_result(blob()).save(folder)
        before = names(folder)
        killed = die(folder, last, overwrite=True)
        recover(folder)
        assert names(folder) == before
        path = folder / "jane-doe.result.json"
        assert not fault(path, verify=True)
        outcomes.add(Result.load(path).controls.scr)
        last += 1
    assert outcomes == {True, False}


@pytest.mark.parametrize("name", ["jane-doe.mask.png", "jane-doe.mask.seg.nrrd", "jane-doe.findings.csv", "jane-doe.seg.dcm"])
def test_a_file_that_belongs_to_no_result_is_left_unless_overwriting_was_asked_for(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("drawn by hand")
    with pytest.raises(InvDetectError, match=f"{name} exists already, belongs to no result, and is left as it is. Move it, choose another"):
        make_result(blob()).save(tmp_path)
    assert names(tmp_path) == [name] and (tmp_path / name).read_text() == "drawn by hand"
    paths = make_result(blob()).save(tmp_path, overwrite=True)
    assert not fault(paths["result"], verify=True)


def test_a_file_of_ones_own_that_comes_in_the_meantime_is_left(tmp_path: Path) -> None:
    with pytest.raises(InvDetectError, match="belongs to no result"), all_or_nothing(tmp_path, "jane-doe", False) as own:
        (own / "jane-doe.result.json").write_text("{}")
        (tmp_path / "jane-doe.mask.png").write_text("drawn by hand")
    assert names(tmp_path) == ["jane-doe.mask.png"]


def test_nobody_replaces_what_another_run_has_finished_in_the_meantime(tmp_path: Path) -> None:
    with pytest.raises(InvDetectError, match="finished by another run in the meantime"), all_or_nothing(tmp_path, "jane-doe", False) as own:
        (own / "jane-doe.result.json").write_text("{}")
        make_result(blob()).save(tmp_path)
    assert not fault(tmp_path / "jane-doe.result.json", verify=True)


def test_a_folder_in_work_is_left_alone(tmp_path: Path) -> None:
    with all_or_nothing(tmp_path, "x", False) as own:
        os.utime(own / "owner", (0, 0))
        recover(tmp_path)
        (own / "x.result.json").write_text("{}")
    assert names(tmp_path) == ["x.result.json"]


def test_a_list_of_parts_that_leads_elsewhere_is_not_followed(tmp_path: Path) -> None:
    folder, own = tmp_path / "out", tmp_path / "out" / ".invdetect-x"
    own.mkdir(parents=True)
    (tmp_path / "victim.mask.png").write_text("stays")
    (own / "owner").touch()
    os.utime(own / "owner", (0, 0))
    (own / "ready.json").write_text(json.dumps({"name": "../victim", "parts": []}))
    recover(folder)
    assert (tmp_path / "victim.mask.png").exists() and names(folder) == []


@pytest.mark.parametrize("damage", ["cut", "gone", "changed"])
def test_damaged_parts_of_a_result_are_noticed(tmp_path: Path, damage: str) -> None:
    paths = make_result(blob()).save(tmp_path)
    content = bytearray(paths["map"].read_bytes())
    if damage == "gone":
        paths["map"].unlink()
    else:
        content[-1] ^= 1
        paths["map"].write_bytes(content[: 100 if damage == "cut" else None])
    assert bool(fault(paths["result"], verify=False)) == (damage != "changed")
    assert "jane-doe.anomaly.nii.gz" in fault(paths["result"], verify=True)
