"""Structure-aware damage: one value of a JSON document after the other replaced by what does not belong there."""

from __future__ import annotations

import copy
import json
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

ODD = (float("nan"), float("inf"), 10**400, -1, 10**9, "", [], {}, None, "x" * 100_000, True)
Place = tuple[str | int, ...]


def places(values: Any, here: Place = ()) -> Iterator[Place]:
    """Where every value of a document stands, tables and lists included."""
    if here:
        yield here
    entries = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for name, value in entries:
        yield from places(value, (*here, name))


def changed(values: Any, place: Place, odd: Any) -> Any:
    """The document with another value at a place."""
    values = copy.deepcopy(values)
    inner = values
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = odd
    return values


def mutants(values: Any, count: int, seed: int) -> Iterator[tuple[str, Any]]:
    """`count` documents with one odd value each, the same for the same seed; and what was done, for the message of a test."""
    every = [(place, odd) for place in places(values) for odd in ODD]
    for place, odd in random.Random(seed).sample(every, min(count, len(every))):
        yield f"{'/'.join(map(str, place))} = {repr(odd)[:20]}", changed(values, place, odd)


def text_of(values: Any) -> str:
    """As JSON, with 1e400 for infinity, which is a number for JSON."""
    return json.dumps(values, sort_keys=True, separators=(",", ":")).replace("-Infinity", "-1e400").replace("Infinity", "1e400")


@contextmanager
def frugal(what: str, seconds: float = 5.0, megabytes: float = 300.0) -> Iterator[None]:
    """Fails when the block takes longer, or lets the memory of this process grow by more. The time allows for a machine that is busy."""
    import resource  # which Windows lacks

    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    yield
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert time.monotonic() - started < seconds and grown < megabytes, f"{what}: {time.monotonic() - started:.1f} s, {grown:.0f} MB"
