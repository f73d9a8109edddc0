"""`invdetect train --dry-run`: which scans would be used for what, and which left out, and why."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

from ..common import InvDetectError, Progress
from ..models import Settings
from ..scans import Surveyor, apart_from, split, survey
from .streams import line


def dry_run(options: argparse.Namespace, settings: Settings, masks: str | None, surveyor: Surveyor | None, progress: Progress) -> int:
    """Print the table; 1 where these scans are no training. options: those of `invdetect train`."""
    apart, minimum = None, settings.least_side
    found = survey(options.normals, settings.preparation, minimum, masks, progress, surveyor=surveyor)
    if options.normals_test is not None:
        tests = survey(options.normals_test, found.preparation, minimum, masks, progress, surveyor=surveyor)
        apart = apart_from(tests, found)
    try:
        parts = split(len(found.candidates), settings.training, options.seed, apart is not None)
        problem = ""
    except InvDetectError as error:
        parts, problem = (list(range(len(found.candidates))), [], []), str(error)
    uses = ("training", "validation", "calibration")
    chosen = [(use, found.candidates[number]) for use, numbers in zip(uses, parts) for number in numbers]
    chosen += [("calibration", candidate) for candidate in apart.candidates] if apart else []
    rows: list[dict[str, Any]] = []
    for use, candidate in chosen:
        spacing = [round(value, 3) for value in candidate.geometry.spacing] if candidate.geometry.unit == "mm" else None
        rows.append(
            {"scan": str(candidate.found.relative), "use": use, "shape": list(candidate.geometry.shape), "spacing_mm": spacing}
        )
    left_out = [{"file": str(entry.path), "reason": entry.reason} for entry in (*found.left_out, *(apart.left_out if apart else ()))]
    if options.json:
        print(json.dumps({"scans": rows, "left_out": left_out, "preparation": asdict(found.preparation), "problem": problem}))
    else:
        for row in rows:
            size = " x ".join(map(str, row["shape"])) + (f", {row['spacing_mm']} mm" if row["spacing_mm"] else ", spacing unknown")
            print(line(f"{row['use']:<12} {row['scan']}  ({size})"))
        for entry in left_out:
            print(line(f"{'left out':<12} {entry['file']}: {entry['reason']}"))
        print(f"{len(rows)} scans would be used and {len(left_out)} files left out." + (f" {problem}" if problem else ""))
    return 1 if problem else 0
