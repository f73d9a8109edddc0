"""What PythonQt offers of the classes of ctk, qMRML, qSlicer and Qt that InvDetect uses, as slicer_host/slicer_api.json says.

The table is made by slicer_host/make_api.py from Slicer's own headers. Of a class it has

bases        the classes that it derives from; walk them
members      name -> "property", "signal", "method", "enum" (a value, reached without the name of its enum) or "enum type"
hidden       properties that cannot be reached, because a function that is not their reader has their name
read_only    properties that cannot be set
signatures   of its signals, as they are connected by string
not_in_5.10  members that came after Slicer 5.10
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

_FILE = Path(__file__).parent / "slicer_host" / "slicer_api.json"
TABLE: dict[str, dict[str, Any]] = json.loads(_FILE.read_text(encoding="utf-8"))["classes"]
HIDDEN = {(name, one) for name, entry in TABLE.items() for one in entry.get("hidden", ())}


@cache
def kind_of(name: str, member: str) -> str | None:
    """The kind of a member of a class or of one of its bases; "hidden" for a property that cannot be reached, None without such a member.

    Raises KeyError for a class that is not in the table.
    """
    entry = TABLE[name]
    if member in entry.get("not_in_5.10", ()):
        return None
    if (name, member) in HIDDEN:
        return "hidden"
    if member in entry["members"]:
        return str(entry["members"][member])
    found = [kind_of(base, member) for base in entry["bases"] if base in TABLE]
    return next((kind for kind in found if kind), None)


@cache
def is_read_only(name: str, member: str) -> bool:
    """Whether a property cannot be set; a class may make one of its base writable."""
    entry = TABLE[name]
    if member in entry["members"]:
        return member in entry.get("read_only", ())
    return any(is_read_only(base, member) for base in entry["bases"] if base in TABLE and kind_of(base, member))


@cache
def signatures(name: str) -> frozenset[str]:
    """Those of all signals of a class and its bases."""
    entry = TABLE[name]
    return frozenset(entry.get("signatures", ())).union(*(signatures(base) for base in entry["bases"] if base in TABLE))


def problem(name: str, member: str) -> str:
    """Why code for PythonQt must not use this member of this class; "" when it may."""
    kind = kind_of(name, member)
    if kind is None:
        return f"PythonQt has no {name}.{member}"
    if kind == "hidden":
        setter = f"set{member[0].upper()}{member[1:]}"
        return f"PythonQt hides the property {name}.{member} behind a function of that name; use {setter}()"
    if kind == "enum type":
        return f"PythonQt has the values of {name}.{member} without its name: {name}.VALUE"
    return ""
