"""Running rows so that nothing finished is done twice: models, maps of single scans and whole rows are kept, each under its fingerprint."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path
from typing import Any

import InvDetectLib
from InvDetectLib.common.environment import versions
from InvDetectLib.common.files import write_whole
from InvDetectLib.computing.tensors import describe_device, find_device
from Testing.support.hardware import processor

from .figures import COLUMNS, Scored, by_lesion_size, figures, per_patient
from .maps import Mapped
from .rows import Job, NotRun, Row
from .sets import Case
from .sizes import SIZES
from .study import Study


def run(study: Study, jobs: Sequence[Job], out: Path) -> None:
    """Do what is missing of the jobs; a row's figures go to `out`/rows/ROW.json as soon as they are known."""
    finished = sum(is_finished(study, job, out) for job in jobs)
    if finished:
        study.progress.report(f"{finished} of {len(jobs)} pieces of work are finished already; going on with the others")
    for job in jobs:
        if is_finished(study, job, out):
            _tell_of_older_code(study, job, out)
            continue
        try:
            facts = _score_all(study, job)
            for number, row in enumerate(job.rows):
                write_json(row_file(out, row), _finished(study, job, row, number, facts))
        except NotRun as error:
            for row in job.rows:
                write_json(row_file(out, row), {"key": row.key, "title": row.title, "kind": row.kind, "not_run": str(error)})
            study.progress.warn(f"{job.rows[0].title}: {error}")


def is_finished(study: Study, job: Job, out: Path) -> bool:
    """Whether every row of the job is there, made with these settings from these scans."""
    wanted = fingerprint(study, job)
    return all((read_json(row_file(out, row)) or {}).get("fingerprint") == wanted for row in job.rows)


def as_run(study: Study, job: Job, out: Path) -> Study | None:
    """The study at the size at which the job's rows were finished; None when they are not, or were on other scans."""
    sizes = {(read_json(row_file(out, row)) or {}).get("size") for row in job.rows}
    size = sizes.pop()
    if sizes or size not in SIZES:
        return None
    then = replace(study, size=size)
    return then if is_finished(then, job, out) else None


def row_file(out: Path, row: Row) -> Path:
    """Where a row's figures lie."""
    return out / "rows" / f"{row.key}.json"


def fingerprint(study: Study, job: Job) -> str:
    """Of a row: of its maps, of the scans they are compared on, and of its columns, so that a new one is figured from the same maps."""
    tested = {part: [case.name for case in cases] for part, cases in study.data.abnormal.items()}
    others = [[case.name for case in cases] for cases in (study.data.normal, study.data.bright)]
    text = json.dumps([study.fingerprint(job.settings(study)), tested, others, list(COLUMNS)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def scored(study: Study, job: Job, row: Row) -> dict[str, Scored]:
    """Each part of the run under a finished row, from the maps on disk."""
    number = job.rows.index(row)

    def load(case: Case) -> Mapped:
        found = Mapped.load(_map_file(study, job, number, case))
        if found is None:
            raise RuntimeError(f"the map of {case.name} under {row.key} was there and is gone")
        return found

    normal, bright = ([load(case).scored(case.patient, None) for case in cases] for cases in (study.data.normal, study.data.bright))
    parts = {}
    for part, cases in study.data.abnormal.items():
        maps = [load(case) for case in cases]
        parts[part] = Scored([one.scored(case.patient, study.truth(case)) for one, case in zip(maps, cases)], normal, maps, bright)
    return parts


def has_maps(study: Study, job: Job) -> bool:
    """Whether all maps of the job are on disk."""
    return all(_map_file(study, job, number, case).exists() for number in range(len(job.rows)) for case in study.data.tested)


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a file; None when it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a file, whole or not at all."""
    write_whole(path, json.dumps(content, indent=1, allow_nan=False).encode(), "study's results")


def hardware(device: str) -> str:
    """What computes, for people."""
    torch_device = find_device(device)
    accelerator = "" if torch_device.type == "cpu" else f", {describe_device(torch_device)}"
    return f"{processor() or platform.machine()}, {os.cpu_count()} cores{accelerator}"


@lru_cache
def library_digest() -> str:
    """sha256 over the library's source files: figures of other code can be told apart."""
    folder = Path(InvDetectLib.__file__).parent
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        total.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return total.hexdigest()[:16]


def _score_all(study: Study, job: Job) -> dict[str, Any]:
    """Maps of all scans that are not there yet; returns the facts of the fit."""
    folder = _folder(study, job)
    for stale in folder.parent.glob(f"{job.rows[0].key}-{'?' * 16}"):
        if stale != folder:
            shutil.rmtree(stale)
    facts = read_json(folder / "fit.json")
    missing = [
        case
        for case in study.data.tested
        if any(Mapped.load(_map_file(study, job, number, case)) is None for number in range(len(job.rows)))
    ]
    if missing or facts is None:
        facts = job.fit(study) | {"library": library_digest()}
        write_json(folder / "fit.json", facts)
    for done, case in enumerate(missing):
        study.progress.report(f"{job.rows[0].title}: test scans", done, len(missing))
        for number, found in enumerate(job.score(study, case)):
            found.save(_map_file(study, job, number, case))
    study.progress.report(f"{job.rows[0].title}: figures")
    return facts


def _finished(study: Study, job: Job, row: Row, number: int, facts: dict[str, Any]) -> dict[str, Any]:
    parts = scored(study, job, row)
    return {
        "key": row.key,
        "title": row.title,
        "what": row.what,
        "kind": row.kind,
        "size": _size(study, job),
        "fingerprint": fingerprint(study, job),
        "parts": {part: figures(one) for part, one in parts.items()},
        "by_size": {part: by_lesion_size(one) for part, one in parts.items()},
        "patients": {part: per_patient(one) for part, one in parts.items()},
        "facts": facts,
        "settings": job.settings(study),
        "library": facts["library"],
        "versions": versions(),
        "hardware": hardware(study.device),
        "command": " ".join(["python -m Testing.evidence", *sys.argv[1:]]),
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def _size(study: Study, job: Job) -> str:
    """The largest size that means the same for this job: what a size leaves alone did run at full size."""
    wanted = fingerprint(study, job)
    return next(size for size in SIZES if fingerprint(replace(study, size=size), job) == wanted)


def _folder(study: Study, job: Job) -> Path:
    return study.work / "maps" / f"{job.rows[0].key}-{study.fingerprint(job.settings(study))}"


def _map_file(study: Study, job: Job, number: int, case: Case) -> Path:
    return _folder(study, job) / f"{case.name}.{number}.npz"


def _tell_of_older_code(study: Study, job: Job, out: Path) -> None:
    for row in job.rows:
        found = read_json(row_file(out, row)) or {}
        if found.get("library") != library_digest():
            study.progress.warn(
                f"{row.title} was made by other code of the library with the same settings and is kept; "
                f"delete {row_file(out, row)} and {_folder(study, job)} to make it anew"
            )
