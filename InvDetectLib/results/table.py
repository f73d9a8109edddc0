"""One table over all results that lie in a folder, whoever wrote them and when."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

from ..common import PREFIX, InvDetectError, shown, write_whole
from ..scans import Geometry
from .files import SUFFIXES, csv_text, findings_row, read_json
from .findings import Finding, volume_unit

COLUMNS = (
    *("scan", "volume_unit", "finding", "volume", "peak_score", "mean_score", "p_value", "held_out_normals"),
    *("centroid_right", "centroid_anterior", "centroid_superior", "peak_slice", "peak_row", "peak_column", "first_slice", "last_slice"),
    *("mass", "p_value_mass", "stability", "looks", "main_view"),
)
_LONGEST_ENDING = 20
_State = dict[Path, tuple[int, int]]


@dataclass(frozen=True)
class Told:
    """What a NAME.result.json says by itself.

    findings    with volumes in `unit`;  provenance  see `Result`
    """

    findings: list[Finding]
    unit: str
    provenance: dict[str, Any]

    @property
    def ending(self) -> str:
        """What the scan's own name had behind NAME; "" when that is not known, and for what can stand in no name of a file."""
        ending = str(self.provenance.get("ending", ""))
        may_be = len(ending) <= _LONGEST_ENDING and ending.isprintable() and PureWindowsPath(ending).name == ending
        return ending if may_be else ""

    @property
    def has_stability(self) -> bool:
        """Whether the stability of its findings was measured."""
        return any(finding.stability is not None for finding in self.findings)


def read_findings(path: Path) -> Told:
    """What the NAME.result.json at `path` says.

    Raises InvDetectError for a file that is missing, damaged or foreign; nothing but this file is read.
    """
    content = read_json(path)
    try:
        findings = [Finding.from_dict(finding) for finding in content["findings"]]
        return Told(findings, volume_unit(Geometry.from_dict(content["geometry"])), dict(content["provenance"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvDetectError(f"{path} is damaged: its entries are not those of a result ({shown(error)}). Detect again.") from error
    except InvDetectError as error:
        raise InvDetectError(f"{path}: {error}") from error


def check_table(table: Path) -> None:
    """Raise InvDetectError where something else than a table by `write_table`, of this version or an older one, lies at `table`.

    Another table of that name may be somebody's own, and one with further columns, or saved anew by a spreadsheet, holds notes.
    """
    try:
        with open(table, encoding="utf-8", errors="replace", newline="") as file:
            first = file.readline(1 << 16).rstrip("\r\n")
    except OSError:  # most often there is none; what cannot be opened is for `write_table` to tell
        return
    columns = tuple(first.split(","))
    if first and columns != COLUMNS[: len(columns)]:
        raise InvDetectError(f"{table} is not as InvDetect writes it, and is left as it is; rename it, or choose another folder.")


def write_table(table: Path, names: dict[Path, str], warn: Callable[[str], None]) -> None:
    """Write the findings of all results below the table's folder into `table`.

    names  what the scans of results are called in the table; others go by the place of their files
    One row a finding, and one with finding 0 for a scan without any; volumes and places are in each scan's own unit. Whoever else writes
    results there at the same time: the table of the last one to finish has them all. Raises InvDetectError as `write_whole` does.
    """
    state = _state(table.parent)
    while True:
        write_whole(table, _text(table.parent, state, names, warn).encode(errors="backslashreplace"), "table of findings")
        now = _state(table.parent)
        if now == state:  # else another run has finished in between, and its table may just have been replaced by this older one
            return
        state = now


def _state(folder: Path) -> _State:
    """Every result below `folder`, and what tells whether it is still the same."""
    found: _State = {}
    for where, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(PREFIX)]  # results that are being written
        for name in files:
            if name.endswith(SUFFIXES["result"]):
                path = Path(where, name)
                try:
                    facts = path.stat()
                except OSError:  # being replaced
                    continue
                found[path] = facts.st_mtime_ns, facts.st_size
    return found


def _text(folder: Path, state: _State, names: dict[Path, str], warn: Callable[[str], None]) -> str:
    rows: list[tuple[tuple[str, ...], list[list[Any]]]] = []
    for path in state:
        try:
            told = read_findings(path)
        except InvDetectError as error:
            if path.exists():
                warn(f"{error} It is not in the table.")
            continue
        own = path.relative_to(folder)
        name = names.get(path) or str(own.with_name(own.name.removesuffix(SUFFIXES["result"]) + told.ending))
        rows.append((Path(name).parts, [[name, told.unit, *findings_row(finding)] for finding in told.findings] or [[name, told.unit, 0]]))
    return csv_text(COLUMNS, (row for _, scan in sorted(rows) for row in scan))
