"""Which Python computes, and whether it can: it is checked in a child process, which is ended where it does not answer."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from InvDetectSlicerLib.install import pythons

from InvDetectLib.common.errors import InvDetectError
from InvDetectLib.worker import selfcheck
from Testing.support import REPOSITORY
from Testing.support.pip_in_slicer import Slicer


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Any]:
    """Makes a program that stands for a Python, from a shell script."""

    def make(text: str, name: str = "Mein Python ü") -> str:
        path = tmp_path / name
        path.write_text("#!/bin/sh\n" + textwrap.dedent(text))
        path.chmod(0o755)
        return str(path)

    yield make


def test_this_python_computes(slicer: Slicer) -> None:
    report = pythons.Check(sys.executable, pythons.environment()).wait()
    assert report.usable and "cpu" in report.devices and {"python", "torch", "numpy", "scikit-learn", "safetensors"} <= set(report.versions)
    assert report.text.startswith(f"Python {report.versions['python']} with torch ")


def test_the_check_converts_an_array_there_and_back(monkeypatch: pytest.MonkeyPatch) -> None:
    from InvDetectLib import computing

    monkeypatch.setattr(computing, "to_tensor", lambda array: (_ for _ in ()).throw(RuntimeError("Numpy is not available")))
    report = selfcheck.selfcheck()
    assert not report["usable"] and re.search(r"torch \S+ does not work with numpy \S+: Numpy is not available\.$", report["problem"])


def test_a_python_that_lacks_packages_is_told_with_the_remedy(slicer: Slicer, script: Any) -> None:
    bare = script(f'exec "{sys.executable}" -S "$@"')
    report = pythons.Check(bare, pythons.environment()).wait()
    assert not report.usable and "torch (No module named 'torch')" in report.text
    assert f'"{bare}" -m pip install ' in report.text and '"torch>=2.2"' in report.text


def test_an_old_package_counts_as_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    import safetensors

    monkeypatch.setattr(safetensors, "__version__", "0.3.9")
    report = selfcheck.selfcheck()
    assert report["missing"] == ["safetensors"] and "0.4 is the oldest that works" in report["problem"]


@pytest.mark.parametrize("text", ["exit 3", "echo hello; echo this is a web browser", "echo '@invdetect {broken'", "echo '@invdetect []'"])
def test_a_program_that_is_no_python_is_told(slicer: Slicer, script: Any, text: str) -> None:
    report = pythons.Check(script(text), pythons.environment()).wait()
    assert not report.usable and "is not a Python that InvDetect can use" in report.text and "\n" not in report.text


def test_a_path_that_cannot_be_started_is_told(slicer: Slicer, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("no program")
    for path in (tmp_path / "gone", tmp_path / "text.txt", tmp_path, "a\0b"):
        report = pythons.Check(str(path), {}).wait()
        assert not report.usable and "cannot be started" in report.text


def test_a_program_that_never_ends_is_ended_with_its_children(slicer: Slicer, script: Any, tmp_path: Path) -> None:
    mark = tmp_path / "child"
    check = pythons.Check(script(f'sleep 60 & echo $! > "{mark}"; wait'), pythons.environment(), patience=0.5)
    assert check.poll() is None
    assert "did not answer in time" in check.wait().text
    child = int(mark.read_text())
    for _ in range(100):
        if not alive(child):
            break
        time.sleep(0.02)
    assert not alive(child)
    check.cancel()  # after the end it does nothing


def alive(pid: int) -> bool:
    try:
        return not re.search(r"^State:\s+Z", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    except OSError:
        return False


def test_the_child_gets_the_startup_environment_and_not_slicer_s(slicer: Slicer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHOME", "/slicer/lib/Python")
    found = pythons.environment()
    assert "PYTHONHOME" not in found and found["PYTHONIOENCODING"] == "utf-8" and found["PATH"] == os.environ["PATH"]


def test_slicer_s_python_computes_until_another_is_chosen(slicer: Slicer, script: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    launcher = script("exit", "PythonSlicer")
    monkeypatch.setenv("PATH", str(Path(launcher).parent))
    assert pythons.computing_python() == launcher
    other = script("exit", "other")
    pythons.choose_python(other)
    assert pythons.computing_python() == pythons.chosen_python() == other
    os.unlink(other)
    with pytest.raises(InvDetectError, match="is not there any more"):
        pythons.computing_python()
    pythons.choose_python("")
    assert pythons.computing_python() == launcher


def test_the_self_check_runs_by_its_path_from_a_folder_with_blanks(tmp_path: Path) -> None:
    """As in the installed extension: no install, another working folder, and files of common names beside it."""
    import shutil

    tree = tmp_path / "Programme ü" / "qt-scripted-modules"
    shutil.copytree(REPOSITORY / "InvDetectLib", tree / "InvDetectLib", ignore=shutil.ignore_patterns("__pycache__"))
    (tree / "InvDetectLib" / "worker" / "safetensors.py").write_text("raise SystemExit('a file of the package was taken for a package')")
    command = [sys.executable, str(tree / "InvDetectLib" / "worker" / "selfcheck.py")]
    run = subprocess.run(command, cwd=tree / "InvDetectLib", capture_output=True, text=True)
    assert run.returncode == 0 and run.stdout.startswith("@invdetect {"), run.stdout + run.stderr
