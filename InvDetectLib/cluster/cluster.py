"""What a user has connected to, and how cohorts, evaluations, rehearsals and surveys are carried out there."""

from __future__ import annotations

import dataclasses
import secrets
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..common import PREFIX, InvDetectError, Progress, owned, reason
from ..results import publish
from ..scans import Case, ForegroundChoice, Look, Looked, stem
from .crew import differing
from .dispatching import Dispatcher
from .errands import Errand, Lost, Ready, Wanted
from .parcels import Parcel, packed

if TYPE_CHECKING:
    from ..cohort import Asked, Engine, Outcome
    from ..detection import Detector
    from ..evaluation import Engine as ScoringEngine
    from ..evaluation import Judged, Scored
    from ..rehearsal import Engine as RehearsingEngine
    from ..scans import Found, Surveyor


class Cluster:
    """Workers that compute for this process. Made by `connect`, and of no use after it.

    Of its engines:
    detector  whose model and direction the workers take; it may lie on any device here
    device, deterministic  of the workers, as for `Detector`
    ship      the files of scans are sent and results come back, for workers that do not see the folders of this computer; else workers read
              and write there themselves
    """

    def __init__(self, client: Any, patience: float | None, progress: Progress) -> None:
        """client  a `distributed.Client`;  patience  seconds to wait for workers, None: as long as it takes"""
        self._dispatcher, self._progress = Dispatcher(client, patience), progress
        self._address = str(client.scheduler.address)

    def describe(self) -> dict[str, Any]:
        """What is there.

        address   of the scheduler;  workers  how many processes;  cores  that they may use together;  cards  names of their accelerators
        versions  a sentence where they compute with other versions than this process, else ""
        Raises `InvDetectError` when there is no worker that can be used.
        """
        greetings = list(self._dispatcher.greetings(self._progress).values())
        others = [text for text in (differing(one["versions"]) for one in greetings) if text]
        return {
            "address": self._address,
            "workers": len(greetings),
            "cores": sum(one["threads"] for one in greetings),
            "cards": sorted(card for one in greetings for card in one["cards"]),
            "versions": others[0] if others else "",
        }

    def engine(self, detector: Detector, device: str = "auto", deterministic: bool = False, ship: bool = False) -> Engine:
        """For `detect_cohort`, with the same detector."""

        def engine(found: Sequence[Found], asked: Asked, progress: Progress) -> Iterator[Outcome]:
            from ..cohort import Outcome
            from .parcel_work import Examined, examine_parcel

            sending = _Sending(asked, detector, progress, ship)
            errand = _errand(examine_parcel, sending.shared, detector, device, deterministic)
            cases = asked.foreground.cases(found)
            with _probe(sending.shared.out, ship) as probe:
                errand = dataclasses.replace(errand, paths=() if ship else _first(cases), probe=probe, pack=sending.pack)
                for case, one in self._dispatcher.carry_out(errand, cases, progress):
                    if isinstance(one, Examined):
                        yield sending.receive(one)
                    else:
                        yield Outcome(case.found, "failed", reason=one.why) if isinstance(one, Lost) else one

        return engine

    def scoring(self, detector: Detector, device: str = "auto", ship: bool = False) -> ScoringEngine:
        """For `evaluate`, with the same detector."""

        def engine(cases: Sequence[Case], judged: Judged, progress: Progress) -> Iterator[Scored]:
            from ..evaluation import Scored
            from .parcel_work import score_parcel

            errand = _errand(score_parcel, judged, detector, device)
            pack, paths = _packing(ship), () if ship else _first(cases)
            for case, one in self._dispatcher.carry_out(dataclasses.replace(errand, paths=paths, pack=pack), cases, progress):
                yield Scored(case, why=one.why) if isinstance(one, Lost) else one

        return engine

    def rehearsing(self, detector: Detector, device: str = "auto") -> RehearsingEngine:
        """For `rehearse`, with the same detector; made scans lie on no disk and are sent in any case."""

        def engine(
            work: Callable[..., Any], items: Iterable[Any], rate: float | None, progress: Progress
        ) -> Iterator[tuple[Any, Any]]:
            for item, one in self._dispatcher.carry_out(_errand(work, rate, detector, device), items, progress):
                if isinstance(one, Lost):
                    raise InvDetectError(f"One of the scans with made lesions could not be examined: {one.why}")
                yield item, one

        return engine

    def surveyor(self, ship: bool = False) -> Surveyor:
        """For `survey`."""

        def surveyor(cases: Sequence[Case], asked: Look, progress: Progress) -> Iterator[Looked]:
            from .parcel_work import look_parcel

            errand = Errand(look_parcel, asked, paths=() if ship else _first(cases), pack=_packing(ship))
            for case, one in self._dispatcher.carry_out(errand, cases, progress):
                yield Looked(case, why=one.why) if isinstance(one, Lost) else one

        return surveyor

    def close(self) -> None:
        """End what is under way, within seconds."""
        self._dispatcher.stop()


class _Sending:
    """What is sent of a cohort, and what becomes of what comes back.

    shared  what is asked of workers: with a whole path, and without what only this computer knows
    """

    def __init__(self, asked: Asked, detector: Detector, progress: Progress, ship: bool) -> None:
        self._asked, self._detector, self._progress, self._ship = asked, detector, progress, ship
        masks = asked.foreground.has_masks
        self.shared = dataclasses.replace(
            asked, out=asked.out.resolve(), foreground=ForegroundChoice(None) if masks else asked.foreground
        )

    def pack(self, case: Case) -> Parcel | Lost | Ready:
        """A parcel; of what is shipped nothing where its result lies here already."""
        done = self._earlier(case) if self._ship else None
        return packed(case, self._ship) if done is None else Ready(done)

    def receive(self, one: Any) -> Outcome:
        """Writes the files that came along, all of them or none."""
        from ..cohort import Outcome, earlier

        outcome, found = one.outcome, one.outcome.found
        if not one.files:
            return outcome
        try:
            done, overwrite = earlier(found, self._asked, self._detector, self._progress)
            if done is None:
                publish(self._asked.target(found).parent, stem(found.path), one.files, overwrite)
            return done or outcome
        except Exception as error:
            return Outcome(found, "failed", reason=reason(error, found.path))

    def _earlier(self, case: Case) -> Outcome | None:
        from ..cohort import Outcome, earlier

        try:
            return earlier(case.found, self._asked, self._detector, self._progress)[0]
        except Exception as error:
            return Outcome(case.found, "failed", reason=reason(error, case.found.path))


def _errand(work: Callable[..., Any], shared: Any, detector: Detector, device: str, deterministic: bool = False) -> Errand:
    """What takes a detector, with the bytes of its model's file."""
    model = detector.model
    wanted = Wanted(model.checksum, device, detector.direction or None, deterministic)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.invdetect"
        model.save(file)
        return Errand(work, shared, wanted, file.read_bytes())


@contextmanager
def _probe(out: Path, ship: bool) -> Iterator[str]:
    """A file in the output folder that this process holds for the block; "" where workers do not write there."""
    if ship:
        yield ""
        return
    path = out / f"{PREFIX}{secrets.token_hex(8)}.tmp"
    try:
        with owned(path):
            yield str(path)
    finally:
        path.unlink(missing_ok=True)


def _packing(ship: bool) -> Callable[[Case], Parcel | Lost]:
    return lambda case: packed(case, ship)


def _first(cases: Sequence[Case]) -> tuple[str, ...]:
    """What every worker has to see, as the first of the cases tells."""
    return tuple(str(path.absolute()) for case in cases[:1] for path in (case.found.path, case.mask) if path is not None)
