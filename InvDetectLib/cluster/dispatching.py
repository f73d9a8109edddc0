"""Who does what: every worker has one thing in hand, and whoever is lost with it costs nothing but that.

Dask would choose the workers itself, queue several things at each, and suspect all of them when one worker dies. Here each thing is sent
to a worker by name, so that it is known what was in hand, and what waits stays in this process: a scheduler's memory holds no more than
there are workers, however many scans there are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..common import Cancelled, Progress, shown
from . import on_worker
from .crew import Crew
from .errands import Errand, Lost, Ready

_POLL = 0.2
_TRIES = 2
_MOST_UNDER_WAY = 1 << 29  # bytes of scans that the scheduler passes on at once
_LOST = (
    "the worker that examined it was lost, and so was the next one (killed, or out of memory). Give workers more memory, or leave this "
    "scan out."
)


@dataclass(eq=False)
class _Thing:
    """One of many."""

    item: Any
    tries: int = 0
    nbytes: int = 0


class Dispatcher:
    """Hands things to the workers of a scheduler, whose `distributed.Client` is given; patience  see `Crew`."""

    def __init__(self, client: Any, patience: float | None) -> None:
        self._client, self._patience = client, patience
        self._crews: list[Crew] = []

    def carry_out(self, errand: Errand, items: Iterable[Any], progress: Progress) -> Iterator[tuple[Any, Any]]:
        """Each thing with the outcome of its work, or with `Lost`, as they come. Warnings of the work are told to `progress`.

        Raises `InvDetectError` when no worker can be used, or the scheduler is lost; `Cancelled` after what was under way has ended.
        """
        with self._gathered(errand, progress) as crew:
            yield from _Run(crew, errand, iter(items), progress)

    def greetings(self, progress: Progress) -> dict[str, dict[str, Any]]:
        """What each worker says of itself, by address; `InvDetectError` when none can be used."""
        with self._gathered(Errand(on_worker.greet), progress) as crew:
            while crew.is_gathering:
                progress.check()
                crew.look()
                crew.take(_POLL)
            return crew.greetings

    def stop(self) -> None:
        """End what is under way, within seconds."""
        while self._crews:
            self._crews.pop().stop()

    @contextmanager
    def _gathered(self, errand: Errand, progress: Progress) -> Iterator[Crew]:
        """A crew that stops with the block; made scans may ask for another one while one works."""
        crew = Crew(self._client, errand, self._patience, progress)
        self._crews.append(crew)
        try:
            yield crew
        finally:
            crew.stop()
            if crew in self._crews:
                self._crews.remove(crew)


class _Run:
    """One errand."""

    def __init__(self, crew: Crew, errand: Errand, items: Iterator[Any], progress: Progress) -> None:
        self._crew, self._errand, self._progress = crew, errand, progress
        self._items, self._again = items, deque[_Thing]()
        self._first: _Thing | None = None
        self._under_way = 0  # bytes

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        while True:
            self._progress.check()
            if not self._is_left() and not self._crew.is_busy:
                return
            for thing in self._crew.look():
                yield from self._lost(thing)
            yield from self._hand_out()
            if ended := self._crew.take(_POLL):
                yield from self._take_in(*ended)

    def _hand_out(self) -> Iterator[tuple[Any, Any]]:
        """Give everybody who is free something to do; yields what needs nobody."""
        for worker in self._crew.ready():
            while self._under_way < _MOST_UNDER_WAY and self._is_left():
                thing = self._next()
                packed = self._errand.pack(thing.item)
                if isinstance(packed, (Ready, Lost)):
                    yield thing.item, packed.outcome if isinstance(packed, Ready) else packed
                    continue
                thing.nbytes = getattr(packed, "nbytes", 0)
                self._under_way += thing.nbytes
                self._crew.give(worker, thing, packed)
                break

    def _take_in(self, thing: _Thing, answer: Any) -> Iterator[tuple[Any, Any]]:
        if answer is None:
            yield from self._lost(thing)
            return
        self._under_way -= thing.nbytes
        if isinstance(answer, Cancelled):
            raise answer
        if isinstance(answer, Exception):
            yield thing.item, Lost(f"broke off on a worker ({shown(answer)}). Report it, and leave this one out until then.")
        elif answer.lacking:
            self._again.append(thing)
        else:
            for text in answer.warnings:
                self._progress.warn(text)
            yield thing.item, answer.outcome

    def _lost(self, thing: _Thing) -> Iterator[tuple[Any, Any]]:
        self._under_way -= thing.nbytes
        thing.tries += 1
        if thing.tries < _TRIES:
            self._again.append(thing)
        else:
            yield thing.item, Lost(_LOST)

    def _is_left(self) -> bool:
        if self._first is None:
            self._first = next((_Thing(item) for item in self._items), None)
        return self._first is not None or bool(self._again)

    def _next(self) -> _Thing:
        if self._again:
            return self._again.popleft()
        thing, self._first = self._first, None
        assert thing is not None
        return thing
