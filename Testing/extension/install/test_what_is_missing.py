"""What computing needs inside Slicer and what of it is missing, told in words before anything is asked for or loaded."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from InvDetectSlicerLib.install import dependencies
from InvDetectSlicerLib.install.dependencies import DISTRIBUTED, HIGHDICOM, MAXFLOW, REQUIRED, SAFETENSORS

from InvDetectLib.worker import selfcheck
from Testing.support import REPOSITORY
from Testing.support.pip_in_slicer import BY_PIP, COMPLETE, SLICER

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def test_an_empty_slicer_is_told_what_it_lacks() -> None:
    state = dependencies.state(SLICER.get)
    assert not state.ready and state.missing == REQUIRED
    assert state.text == f"Before the first run InvDetect has to install {', '.join(BY_PIP)} and torch. You will be asked first."


def test_a_complete_slicer_is_ready() -> None:
    state = dependencies.state({**SLICER, **COMPLETE}.get)
    assert state.ready and not state.missing
    assert state.text == "Ready: " + ", ".join(f"{package.name} {COMPLETE[package.name]}" for package in REQUIRED) + "."


@pytest.mark.parametrize(("torch", "fits"), [("2.2.2", True), ("2.15.0+cu130", True), ("2.1.2", False), ("1.13.1", False), ("10.0", True)])
def test_a_torch_that_is_too_old_counts_as_missing(torch: str, fits: bool) -> None:
    state = dependencies.state({**COMPLETE, "torch": torch}.get)
    assert state.ready == fits and (f"(torch {torch} is too old)" in state.text) != fits


def test_a_chosen_python_is_named() -> None:
    assert dependencies.state({}.get, "/opt/py/bin/python").text.endswith("/opt/py/bin/python")


def test_the_state_is_told_without_loading_anything() -> None:
    code = "import sys; from InvDetectSlicerLib.install import dependencies, installing, pythons; dependencies.state(); print(*sys.modules)"
    environment = {"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'InvDetect'}"}
    loaded = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True).stdout.split()
    assert "InvDetectSlicerLib.install.installing" in loaded
    assert not {"torch", "sklearn", "safetensors", "numpy", "scipy", "SimpleITK", "slicer", "PyTorchUtils"} & set(loaded)


def test_the_question_says_what_why_how_large_and_which_licence() -> None:
    text = dependencies.question(REQUIRED, extension_missing=True)
    for package in REQUIRED:
        assert f"{package.name}: {package.purpose}; {package.download}, licence {package.licence}" in text
    assert "Slicer has to restart" in text and "restart" not in dependencies.question(REQUIRED) and "PyMaxflow" not in text
    assert "restart" not in dependencies.question([SAFETENSORS], extension_missing=True)


def test_the_gpl_package_is_asked_for_by_itself_with_its_licence() -> None:
    assert MAXFLOW not in REQUIRED and not {package.name for package in REQUIRED if "GPL" in package.licence}
    text = dependencies.maxflow_question()
    assert "GNU General Public License" in text and "does not need it" in text and "PyMaxflow" in text


def test_the_floors_are_those_of_the_project() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    wanted = {f"{name}>={floor}" for name, (_, floor) in selfcheck.NEEDED.items()}
    floors = {entry.split(",")[0] for entry in project["dependencies"]}  # without single versions that are left out
    assert wanted < floors and project["optional-dependencies"]["maxflow"] == [MAXFLOW.requirement]
    for package, extra in ((HIGHDICOM, "dicom"), (DISTRIBUTED, "cluster")):
        assert package.requirement in project["optional-dependencies"][extra] and package not in REQUIRED
    assert floors - wanted == {"matplotlib>=3.8", "rich>=13"}  # which computing does without
    assert {package.requirement for package in REQUIRED} < wanted | {"matplotlib>=3.8"}
    oldest, newest = selfcheck.PYTHONS
    assert project["requires-python"] == f">={oldest[0]}.{oldest[1]},<{newest[0]}.{newest[1] + 1}"


# Computing needs no more than is asked for


def test_training_and_detecting_need_no_more_than_is_asked_for(tmp_path: Path) -> None:
    """In a process where matplotlib, rich, PyMaxflow and whatever else tests have cannot be imported."""
    code = f"""
        import sys
        for name in ("matplotlib", "rich", "maxflow", "pandas", "psutil"):
            sys.modules[name] = None
        sys.path[:0] = [{str(REPOSITORY)!r}, {str(REPOSITORY / "Testing")!r}]
        from pathlib import Path
        import InvDetectLib as invdetect
        from Testing.support.tiny_model import SIZE, TINY
        from InvDetectLib.scans.phantoms import write_phantoms
        folder = Path({str(tmp_path)!r})
        write_phantoms(folder / "normals", 5, size=SIZE)
        (scan,) = write_phantoms(folder / "scans", 1, 99, SIZE, lesions=1)
        invdetect.train(folder / "normals", settings=TINY, rehearse=False).save(folder / "tiny.invdetect")
        result = invdetect.detect(scan, model=folder / "tiny.invdetect")
        result.save(folder / "out")
        print("mask", result.refine(contiguity=2.0).mask.shape)
    """
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True)
    assert run.returncode == 0 and run.stdout.splitlines()[-1] == "mask (3, 64, 64)", run.stderr
    assert (tmp_path / "out" / "head-0099.result.json").exists()
