"""Packages come by pip, torch through Slicer's PyTorch extension, or all of them from a folder; what fails is told in one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from InvDetectSlicerLib.install import dependencies, installing
from InvDetectSlicerLib.install.dependencies import REQUIRED, SAFETENSORS, SCIKIT_LEARN, TORCH

from InvDetectLib.common.errors import InvDetectError
from Testing.support.pip_in_slicer import BY_PIP, Slicer

# Failures: one sentence, and everything usable again


def test_a_failed_pip_is_told_in_one_sentence_with_its_error(either: Slicer, capsys: pytest.CaptureFixture[str]) -> None:
    either.answers["scikit-learn"] = [
        "Collecting scikit-learn",
        "WARNING: Retrying",
        "ERROR: No matching distribution found for scikit-learn>=1.4",
        "ERROR: ResolutionImpossible: for help visit a page",
        "[notice] A new release of pip is available",
        subprocess.CalledProcessError(1, "pip"),
    ]
    with pytest.raises(InvDetectError) as caught:
        installing.install(REQUIRED)
    text = str(caught.value)
    names = f"{', '.join(BY_PIP[:-1])} and {BY_PIP[-1]}"
    assert text.startswith(f"{names} could not be installed: No matching distribution found for scikit-learn>=1.4. ")
    assert "\n" not in text and "install from a folder" in text and "Traceback" not in text
    assert "Collecting scikit-learn" in capsys.readouterr().out  # Slicer's console sees everything
    assert len(either.calls) == 1 and either.cursors == 0 and sys.stdout is not None
    either.answers.clear()
    installing.install(REQUIRED)  # a second try works


def test_an_aborted_install_is_told_with_the_last_line(either: Slicer) -> None:
    either.answers["torch"] = ["Downloading torch-2.13.0 (180 MB)", subprocess.CalledProcessError(-15, "pip")]
    with pytest.raises(InvDetectError, match=r"^torch could not be installed: Downloading torch-2.13.0 \(180 MB\)\. Check"):
        installing.install(REQUIRED)
    assert "PIP_CONSTRAINT" not in os.environ and either.installed["scikit-learn"] == "1.9.1"


def test_an_install_that_says_nothing_is_told_by_its_error(either: Slicer) -> None:
    either.answers["torch"] = [RuntimeError("PythonSlicer executable not found")]
    with pytest.raises(InvDetectError, match="torch could not be installed: PythonSlicer executable not found. Check"):
        installing.install([TORCH])


def test_a_declined_torch_is_told(either: Slicer) -> None:
    either.answers["torch"] = [lambda: None]
    with pytest.raises(InvDetectError, match="was declined"):
        installing.install([TORCH])


def test_a_success_that_left_nothing_is_not_believed(either: Slicer) -> None:
    either.answers["scikit-learn"] = [lambda: None]
    with pytest.raises(InvDetectError, match="scikit-learn, safetensors cannot be found"):
        installing.install([SCIKIT_LEARN, SAFETENSORS])


def test_nothing_is_installed_while_slicer_tests_itself(either: Slicer) -> None:
    either.testing = True
    with pytest.raises(InvDetectError, match="without --testing"):
        installing.install(REQUIRED)
    assert not either.calls


def test_nothing_is_installed_while_something_is_being_installed(either: Slicer) -> None:
    said: list[str] = []

    def second() -> None:
        with pytest.raises(InvDetectError) as caught:
            installing.install([TORCH])
        said.append(str(caught.value))

    either.answers["scikit-learn"] = [second]
    with pytest.raises(InvDetectError, match="cannot be found"):
        installing.install([SCIKIT_LEARN])
    assert "already" in said[0] and len(either.calls) == 1
    either.answers.clear()
    installing.install([SCIKIT_LEARN])  # and afterwards again


# The PyTorch extension


def test_without_the_extension_the_rest_is_installed_and_the_extension_asked_for(slicer: Slicer) -> None:
    assert not installing.pytorch_extension_found()
    with pytest.raises(installing.ExtensionNeeded, match="PyTorch extension"):
        installing.install(REQUIRED)
    assert {"scikit-learn", "safetensors"} <= set(slicer.installed) and "torch" not in slicer.installed


def test_the_extension_is_installed_without_a_second_question_and_without_a_restart(slicer: Slicer) -> None:
    installing.install_pytorch_extension()
    assert slicer.extensions == {"PyTorch"} and slicer.manager.interactive and not slicer.restarts
    with pytest.raises(InvDetectError, match="restart Slicer"):
        installing.install_pytorch_extension()


@pytest.mark.parametrize("broken", ["reaches", "server"], ids=["no network", "failed download"])
def test_an_extension_that_cannot_be_had_is_told(slicer: Slicer, broken: str) -> None:
    setattr(slicer, broken, False)
    with pytest.raises(InvDetectError, match="Extensions Manager"):
        installing.install_with_extension(REQUIRED)
    assert slicer.manager.interactive and not slicer.restarts


def test_a_restart_is_asked_for_and_what_follows_is_told(slicer: Slicer) -> None:
    assert "but not torch" in installing.install_with_extension(REQUIRED) and not slicer.restarts
    slicer.extensions.clear()
    slicer.restart_agreed = True
    assert "Slicer restarts" in installing.install_with_extension([TORCH]) and slicer.restarts == 1
    slicer.has_pytorch_extension()
    assert installing.install_with_extension(REQUIRED) == "Installed."


# Without a network


def test_from_a_folder_all_comes_by_pip_and_nothing_from_the_network(either: Slicer, tmp_path: Path) -> None:
    installing.install(REQUIRED, folder=str(tmp_path))
    ((_, arguments, _),) = either.calls
    assert arguments[:3] == ["--no-index", "--find-links", str(tmp_path)] and "torch>=2.2" in arguments and "-c" in arguments


def test_a_folder_that_is_not_there_is_told(either: Slicer, tmp_path: Path) -> None:
    with pytest.raises(InvDetectError, match="There is no folder"):
        installing.install(REQUIRED, folder=str(tmp_path / "gone"))
    assert not either.calls


def test_the_offline_hint_names_everything() -> None:
    hint = dependencies.offline_hint()
    assert all(f'"{package.requirement}"' in hint for package in REQUIRED)
    assert "Install from folder" in hint and f"python{sys.version_info[0]}.{sys.version_info[1]} -m pip download" in hint
