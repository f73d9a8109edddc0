"""MatchGen on one setting, in the shape of its paper's Table 2: every base by itself and matched, and by how much matching lifts it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from InvDetectLib.common.errors import WrongUse
from InvDetectLib.common.files import write_whole
from InvDetectLib.metrics.resampling import paired_difference
from InvDetectLib.models.presets import BASES

from .figures import comparable, plain
from .invdetect_rows import STANDARD
from .matchgen_rows import MOVED, PAIRS, PENALTY
from .report import report, shown
from .rows import Job
from .running import run, scored, write_json
from .study import Study
from .table_of_rows import INTENSITY, SMOOTHED

_COLUMNS = {"dice": "Dice", "ap": "AP", "dice_oracle": "oracle Dice", "auroc": "AUROC", "seconds_a_slice": "s a slice"}


def compare(study: Study, out: Path, wanted: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the bases (all by default), plain intensity and InvDetect, and write OUT/results.json and table.md; returns the former.

    Raises `WrongUse` for an unknown base.
    """
    unknown = [base for base in wanted or () if base not in BASES]
    if unknown:
        raise WrongUse(f"There is no base {', '.join(unknown)}; choose from {', '.join(BASES)}.")
    chosen = {base: PAIRS[base] for base in wanted or BASES}
    matched: list[Job] = [job for pair in chosen.values() for job in pair]
    matched += [MOVED, PENALTY] if "dae" in chosen else []
    jobs: list[Job] = [INTENSITY, SMOOTHED, *matched, STANDARD]
    run(study, jobs, out)
    order = [row.key for job in (STANDARD, *matched, INTENSITY, SMOOTHED) for row in job.rows]
    result = report(study, jobs, order, out, f"{study.setting.name}: MatchGen over its bases")
    result["lifts"] = {base: lift(study, *pair) for base, pair in chosen.items()}
    write_json(out / "results.json", result)
    text = markdown(result)
    write_whole(out / "table.md", text.encode(), "table")
    print(text)
    return result


def lift(study: Study, alone: Job, matched: Job) -> dict[str, dict[str, Any]]:
    """Part -> metric -> how far matching lifts a base on the same patients, both thresholded by the 1 % rule."""
    before, after = scored(study, alone, alone.rows[0]), scored(study, matched, matched.rows[0])
    table = {}
    for part in before:
        low, high = comparable(before[part], "invdetect"), comparable(after[part], "invdetect")
        table[part] = {name: plain(paired_difference(high[name], low[name])) for name in low}
    return table


def markdown(result: dict[str, Any]) -> str:
    """One line a row, and one a base for what matching changes."""
    lines = [f"# {result['heading']}", ""]
    for part, facts in result["parts"].items():
        rows = [row for row in result["rows"] if "not_run" not in row]
        lines += [f"{len(facts['patients'])} patients, {facts['scans']} scans; in brackets 95 % intervals over patients.", ""]
        lines += ["| row | size | " + " | ".join([*_COLUMNS.values(), "epsilon", "s to train"]) + " |", "|---" * (len(_COLUMNS) + 4) + "|"]
        for row in rows:
            epsilon, trained = row["facts"].get("epsilon"), row["facts"].get("training_seconds")
            cells = [row["title"], row["size"], *(shown(row["parts"][part][name]) for name in _COLUMNS)]
            cells += ["-" if epsilon is None else f"{epsilon:.3g}", "-" if trained is None else f"{trained:.0f}"]
            lines.append("| " + " | ".join(cells) + " |")
        lines += ["", "| MatchGen minus the base alone | Dice | ahead | AP | ahead |", "|---|---|---|---|---|"]
        for base, parts in result["lifts"].items():
            cells = [base]
            for metric in ("dice", "ap"):
                cells += [shown(parts[part][metric], " to "), "yes" if parts[part][metric]["ahead"] else "no"]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", f"- hardware: {result['hardware']}", ""])
