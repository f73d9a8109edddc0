"""MatchGen on one setting, in the shape of its paper's Table 2: every base by itself and matched, by how much matching lifts it, and how
far either is above InvDetect on the same patients."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from InvDetectLib.common.errors import WrongUse
from InvDetectLib.common.files import write_whole
from InvDetectLib.models.presets import BASES

from .invdetect_rows import STANDARD
from .matchgen_rows import PAIRS, WAYS
from .pairs import Finished, Pairs, finished
from .report import report, shown
from .rows import Job
from .running import run, write_json
from .study import Study
from .table_of_rows import INTENSITY, SMOOTHED

_COLUMNS = {"dice": "Dice", "ap": "AP", "dice_oracle": "oracle Dice", "auroc": "AUROC", "seconds_a_slice": "s a slice"}


def compare(study: Study, out: Path, wanted: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the bases, plain intensity and InvDetect, and write OUT/results.json and table.md; returns the former.

    wanted  bases, and other ways to match `dae` (`WAYS`); by default all bases, and at full size the other ways, too, which are slow
    InvDetect is the very row `standard` of the setting: its model and its maps are taken where the study has made them. The results hold
    every base that is finished, in this run or in an earlier one. Raises `WrongUse` for an unknown base.
    """
    known = (*BASES, *WAYS)
    unknown = [base for base in wanted or () if base not in known]
    if unknown:
        raise WrongUse(f"There is no base {', '.join(unknown)}; choose from {', '.join(known)}.")
    wanted = wanted or (known if study.size == "full" else BASES)
    jobs = {name: [*PAIRS[name]] if name in PAIRS else [WAYS[name]] for name in known}
    run(study, [INTENSITY, SMOOTHED, *(job for name in known if name in wanted for job in jobs[name]), STANDARD], out)
    every: list[Job] = [job for name in known for job in jobs[name]]
    shown_jobs = [STANDARD, *every, INTENSITY, SMOOTHED]
    order = [row.key for job in shown_jobs for row in job.rows]
    result = report(study, shown_jobs, order, out, f"{study.setting.name}: MatchGen over its bases")
    done, pairs = finished(study, [STANDARD, *every], out), Pairs(out)
    result["lifts"] = lifts(done, pairs)
    result["minus_invdetect"] = against_invdetect(done, pairs, list(study.data.abnormal))
    write_json(out / "results.json", result)
    text = markdown(result)
    write_whole(out / "table.md", text.encode(), "table")
    print(text)
    return result


def lifts(done: dict[str, Finished], pairs: Pairs) -> dict[str, dict[str, dict[str, Any]]]:
    """Base -> part -> metric -> how far matching lifts a base on the same patients, both thresholded by the 1 % rule."""
    keys = {base: (alone.rows[0].key, matched.rows[0].key) for base, (alone, matched) in PAIRS.items()}
    return {base: pairs.minus(done[matched], done[alone]) for base, (alone, matched) in keys.items() if {alone, matched} <= set(done)}


def against_invdetect(done: dict[str, Finished], pairs: Pairs, parts: Sequence[str]) -> dict[str, dict[str, dict[str, dict[str, Any]]]]:
    """Part -> row -> row of InvDetect -> metric -> how far the row is above InvDetect's on the same draws of patients."""
    own = [row.key for row in STANDARD.rows]
    table: dict[str, dict[str, dict[str, dict[str, Any]]]] = {part: {} for part in parts}
    for key in done:
        if key not in own:
            for reference in own:
                for part, found in pairs.minus(done[key], done[reference]).items():
                    table[part].setdefault(key, {})[reference] = found
    return table


def markdown(result: dict[str, Any]) -> str:
    """One line a row, one a base for what matching changes, and one a row for how far it is above InvDetect."""
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
        lines += ["", *_against_table(result["minus_invdetect"][part], {row["key"]: row["title"] for row in rows}), ""]
    return "\n".join([*lines, "", f"- hardware: {result['hardware']}", ""])


def _against_table(differences: dict[str, dict[str, dict[str, Any]]], titles: dict[str, str]) -> list[str]:
    """AP once, since InvDetect's rows share one map; Dice against its own operating point, and against its map at the 1 % rule."""
    own = [row.key for row in STANDARD.rows]
    heads = ["AP", "ahead", *(word for key in own for word in (f"Dice, minus {titles[key]}", "ahead"))]
    lines = ["| row minus InvDetect | " + " | ".join([*heads, "n"]) + " |", "|---" * (len(heads) + 2) + "|"]
    for key, found in differences.items():
        pairs = [found[own[0]]["ap"], *(found[name]["dice"] for name in own)]
        cells = [cell for one in pairs for cell in (shown(one, " to "), "yes" if one["ahead"] else "no")]
        lines.append("| " + " | ".join([titles[key], *cells, str(pairs[0]["n"])]) + " |")
    return lines
