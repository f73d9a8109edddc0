"""Standard streams, broken packages and wrong locales, met by real processes: one sentence each, before the work and not after it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from Testing.support import REPOSITORY
from Testing.support.tiny_model import World, head

COMMAND = " ".join([sys.executable, "-m", "InvDetectLib.shell.cli"])
no_devices = pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither /dev/full nor locales of this kind")


def by_shell(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`invdetect` followed by `line`, as a shell runs it."""
    known = {**os.environ, "PYTHONPATH": str(REPOSITORY), **environment}
    return subprocess.run(f"{COMMAND} {line}", shell=True, cwd=REPOSITORY, env=known, capture_output=True, text=True, timeout=120)


def sentence(run: subprocess.CompletedProcess[str], status: int = 1) -> str:
    """The one line on standard error of a command that failed."""
    assert run.returncode == status and run.stderr.startswith("invdetect: ") and run.stderr.count("\n") == 1, run.stderr
    return run.stderr


# Streams


@no_devices
def test_a_closed_standard_output_is_told_before_anything_is_done(world: World, tmp_path: Path) -> None:
    run = by_shell(f"detect {world.scans} -m {world.model} -o {tmp_path / 'out'} >&-")
    assert "Standard output is closed; open it" in sentence(run) and list(tmp_path.iterdir()) == []


@no_devices
@pytest.mark.parametrize("words", ["info --presets", "info --presets --json", "--help", "info --help"])
def test_a_full_standard_output_is_told(words: str) -> None:
    assert "Standard output cannot be written (No space left on device)" in sentence(by_shell(f"{words} >/dev/full"))


@no_devices
def test_a_full_standard_output_loses_no_result(world: World, tmp_path: Path) -> None:
    run = by_shell(f"detect {world.scans / 'head-1000.nii.gz'} -m {world.model} -o {tmp_path} >/dev/full")
    assert run.returncode == 1 and "what the command makes lies in its files" in run.stderr.splitlines()[-1]
    assert (tmp_path / "head-1000.result.json").exists() and (tmp_path / "findings.csv").exists()


@no_devices
@pytest.mark.parametrize("stream", ["<&- 2>&-", "2>/dev/full"])
def test_other_streams_may_be_closed_or_full(world: World, tmp_path: Path, stream: str) -> None:
    run = by_shell(f"detect {world.scans / 'head-1000.nii.gz'} -m {world.model} -o {tmp_path} {stream}")
    assert run.returncode == 0 and run.stdout.startswith("done ") and "scans 0/1" not in run.stdout
    assert all(b"scoring slices" not in path.read_bytes() for path in tmp_path.iterdir())


NOISY = """
import logging, os, sys, warnings
from InvDetectLib.shell import cli, commands

def info(options):
    with commands._progress() as progress:
        progress.warn("ours")
    warnings.warn("theirs")
    logging.getLogger("somebody").warning("theirs")
    for number in (1, 2):
        os.write(number, b"theirs")
    print("said")
    return 0

commands.info = info
sys.exit(cli.main(["info", "--presets"]))
"""


@no_devices
@pytest.mark.parametrize("most", [6, 8])
def test_too_few_open_files_are_told_and_cost_no_traceback(world: World, tmp_path: Path, most: int) -> None:
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({most}, {most})); from InvDetectLib.shell import cli; "
    words = ["detect", str(world.scans), "-m", str(world.model), "-o", str(tmp_path)]
    load = "import torch, sklearn.svm, InvDetectLib.cohort; "  # needs some itself
    run = subprocess.run(
        [sys.executable, "-c", f"{load}{limited}raise SystemExit(cli.main({words}))"],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert "Too many files are open at once" in sentence(run)


def test_what_libraries_print_for_themselves_stays_out_of_the_terminal() -> None:
    run = subprocess.run([sys.executable, "-c", NOISY], cwd=REPOSITORY, capture_output=True, text=True)
    assert (run.returncode, run.stdout, run.stderr) == (0, "said\n", "warning: ours\n")


def test_a_bug_still_shows_where_it_is() -> None:
    run = subprocess.run([sys.executable, "-c", NOISY.replace("return 0", "1 / 0")], cwd=REPOSITORY, capture_output=True, text=True)
    assert run.returncode == 1 and run.stderr.endswith("ZeroDivisionError: division by zero\n") and "theirs" not in run.stderr


def test_a_cut_file_is_told_in_our_words_alone(world: World, tmp_path: Path) -> None:
    whole = head(tmp_path / "whole.mha").read_bytes()
    (tmp_path / "cut.mha").write_bytes(whole[:-3000])
    run = by_shell(f"detect {tmp_path / 'cut.mha'} -m {world.model} -o {tmp_path / 'out'}")
    assert run.returncode == 1
    assert all(line.startswith(("scans ", f"warning: {tmp_path / 'cut.mha'}: ")) for line in run.stderr.splitlines()), run.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="HOME means nothing there")
def test_a_home_that_cannot_be_written_says_nothing(world: World, tmp_path: Path) -> None:
    scan = world.scans / "head-1000.nii.gz"
    run = by_shell(f"detect {scan} -m {world.model} -o {tmp_path}", HOME="/dev/null/home", XDG_CACHE_HOME="", XDG_CONFIG_HOME="")
    assert run.returncode == 0 and (tmp_path / "head-1000.preview.png").exists()
    assert all(line.startswith(("scans ", "scoring ", "refining ", "trying ")) for line in run.stderr.splitlines()), run.stderr


# Packages


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("ImportError", "info --devices"),
        ("OSError", "detect {0} -m {1} -o {2}/out"),
        ("RuntimeError", "train {0} -o {2}/x.invdetect"),
    ],
)
def test_a_torch_that_cannot_be_imported_is_told(world: World, tmp_path: Path, error: str, words: str) -> None:
    fake = tmp_path / "fake" / "torch"
    fake.mkdir(parents=True)
    (fake / "__init__.py").write_text(f"raise {error}('no torch here')")
    path = os.pathsep.join((str(fake.parent), str(REPOSITORY)))
    run = by_shell(words.format(world.scans, world.model, tmp_path), PYTHONPATH=path)
    assert "The package torch cannot be loaded (no torch here). Install it again: " in sentence(run)
    assert [entry.name for entry in tmp_path.iterdir()] == ["fake"]


@pytest.mark.parametrize(("module", "package"), [("PIL", "pillow"), ("sklearn", "scikit-learn")])
def test_a_broken_package_is_told_by_the_name_that_pip_knows(world: World, tmp_path: Path, module: str, package: str) -> None:
    fake = tmp_path / "fake" / module
    fake.mkdir(parents=True)
    (fake / "__init__.py").write_text("raise ImportError('broken')")
    path = os.pathsep.join((str(fake.parent), str(REPOSITORY)))
    run = by_shell(f"detect {world.scans} -m {world.model} -o {tmp_path}/out", PYTHONPATH=path)
    told = sentence(run)
    assert f"The package {package} cannot be loaded (broken)." in told and told.endswith(f"--force-reinstall {package}\n")


# Locales

ASCII = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


@no_devices
def test_under_a_locale_without_letters_a_name_with_some_is_told_before_the_work(world: World, tmp_path: Path) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    shutil.copy(world.scans / "head-1000.nii.gz", scans / "a.nii.gz")
    shutil.copy(world.scans / "head-1000.nii.gz", scans / "caf\u00e9.nii.gz")
    out = tmp_path / "out"
    for words, status in ((f"detect {scans} -m {world.model} -o {out}", 1), (f"train {scans} -o {tmp_path}/\u00e9.invdetect", 2)):
        told = sentence(by_shell(words, **ASCII), status)
        assert "has no letters beyond ascii" in told and "set LC_ALL=C.UTF-8, or PYTHONUTF8=1, and start again." in told
    assert not out.exists()


@no_devices
def test_a_locale_without_letters_does_no_harm_where_names_have_none(world: World, tmp_path: Path) -> None:
    run = by_shell(f"detect {world.scans / 'head-1000.nii.gz'} -m {world.model} -o {tmp_path}", **ASCII)
    assert run.returncode == 0 and (tmp_path / "head-1000.result.json").exists()


@no_devices
def test_too_little_address_space_is_told_before_libraries_end_without_a_word(world: World, tmp_path: Path) -> None:
    for command in (f"detect {world.scans} -m {world.model} -o {tmp_path / 'out'}", f"train {world.normals} -o {tmp_path / 'm.invdetect'}"):
        line = f"ulimit -v 2000000; {COMMAND} {command}"
        done = subprocess.run(line, shell=True, cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 1 and done.stderr.count("\n") == 1 and "1.9 GiB of address space here (ulimit -v)" in done.stderr
    assert list(tmp_path.iterdir()) == []
