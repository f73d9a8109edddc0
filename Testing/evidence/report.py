"""One table of all finished rows: results.json for programs, table.md for people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from InvDetectLib.common.files import write_whole

from .figures import COLUMNS, Triple
from .pairs import Finished, Pairs, finished
from .rows import Job
from .running import as_run, hardware, read_json, row_file, write_json
from .study import Study

_REFERENCES = ("standard", "quick")  # the row of which the others are taken away: the first that is finished


def report(study: Study, jobs: Sequence[Job], order: Sequence[str], out: Path, heading: str) -> dict[str, Any]:
    """Write results.json and table.md into `out` from the finished rows of `jobs`; returns what results.json holds.

    order  keys of rows in the order of the table
    Differences are those of the reference (`standard`, or `quick` where that was not run) minus the row, on the same patients, where both
    have their maps.
    """
    rows = {row.key: (job, row) for job in jobs for row in job.rows}
    found = []
    for key in (key for key in order if key in rows):
        job, row = rows[key]
        content = read_json(row_file(out, row))
        if content is not None and ("not_run" in content or as_run(study, job, out) is not None):
            found.append(content)
    done = finished(study, jobs, out)
    reference = next((key for key in _REFERENCES if key in done), None)
    differences = _differences(done, reference, Pairs(out), list(study.data.abnormal)) if reference else {}
    parts = {
        part: {"patients": sorted({case.patient for case in cases}), "scans": len(cases)} for part, cases in study.data.abnormal.items()
    }
    result = {
        "setting": study.setting.name,
        "heading": heading,
        "parts": parts,
        "normals": {"scans": len(study.data.normal), "kind": study.data.normal_kind},
        "train": len(study.data.train),
        "calibration": len(study.data.calibration),
        "notes": study.data.notes,
        "hardware": hardware(study.device),
        "rows": found,
        "reference": reference,
        "reference_minus_row": differences,
    }
    write_json(out / "results.json", result)
    write_whole(out / "table.md", markdown(result).encode(), "table")
    return result


def markdown(result: dict[str, Any]) -> str:
    """The table of a run."""
    lines = [f"# {result['heading']}", ""]
    for part, facts in result["parts"].items():
        lines += [
            f"## {part}: {len(facts['patients'])} patients, {facts['scans']} scans (development)",
            "",
            f"{result['train']} normal scans trained (validation included), {result['calibration']} others calibrated. Area on normals: "
            f"{result['normals']['scans']} scans, {result['normals']['kind']}. In brackets 95 % intervals over patients.",
            "",
            *_main_table(result["rows"], part),
            "",
            *_size_table(result["rows"], part),
            *_difference_table(result["reference_minus_row"].get(part, {}), result["reference"], result["rows"]),
            "",
        ]
    lines += [f"- {row['title']}: {row['not_run']}" for row in result["rows"] if "not_run" in row]
    lines += [f"- {note}" for note in result["notes"]]
    return "\n".join([*lines, f"- hardware: {result['hardware']}", ""])


def shown(triple: Triple, between: str = "-") -> str:
    """"0.543 (0.46-0.62)", or "-"; `between` the ends of the interval."""
    mean, low, high = (triple[name] for name in ("mean", "low", "high"))
    if mean is None:
        return "-"
    return f"{mean:.3f}" if low is None else f"{mean:.3f} ({low:.2f}{between}{high:.2f})"


def _main_table(rows: Sequence[dict[str, Any]], part: str) -> list[str]:
    columns = {name: title for name, title in COLUMNS.items() if any(row["parts"][part][name]["mean"] is not None for row in _done(rows))}
    lines = ["| row | size | " + " | ".join([*columns.values(), "s to train"]) + " |", "|---" * (len(columns) + 3) + "|"]
    for row in _done(rows):
        facts = row["facts"]
        trained = "-" if "training_seconds" not in facts else f"{'≥ ' if facts.get('resumed') else ''}{facts['training_seconds']:.0f}"
        cells = [row["title"], row["size"], *(shown(row["parts"][part][name]) for name in columns), trained]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _size_table(rows: Sequence[dict[str, Any]], part: str) -> list[str]:
    """With the empty line behind it; nothing where no row has Dice by the size of the lesion."""
    known = {row["title"]: row["by_size"][part] for row in _done(rows) if row["by_size"].get(part)}
    if not known:
        return []
    quarters = next(iter(known.values()))
    titles = [f"{100 * one['from']:.2g} to {100 * one['to']:.2g} % ({one['scans']} scans)" for one in quarters]
    lines = ["| Dice by the lesion's share of the foreground | " + " | ".join(titles) + " |", "|---" * (len(titles) + 1) + "|"]
    lines += ["| " + " | ".join([title, *(shown(one["dice"]) for one in found)]) + " |" for title, found in known.items()]
    return [*lines, ""]


def _difference_table(differences: dict[str, Any], reference: str, rows: Sequence[dict[str, Any]]) -> list[str]:
    if not differences:
        return []
    lines = [f"| {reference} minus | AP | ahead | Dice | ahead | n |", "|---|---|---|---|---|---|"]
    for row in _done(rows):
        if row["key"] in differences:
            found = differences[row["key"]]
            cells = [row["title"]]
            for metric in ("ap", "dice"):
                cells += [shown(found[metric], " to "), "yes" if found[metric]["ahead"] else "no"]
            lines.append("| " + " | ".join([*cells, str(found["ap"]["n"])]) + " |")
    return lines


def _done(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if "not_run" not in row]


def _differences(rows: dict[str, Finished], key: str, pairs: Pairs, parts: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Part -> row -> metric -> how far the row `key` is above the row."""
    table: dict[str, dict[str, Any]] = {part: {} for part in parts}
    for other in rows:
        if other != key:
            for part, found in pairs.minus(rows[key], rows[other]).items():
                table[part][other] = found
    return table
