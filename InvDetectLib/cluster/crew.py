"""Who is there to work: processes come and go, each is greeted before it gets anything to do, and has one thing in hand at a time."""

from __future__ import annotations

import queue
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ..common import InvDetectError, Progress, shown, versions
from . import on_worker
from .errands import Errand

_LOOK = 1.0  # seconds between two looks at who is there
_RESULT = 10.0  # seconds after which it is worth looking whether the worker that has a result still lives
_MOST_LOADING = 4  # models under way at once, which the scheduler passes on


@dataclass(eq=False)
class Worker:
    """One process.

    state   "greeting", "greeted", "loading", "ready", "busy", or "refused"
    id      of the process, as it says;  thing  what it has in hand;  future  of what it was asked
    """

    address: str
    state: str = "new"
    id: str = ""
    thing: Any = None
    future: Any = None


class Crew:
    """The workers of a scheduler, for one errand.

    patience   seconds to wait for workers when there are none; None: as long as it takes
    greetings  what each said of itself, by address; see `on_worker.greet`
    """

    def __init__(self, client: Any, errand: Errand, patience: float | None, progress: Progress) -> None:
        self.greetings: dict[str, dict[str, Any]] = {}
        self._client, self._errand, self._patience, self._progress = client, errand, patience, progress
        self._run = secrets.token_hex(8)
        self._workers: dict[str, Worker] = {}
        self._asked: dict[str, Worker] = {}  # by the key of what they were asked
        self._count = 0
        self._ended: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._looked = 0.0
        self._since = time.monotonic()  # when there was somebody last
        self._refusal = ""
        self._met = False

    def look(self) -> list[Any]:
        """Greet who is new. Returns what those had in hand who have gone.

        Raises `InvDetectError` when there is nobody, and when the scheduler is lost.
        """
        if time.monotonic() - self._looked < _LOOK:
            return []
        self._looked = time.monotonic()
        present = self._present()
        lost = [thing for address in self._workers.keys() - present for thing in self._bury(address)]
        for address in sorted(present - self._workers.keys()):
            self._greet(address)
        self._check_for_somebody()
        return lost

    def ready(self) -> Iterator[Worker]:
        """Those who can be given something to do."""
        for worker in list(self._workers.values()):
            if worker.state == "greeted" and sum(one.state == "loading" for one in self._workers.values()) < _MOST_LOADING:
                assert self._errand.wanted is not None
                self._ask(worker, "loading", on_worker.hold, self._errand.wanted, self._errand.model)
            if worker.state == "ready":
                yield worker

    @property
    def is_gathering(self) -> bool:
        """Whether somebody is being greeted."""
        return not self._met or any(worker.state == "greeting" for worker in self._workers.values())

    @property
    def is_busy(self) -> bool:
        """Whether somebody has something in hand."""
        return any(worker.state == "busy" for worker in self._workers.values())

    def give(self, worker: Worker, thing: Any, packed: Any) -> None:
        """Let a worker that is ready do it. `thing` comes back from `take` or `look`."""
        worker.thing = thing
        self._ask(worker, "busy", on_worker.carry, worker.id, self._run, self._errand.wanted, self._errand.work, packed, self._errand.shared)

    def take(self, seconds: float) -> tuple[Any, Any] | None:
        """The next thing that ended within so many seconds, with its `Answer`, the exception it ended with, or None: its worker was lost."""
        try:
            worker = self._asked.get(self._ended.get(timeout=seconds))
        except queue.Empty:
            return None
        if worker is None:  # of one that was given up
            return None
        state, answer = worker.state, self._answer(worker)
        if answer is None:
            return next(((thing, None) for thing in self._bury(worker.address)), None)
        if state == "greeting":
            self._meet(worker, answer)
        elif state == "loading":
            self._refuse(worker, f"could not load the model: {shown(answer)}") if isinstance(answer, Exception) else self._free(worker)
        elif state == "busy":
            thing, worker.thing, worker.state = worker.thing, None, "ready"
            if getattr(answer, "lacking", "") == "process":
                self._bury(worker.address)
                return thing, None
            if getattr(answer, "lacking", "") == "model":
                worker.state = "greeted"
            return thing, answer
        return None

    def stop(self) -> None:
        """Cancel what waits, let what runs end at its next safe place, and wait for that some seconds."""
        busy = [worker for worker in self._asked.values() if worker.future is not None]
        self._asked.clear()
        if busy and self._client.status == "running":
            try:
                self._client.cancel([worker.future for worker in busy], force=True)
                self._client.run(on_worker.stop, self._run, workers=[worker.address for worker in busy], on_error="ignore")
            except Exception:  # who does not answer has nothing in hand any more that could be stopped
                pass

    def _present(self) -> set[str]:
        try:
            return set(self._client.nthreads())
        except Exception as error:
            raise InvDetectError(
                "The scheduler does not answer any more. What is finished stays; start the scheduler again, and the same command goes on "
                "from there."
            ) from error

    def _ask(self, worker: Worker, state: str, call: Callable[..., Any], *words: Any) -> None:
        self._count += 1
        key = f"invdetect-{self._run}-{self._count}"
        worker.state = state
        self._asked[key] = worker
        worker.future = self._client.submit(call, *words, key=key, workers=[worker.address], allow_other_workers=False, pure=False)
        worker.future.add_done_callback(lambda future: self._ended.put(future.key))

    def _answer(self, worker: Worker) -> Any:
        """What a worker's future ended with, exceptions too; None when that was lost, with the worker or on the way."""
        future, worker.future = worker.future, None
        del self._asked[future.key]
        if future.status not in ("finished", "error"):
            return None
        while True:
            try:
                return future.result(timeout=_RESULT)
            except TimeoutError:
                if worker.address not in self._present():
                    return None
            except Exception as error:
                return None if type(error).__name__ in ("KilledWorker", "FutureCancelledError", "CancelledError") else error

    def _greet(self, address: str) -> None:
        worker = self._workers[address] = Worker(address)
        self._ask(worker, "greeting", on_worker.greet, self._errand.paths, self._errand.wanted)

    def _meet(self, worker: Worker, greeting: Any) -> None:
        self._met = True
        if isinstance(greeting, Exception):
            self._refuse(worker, _stranger(greeting))
            return
        ours, theirs = versions(), greeting["versions"]
        if theirs["InvDetect"] != ours["InvDetect"]:
            self._refuse(worker, f"has InvDetect {theirs['InvDetect']}, and this is {ours['InvDetect']}; install the same version there")
            return
        if greeting["unseen"]:
            where = shown(greeting["unseen"][0])
            self._refuse(worker, f"does not see {where}; name folders that this computer and all workers share, or add --ship")
            return
        self.greetings[worker.address], worker.id = greeting, greeting["id"]
        if others := differing(theirs):
            self._progress.warn(others)
        if greeting["holds"] or self._errand.wanted is None:
            self._free(worker)
        else:
            worker.state = "greeted"

    def _free(self, worker: Worker) -> None:
        worker.state = "ready"

    def _refuse(self, worker: Worker, why: str) -> None:
        worker.state, self._refusal = "refused", f"The worker at {worker.address} {why}."
        if any(one.state != "refused" for one in self._workers.values()):
            self._progress.warn(f"the worker at {worker.address} is left out: it {why}")
        self._check_for_somebody()

    def _bury(self, address: str) -> list[Any]:
        """Forget a worker; returns what it had in hand."""
        worker = self._workers.pop(address)
        self.greetings.pop(address, None)
        if worker.future is not None:
            self._asked.pop(worker.future.key, None)
            self._client.cancel([worker.future], force=True)
        return [] if worker.thing is None else [worker.thing]

    def _check_for_somebody(self) -> None:
        if any(worker.state != "refused" for worker in self._workers.values()):
            self._since = time.monotonic()
            return
        if self._refusal and not self.greetings:
            raise InvDetectError(self._refusal)
        waited = time.monotonic() - self._since
        if self._patience is not None and waited > self._patience:
            where = self._client.scheduler.address
            raise InvDetectError(f"There are no workers at {where} (waited for {waited:.0f} s). Start some: dask worker {where}")


def differing(theirs: dict[str, str]) -> str:
    """What computes there in other versions than here, as a warning, or ""."""
    ours = versions()
    others = [f"{name} {theirs[name]} (here {ours[name]})" for name in ours if name in theirs and theirs[name] != ours[name]]
    return f"workers compute with {', '.join(others)}: the last digits of scores may differ" if others else ""


def _stranger(error: Exception) -> str:
    if isinstance(error, ImportError) or "deserializ" in str(error):
        return f"lacks InvDetect, or something that InvDetect needs ({shown(error)}); install the same there and at the scheduler"
    return f"cannot be used ({shown(error)})"
