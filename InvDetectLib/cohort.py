"""Many scans, one model: outputs mirror the inputs, what is done is skipped, a failure costs one scan, one table at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from .common import InvDetectError, Progress, check_writable, longest_name, name_length, reason
from .detection import Detector
from .results import SUFFIXES, Finding, fault, read_findings, recover, write_table
from .scans import Foreground, ForegroundChoice, Found, Scan, find_scans, read_scan, stem

TABLE = "findings.csv"
_NO_WISH = ("series", "stability")  # options that leave map, mask and findings as they are


@dataclass(frozen=True)
class Outcome:
    """What became of one scan: status "done", "skipped" (results agree) or "failed" (`reason` says why).

    Of a result only the findings are kept: the arrays of a thousand scans fit into no memory.
    """

    found: Found
    status: str
    findings: list[Finding] | None = None
    reason: str = ""


def detect_cohort(
    scans: str | Path | Sequence[str | Path],
    detector: Detector,
    out: str | Path,
    *,
    options: dict[str, Any] | None = None,
    foreground: str | Path | None = None,
    overwrite: bool = False,
    verify: bool = False,
    progress: Progress | None = None,
) -> list[Outcome]:
    """Score every scan, write its results below `out`, and `findings.csv` over all results that lie there, of other runs too.

    options     of `Detector.detect`: contiguity, rate, threshold, scr, slices, series, adapt, stability. Of many scans the stability is
                measured only where it is asked for
    foreground  "auto", "brain", "none", or a folder of masks; None: the model's own rule
    overwrite   replace results of another model or other settings; without it such a scan fails with a sentence
    verify      read the files of results that are there, not only their lengths, before they count as whole
    Results of the same scan, model, direction and options are skipped when all their files are whole, and made anew when not.
    Only `Cancelled` ends the run early. Raises `InvDetectError` when
    there is no scan at all or `out` cannot be written.
    """
    progress = progress or Progress()
    found, left_out = find_scans([scans] if isinstance(scans, (str, Path)) else list(scans))
    options = {**({"stability": False} if len(found) > 1 else {}), **(options or {})}
    for objection in left_out:
        progress.warn(f"left out {objection.path}: {objection.reason}")
    out = Path(out)
    asked = _Asked(detector, out, options, ForegroundChoice(foreground), overwrite, verify)
    detector.controls(**{name: value for name, value in options.items() if name not in ("series", "slices", "adapt", "stability")})
    check_writable(out, "results")
    for folder in {_target(out, entry).parent for entry in found}:
        if folder.is_dir():
            recover(folder)
    outcomes: list[Outcome] = []
    written: dict[Path, Found] = {}
    hopeless = {entry: why for entry in found if (why := asked.unwritable(entry))}
    for entry, why in hopeless.items():  # now, and not when hours have been spent on those before it
        progress.warn(f"{entry.path}: {why}")
    for number, entry in enumerate(found, 1):
        progress.report("scans", number - 1, len(found))
        try:
            if entry in hopeless:
                raise InvDetectError(hopeless[entry])
            outcome = _one(entry, asked, written, progress)
        except Exception as error:
            why = reason(error, entry.path)
            progress.warn(f"{entry.path}: {why}")
            outcome = Outcome(entry, "failed", reason=why)
        outcomes.append(outcome)
        progress.report("scans", number, len(found))
    names = {_target(out, outcome.found): str(outcome.found.relative) for outcome in outcomes if outcome.findings is not None}
    write_table(out / TABLE, names, progress.warn)
    return outcomes


@dataclass(frozen=True)
class _Asked:
    """What is to be done with every scan; options, overwrite, verify  as for `detect_cohort`"""

    detector: Detector
    out: Path
    options: dict[str, Any]
    foreground: ForegroundChoice
    overwrite: bool
    verify: bool

    def request(self, scan: Scan, foreground: Foreground) -> dict[str, Any]:
        """What was asked for, to recognise results that need not be made again."""
        mask = sha256(np.packbits(foreground).tobytes()).hexdigest() if isinstance(foreground, np.ndarray) else foreground
        wishes = {name: list(value) if isinstance(value, tuple) else value for name, value in self.options.items() if name not in _NO_WISH}
        direction = {"direction": self.detector.direction} if self.detector.direction else {}
        return {"model": self.detector.model.checksum, "scan": scan.digest, "options": wishes, "foreground": mask, **direction}

    def unwritable(self, entry: Found) -> str:
        """Why the results of a scan could not be written, whatever they are, or ""."""
        kinds = SUFFIXES.keys() - ({"pseudo_normal"} if self.detector.model.settings.method != "matchgen" else set())
        name = stem(entry.path) + max((SUFFIXES[kind] for kind in kinds), key=len)
        length, longest = name_length(name), longest_name(self.out)
        if length > longest:
            return f"Its name is too long: with the ending of a result it has {length} bytes, and {longest} can be; give it a shorter one."
        return ""


def _one(entry: Found, asked: _Asked, written: dict[Path, Found], progress: Progress) -> Outcome:
    """Examine one scan; written  the results of this run so far, by the file that each has."""
    scan = read_scan(entry.path, asked.options.get("series"))
    target = _target(asked.out, entry)
    if target in written:
        raise InvDetectError(f"It would write the same files as {written[target].path}; rename one of the two, or detect them apart.")
    written[target] = entry
    foreground = asked.foreground.of(scan)
    request = asked.request(scan, foreground)
    done, overwrite = _done(target, request, asked, entry, progress)
    if done is not None:
        return done
    wishes = {name: value for name, value in asked.options.items() if name != "series"}
    result = asked.detector.detect(scan, **wishes, foreground=foreground, progress=progress.part(entry.path))
    result.provenance |= {"request": request, "ending": _ending(entry)}
    if not overwrite:  # another run may have done the very same in the meantime
        done, overwrite = _done(target, request, asked, entry, progress)
        if done is not None:
            return done
    result.save(target.parent, overwrite=overwrite)
    return Outcome(entry, "done", result.findings)


def _done(target: Path, request: dict[str, Any], asked: _Asked, entry: Found, progress: Progress) -> tuple[Outcome | None, bool]:
    """What there is to skip, if anything; and whether what lies there is to be replaced. `InvDetectError` for results of something else."""
    if asked.overwrite or not target.exists():
        return None, asked.overwrite
    earlier = read_findings(target)
    if earlier.provenance.get("request") != request:
        raise InvDetectError(f"{target} is of another model, scan or settings; add --overwrite to replace it, or give another folder.")
    broken = fault(target, asked.verify)
    lacking = asked.options.get("stability") and earlier.findings and not earlier.has_stability
    if not broken and not lacking:
        return Outcome(entry, "skipped", earlier.findings), False
    if broken:
        progress.warn(f"{entry.path}: {broken}, so it is detected anew")
    return None, True


def _target(out: Path, entry: Found) -> Path:
    """The file that says that a scan is done."""
    return out / entry.relative.parent / (stem(entry.path) + SUFFIXES["result"])


def _ending(entry: Found) -> str:
    """What of the scan's file name its results do not have, which tells nothing about whose it is."""
    name, start = entry.relative.name, stem(entry.path)
    return name[len(start) :] if name.startswith(start) else ""
