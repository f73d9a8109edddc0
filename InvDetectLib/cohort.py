"""Many scans, one model: outputs mirror the inputs, what is done is skipped, a failure costs one scan, one table at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from .common import Cancelled, InvDetectError, Progress, check_writable, write_whole
from .detection import Detector, Foreground, ForegroundChoice
from .results import Finding, Result, csv_text, findings_row, volume_unit
from .scans import Found, Scan, find_scans, read_scan

TABLE = "findings.csv"
_COLUMNS = (
    *("scan", "volume_unit", "finding", "volume", "peak_score", "mean_score", "p_value", "held_out_normals"),
    *("centroid_right", "centroid_anterior", "centroid_superior", "peak_slice", "peak_row", "peak_column", "first_slice", "last_slice"),
)


@dataclass(frozen=True)
class Outcome:
    """What became of one scan: status "done", "skipped" (results agree) or "failed" (`reason` says why).

    Of a result only the findings, with the `unit` of their volumes, are kept: the arrays of a thousand scans fit into no memory.
    """

    found: Found
    status: str
    findings: list[Finding] | None = None
    unit: str = ""
    reason: str = ""


def detect_cohort(
    scans: str | Path | Sequence[str | Path],
    detector: Detector,
    out: str | Path,
    *,
    options: dict[str, Any] | None = None,
    foreground: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> list[Outcome]:
    """Score every scan, write its results below `out`, and `findings.csv` over all of them.

    options     of `Detector.detect`: contiguity, rate, threshold, scr, slices, series
    foreground  "auto", "none", or a folder of masks; None: the model's own rule
    overwrite   replace results of another model or other settings; without it such a scan fails with a sentence
    Results of the same scan, model and options are skipped. Only `Cancelled` ends the run early. Raises `InvDetectError` when there is
    no scan at all or `out` cannot be written.
    """
    progress = progress or Progress()
    options = options or {}
    found, left_out = find_scans([scans] if isinstance(scans, (str, Path)) else list(scans))
    for objection in left_out:
        progress.warn(f"left out {objection.path}: {objection.reason}")
    out = Path(out)
    asked = _Asked(detector, out, options, ForegroundChoice(foreground), overwrite)
    detector.controls(**{name: value for name, value in options.items() if name not in ("series", "slices")})
    check_writable(out, "results")
    outcomes: list[Outcome] = []
    written: dict[Path, Found] = {}
    for number, entry in enumerate(found, 1):
        progress.report("scans", number - 1, len(found))
        try:
            outcome = _one(entry, asked, written, progress)
        except Cancelled:
            raise
        except InvDetectError as error:
            reason = str(error).removeprefix(f"{entry.path} ")
            progress.warn(f"{entry.path}: {reason}")
            outcome = Outcome(entry, "failed", reason=reason)
        outcomes.append(outcome)
        progress.report("scans", number, len(found))
    write_whole(out / TABLE, _table(outcomes).encode(), "table of findings")
    return outcomes


@dataclass(frozen=True)
class _Asked:
    """What is to be done with every scan; options, overwrite  as for `detect_cohort`"""

    detector: Detector
    out: Path
    options: dict[str, Any]
    foreground: ForegroundChoice
    overwrite: bool

    def request(self, scan: Scan, foreground: Foreground) -> dict[str, Any]:
        """What was asked for, to recognise results that need not be made again."""
        mask = sha256(np.packbits(foreground).tobytes()).hexdigest() if isinstance(foreground, np.ndarray) else foreground
        wishes = {name: list(value) if isinstance(value, tuple) else value for name, value in self.options.items() if name != "series"}
        return {"model": self.detector.model.checksum, "scan": scan.digest, "options": wishes, "foreground": mask}


def _one(entry: Found, asked: _Asked, written: dict[Path, Found], progress: Progress) -> Outcome:
    """Examine one scan; written  the results of this run so far, by the file that each has."""
    scan = read_scan(entry.path, asked.options.get("series"))
    folder = asked.out / entry.relative.parent
    target = folder / f"{scan.name}.result.json"
    if target in written:
        raise InvDetectError(f"It would write the same files as {written[target].path}; rename one of the two, or detect them apart.")
    written[target] = entry
    foreground = asked.foreground.of(scan)
    request = asked.request(scan, foreground)
    if target.exists() and not asked.overwrite:
        earlier = Result.load(target)
        if earlier.provenance.get("request") == request:
            return Outcome(entry, "skipped", earlier.findings, volume_unit(earlier.geometry))
        raise InvDetectError(f"{target} is of another model, scan or settings; add --overwrite to replace it, or give another folder.")
    wishes = {name: value for name, value in asked.options.items() if name != "series"}
    result = asked.detector.detect(scan, **wishes, foreground=foreground, progress=progress.part(entry.path))
    result.provenance["request"] = request
    result.save(folder, overwrite=asked.overwrite)
    return Outcome(entry, "done", result.findings, volume_unit(result.geometry))


def _table(outcomes: Sequence[Outcome]) -> str:
    """One row a finding, and one with finding 0 for a scan without any. Volumes and places are in each scan's own unit."""
    rows: list[list[Any]] = []
    for outcome in outcomes:
        if outcome.findings is not None:
            start = [str(outcome.found.relative), outcome.unit]
            rows += [[*start, *findings_row(finding)] for finding in outcome.findings] or [[*start, 0]]
    return csv_text(_COLUMNS, rows)
