"""What a user has connected to, and how cohorts are carried out there."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..common import Progress
from .crew import differing
from .dispatching import Dispatcher
from .errands import Errand, Lost, Wanted

if TYPE_CHECKING:
    from ..cohort import Asked, Engine, Outcome
    from ..detection import Detector
    from ..scans import Found


class Cluster:
    """Workers that compute for this process. Made by `connect`, and of no use after it."""

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
        others = {differing(one["versions"]): None for one in greetings}
        return {
            "address": self._address,
            "workers": len(greetings),
            "cores": sum(one["threads"] for one in greetings),
            "cards": sorted(card for one in greetings for card in one["cards"]),
            "versions": next((text for text in others if text), ""),
        }

    def engine(self, detector: Detector, device: str = "auto", deterministic: bool = False, ship: bool = False) -> Engine:
        """For `detect_cohort`, with the same detector.

        detector  whose model and direction workers take; it may lie on any device here
        device, deterministic  of the workers, as for `Detector`
        ship      send the files of scans and take results back, for workers that do not see the folders of this computer; else they read
                  and write these themselves
        """

        def engine(found: Sequence[Found], asked: Asked, progress: Progress) -> Iterator[Outcome]:
            from ..cohort import Outcome, examine

            paths = (str(asked.out.resolve()), *(str(entry.path.resolve()) for entry in found[:1]))
            errand = Errand(examine, asked, *carried(detector, device, deterministic), paths)
            for entry, outcome in self._dispatcher.carry_out(errand, found, progress):
                yield Outcome(entry, "failed", reason=outcome.why) if isinstance(outcome, Lost) else outcome

        return engine

    def close(self) -> None:
        """End what is under way, within seconds."""
        self._dispatcher.stop()


def carried(detector: Detector, device: str, deterministic: bool) -> tuple[Wanted, bytes]:
    """The detector as workers make it, and the bytes of its model's file."""
    model = detector.model
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.invdetect"
        model.save(file)
        return Wanted(model.checksum, device, detector.direction or None, deterministic), file.read_bytes()
