"""All methods side by side: `python -m Testing.evidence peers` reads the results of the settings and writes tables and two pictures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from InvDetectLib.common.errors import InvDetectError
from InvDetectLib.common.files import write_whole
from InvDetectLib.common.progress import Progress
from InvDetectLib.metrics.resampling import Averaged, paired_difference
from InvDetectLib.results.canvas import available

from ..figures import plain
from ..report import shown
from ..running import read_json, write_json
from . import pictures
from .methods import METHODS, Method
from .ranks import Ranks

PARTS = {"flair": "flair", "stroke": "stroke", "fundus": "fundus", "t1": "t1-made"}  # setting -> part of its results
_CUT_SHORT = "†"
_LEAST = 1e-5  # seconds a slice: less is not measured, and has no place on an axis of powers of ten
_SOURCES = (Path(), Path("matchgen"))  # below a setting's folder; the first that has a row counts


@dataclass(frozen=True)
class Found:
    """One setting's rows. `rows`: key -> a row of results.json; `part`: of its figures; `patients`: how many."""

    part: str
    patients: int
    rows: dict[str, dict[str, Any]]

    def figure(self, key: str, name: str) -> dict[str, Any] | None:
        """{"mean", "low", "high"} of a column; None where the row is missing."""
        return self.rows[key]["parts"][self.part][name] if key in self.rows else None

    def mean(self, key: str, name: str) -> float:
        """NaN where there is none."""
        value = (self.figure(key, name) or {}).get("mean")
        return math.nan if value is None else float(value)


def compare(out: Path, progress: Progress) -> None:
    """Write OUT/peers/table.md, results.json, ranks.png and runtime.png from the finished rows below `out`, and print the table.

    Settings count once a peer was run there (`--rows peers`). Raises `InvDetectError` where none does.
    """
    found = {setting: one for setting, part in PARTS.items() if (one := _read(out / setting, part)) is not None}
    if not found:
        raise InvDetectError(f"No method of others is finished in {out}; run python -m Testing.evidence flair --rows peers first.")
    methods = [method for method in METHODS if any(method.key(scr) in one.rows for one in found.values() for scr in (False, True))]
    ranks = {scr: _ranks(found, methods, scr) for scr in (False, True)}
    folder = out / "peers"
    text = "\n".join(_table(found, methods, ranks))
    write_json(folder / "results.json", _numbers(found, methods, ranks))
    write_whole(folder / "table.md", text.encode(), "table")
    print(text)
    if not available():
        progress.warn("the pictures are left out, for matplotlib is missing")
        return
    panels = [
        pictures.Panel("cut by SCR" if scr else "thresholded at the 1 % rule", [(one.title, one.family) for one in ranked[0]], ranked[1])
        for scr, ranked in ranks.items()
        if ranked
    ]
    settings = f"{_listed(found)} (development)"
    if panels:
        pictures.draw_ranks(panels, f"Mean rank by Dice on {settings}", folder / "ranks.png")
    over = " on" if len(found) == 1 else ", mean over"
    pictures.draw_runtime(_points(found, methods), f"Dice at the 1 % rule{over} {settings}", folder / "runtime.png")


def _read(folder: Path, part: str) -> Found | None:
    """The finished rows of a setting; None where no peer is among them."""
    rows: dict[str, dict[str, Any]] = {}
    patients = 0
    for source in _SOURCES:
        content = read_json(folder / source / "results.json")
        if content is not None and part in content["parts"]:
            patients = patients or len(content["parts"][part]["patients"])
            rows = {row["key"]: row for row in content["rows"] if "not_run" not in row} | rows
    return Found(part, patients, rows) if any(row["kind"] == "peer" for row in rows.values()) else None


def _ranks(found: dict[str, Found], methods: Sequence[Method], scr: bool) -> tuple[list[Method], Ranks] | None:
    """Of the methods that every setting has; None where these or the settings are too few."""
    ranked = [method for method in methods if all(method.key(scr) in one.rows for one in found.values())]
    if len(found) < 2 or len(ranked) < 3:
        return None
    return ranked, Ranks.of(np.array([[one.mean(method.key(scr), "dice") for method in ranked] for one in found.values()]))


def _points(found: dict[str, Found], methods: Sequence[Method]) -> list[pictures.Point]:
    """Of every method that all settings have, without SCR; of InvDetect, which SCR is part of, both."""
    own = {method: method.title.removeprefix("InvDetect, ") for method in methods if method.family == "InvDetect"}  # its mark says the rest
    shown_rows = [(method, False, f"{own[method]}, no SCR" if method in own else method.title) for method in methods]
    shown_rows += [(method, True, title) for method, title in own.items()]
    points = []
    for method, scr, title in shown_rows:
        key = method.key(scr)
        if all(key in one.rows for one in found.values()):
            dice = float(np.mean([one.mean(key, "dice") for one in found.values()]))
            seconds = [max(one.mean(key, "seconds_a_slice"), _LEAST) for one in found.values()]
            points.append(pictures.Point(title, method.family, 1000 * float(np.exp(np.mean(np.log(seconds)))), dice))
    return points


def _lift(one: Found, method: Method) -> dict[str, Any] | None:
    """Dice with SCR minus Dice without, over patients in pairs."""
    if method.plain not in one.rows or method.cut not in one.rows:
        return None
    with_scr, without = (
        Averaged.collect(
            (patient, values["dice"], 1.0)
            for patient, values in one.rows[key]["patients"][one.part].items()
            if values.get("dice") is not None
        )
        for key in (method.cut, method.plain)
    )
    return plain(paired_difference(with_scr, without))


def _numbers(found: dict[str, Found], methods: Sequence[Method], ranks: dict[bool, tuple[list[Method], Ranks] | None]) -> dict[str, Any]:
    return {
        "settings": {setting: {"part": one.part, "patients": one.patients} for setting, one in found.items()},
        "lift": {method.title: {setting: _lift(one, method) for setting, one in found.items()} for method in methods},
        "ranks": {
            "with SCR" if scr else "without SCR": None
            if one is None
            else {
                "friedman_p": None if math.isnan(one[1].p) else one[1].p,
                "critical_difference": round(one[1].difference, 3),
                "mean_ranks": {method.title: round(float(rank), 3) for method, rank in zip(one[0], one[1].means)},
            }
            for scr, one in ranks.items()
        },
    }


def _table(found: dict[str, Found], methods: Sequence[Method], ranks: dict[bool, tuple[list[Method], Ranks] | None]) -> list[str]:
    rows = [(method, scr) for method in methods for scr in (False, True) if any(method.key(scr) in one.rows for one in found.values())]
    mean_rank = {(method, scr): f"{rank:.1f}" for scr, one in ranks.items() if one for method, rank in zip(one[0], one[1].means)}
    patients = ", ".join(f"{one.part} ({one.patients} patients)" for one in found.values())
    lines = [
        "# Methods side by side on open data",
        "",
        f"{patients}. Every row has the threshold that flags 1 % of the same held-out normal scans.",
        "In brackets 95 % intervals over patients.",
        "Bold: the best of a column; underlined: the second. Ranks are by Dice, among rows with SCR or among rows without.",
        "",
        "## Dice and precision",
        "",
    ]
    lines += _columns(found, rows, {"dice": "Dice", "precision": "Prec."}, {"mean rank": mean_rank})
    lines += ["", "## Ranking of all voxels, and lesions", ""]
    lines += _columns(found, rows, {"ap": "AP", "auroc": "AUROC", "sensitivity_1": "lesions at 1 false"}, {})
    lines += ["", "## Time", "", *_times(found, rows), "", "## What SCR adds", ""]
    lines += [
        "Dice with SCR minus Dice without, over the same patients, each with the same weight; in brackets 95 % intervals.",
        "",
        f"| method | {' | '.join(one.part for one in found.values())} |",
        "|---" * (len(found) + 1) + "|",
    ]
    for method in methods:
        lifts = [_lift(one, method) for one in found.values()]
        if any(lifts):
            lines.append(f"| {method.title} | {' | '.join(shown(one, ' to ') if one else '-' for one in lifts)} |")
    lines += ["", "## Ranks", ""]
    for scr, one in ranks.items():
        name = "With SCR" if scr else "Without SCR"
        if one is None:
            lines.append(f"- {name}: fewer than two settings or three methods that all of them have.")
            continue
        lines.append(
            f"- {name}: {len(one[0])} methods on {len(found)} settings; Friedman's test p = {one[1].p:.2g}; critical difference "
            f"(Nemenyi, 5 %) {one[1].difference:.1f} ranks. With so few settings its power is small."
        )
    return [*lines, ""]


def _columns(
    found: dict[str, Found],
    rows: Sequence[tuple[Method, bool]],
    names: dict[str, str],
    more: dict[str, dict[tuple[Method, bool], str]],
) -> list[str]:
    """Lines of a table with these columns for each setting, and `more` at the end."""
    heads = [f"{one.part}: {title}" for one in found.values() for title in names.values()]
    lines = [f"| family | method | size | {' | '.join([*heads, *more])} |", "|---" * (3 + len(heads) + len(more)) + "|"]
    best = {(setting, name): _best(one.mean(m.key(scr), name) for m, scr in rows) for setting, one in found.items() for name in names}
    for method, scr in rows:
        key, cells = method.key(scr), []
        for setting, one in found.items():
            for name in names:
                cells.append(_marked(one.figure(key, name), best[setting, name]))
        sizes = sorted({one.rows[key]["size"] for one in found.values() if key in one.rows})
        last = [values.get((method, scr), "-") for values in more.values()]
        lines.append(f"| {method.family} | {_named(method, scr)} | {', '.join(sizes)} | {' | '.join([*cells, *last])} |")
    return lines


def _times(found: dict[str, Found], rows: Sequence[tuple[Method, bool]]) -> list[str]:
    heads = [f"{one.part}: {title}" for one in found.values() for title in ("ms a slice", "s to train")]
    lines = [f"| method | {' | '.join(heads)} |", "|---" * (1 + len(heads)) + "|"]
    for method, scr in rows:
        cells = []
        for one in found.values():
            seconds = one.mean(method.key(scr), "seconds_a_slice")
            row = one.rows.get(method.key(scr), {})
            facts = row.get("facts", {})
            trained = facts.get("training_seconds")
            least, mark = "≥ " if facts.get("resumed") else "", _CUT_SHORT if _is_cut_short(row) else ""
            told = "-" if trained is None else f"{least}{trained:.0f}{mark}"
            cells += ["-" if math.isnan(seconds) else f"{1000 * seconds:.3g}", told]
        lines.append(f"| {_named(method, scr)} | {' | '.join(cells)} |")
    return [*lines, "", f"{_CUT_SHORT} its seconds were over before its steps."]


def _is_cut_short(row: dict[str, Any]) -> bool:
    """Whether a peer's training ended by its seconds."""
    wanted, done = row.get("settings", {}).get("effort", {}).get("steps"), row.get("facts", {}).get("peer", {}).get("steps")
    return wanted is not None and done is not None and done < wanted


def _named(method: Method, scr: bool) -> str:
    return f"{method.title} + SCR" if scr else method.title


def _best(values: Iterable[float]) -> tuple[float, float]:
    """The highest, and the second highest."""
    order = sorted({round(value, 3) for value in values if not math.isnan(value)}, reverse=True) + [math.nan, math.nan]
    return order[0], order[1]


def _marked(figure: dict[str, Any] | None, best: tuple[float, float]) -> str:
    if figure is None or figure["mean"] is None:
        return "-"
    text, value = shown(figure), round(figure["mean"], 3)
    return f"**{text}**" if value == best[0] else f"<u>{text}</u>" if value == best[1] else text


def _listed(found: dict[str, Found]) -> str:
    names = [one.part for one in found.values()]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
