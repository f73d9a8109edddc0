"""What a method of others must offer to stand in the study's table, and how much of it each size allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from InvDetectLib.common.progress import Progress
from InvDetectLib.methods.contract import Slices

from .training import Kept


@dataclass(frozen=True)
class Effort:
    """How much a peer may spend at a size of the study; what it means for a peer's own numbers, the peer says.

    side     pixels a side of the images that networks look at
    widths   channels of the stages of its U-Net, where it has one
    steps    of optimisation at most;  batch  images in each
    seconds  of training at most: where they end before the steps do, so does the training
    slices   normal slices that are learned from at most, by what keeps features
    passes   of a diffusion network a slice at most, where a method takes many
    """

    side: int = 128
    widths: tuple[int, ...] = (64, 128, 192, 256)
    steps: int = 50_000
    batch: int = 16
    seconds: float = 48 * 3600.0
    slices: int = 1_000
    passes: int = 1_000


EFFORTS = {
    "full": Effort(),
    "small": Effort(128, (24, 48, 72, 96), 2_000, 8, 900.0, 500, 50),
    "tiny": Effort(32, (8, 8), 40, 4, 60.0, 20, 5),
}


class Peer(Protocol):
    """A method of others. `make(effort, device)`, its constructor, costs nothing and needs no package.

    key, title  of its row (of the one with SCR: KEY-scr, TITLE + SCR);  what  one sentence, without full stop
    citation    authors, title, venue, year
    """

    key: str
    title: str
    what: str
    citation: str

    def settings(self) -> dict[str, Any]:
        """JSON-able; every number of its own that decides its maps (its effort is added by the job)."""
        ...

    def fit(self, scans: Sequence[Slices], seed: int, kept: Kept, progress: Progress) -> dict[str, Any]:
        """Learn from normal slices, and from nothing else; returns JSON-able facts (steps, loss, ...).

        scans  one normal scan each, values (slice, row, column, channel) float32 in [-1, 1]; scans may differ in the size of slices
        seed   decides every draw: the same seed gives the same maps
        kept   where the training stands on disk, and for how long it may go on: `training.train` minds it, and what learns without steps
               may save its arrays there. A second `fit` with a finished training takes it from there
        Raises `NotRun` with a sentence when a package is missing, and `Cancelled` after the state was saved.
        """
        ...

    def map(self, values: np.ndarray, foreground: np.ndarray) -> np.ndarray:
        """(row, column) float32, finite, higher is less normal; what lies outside the foreground does not count.

        values  (row, column, channel) float32 in [-1, 1];  foreground  (row, column) bool
        The same slice gives the same map, whatever was mapped before.
        """
        ...
