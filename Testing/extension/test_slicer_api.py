"""What panels use of ctk, qMRML and Qt exists in Slicer: every class, property, signal and slot in the .ui files and in the sources.

PySide6 and look-alikes run the panels in other tests and would let pass what PythonQt does not know. The table of what it knows is
slicer_host/slicer_api.json, made by slicer_host/make_api.py from Slicer's own headers.
"""

from __future__ import annotations

import ast
import json
import xml.etree.ElementTree as xml
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from Testing.support import REPOSITORY

MODULES = REPOSITORY / "InvDetect"
TABLE = json.loads((REPOSITORY / "Testing" / "support" / "slicer_host" / "slicer_api.json").read_text(encoding="utf-8"))["classes"]
UI_FILES = sorted((MODULES / "Resources" / "UI").glob("*.ui"))
SOURCES = sorted(MODULES.rglob("*.py"))
# Values, not QObjects: they have no meta object and so no entry in the table. PythonQt wraps all of them.
VALUES = set(
    "Qt QDesktopServices QEvent QFont QIcon QImage QKeySequence QPainter QPalette QPixmap QSize QTableWidgetItem QUrl".split()
)
HOLDERS = ("ui", "_ui")


def kind_of(name: str, member: str) -> str | None:
    """"property", "signal", "method" or "enum" of a class or one of its bases; None when it has no such member, "" when nobody knows."""
    entry = TABLE.get(name)
    if entry is None:
        return ""
    if member in entry["members"]:
        assert member not in entry.get("not_in_5.10", ()), f"{name}.{member} is not in Slicer 5.10"
        return str(entry["members"][member])
    found = [kind_of(base, member) for base in entry["bases"]]
    return next((kind for kind in found if kind), None)


def widgets_in(path: Path) -> dict[str, str]:
    """Object name -> class, of widgets, layouts and spacers."""
    tree = xml.parse(path).getroot()
    found = [*tree.iter("widget"), *tree.iter("layout")]
    names = [widget.get("name", "") for widget in found]
    assert len(names) == len(set(names)), f"{path.name} has a name twice"
    return {widget.get("name", ""): widget.get("class", "") for widget in found}


@pytest.mark.parametrize("path", UI_FILES, ids=lambda path: path.name)
def test_every_class_and_property_of_the_ui_files_exists(path: Path) -> None:
    tree = xml.parse(path).getroot()
    custom = {one.findtext("class") for one in tree.iter("customwidget")}
    for widget in tree.iter("widget"):
        name = widget.get("class", "")
        assert name in TABLE, f"there is no {name}"
        assert name[0] == "Q" or name in custom, f"{name} is not declared as a custom widget"
        for given in widget.findall("property"):
            if (name, given.get("name")) == ("QLabel", "buddy"):  # no property of the class: the loader of .ui files keeps it by itself
                assert given.findtext("cstring") in widgets_in(path), f"{widget.get('name')} is the buddy of nothing"
                continue
            assert kind_of(name, given.get("name", "")) == "property", f"{name} has no property {given.get('name')}"
    assert all(one in TABLE for one in custom)


@pytest.mark.parametrize("path", UI_FILES, ids=lambda path: path.name)
def test_every_connection_of_the_ui_files_exists_and_every_selector_gets_the_scene(path: Path) -> None:
    widgets, tree = widgets_in(path), xml.parse(path).getroot()
    with_scene = set()
    for link in tree.iter("connection"):
        ends = {part: link.findtext(part) or "" for part in ("sender", "signal", "receiver", "slot")}
        signal, slot = ends["signal"].split("(")[0], ends["slot"].split("(")[0]
        assert kind_of(widgets[ends["sender"]], signal) == "signal", ends
        assert kind_of(widgets[ends["receiver"]], slot) == "method", ends
        if slot == "setMRMLScene":
            with_scene.add(ends["receiver"])
    assert {name for name, kind in widgets.items() if kind == "qMRMLNodeComboBox"} <= with_scene


def test_the_sources_use_only_widgets_and_members_that_exist() -> None:
    widgets = {name: kind for path in UI_FILES for name, kind in widgets_in(path).items()}
    checked = [use for path in SOURCES for use in uses_in(path, widgets)]
    wrong = [f"{where}: {problem}" for where, problem in checked if problem]
    assert not wrong, "\n".join(wrong)
    assert len(checked) > 150  # the search itself works


def test_every_class_that_the_sources_take_from_qt_ctk_and_slicer_exists() -> None:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)):
                continue
            if node.value.id in ("qt", "ctk") or (node.value.id == "slicer" and node.attr.startswith(("qMRML", "qSlicer"))):
                assert node.attr in TABLE or node.attr in VALUES, f"{path.name}:{node.lineno}: {node.value.id}.{node.attr}"


def test_the_check_finds_what_does_not_exist(tmp_path: Path) -> None:
    source = tmp_path / "wrong.py"
    source.write_text(
        "def f(ui):\n    ui.bar.value()\n    ui.bar.reset\n    ui.bar.setRainbow(1)\n    ui.nobar.value\n"
        "    ui.bar.value = 3\n    ui.bar.reset()\n"
    )
    problems = [problem for _, problem in uses_in(source, {"bar": "QProgressBar"}) if problem]
    assert len(problems) == 4, problems


def uses_in(path: Path, widgets: dict[str, str]) -> Iterator[tuple[str, str]]:
    """(place, problem or "") of every use of a member of a widget: `ui.NAME.member`, or of a name that such a widget was assigned to."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    attributes = _made_in(tree)
    for function in [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.Lambda))]:
        known = _local_names(function, widgets, attributes)
        calls = {id(node.func) for node in ast.walk(function) if isinstance(node, ast.Call)}
        for node in ast.walk(function):
            if not isinstance(node, ast.Attribute):
                continue
            where = f"{path.name}:{node.lineno}"
            if _is_holder(node.value) and node.attr not in widgets:
                yield where, f"there is no widget {node.attr}"
            kind = _class_of(node.value, known, widgets, attributes)
            if kind:
                yield where, _problem(kind, node.attr, id(node) in calls)


def _problem(name: str, member: str, called: bool) -> str:
    kind = kind_of(name, member)
    if kind is None:
        return f"{name} has no {member}"
    if kind == "property" and called:
        return f"{name}.{member} is a property and cannot be called"
    if kind == "method" and not called:
        return f"{name}.{member} is a method and must be called"
    return ""


def _is_holder(node: Any) -> bool:
    return (isinstance(node, ast.Name) and node.id in HOLDERS) or (isinstance(node, ast.Attribute) and node.attr in HOLDERS)


def _class_of(node: Any, known: dict[str, str], widgets: dict[str, str], attributes: dict[str, str]) -> str:
    """The class of an expression, as far as it can be told."""
    if isinstance(node, ast.Name):
        return known.get(node.id, "")
    if isinstance(node, ast.Attribute) and _is_holder(node.value):
        return widgets.get(node.attr, "")
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
        return attributes.get(node.attr, "")
    return _made(node)


def _made(node: Any) -> str:
    """The class in `qt.QTimer(...)`."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
        if node.func.value.id in ("qt", "ctk", "slicer") and node.func.attr in TABLE:
            return node.func.attr
    return ""


def _made_in(tree: ast.AST) -> dict[str, str]:
    """Names of attributes of self that are made by `self.name = qt.QTimer(...)`."""
    found = {}
    for node in ast.walk(tree):
        for target, value in _pairs(node):
            if isinstance(target, ast.Attribute) and _made(value):
                found[target.attr] = _made(value)
    return found


def _local_names(function: Any, widgets: dict[str, str], attributes: dict[str, str]) -> dict[str, str]:
    known: dict[str, str] = {}
    for node in ast.walk(function):
        for target, value in _pairs(node):
            if isinstance(target, ast.Name) and (kind := _class_of(value, {}, widgets, attributes)):
                known[target.id] = kind
    return known


def _pairs(node: Any) -> Iterator[tuple[Any, Any]]:
    if not isinstance(node, ast.Assign):
        return
    for target in node.targets:
        if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            yield from zip(target.elts, node.value.elts)
        else:
            yield target, node.value
