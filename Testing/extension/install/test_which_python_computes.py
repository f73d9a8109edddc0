"""What computing needs inside Slicer: told, asked for, installed without touching what Slicer ships, and checked in a child process.

Slicer's own objects (`slicer.packaging`, `slicer.util`, the PyTorch extension, the extensions manager) are stand-ins here.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from InvDetectSlicerLib.install import dependencies, installing, pythons
from InvDetectSlicerLib.install.dependencies import (
    BUNDLED,
    DISTRIBUTED,
    HIGHDICOM,
    MAXFLOW,
    REQUIRED,
    SAFETENSORS,
    SCIKIT_LEARN,
    TORCH,
    Package,
)

from InvDetectLib.common.errors import InvDetectError
from InvDetectLib.worker import selfcheck
from Testing.support import REPOSITORY

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

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


@pytest.fixture
def slicer(monkeypatch: pytest.MonkeyPatch) -> Slicer:
    return Slicer(monkeypatch)


@pytest.fixture(params=["5.10", "5.12"])
def either(request: pytest.FixtureRequest, slicer: Slicer) -> Slicer:
    """Slicer 5.10 and 5.12, with the PyTorch extension."""
    if request.param == "5.12":
        slicer.is_5_12()
    slicer.has_pytorch_extension()
    return slicer


# What is missing, in words


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


# Slicer's own packages stay


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


# Which Python computes, and whether it can


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
