"""The extension as a package: file lists, descriptions, icons, and what CMake builds and installs of it.

Slicer's own CMake macros are stand-ins here (`slicer_cmake/`).
"""

from __future__ import annotations

import io
import json
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from Testing.support.described import metadata, run

REPOSITORY = Path(__file__).resolve().parents[1]
MODULES = REPOSITORY / "InvDetect"
STAND_INS = REPOSITORY / "Testing" / "support" / "slicer_cmake"
LISTS = {"": "CMakeLists.txt", "InvDetectLib": "InvDetectLib/CMakeLists.txt", "InvDetect": "InvDetect/CMakeLists.txt"}
INSTALLED = Path("lib/Slicer-5.12/qt-scripted-modules")
ICONS = ("Resources/InvDetect.png", "InvDetect/Resources/Icons/InvDetect.png", "InvDetect/Resources/Icons/InvDetectTraining.png")


def lists(folder: str) -> dict[str, list[str]]:
    """The lists that a folder's CMakeLists.txt sets, by name."""
    text = re.sub(r"#.*", "", (REPOSITORY / LISTS[folder]).read_text())
    return {name: body.split() for name, body in re.findall(r"set\((\w+_(?:SCRIPTS|RESOURCES))\s([^)]*)\)", text)}


def tree(folder: Path, pattern: str, base: str | Path = Path()) -> list[str]:
    """Files below a folder, relative to it, with `base` before them."""
    found = [path for path in folder.rglob(pattern) if path.is_file() and "__pycache__" not in path.parts]
    return sorted((Path(base) / path.relative_to(folder)).as_posix() for path in found)


# File lists


@pytest.mark.parametrize("folder", LISTS)
def test_lists_are_written_out_sorted_and_without_repetition(folder: str) -> None:
    assert "GLOB" not in (REPOSITORY / LISTS[folder]).read_text().upper()
    for name, files in lists(folder).items():
        packages = [file for file in files if "/" in file]
        assert len(set(files)) == len(files) and packages == sorted(packages), name


def test_cmake_lists_every_file_of_the_library() -> None:
    assert sorted(lists("InvDetectLib")["InvDetectLib_SCRIPTS"]) == tree(REPOSITORY / "InvDetectLib", "*.py")
    assert not [name for name in tree(REPOSITORY / "InvDetectLib", "*.*") if not name.endswith((".py", "CMakeLists.txt"))]


def test_cmake_lists_every_file_of_the_modules() -> None:
    found = lists("InvDetect")
    assert sorted(found["InvDetect_SCRIPTS"] + found["InvDetectTraining_SCRIPTS"]) == tree(MODULES, "*.py")
    assert sorted(found["InvDetect_RESOURCES"] + found["InvDetectTraining_RESOURCES"]) == tree(MODULES / "Resources", "*", base="Resources")


def test_cmake_lists_every_shared_resource() -> None:
    for_the_web = ("Resources/Docs/", "Resources/Pictures/", "Resources/Screenshots/")
    shared = [name for name in tree(REPOSITORY / "Resources", "*", base="Resources") if not name.startswith(for_the_web)]
    assert sorted(lists("")["InvDetect_SHARED_RESOURCES"]) == [name for name in shared if name != ICONS[0]]


def test_slicer_takes_no_helper_for_a_module() -> None:
    """Slicer loads every Python file beside a module as a module of its own."""
    assert sorted(path.name for path in MODULES.glob("*.py")) == ["InvDetect.py", "InvDetectTraining.py"]
    assert (MODULES / "InvDetectSlicerLib" / "__init__.py").is_file()


def test_resources_of_the_modules_are_named_after_them() -> None:
    """All modules' resources end up in one folder."""
    names = [Path(name).name for key in ("InvDetect_RESOURCES", "InvDetectTraining_RESOURCES") for name in lists("InvDetect")[key]]
    assert names and all(name.startswith("InvDetect") for name in names)


# Descriptions


def catalogue() -> dict[str, Any]:
    return json.loads((REPOSITORY / "InvDetect.json").read_text())


def description() -> dict[str, str]:
    lines = (REPOSITORY / "InvDetect.s4ext").read_text().splitlines()
    return dict(line.split(" ", 1) for line in lines if line and not line.startswith("#"))


def test_the_descriptions_agree() -> None:
    cmake, entry, s4ext = metadata(), catalogue(), description()
    same = set(s4ext) & set(cmake)
    assert {name: s4ext[name] for name in same} == {name: cmake[name] for name in same}
    assert set(s4ext) - same == {"scm", "scmurl", "scmrevision"} and set(cmake) - same == {"readme_file", "license_file"}
    assert entry["category"] == cmake["category"] and entry["build_dependencies"] == cmake["depends"].split()
    assert str(entry["tier"]) == cmake["tier"] and entry["build_subdirectory"] == cmake["build_subdirectory"]
    assert int(entry["enabled"]) == int(cmake["enabled"])
    assert (entry["scm_url"], entry["scm_revision"]) == (s4ext["scmurl"], s4ext["scmrevision"])


def test_the_catalogue_entry_follows_its_schema() -> None:
    entry = catalogue()
    kinds = {"$schema": str, "category": str, "scm_url": str, "scm_revision": str, "scm_type": str}
    kinds |= {"build_dependencies": list, "build_subdirectory": str, "enabled": bool, "tier": int}
    assert {"$schema", "category", "scm_url"} <= set(entry) <= set(kinds)
    assert all(type(value) is kinds[name] for name, value in entry.items()) and entry["tier"] in (1, 3, 5)
    assert re.search(r"/slicer-extension-catalog-entry-schema-v1\.0\.\d\.json#$", entry["$schema"])
    assert entry["category"] in ("Segmentation", "Analysis", "Neuroimaging", "Quantification", "Pipelines")
    assert b"\r" not in (REPOSITORY / "InvDetect.json").read_bytes()


def test_the_index_of_extensions_can_read_the_metadata() -> None:
    text = (REPOSITORY / "CMakeLists.txt").read_text()
    assert re.search(r"^project\(InvDetect\)$", text, re.MULTILINE)
    for name in ("ICONURL", "SCREENSHOTURLS"):
        (urls,) = re.findall(rf'^set\(EXTENSION_{name} "([^"]+)"\)$', text, re.MULTILINE)
        for url in urls.split():
            place = re.fullmatch(re.escape(metadata()["homepage"].replace("github.com", "raw.githubusercontent.com")) + r"/main/(.+)", url)
            assert place and (REPOSITORY / place[1]).is_file(), url
    homepage = metadata()["homepage"]
    assert homepage.rpartition("/")[2] == "SlicerInvDetect" and catalogue()["scm_url"] == homepage + ".git"
    assert (REPOSITORY / "LICENSE").is_file() and (REPOSITORY / "README.md").is_file()


@pytest.mark.parametrize("name", ICONS)
def test_icons_are_of_the_size_that_slicer_wants(name: str) -> None:
    content = (REPOSITORY / name).read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n" and struct.unpack(">II", content[16:24]) == (128, 128)
    assert content[25] == 6  # colour with transparency, for light and dark windows


def test_icons_are_what_their_program_draws() -> None:
    import matplotlib.image

    from Testing.support import draw_icons

    assert set(draw_icons.ICONS) == set(ICONS)
    for name, kind in draw_icons.ICONS.items():
        new, old = (matplotlib.image.imread(io.BytesIO(content)) for content in (draw_icons.icon(kind), (REPOSITORY / name).read_bytes()))
        assert new.shape == old.shape and abs(new - old).mean() < 0.01  # edges differ a little between versions of matplotlib


def pictures_in(page: Path) -> set[str]:
    """The pictures and screenshots that a page shows, below the repository."""
    found = re.findall(r"(?:\(|\")([\w./-]*/(?:Screenshots|Pictures)/[\w.-]+)", page.read_text(encoding="utf-8"))
    return {(page.parent / name).resolve().relative_to(REPOSITORY).as_posix() for name in found}


def test_every_screenshot_is_shown_and_small() -> None:
    """Whoever downloads the extension's source gets all of them."""
    pages = ("README.md", "Resources/Docs/TUTORIAL.md", "Testing/evidence/README.md")
    shown = {name for page in pages for name in pictures_in(REPOSITORY / page)}
    assert all((REPOSITORY / name).is_file() for name in shown)
    kept = tree(REPOSITORY / "Resources" / "Screenshots", "*", base="Resources/Screenshots")
    assert set(kept) <= shown and all((REPOSITORY / name).stat().st_size < 150_000 for name in kept)


# Build and installation


@pytest.fixture(scope="module")
def cmake() -> str:
    """The program `cmake`, of this Python's environment or the system."""
    beside = shutil.which("cmake", path=str(Path(sys.executable).parent))
    found = beside or shutil.which("cmake")
    if found is None:
        pytest.skip("cmake is not here; `pip install cmake` or `apt-get install cmake` brings it")
    return found


@pytest.fixture(scope="module")
def built(cmake: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The build folder, configured and built from the tree; `install/` in it is the installed extension."""
    build = tmp_path_factory.mktemp("build tree")
    options = [f"-DSlicer_DIR={STAND_INS}", f"-DCMAKE_TOOLCHAIN_FILE={STAND_INS / 'no_compiler.cmake'}"]
    options += [f"-DCMAKE_INSTALL_PREFIX={build / 'install'}", f"-DInvDetect_TEST_PYTHON={sys.executable}"]
    run(cmake, "-S", REPOSITORY, "-B", build, *options)
    run(cmake, "--build", build)
    run(cmake, "--install", build)
    return build


@pytest.mark.parametrize("place", ["", "install"], ids=["build", "install"])
def test_what_is_built_is_the_tree(built: Path, place: str) -> None:
    folder = built / place / INSTALLED
    sources = {f"InvDetectLib/{name}" for name in tree(REPOSITORY / "InvDetectLib", "*.py")} | set(tree(MODULES, "*.py"))
    resources = set(lists("")["InvDetect_SHARED_RESOURCES"]) | set(tree(MODULES / "Resources", "*", base="Resources"))
    assert set(tree(folder, "*")) == sources | resources
    for name in sources | resources:
        origins = [root / name for root in (REPOSITORY, MODULES) if (root / name).is_file()]
        assert (folder / name).read_bytes() in [origin.read_bytes() for origin in origins], name


def test_the_library_is_imported_from_the_installed_extension_and_finds_its_models(built: Path, tmp_path: Path) -> None:
    installed = tmp_path / "Slicer ü" / "qt-scripted-modules"
    shutil.copytree(built / "install" / INSTALLED, installed)
    code = """
        import InvDetectLib
        from InvDetectLib.models import resolve_model
        from InvDetectSlicerLib import models
        print(InvDetectLib.__version__, resolve_model("fundus"), models.resource("Icons/InvDetect.png"), sep="|")
        print(*[f"{model.name} {model.shipped} {model.problem}" for model in models.installed_models()], sep="|")
    """
    environment = {"PYTHONPATH": str(installed), "INVDETECT_MODELS": str(tmp_path / "none"), "PYTHONIOENCODING": "utf-8"}
    plain = "\n".join(map(str.strip, code.splitlines()))
    lines = run(sys.executable, "-c", plain, cwd=tmp_path, env=environment, encoding="utf-8").splitlines()
    import InvDetectLib

    wanted = [InvDetectLib.__version__, installed / "Resources/Models/fundus.invdetect", installed / "Resources/Icons/InvDetect.png"]
    assert lines[0].split("|") == [str(part) for part in wanted]
    assert lines[1].split("|") == ["brain-flair True ", "brain-t1 True ", "fundus True ", "made-heads True "]


def test_ctest_knows_the_self_tests_and_the_project_s_own(built: Path, cmake: str) -> None:
    listed = run(Path(cmake).with_name("ctest"), "-N", cwd=built)
    names = set(re.findall(r"Test +#\d+: (\S+)", listed))
    generic = {f"py_nomainwindow_qSlicer{name}ModuleGenericTest" for name in ("InvDetect", "InvDetectTraining")}
    assert names == {"py_InvDetect", "py_InvDetectTraining", "InvDetect_pytest"} | generic


def test_all_the_metadata_reaches_slicer(built: Path) -> None:
    told = dict(line.split(" ", 1) for line in (built / "InvDetect.s4ext").read_text().splitlines())
    assert {name: told[name] for name in told if not name.endswith("_file")} == {
        name: value for name, value in metadata().items() if not name.endswith("_file")
    }
    assert Path(told["readme_file"]) == REPOSITORY / "README.md" and Path(told["license_file"]) == REPOSITORY / "LICENSE"


def test_the_stand_in_refuses_a_file_that_is_not_there(cmake: str, tmp_path: Path) -> None:
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.16)\nproject(x LANGUAGES NONE)\nfind_package(Slicer REQUIRED)\ninclude(${Slicer_USE_FILE})\n"
        "slicerMacroBuildScriptedModule(NAME x SCRIPTS gone.py)\n"
    )
    done = subprocess.run([cmake, "-S", tmp_path, "-B", tmp_path / "b", f"-DSlicer_DIR={STAND_INS}"], capture_output=True, text=True)
    assert done.returncode != 0 and "there is no file gone.py" in done.stderr
