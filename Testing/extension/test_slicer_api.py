"""What panels use of ctk, qMRML and Qt exists in Slicer: every class, property, signal and slot in the .ui files and in the sources.

In other tests the host refuses what PythonQt does not know where it is run (test_pythonqt.py); here it is found in every line, also in
those that no test runs. The table of what PythonQt knows is slicer_host/slicer_api.json, made by slicer_host/make_api.py from Slicer's own
headers; Testing/support/slicer_api.py reads it.
"""

from __future__ import annotations

import ast
import xml.etree.ElementTree as xml
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from Testing.support import REPOSITORY
from Testing.support.slicer_api import HIDDEN, TABLE, is_read_only, kind_of, problem, signatures

MODULES = REPOSITORY / "InvDetect"
UI_FILES = sorted((MODULES / "Resources" / "UI").glob("*.ui"))
SOURCES = sorted(MODULES.rglob("*.py"))
HOLDERS = ("ui", "_ui")


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
                assert node.attr in TABLE, f"{path.name}:{node.lineno}: {node.value.id}.{node.attr}"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("ui.bar.value()", "QProgressBar.value is a property and cannot be called"),
        ("ui.bar.reset", "QProgressBar.reset is a method and must be called"),
        ("ui.bar.setRainbow(1)", "PythonQt has no QProgressBar.setRainbow"),
        ("ui.nobar.value", "there is no widget nobar"),
        ("ui.bar.reset = 1", "QProgressBar.reset is no property and cannot be set"),
        ("ui.bar.text = 'x'", "QProgressBar.text cannot be set"),
        ("ui.bar.setValue(value=3)", "QProgressBar.setValue takes no keyword arguments"),
        ("ui.bar.valueChanged[int].connect(f)", "QProgressBar.valueChanged is a signal: connect, disconnect or emit it"),
        ("ui.bar.valueChanged.connect(f, type=1)", "QProgressBar.valueChanged takes no keyword arguments"),
        ("ui.bar.connect('valueChanged(float)', f)", "QProgressBar has no signal valueChanged(float)"),
        ("timer = qt.QTimer()\n    timer.singleShot = True", "singleShot is hidden by a function of that name"),
        ("self.whatever.singleShot", "singleShot is hidden by a function of that name"),
        ("qt.QTimer(interval=3)", "QTimer takes no keyword arguments"),
        ("qt.QTimer.singleShot(msec=0)", "QTimer.singleShot takes no keyword arguments"),
        ("qt.QFont.Typewriter", "PythonQt has no QFont.Typewriter"),
        ("qt.Qt.AspectRatioMode.KeepAspectRatio", "PythonQt has the values of Qt.AspectRatioMode without its name: Qt.VALUE"),
        ("slicer.app.shout()", "PythonQt has no qSlicerApplication.shout"),
        ("slicer.app.connect('startedUp()', f)", "qSlicerApplication has no signal startedUp()"),
    ],
)
def test_the_check_finds_what_pythonqt_refuses(line: str, problem: str, tmp_path: Path) -> None:
    source = tmp_path / "wrong.py"
    source.write_text(f"def g(self, ui):\n    {line}\n")
    assert problem in [found for _, found in uses_in(source, {"bar": "QProgressBar"})]


def test_the_check_lets_pass_what_pythonqt_offers(tmp_path: Path) -> None:
    source = tmp_path / "right.py"
    source.write_text(
        "def g(self, ui):\n    ui.bar.value = 3\n    ui.bar.reset()\n    ui.bar.valueChanged.connect(f)\n    qt.QTimer.singleShot(0, f)\n"
        "    timer = qt.QTimer()\n    timer.setSingleShot(True)\n    ui.bar.connect('valueChanged(int)', f)\n    qt.Qt.KeepAspectRatio\n"
        "    slicer.app.connect('startupCompleted()', f)\n    slicer.app.temporaryPath\n"
    )
    found = list(uses_in(source, {"bar": "QProgressBar"}))
    assert len(found) >= 10 and not [problem for _, problem in found if problem], found


def test_the_hidden_properties_are_those_that_a_function_of_another_purpose_stands_before() -> None:
    assert ("QTimer", "singleShot") in HIDDEN
    assert kind_of("QComboBox", "currentData") == "property"  # its reader has its name: not in the way


def uses_in(path: Path, widgets: dict[str, str]) -> Iterator[tuple[str, str]]:
    """(place, problem or "") of every use of a member of a widget: `ui.NAME.member`, or of a name that such a widget was assigned to.

    So too of `slicer.app` and of the classes in `qt` and `ctk`; what is hidden is looked for by its name alone, whatever it belongs to.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    attributes = _made_in(tree)
    hidden = {member for _, member in HIDDEN}
    for function in [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.Lambda))]:
        known = _local_names(function, widgets, attributes)
        calls = {id(node.func): node for node in ast.walk(function) if isinstance(node, ast.Call)}
        around = {id(inner): node for node in ast.walk(function) for inner in ast.iter_child_nodes(node)}
        for node in ast.walk(function):
            if not isinstance(node, ast.Attribute):
                continue
            where, call = f"{path.name}:{node.lineno}", calls.get(id(node))
            if _is_holder(node.value) and node.attr not in widgets:
                yield where, f"there is no widget {node.attr}"
            if node.attr in hidden and not _class_itself(node.value):
                yield where, f"{node.attr} is hidden by a function of that name"
            elif kind := _class_of(node.value, known, widgets, attributes):
                yield where, _problem(kind, node, call, around[id(node)], calls)
            elif kind := _class_itself(node.value):
                yield where, _problem_of_class(kind, node.attr, call)
            elif kind := _class_itself(node):
                yield where, f"{kind} takes no keyword arguments" if call is not None and call.keywords else ""


def _problem(name: str, node: ast.Attribute, call: Any, around: Any, calls: dict[int, ast.Call]) -> str:
    """What PythonQt has against `OBJECT.member`, called or set, or with something that is taken of it."""
    member, kind = node.attr, kind_of(name, node.attr)
    if found := problem(name, member):
        return found
    if isinstance(node.ctx, ast.Store):
        if kind != "property":
            return f"{name}.{member} is no property and cannot be set"
        return f"{name}.{member} cannot be set" if is_read_only(name, member) else ""
    if kind == "property" and call is not None:
        return f"{name}.{member} is a property and cannot be called"
    if kind == "method" and call is None:
        return f"{name}.{member} is a method and must be called"
    if kind == "signal":
        taken = around.attr if isinstance(around, ast.Attribute) else ""
        if isinstance(around, ast.Subscript) or taken not in ("", "connect", "disconnect", "emit"):
            return f"{name}.{member} is a signal: connect, disconnect or emit it"
        call = calls.get(id(around), call)
    if call is not None and call.keywords:
        return f"{name}.{member} takes no keyword arguments"
    if member in ("connect", "disconnect") and call is not None and call.args and isinstance(call.args[0], ast.Constant):
        return "" if call.args[0].value in signatures(name) else f"{name} has no signal {call.args[0].value}"
    return ""


def _problem_of_class(name: str, member: str, call: Any) -> str:
    """What PythonQt has against `qt.CLASS.member`."""
    kind = kind_of(name, member)
    if kind in ("property", "signal"):
        return f"{name}.{member} belongs to an object and not to its class"
    if call is not None and call.keywords:
        return f"{name}.{member} takes no keyword arguments"
    return "" if kind == "hidden" else problem(name, member)


def _class_itself(node: Any) -> str:
    """The class in `qt.QTimer`."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ("qt", "ctk") and node.attr in TABLE:
        return node.attr
    return ""


def _is_holder(node: Any) -> bool:
    return (isinstance(node, ast.Name) and node.id in HOLDERS) or (isinstance(node, ast.Attribute) and node.attr in HOLDERS)


def _class_of(node: Any, known: dict[str, str], widgets: dict[str, str], attributes: dict[str, str]) -> str:
    """The class of an expression, as far as it can be told."""
    if isinstance(node, ast.Name):
        return known.get(node.id, "")
    if isinstance(node, ast.Attribute) and _is_holder(node.value):
        return widgets.get(node.attr, "")
    if isinstance(node, ast.Attribute) and node.attr == "app" and isinstance(node.value, ast.Name) and node.value.id == "slicer":
        return "qSlicerApplication"
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
