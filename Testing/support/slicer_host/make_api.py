"""Keep the part of a table of Slicer's classes that InvDetect needs, as Testing/support/slicer_host/slicer_api.json:

    python Testing/support/slicer_host/make_api.py TABLE.json

TABLE.json says what PythonQt shows of ctk, qMRML, qSlicer and Qt classes: {"meta", "classes", "qt"}, each class with "properties",
"signals", "slots", "invokables", "methods" (of Qt), "enums" and "bases". Kept are the classes named in InvDetect's .ui files and
sources, with all their bases. Made from Slicer v5.12.3 and the CTK that it pins.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
MODULES = HERE.parents[2] / "InvDetect"
KEPT = HERE / "slicer_api.json"
_PARTS = ("properties", "signals", "slots", "invokables", "methods", "enums")


def named(folder: Path) -> set[str]:
    """Names of classes in the sources and .ui files of a folder."""
    text = "\n".join(path.read_text(encoding="utf-8") for ending in ("*.py", "*.ui") for path in sorted(folder.rglob(ending)))
    return set(re.findall(r"\b(?:ctk|qMRML|qSlicer|Q)[A-Z]\w*|\bQ[A-Z]\w*", text))


def part(table: dict[str, Any], names: set[str]) -> dict[str, Any]:
    """{class: {"bases": [...], "members": {name: kind}}}; kind is "property", "signal", or "method"."""
    known = {**table["qt"], **table["classes"]}
    kept: dict[str, Any] = {}
    wanted = sorted(names)
    while wanted:
        name = wanted.pop()
        if name in kept or name not in known:
            continue
        entry = known[name]
        members = {}
        for kind in _PARTS:
            for member in entry.get(kind, ()):
                short = re.split(r"[(\s]", re.sub(r"^static ", "", member))[0]
                members.setdefault(short, {"properties": "property", "signals": "signal", "enums": "enum"}.get(kind, "method"))
        for enum in entry.get("enums", {}).values() if isinstance(entry.get("enums"), dict) else ():
            for value in enum.get("values", ()) if isinstance(enum, dict) else ():
                members.setdefault(value, "enum")
        old = sorted(entry.get("members_not_in_older", ()))
        kept[name] = {"bases": entry.get("bases", []), "members": dict(sorted(members.items())), **({"not_in_5.10": old} if old else {})}
        wanted += entry.get("bases", [])
    return {"source": {key: table["meta"][key] for key in ("slicer_describe", "ctk_commit")}, "classes": dict(sorted(kept.items()))}


def main() -> int:
    """Write the kept part; the exit status."""
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    table = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    KEPT.write_text(json.dumps(part(table, named(MODULES)), indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
