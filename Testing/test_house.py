"""The house: which wing may use which, stated once, and held against the imports that the files really have."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from Testing.support import REPOSITORY

# From the top down: a wing may use those that are named behind it, and each of them stands further down. Names in capitals are the
# library's wings, which the extension may use besides.
LIBRARY = {
    "__main__": "shell",
    "shell": "worker cluster dicom remembering rehearsal adaptation training detection cohort evaluation results models scans refinement "
    "computing common",
    "worker": "cluster dicom remembering adaptation estimates training rehearsal detection cohort results methods models scans refinement "
    "computing common",
    "cluster": "rehearsal detection cohort evaluation results models scans computing common",
    "dicom": "detection results models scans common",
    "__init__": "rehearsal adaptation training detection evaluation results models scans common",
    "estimates": "detection methods methods.invdetect methods.matchgen models scans computing common",
    "evaluation": "detection results models metrics scans common",
    "cohort": "detection results scans common",
    "adaptation": "rehearsal calibration methods models scans computing common",
    "training": "rehearsal explanation calibration methods models scans computing common",
    "rehearsal": "detection results methods models metrics scans common",
    "remembering": "detection methods scans",
    "detection": "explanation results calibration methods models scans refinement computing common",
    "explanation": "results methods models scans symmetry common",
    "results": "calibration models scans refinement common",
    "calibration": "methods models metrics scans refinement common",
    "methods": "methods.invdetect methods.matchgen symmetry models refinement computing common",
    "methods.invdetect": "methods methods.matchgen symmetry models refinement computing common",
    "methods.matchgen": "methods models refinement computing common",
    "scans": "models common",
    "metrics": "",
    "refinement": "common",
    "symmetry": "",
    "computing": "models common",
    "models": "common",
    "common": "",
}
EXTENSION = {
    "wizard": "training_logic panel install worker models COMMON MODELS",
    "panel": "review install worker scene models COMMON MODELS CALIBRATION RESULTS",
    "logic": "review worker scene COMMON MODELS CALIBRATION SCANS",
    "training_logic": "worker COMMON MODELS",
    "review": "worker scene COMMON RESULTS",
    "worker": "install scene models COMMON MODELS CALIBRATION RESULTS WORKER",
    "install": "scene models COMMON WORKER",
    "scene": "models COMMON CALIBRATION RESULTS SCANS",
    "sample_data": "models",
    "models": "COMMON MODELS SCANS",
    "__init__": "",
}
HOUSES = {"InvDetectLib": (REPOSITORY, LIBRARY), "InvDetectSlicerLib": (REPOSITORY / "InvDetect", EXTENSION)}
# A wing and the methods in it know each other: the one that is asked for is loaded by `choosing`, and all keep to `contract`.
WITHIN = {("methods", "methods.invdetect"), ("methods", "methods.matchgen")}


@dataclass(frozen=True)
class Arrow:
    """One name that a file imports.

    source          the file, as its module;  target  the module it names, as far as it is one;  name  what is taken from there
    """

    source: str
    target: str
    name: str


@cache
def modules(package: str) -> dict[str, Path]:
    """Every module of a package, by its whole name; a folder's `__init__.py` bears the folder's."""
    root = HOUSES[package][0]
    found = {}
    for path in sorted((root / package).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def every_module() -> dict[str, Path]:
    return {name: path for package in HOUSES for name, path in modules(package).items()}


def arrows(module: str, path: Path) -> Iterator[Arrow]:
    """What a file imports of InvDetect, at any depth: also what is imported late, or for types alone."""
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (Arrow(module, alias.name, "") for alias in node.names if alias.name.split(".")[0] in HOUSES)
        if not isinstance(node, ast.ImportFrom):
            continue
        base = package[: len(package) - node.level + 1] if node.level else []
        target = ".".join([*base, *(node.module.split(".") if node.module else [])])
        if target.split(".")[0] in HOUSES:
            yield from (Arrow(module, target, alias.name) for alias in node.names)


def all_arrows() -> list[Arrow]:
    return [arrow for name, path in every_module().items() for arrow in arrows(name, path)]


def wing(module: str) -> str:
    """The wing, or the loose module, in which a module lies; the root is called `__init__`."""
    package, *rooms = module.split(".")
    table = HOUSES[package][1]
    if not rooms:
        return "__init__"
    nested = ".".join(rooms[:2])
    return nested if nested in table else rooms[0]


def landing(arrow: Arrow) -> str:
    """The module in which an arrow ends: the one named, or, of `from . import room`, that room."""
    inner = f"{arrow.target}.{arrow.name}"
    return inner if inner in every_module() else arrow.target


def face(module: str) -> set[str]:
    """The names in a package's `__all__`, which may be made of a table's keys."""
    tree = ast.parse(every_module()[module].read_text(encoding="utf-8"))
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, (ast.List, ast.Dict)):
            entries = node.value.keys if isinstance(node.value, ast.Dict) else node.value.elts
            names.update(one.value for one in entries if isinstance(one, ast.Constant))
    return names


# Wings


@pytest.mark.parametrize("package", HOUSES)
def test_a_wing_uses_only_wings_further_down(package: str) -> None:
    table = HOUSES[package][1]
    order = list(table)
    for name, used in table.items():
        for other in (one for one in used.split() if one.islower()):
            assert order.index(other) > order.index(name) or (other, name) in WITHIN, f"{name} may not use {other}, which lies above it"


def test_every_import_keeps_to_the_table() -> None:
    wrong = []
    for arrow in all_arrows():
        source, target = arrow.source.split(".")[0], arrow.target.split(".")[0]
        here, there = wing(arrow.source), wing(landing(arrow))
        if source == target and (here == there or there == "__init__"):
            continue
        allowed = HOUSES[source][1].get(here, "").split()
        there = there.upper() if source != target else there
        if there not in allowed and there != "__INIT__":
            wrong.append(f"{arrow.source} takes {arrow.name or arrow.target} from {there}")
    assert not wrong, "\n".join(wrong)


def test_the_table_allows_nothing_that_nobody_uses() -> None:
    used: dict[tuple[str, str], set[str]] = {}
    for arrow in all_arrows():
        source, target = arrow.source.split(".")[0], arrow.target.split(".")[0]
        there = wing(landing(arrow))
        used.setdefault((source, wing(arrow.source)), set()).add(there.upper() if source != target else there)
    for package, (_, table) in HOUSES.items():
        for name, allowed in table.items():
            assert set(allowed.split()) <= used.get((package, name), set()), f"{name}: {set(allowed.split()) - used[package, name]}"


def test_a_wing_is_entered_through_its_face_alone() -> None:
    wrong = []
    for arrow in all_arrows():
        if not arrow.name or (arrow.source.split(".")[0], wing(arrow.source)) == (arrow.target.split(".")[0], wing(arrow.target)):
            continue
        if every_module()[arrow.target].name != "__init__.py":
            loose = arrow.target.count(".") == 1
            if not loose and (wing(arrow.target), wing(arrow.source)) not in WITHIN:
                wrong.append(f"{arrow.source} reaches into {arrow.target}")
        elif arrow.target.count(".") and arrow.name not in face(arrow.target):
            wrong.append(f"{arrow.source} takes {arrow.name}, which {arrow.target} does not hand on")
    assert not wrong, "\n".join(wrong)


def test_only_what_walks_the_whole_way_lies_loose() -> None:
    wanted = {
        "InvDetectLib": {"training", "adaptation", "detection", "remembering", "cohort", "evaluation", "estimates"},
        "InvDetectSlicerLib": {"logic", "training_logic", "sample_data"},  # the paths that scripts know
    }
    for package, rooms in wanted.items():
        root = HOUSES[package][0] / package
        assert {path.stem for path in root.glob("*.py")} - {"__main__"} == rooms | {"__init__"}


@pytest.mark.parametrize("module", [name for name, path in every_module().items() if path.name == "__init__.py"])
def test_a_face_says_what_happens_behind_it_and_hands_on_what_is_there(module: str) -> None:
    tree = ast.parse(every_module()[module].read_text(encoding="utf-8"))
    words = ast.get_docstring(tree)
    assert words and words.splitlines()[0].endswith(".")
    if module.count(".") and any(isinstance(node, ast.Assign) for node in tree.body):
        assert "In: " in words and "Out: " in words
        handed = {arrow.name for arrow in arrows(module, every_module()[module]) if arrow.target.startswith(module)}
        assert handed == face(module)
    assert not any(isinstance(node, (ast.FunctionDef, ast.ClassDef)) for node in tree.body)


# Files


def test_no_files_use_each_other_in_a_circle() -> None:
    """A package's face is no stop on the way: it uses all behind it, and they do not use it."""
    faces = {name for name, path in every_module().items() if path.name == "__init__.py"}
    uses: dict[str, set[str]] = {}
    for arrow in all_arrows():
        end = landing(arrow)
        ends = {end} if end not in faces else {one for one in every_module() if one.startswith(end + ".") and arrow.name in defined(one)}
        uses.setdefault(arrow.source, set()).update(ends - faces)
    circles = [way for start in uses if start not in faces for way in ways(uses, start, (start,))]
    assert not circles, "\n".join(" -> ".join(way) for way in circles)


@cache
def defined(module: str) -> set[str]:
    """Names that a file makes itself."""
    names = set()
    for node in ast.parse(every_module()[module].read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            names.update(name.id for name in ast.walk(node) if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store))
    return names


def ways(uses: dict[str, set[str]], start: str, way: tuple[str, ...], seen: set[str] | None = None) -> Iterator[tuple[str, ...]]:
    """Ways along the arrows that come back to where they began."""
    seen = set() if seen is None else seen
    for end in sorted(uses.get(way[-1], ())):
        if end == start:
            yield (*way, end)
        elif end not in seen:
            seen.add(end)
            yield from ways(uses, start, (*way, end), seen)


def test_a_circle_is_seen() -> None:
    assert list(ways({"a": {"b"}, "b": {"c"}, "c": {"a", "d"}}, "a", ("a",))) == [("a", "b", "c", "a")]
    assert not list(ways({"a": {"b", "c"}, "b": {"c"}, "c": {"d"}}, "a", ("a",)))


def test_nothing_imports_a_test() -> None:
    places = [REPOSITORY / name for name in ("InvDetectLib", "InvDetect", "Testing")]
    for path in (path for place in places for path in place.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module), *(alias.name for alias in node.names)] if isinstance(node, ast.ImportFrom) else []
            own = [name for name in names if name.startswith(("Testing.", "test_")) or name == "Testing"]
            assert not [name for name in own if name.rpartition(".")[2].startswith("test_")], f"{path}: {own}"
    shipped = [path for place in places[:2] for path in place.rglob("*.py")]
    assert not [path for path in shipped if "Testing." in path.read_text(encoding="utf-8")]


def test_tests_lie_where_what_they_test_lies() -> None:
    for folder, package in (("library", "InvDetectLib"), ("extension", "InvDetectSlicerLib")):
        wings = {path.parent.relative_to(HOUSES[package][0] / package) for path in modules(package).values()}
        tests = {path.parent.relative_to(REPOSITORY / "Testing" / folder) for path in (REPOSITORY / "Testing" / folder).rglob("test_*.py")}
        assert tests <= wings, tests - wings
