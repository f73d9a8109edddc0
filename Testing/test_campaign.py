"""The campaign itself: its last line and status, and that what fails is kept and can be tried again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from Testing.campaign import shells
from Testing.campaign.bases import every_base
from Testing.campaign.trying import Failure, Record, Trial, generator, one_sentence
from Testing.support import REPOSITORY

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it watches processes as Linux has them")


def campaign(*words: str) -> subprocess.CompletedProcess[str]:
    known = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run([sys.executable, "-m", "Testing.campaign", *words], cwd=REPOSITORY, env=known, capture_output=True, text=True)


def test_a_few_trials_end_with_a_table_and_what_was_survived(tmp_path: Path) -> None:
    run = campaign("--only", "files", "--counts", "files=7", "--keep", str(tmp_path / "kept"))
    lines = run.stdout.splitlines()
    assert lines[0].split() == ["part", "kind", "tried", "survived", "failed"] and len(lines) == 9
    assert lines[-1] == "campaign kills=0/0 files=7/7 faults=0/0" and run.returncode == 0, run.stdout + run.stderr
    assert not (tmp_path / "kept").exists()


def test_a_failure_is_kept_with_its_files_and_tried_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = Record(3, tmp_path)
    record.add(Trial("files", 0, "a.nii", "it broke off", {"a.nii": b"half a header"}))
    assert record.failed == 1 and record.total("files") == (1, 0) and "it broke off" in capsys.readouterr().out
    kept = tmp_path / "files-3-0.json"
    assert json.loads(kept.read_text())["words"] == "it broke off" and (tmp_path / "files-3-0" / "a.nii").read_bytes() == b"half a header"
    run = campaign("--replay", str(kept))
    assert run.returncode == 0 and run.stdout.splitlines()[-1].split() == ["files", "a.nii", "1", "1", "0"], run.stdout + run.stderr


def test_a_trial_is_the_same_whatever_was_tried_before() -> None:
    first, again = ([base.damaged(generator("files", 1, 40)) for base in every_base()] for _ in range(2))
    assert first == again
    assert first != [base.damaged(generator("files", 2, 40)) for base in every_base()]


@pytest.mark.parametrize("text", ["", "two\nlines", "Traceback (most recent call last)", "broke off with an error that is not known (X)"])
def test_what_is_no_foreseen_sentence_is_a_failure(text: str) -> None:
    with pytest.raises(Failure):
        one_sentence(text)


def test_a_command_that_ends_badly_or_leaves_others_behind_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="status 1 without a word"):
        shells.Ended(1, "", "").check(1)
    with pytest.raises(Failure, match="status -11"):
        shells.Ended(-signal.SIGSEGV, "", "").check(0, 1)
    shells.Ended(2, "", "invdetect: It cannot be; do that.\n").check(0, 2)
    command = shells.Shell(["info", "--presets"], tmp_path, before=lambda: subprocess.Popen(["sleep", "60"]) and None)
    with pytest.raises(Failure, match="outlive it"):
        command.wait()


def test_work_dies_before_the_call_that_was_chosen(tmp_path: Path) -> None:
    def work() -> None:
        for name in "abc":
            os.mkdir(tmp_path / name)

    assert shells.forked(shells.dying(work, 1)) == -signal.SIGKILL and not list(tmp_path.iterdir())
    assert shells.forked(shells.dying(work, 10**6)) == 0 and len(list(tmp_path.iterdir())) == 3
