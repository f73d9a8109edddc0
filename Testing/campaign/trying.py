"""What the parts of the campaign share: a trial and how it ended, the table, and where failures are kept."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

SECONDS = 30.0  # that a trial may take
MEMORY = 1 << 30  # bytes that it may take beyond what the process had when it began
UNFORESEEN = re.compile(r"Traceback|is not known|\bbug\b|Fatal Python error|Segmentation")  # words of an end that nobody had thought of


class Failure(Exception):
    """A trial that was not survived, and what happened."""


@dataclass(frozen=True)
class Trial:
    """One that ended: its part, number and kind; `words` say what went wrong, "" when it was survived.

    files  what it was tried with, by name, where that can be kept
    """

    part: str
    number: int
    kind: str
    words: str = ""
    files: Mapping[str, bytes] = field(default_factory=dict)


class Record:
    """Counts trials, and keeps those that failed in `folder`. Safe to use from several threads."""

    def __init__(self, seed: int, folder: Path) -> None:
        self._seed, self._folder, self._lock = seed, folder, threading.Lock()
        self._counts: dict[tuple[str, str], list[int]] = {}

    def add(self, trial: Trial) -> None:
        """Count a trial; one that failed is told and kept."""
        with self._lock:
            counts = self._counts.setdefault((trial.part, trial.kind), [0, 0])
            counts[0] += 1
            counts[1] += not trial.words
            if trial.words:
                print(f"FAILED {trial.part} {trial.number} ({trial.kind}): {trial.words}; kept as {self._keep(trial)}", flush=True)

    def total(self, part: str) -> tuple[int, int]:
        """(tried, survived) of a part."""
        found = [counts for (which, _), counts in self._counts.items() if which == part]
        return sum(tried for tried, _ in found), sum(survived for _, survived in found)

    @property
    def failed(self) -> int:
        """How many trials of all parts were not survived."""
        return sum(tried - survived for tried, survived in self._counts.values())

    def table(self) -> str:
        """A line a kind: tried, survived, failed."""
        lines = [f"{'part':<10} {'kind':<28} {'tried':>7} {'survived':>9} {'failed':>7}"]
        for (part, kind), (tried, survived) in sorted(self._counts.items()):
            lines.append(f"{part:<10} {kind:<28} {tried:>7} {survived:>9} {tried - survived:>7}")
        return "\n".join(lines)

    def _keep(self, trial: Trial) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{trial.part}-{self._seed}-{trial.number}.json"
        for name, content in trial.files.items():
            file = path.with_suffix("") / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        facts = {"part": trial.part, "seed": self._seed, "number": trial.number, "kind": trial.kind, "words": trial.words}
        facts["again"] = f"python -m Testing.campaign --replay {path}"
        path.write_text(json.dumps({**facts, "files": sorted(trial.files)}, indent=1) + "\n", encoding="utf-8")
        return path


class Limit:
    """When a part has to end: after so many trials, or at a time (of `time.monotonic`)."""

    def __init__(self, most: int, until: float) -> None:
        self._most, self._until, self._next, self._lock = most, until, 0, threading.Lock()

    def next(self) -> int | None:
        """The number of the next trial; None when there is none."""
        with self._lock:
            if self._next >= self._most or time.monotonic() > self._until:
                return None
            self._next += 1
            return self._next - 1


def generator(part: str, seed: int, number: int) -> np.random.Generator:
    """What a trial draws from: the same for the same seed and number, whatever was tried before."""
    return np.random.default_rng([seed, number, *part.encode()])


def one_sentence(text: str) -> None:
    """Raise `Failure` unless a text is what a user may be told: on one line, foreseen, and not endless."""
    if not text.strip() or "\n" in text.strip():
        raise Failure(f"no sentence on one line: {text[:300]!r}")
    if UNFORESEEN.search(text) or len(text) > 4000:
        raise Failure(f"nobody foresaw it: {text[:300]!r}")


def children(pid: int) -> list[int]:
    """The processes that a process has started and that still run, those of its threads included (Linux)."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(number) for number in task.read_text().split()]
        except OSError:
            pass
    return found
