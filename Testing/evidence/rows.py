"""What a row is: a job learns from the training normals and scores scans, for one row of the table or for several at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from InvDetectLib.common.errors import InvDetectError

from .maps import Mapped
from .sets import Case
from .study import Study


class NotRun(InvDetectError):
    """A row that cannot run here; the sentence goes into the table."""


@dataclass(frozen=True)
class Row:
    """One row of the table.

    key    for --rows and file names;  title  in the table;  what  one sentence on the method
    kind   "invdetect", "baseline" or "peer"
    """

    key: str
    title: str
    what: str
    kind: str


class Job(Protocol):
    """The work behind one row, or behind rows that share a network or a map."""

    rows: tuple[Row, ...]

    def settings(self, study: Study) -> dict[str, Any]:
        """JSON-able; all that decides the result beside the scans."""
        ...

    def fit(self, study: Study) -> dict[str, Any]:
        """Learn and calibrate; returns facts for the table ("training_seconds", ...). `NotRun` when it cannot."""
        ...

    def score(self, study: Study, case: Case) -> tuple[Mapped, ...]:
        """One scan under each of `rows`; `fit` was called before."""
        ...
