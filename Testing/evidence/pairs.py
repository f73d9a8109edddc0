"""Finished rows against each other on the same draws of patients; each pair is kept, for it takes long where scans are volumes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from InvDetectLib.metrics.resampling import Averaged, Pooled, paired_difference

from .figures import comparable, plain
from .rows import Job, Row
from .running import as_run, has_maps, read_json, row_file, scored, write_json
from .study import Study

_RECENT = 4  # rows whose scores stay in memory: a row, two that it is held against, and the row before it

_Scores = dict[str, dict[str, "Averaged | Pooled"]]  # part -> metric


class Finished(NamedTuple):
    """A row that has its figures and its maps.

    study  at the size at which it ran;  digest  of its file, which holds when it was made
    """

    study: Study
    job: Job
    row: Row
    digest: str


def finished(study: Study, jobs: Iterable[Job], out: Path) -> dict[str, Finished]:
    """By key, in the order of the jobs; at whatever size they ran."""
    found = {}
    for job in jobs:
        then = as_run(study, job, out)
        if then is not None and has_maps(then, job):
            for row in job.rows:
                found[row.key] = Finished(then, job, row, hashlib.sha256(row_file(out, row).read_bytes()).hexdigest()[:16])
    return found


class Pairs:
    """Differences of pairs of rows, kept in `out`/differences until either of the two is made anew."""

    def __init__(self, out: Path) -> None:
        self._folder = out / "differences"
        self._recent: dict[str, _Scores] = {}

    def minus(self, one: Finished, other: Finished) -> dict[str, dict[str, Any]]:
        """Part -> metric -> by how much `one` is above `other`, as `paired_difference` has it, for JSON."""
        if (kept := self._kept(one, other)) is not None:
            return kept
        if (kept := self._kept(other, one)) is not None:
            return {part: {name: _turned(found) for name, found in metrics.items()} for part, metrics in kept.items()}
        high, low = self._scores(one), self._scores(other)
        parts = {part: {name: plain(paired_difference(high[part][name], low[part][name])) for name in low[part]} for part in low}
        write_json(self._file(one, other), {"made_of": [one.digest, other.digest], "parts": parts})
        return parts

    def _kept(self, one: Finished, other: Finished) -> dict[str, dict[str, Any]] | None:
        content = read_json(self._file(one, other)) or {}
        return content["parts"] if content.get("made_of") == [one.digest, other.digest] else None

    def _file(self, one: Finished, other: Finished) -> Path:
        return self._folder / f"{one.row.key}-minus-{other.row.key}.json"

    def _scores(self, which: Finished) -> _Scores:
        key = which.row.key
        if key not in self._recent:
            self._recent[key] = {part: comparable(one) for part, one in scored(which.study, which.job, which.row).items()}
        self._recent[key] = self._recent.pop(key)  # the latest comes last
        while len(self._recent) > _RECENT:
            del self._recent[next(iter(self._recent))]
        return self._recent[key]


def _turned(difference: dict[str, Any]) -> dict[str, Any]:
    """The other way round; the same draws of patients give the same interval, mirrored."""
    mean, low, high = (None if (value := difference[name]) is None else 0 - value for name in ("mean", "high", "low"))
    return {**difference, "mean": mean, "low": low, "high": high, "ahead": low is not None and low > 0}
