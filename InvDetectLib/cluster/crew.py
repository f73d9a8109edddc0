"""Who is there to work: processes come and go, each is greeted before it gets anything to do, and has one thing in hand at a time."""

from __future__ import annotations

import asyncio
import queue
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ..common import InvDetectError, Progress, __version__, shown, versions
from . import on_worker
from .errands import Errand

_LOOK = 1.0  # seconds between two looks at who is there
_RESULT = 10.0  # seconds after which it is worth looking whether the worker that has a result still lives
_GREETING = 30.0  # seconds in which one that is busy with other things says who it is
_MOST_LOADING = 4  # models under way at once, which the scheduler passes on


@dataclass(eq=False)
class Worker:
    """One process.

    state   "new", "greeting", "greeted", "loading", "ready", "busy", or "refused"
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
        self._run, self._task = secrets.token_hex(8), _as_bytes((errand.work, errand.shared))
        self._workers: dict[str, Worker] = {}
        self._asked: dict[str, Worker] = {}  # by the key of what they were asked
        self._count = 0
        self._ended: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._looked = 0.0
        self._since = time.monotonic()  # when there was somebody last
        self._refusal = ""
        self._introductions: dict[str, dict[str, Any]] = {}

    def look(self) -> list[Any]:
        """Greet who is new. Returns what those had in hand who have gone.

        Raises `InvDetectError` when there is nobody, and when the scheduler is lost.
        """
        if time.monotonic() - self._looked < _LOOK:
            return []
        self._looked = time.monotonic()
        present = self._present()
        lost = [thing for address in self._workers.keys() - present for thing in self._bury(address)]
        if new := sorted(present - self._workers.keys()):
            self._greet(new)
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
        return not self.greetings or any(worker.state == "greeting" for worker in self._workers.values())

    @property
    def is_busy(self) -> bool:
        """Whether somebody has something in hand."""
        return any(worker.state == "busy" for worker in self._workers.values())

    def give(self, worker: Worker, thing: Any, packed: Any) -> None:
        """Let a worker that is ready do it. `thing` comes back from `take` or `look`."""
        worker.thing = thing
        self._ask(worker, "busy", on_worker.carry, worker.id, self._run, self._errand.wanted, self._task, _as_bytes(packed))

    def take(self, seconds: float) -> tuple[Any, Any] | None:
        """The next thing that ended within so many seconds, with its `Answer`, the exception it ended with, or None for a lost worker."""
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
            worker.state = "ready"
            if isinstance(answer, Exception):
                self._refuse(worker, f"cannot load the model: {shown(answer)}")
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
                there = self._present()  # Ctrl-C of a terminal ends processes of this computer itself, and nobody waits for them
                addresses = [worker.address for worker in busy if worker.address in there]
                if addresses:
                    self._client.sync(self._stopped, addresses)
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

    def _greet(self, addresses: list[str]) -> None:
        """Let them introduce themselves, in a way that does no harm to workers that do not know InvDetect, and ask the others more."""
        self._workers |= {address: Worker(address) for address in addresses}
        told = self._client.sync(self._introduced, addresses)
        for address in addresses:
            worker, one = self._workers[address], told[address]
            if isinstance(one, TimeoutError):
                self._refuse(worker, "does not answer")
            elif isinstance(one, OSError) or one is None:
                self._bury(address)  # gone again
            elif why := _useless(one):
                self._refuse(worker, why)
            else:
                self._introductions[address] = one
                self._ask(worker, "greeting", on_worker.greet, self._errand.wanted)

    async def _introduced(self, addresses: list[str]) -> dict[str, Any]:
        """What each says of itself, or an exception: one that is frozen does not hold up the others."""

        async def one(address: str) -> Any:
            asked = self._client._run(on_worker.introduce, self._errand.paths, self._errand.probe, workers=[address], on_error="return")
            try:
                return (await asyncio.wait_for(asked, _GREETING)).get(address)
            except asyncio.TimeoutError:
                return TimeoutError()
            except Exception as error:
                return error

        return dict(zip(addresses, await asyncio.gather(*map(one, addresses))))

    async def _stopped(self, addresses: list[str]) -> None:
        asked = self._client._run(on_worker.stop, self._run, workers=addresses, on_error="ignore")
        await asyncio.wait_for(asked, _RESULT)

    def _meet(self, worker: Worker, greeting: Any) -> None:
        introduction = self._introductions.pop(worker.address)
        if isinstance(greeting, Exception):
            self._refuse(worker, f"cannot compute ({shown(greeting)}); install InvDetect there as it is here")
            return
        self.greetings[worker.address], worker.id = {**introduction, **greeting}, greeting["id"]
        if others := differing(introduction["versions"]):
            self._progress.warn(others)
        worker.state = "ready" if greeting["holds"] or self._errand.wanted is None else "greeted"

    def _refuse(self, worker: Worker, why: str) -> None:
        worker.state, self._refusal = "refused", f"The worker at {worker.address} {why}."
        self.greetings.pop(worker.address, None)  # of one that was greeted before it failed
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
        self._progress.report("waiting for workers")
        waited = time.monotonic() - self._since
        if self._patience is not None and waited > self._patience:
            where = self._client.scheduler.address
            raise InvDetectError(f"There are no workers at {where} (waited for {waited:.0f} s). Start some: dask worker {where}")


def differing(theirs: dict[str, str]) -> str:
    """What computes there in other versions than here, as a warning, or ""."""
    ours = versions()
    others = [f"{name} {theirs[name]} (here {ours[name]})" for name in ours if name in theirs and theirs[name] != ours[name]]
    return f"workers compute with {', '.join(others)}: the last digits of scores may differ" if others else ""


def _as_bytes(value: Any) -> bytes:
    """What Dask makes of a value on its way, so that it travels as plain bytes."""
    from distributed.protocol import serialize_bytes

    return bytes(serialize_bytes(value))


def _useless(introduction: Any) -> str:
    """Why a worker that introduced itself so, or with an exception, cannot be used; "" when it can."""
    if isinstance(introduction, Exception):
        return f"lacks InvDetect, or has an older one ({shown(introduction)}); install the same version there and at the scheduler"
    if (theirs := introduction["versions"]["InvDetect"]) != __version__:
        return f"has InvDetect {theirs}, and this is {__version__}; install the same version there"
    if unseen := introduction["unseen"]:
        return f"does not see {shown(unseen[0])}; name folders that this computer and all workers share, or add --ship"
    if introduction["unheld"]:
        return "does not notice which files of the output folder are in use here (a network drive without locks between hosts); add --ship"
    return ""
