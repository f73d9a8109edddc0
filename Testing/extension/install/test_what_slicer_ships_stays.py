"""What is installed for computing leaves alone what Slicer ships: constraints hold every package of it at its version."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from InvDetectSlicerLib.install import dependencies, installing
from InvDetectSlicerLib.install.dependencies import BUNDLED, DISTRIBUTED, HIGHDICOM, MAXFLOW, REQUIRED, SAFETENSORS, TORCH, Package

from InvDetectLib.common.errors import InvDetectError
from Testing.support.pip_in_slicer import SLICER, Slicer


@pytest.mark.parametrize("name", BUNDLED)
def test_nothing_that_slicer_ships_is_ever_asked_for(name: str) -> None:
    assert name not in {package.name for package in (*REQUIRED, MAXFLOW)}
    for spelled in (name, name.upper(), name.replace("_", "-")):
        with pytest.raises(ValueError, match="must never be asked for"):
            dependencies.pip_arguments([Package(spelled, "1", "", "", "")], "constraints.txt")


@pytest.mark.parametrize("packages", [REQUIRED, [MAXFLOW], [HIGHDICOM, DISTRIBUTED]], ids=["needed", "maxflow", "optional"])
def test_each_way_to_install_holds_all_that_slicer_ships_at_its_version(either: Slicer, packages: Any) -> None:
    installing.install(packages)
    assert {way for way, *_ in either.calls} - {"PyTorchUtils"} in ({"slicer.util"}, {"slicer.packaging"})
    for (way, arguments, _), constraints in zip(either.calls, either.constraints):
        assert set(constraints.split()) == {f"{name}=={version}" for name, version in SLICER.items()}, way
        names = {re.split("[<>=]", argument)[0].lower() for argument in arguments}
        assert not names & {name.lower() for name in BUNDLED} and "--upgrade" not in names and "-u" not in names
        assert all(">=" in argument and "==" not in argument for argument in arguments if argument.startswith(("torch>", "scikit", "safe")))
    assert {name: either.installed[name] for name in SLICER} == SLICER and "PIP_CONSTRAINT" not in os.environ


def test_torch_comes_through_the_pytorch_extension_with_a_floor(either: Slicer) -> None:
    installing.install(REQUIRED)
    assert [arguments for way, arguments, _ in either.calls if way == "PyTorchUtils"] == [["torch>=2.2", "torchvision"]]
    first = either.calls[0][1]
    assert first[:-2] == [package.requirement for package in REQUIRED if package != TORCH] and first[-2] == "-c"


def test_a_constraint_of_the_user_s_own_is_put_back(either: Slicer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_CONSTRAINT", "mine.txt")
    installing.install([TORCH])
    assert "%20" not in either.calls[0][2] and either.calls[0][2].startswith("file:") and os.environ["PIP_CONSTRAINT"] == "mine.txt"


def test_a_temporary_folder_with_spaces_does_not_break_the_constraints(
    either: Slicer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tempfile

    spaced = tmp_path / "Jörg's Temp"
    spaced.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(spaced))
    installing.install(REQUIRED)
    assert " " not in either.calls[1][2] and all("numpy==2.4.6" in text for text in either.constraints) and not list(spaced.iterdir())


def test_a_replaced_package_of_slicer_s_is_noticed(either: Slicer) -> None:
    either.answers["torch"] = [lambda: either.installed.update(numpy="1.26.4", torch="2.2.2")]
    with pytest.raises(InvDetectError, match="numpy from 2.4.6 to 1.26.4"):
        installing.install(REQUIRED)


def test_pip_itself_takes_the_arguments_and_leaves_what_is_there(tmp_path: Path) -> None:
    """The real pip, without a network: a package that would replace Slicer's numpy is refused by the constraints."""
    def wheel(name: str, version: str, needs: str = "") -> None:
        import zipfile

        with zipfile.ZipFile(tmp_path / f"{name}-{version}-py3-none-any.whl", "w") as file:
            info = f"{name}-{version}.dist-info"
            requires = f"Requires-Dist: {needs}\n" if needs else ""
            file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}")
            file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            file.writestr(f"{info}/RECORD", "")

    def pip(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", *arguments]
        plain = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
        environment = {**plain, "PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        return subprocess.run(command, capture_output=True, text=True, env=environment)

    wheel("numpy", "1.26.4")
    wheel("numpy", "2.4.6")
    wheel("safetensors", "0.9", "numpy<2")
    wheel("safetensors", "0.8", "numpy>=1.21")
    constraints = tmp_path / "own packages.txt"
    constraints.write_text("\n".join(dependencies.constraint_lines({"numpy": "2.4.6"})))
    chosen = pip(*dependencies.pip_arguments([SAFETENSORS], str(constraints), str(tmp_path)))
    assert "Would install numpy-2.4.6 safetensors-0.8" in chosen.stdout, chosen.stderr
    (tmp_path / "safetensors-0.8-py3-none-any.whl").unlink()
    refused = pip(*dependencies.pip_arguments([SAFETENSORS], str(constraints), str(tmp_path)))
    assert refused.returncode != 0 and "numpy==2.4.6" in refused.stdout + refused.stderr
