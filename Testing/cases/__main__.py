"""Try every case and print a line for each. Exit status 1 when one is wrong, or has nobody who tries it."""

from __future__ import annotations

import importlib
import pkgutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import Testing.cases
from Testing.cases.trying import Check, Wrong
from Testing.support import REPOSITORY


def known_cases() -> dict[str, Check]:
    """The tables of all files of this package."""
    found: dict[str, Check] = {}
    for entry in pkgutil.iter_modules(Testing.cases.__path__):
        if entry.name != "__main__":
            found |= getattr(importlib.import_module(f"Testing.cases.{entry.name}"), "CASES", {})
    return found


def main(arguments: Sequence[str], known: dict[str, Check]) -> int:
    """Print a line a case; the exit status."""
    folder = Path(arguments[0]) if arguments else REPOSITORY.parent / "shared" / "cases"
    cases = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    if not cases:
        print(f"There are no cases in {folder}; name their folder.")
        return 1
    wrong = 0
    for case in cases:
        line = _tried(case, known)
        wrong += not line.startswith(("right", "refused"))
        print(f"{case.name:<36} {line}", flush=True)
    print(f"{len(cases) - wrong} of {len(cases)} cases are right or refused with the reason.")
    return 1 if wrong else 0


def _tried(case: Path, known: dict[str, Check]) -> str:
    if case.name not in known:
        return "WRONG: nobody tries it; give it a function in a table CASES of this package"
    with tempfile.TemporaryDirectory() as work:
        try:
            return " ".join(known[case.name](case, Path(work)).replace(f"{work}/", "").replace(f"{case}/", "").split())
        except (Wrong, AssertionError, OSError, ValueError, LookupError) as error:
            return f"WRONG: {type(error).__name__ + ': ' if not isinstance(error, Wrong) else ''}{error}".replace("\n", " ")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:], known_cases()))
