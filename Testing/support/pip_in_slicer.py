"""A stand-in of Slicer for tests of what is installed into it: `slicer.packaging`, `slicer.util`, the PyTorch extension, the manager.

The tests get it by the fixtures of Testing/extension/install/conftest.py.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from InvDetectSlicerLib.install import dependencies, installing
from InvDetectSlicerLib.install.dependencies import REQUIRED, TORCH

SLICER = {"numpy": "2.4.6", "scipy": "1.17.1", "SimpleITK": "2.5.5", "vtk": "9.6.2", "setuptools": "82.0.1", "typing_extensions": "4.15.0"}
COMPLETE = {"scikit-learn": "1.9.1", "safetensors": "0.8.0", "nibabel": "5.4.2", "tifffile": "2026.3.3", "imagecodecs": "2026.3.6"}
COMPLETE |= {"torch": "2.13.0+cpu", "matplotlib": "3.10.0"}
BY_PIP = [package.name for package in REQUIRED if package != TORCH]  # what does not come through the PyTorch extension


class Slicer:
    """A stand-in of Slicer: `installed` is what its Python has, `calls` what was asked of pip, and in which environment.

    answers  name of a package -> what happens when pip is asked for it: lines to print, and an exception when the last is one
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.installed = dict(SLICER)
        self.calls: list[tuple[str, list[str], str]] = []
        self.constraints: list[str] = []
        self.answers: dict[str, list[Any]] = {}
        self.settings: dict[str, Any] = {}
        self.testing, self.cursors, self.extensions, self.server, self.reaches = False, 0, set[str](), True, True
        self.answers_to_slicer: list[bool] = []  # of the user, to questions that Slicer itself asks
        self.restart_agreed, self.restarts = False, 0
        self._monkeypatch = monkeypatch
        manager = SimpleNamespace(
            interactive=True, isExtensionInstalled=self.extensions.__contains__, installExtensionFromServer=self._install_extension
        )
        settings = SimpleNamespace(value=lambda key, default=None: self.settings.get(key, default), setValue=self.settings.__setitem__)
        self.manager = manager
        app = SimpleNamespace(testingEnabled=lambda: self.testing, extensionsManagerModel=lambda: manager, userSettings=lambda: settings)
        slicer = self._module("slicer", app=app, __path__=[])
        slicer.util = self._module(
            "slicer.util",
            pip_install=lambda requirements: self._pip("slicer.util", requirements),
            WaitCursor=self._cursor,
            confirmYesNoDisplay=lambda text: self.restart_agreed,
            restart=self._restart,
            startupEnvironment=lambda: {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
        )
        monkeypatch.setitem(sys.modules, "slicer.packaging", None)  # 5.10
        monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
        monkeypatch.setattr(installing, "installed_version", self.installed.get)
        monkeypatch.setattr(installing, "bundled_versions", lambda: dependencies.bundled_versions(self.installed.get))

    def is_5_12(self) -> None:
        def pip_install(requirements: list[str], constraints: Any = None, requester: str = "", **_: Any) -> None:
            assert type(requirements) is list and requester == "InvDetect"
            self._pip("slicer.packaging", requirements)

        sys.modules["slicer"].packaging = self._module("slicer.packaging", pip_install=pip_install)  # type: ignore[attr-defined]

    def has_pytorch_extension(self) -> None:
        self._module("PyTorchUtils", PyTorchUtilsLogic=lambda: SimpleNamespace(installTorch=self._install_torch))

    def _module(self, name: str, **members: Any) -> ModuleType:
        module = ModuleType(name)
        module.__dict__.update(members)
        self._monkeypatch.setitem(sys.modules, name, module)
        return module

    def _cursor(self) -> Any:
        slicer = self

        class Cursor:
            def __enter__(self) -> None:
                slicer.cursors += 1

            def __exit__(self, *_: Any) -> None:
                slicer.cursors -= 1

        return Cursor()

    def _install_extension(self, name: str, restart: bool) -> bool:
        """As the original: it asks when it is interactive, and a download that fails in the end counts as done."""
        if self.manager.interactive and not self.answers_to_slicer.pop(0):
            return False
        if self.server and self.reaches:
            self.extensions.add(name)
        if restart and (not self.manager.interactive or self.answers_to_slicer.pop(0)):
            self._restart()
        return self.reaches

    def _restart(self) -> None:
        self.restarts += 1

    def _install_torch(self, askConfirmation: bool, torchVersionRequirement: str) -> Any:
        assert askConfirmation is False
        self._pip("PyTorchUtils", ["torch" + torchVersionRequirement, "torchvision"])
        return SimpleNamespace() if "torch" in self.installed else None

    def _pip(self, way: str, arguments: list[str]) -> None:
        constraint = arguments[arguments.index("-c") + 1] if "-c" in arguments else os.environ.get("PIP_CONSTRAINT", "")
        if constraint.startswith("file:"):
            from urllib.request import url2pathname

            constraint = url2pathname(constraint.removeprefix("file:"))
        self.constraints.append(Path(constraint).read_text() if constraint else "")
        self.calls.append((way, arguments, os.environ.get("PIP_CONSTRAINT", "")))
        if way == "slicer.util":
            assert self.cursors == 1
        for name in (re.split("[<>=]", argument)[0] for argument in arguments):
            for line in self.answers.get(name, []):
                if isinstance(line, BaseException):
                    raise line
                if callable(line):
                    return line()
                print(line)
        self.installed.update({name: COMPLETE.get(name, "1.3.2") for name in (re.split("[<>=]", entry)[0] for entry in arguments) if name})
