"""Keep the part of a table of Slicer's classes that InvDetect needs, as Testing/support/slicer_host/slicer_api.json:

    python Testing/support/slicer_host/make_api.py TABLE.json

TABLE.json says what PythonQt shows of ctk, qMRML, qSlicer and Qt classes: {"meta", "classes", "qt"}, each class with "properties",
"signals", "slots", "invokables", "methods" (of Qt), "enums" and "bases". Kept are the classes named in InvDetect's .ui files and
sources, those in `REACHED`, and all their bases. Made from Slicer v5.12.3 and the CTK that it pins.

What that table lacks of Qt is asked from PySide6, whose classes have the members of Qt's headers: enums, values such as QFont, and
which functions stand in the way of a property.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from enum import EnumMeta
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
MODULES = HERE.parents[2] / "InvDetect"
KEPT = HERE / "slicer_api.json"
# Classes that the sources reach and do not name: the clipboard, a table's headers, a palette's colours, what a node box hides, slicer.app,
# a module's parent.
REACHED = {"QClipboard", "QColor", "QHeaderView", "qMRMLSortFilterProxyModel", "qSlicerApplication", "qSlicerScriptedLoadableModule"}
_PARTS = {"properties": "property", "signals": "signal", "slots": "method", "invokables": "method", "methods": "method"}
_OF_PYSIDE = {"emit", "toPython", "toTuple"}  # what PySide adds to Qt's classes


def named(folder: Path) -> set[str]:
    """Names of classes in the sources and .ui files of a folder."""
    text = "\n".join(path.read_text(encoding="utf-8") for ending in ("*.py", "*.ui") for path in sorted(folder.rglob(ending)))
    return set(re.findall(r"\b(?:ctk|qMRML|qSlicer|Q)[A-Z]\w*|\bQ[A-Z]\w*", text)) | {"Qt"}


def part(table: dict[str, Any], names: set[str]) -> dict[str, Any]:
    """{class: entry}; `Testing/support/slicer_api.py` says what is in an entry."""
    known = {**table["qt"], **table["classes"]}
    kept: dict[str, Any] = {}
    wanted = sorted(names)
    while wanted:
        name = wanted.pop()
        own = qt_class(name)
        if name in kept or (name not in known and own is None):
            continue
        entry = known.get(name) or {"bases": qt_bases(own), "methods": qt_functions(own)}
        functions = {short(one) for kind in ("signals", "slots", "invokables") for one in entry.get(kind, ())}
        members = {short(one): kind for part, kind in reversed(_PARTS.items()) for one in entry.get(part, ())}
        properties = entry.get("properties", {})
        if own is None:
            enums = {enum: one["values"] for enum, one in entry.get("enums", {}).items() if one["registered"]}
            hidden = [one for one, facts in properties.items() if one in functions and facts.get("read") != one]
            fixed = [one for one, facts in properties.items() if "write" not in facts]
        else:
            enums = qt_enums(own)
            hidden = [one for one in properties if one in vars(own) and not reads(getattr(own, one))]
            fixed = [one for one, facts in properties.items() if not facts["writable"]]
        for enum, values in enums.items():
            members.update({enum: "enum type", **dict.fromkeys(values, "enum")})
        lists = {
            "not_in_5.10": entry.get("members_not_in_older", ()),
            "hidden": hidden,
            "read_only": fixed,
            "signatures": [signature(one) for one in entry.get("signals", ())],
        }
        members = {one: kind for one, kind in sorted(members.items()) if one not in _OF_PYSIDE}
        kept[name] = {"bases": entry.get("bases", []), "members": members, **{key: sorted(one) for key, one in lists.items() if one}}
        wanted += entry.get("bases", [])
    return {"source": {key: table["meta"][key] for key in ("slicer_describe", "ctk_commit")}, "classes": dict(sorted(kept.items()))}


def short(member: str) -> str:
    """The name in `static name(Type argument) -> Type`."""
    return re.split(r"[(\s]", re.sub(r"^static ", "", member))[0]


def signature(signal: str) -> str:
    """`name(Type,Type)` of `name(const Type &argument, Type argument)`, as Qt writes it."""
    name, _, arguments = signal.partition("(")
    return f"{name}({','.join(map(_type, re.split(r',(?![^<]*>)', arguments.rstrip(')'))))})"


def _type(argument: str) -> str:
    words = re.sub(r"\bconst\b|&", " ", argument.partition("=")[0]).replace("*", " * ").split()
    if len(words) > 1 and words[-1] not in ("*", "int", "long", "char"):
        words.pop()  # the argument's name
    return " ".join(words).replace(" *", "*")


def qt_class(name: str) -> Any:
    """A class of Qt, by PySide6; None when it is none."""
    from PySide6 import QtCore, QtGui, QtWidgets

    return next((getattr(module, name) for module in (QtCore, QtGui, QtWidgets) if hasattr(module, name)), None)


def qt_bases(own: Any) -> list[str]:
    return [base.__name__ for base in own.__bases__ if base.__module__.startswith("PySide6.")]


def qt_functions(own: Any) -> Iterator[str]:
    return (name for name, member in vars(own).items() if name[0] != "_" and not isinstance(member, type) and callable(getattr(own, name)))


def qt_enums(own: Any) -> dict[str, list[str]]:
    """{enum: its values}."""
    return {name: list(one.__members__) for name, one in vars(own).items() if isinstance(one, EnumMeta)}


def reads(function: Any) -> bool:
    """Whether a function of a property's name may be called with nothing, which reads the property."""
    from shibokensupport.signature import get_signature

    found = get_signature(function)
    return any(
        all(one.name == "self" or one.default is not one.empty for one in way.parameters.values())
        for way in (found if isinstance(found, list) else [found])
    )


def main() -> int:
    """Write the kept part; the exit status."""
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    table = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    KEPT.write_text(json.dumps(part(table, named(MODULES) | REACHED), indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
