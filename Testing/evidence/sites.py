"""A change of scanner: each institution of FLAIR left out in turn, in one table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from InvDetectLib.common.files import write_whole

from .report import shown
from .running import write_json
from .sets import SITES

_PLAIN = ("intensity", "smoothed", "smoothed-scr", "patch-mean")
_COLUMNS = {"dice": "Dice", "ap": "AP", "auroc": "AUROC", "normal_area": "area on its normals"}


def rows(size: str) -> list[str]:
    """Keys of the rows by default: four trainings of `standard` are too long for two cores, so smaller sizes run `quick`.

    Both are held against `quick` as it was before.
    """
    return ["standard" if size == "full" else "quick", "latents-quick", *_PLAIN]


def compare(study: Callable[[str], dict[str, Any]], out: Path) -> None:
    """Run `study` (site -> results) for every institution, and write OUT/flair-sites/results.json and table.md."""
    results = {site: study(site) for site in SITES}
    folder = out / "flair-sites"
    write_json(folder / "results.json", results)
    text = markdown(results)
    write_whole(folder / "table.md", text.encode(), "table")
    print(text)


def markdown(results: dict[str, dict[str, Any]]) -> str:
    """One line an institution and row that was run; differences are the institution's InvDetect minus the row."""
    titles = [*_COLUMNS.values(), "InvDetect minus row: AP", "Dice"]
    lines = [
        "# flair: each institution left out of training, calibration and choices in turn",
        "",
        "| left out | patients | row | size | " + " | ".join(titles) + " |",
        "|---" * (len(titles) + 4) + "|",
    ]
    for site, result in results.items():
        patients = len(result["parts"]["flair"]["patients"])
        for row in result["rows"]:
            if "not_run" in row:
                continue
            found = result["reference_minus_row"].get("flair", {}).get(row["key"], {})
            cells = [shown(row["parts"]["flair"][name]) for name in _COLUMNS]
            cells += [shown(found[name], " to ") if name in found else "-" for name in ("ap", "dice")]
            lines.append("| " + " | ".join([site, str(patients), row["title"], row["size"], *cells]) + " |")
    return "\n".join([*lines, ""])
