"""A peer as two rows of the table: its map thresholded by the rule of every row, and the same map cut by SCR, which is ours to lend."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from InvDetectLib.computing.tensors import find_device
from InvDetectLib.methods.contract import Slices

from ..baselines import Compared
from ..rows import Row
from ..study import SEED, Study
from .contract import EFFORTS, Effort, Peer
from .training import Kept

MakePeer = Callable[[Effort, torch.device], Peer]


class PeerJob(Compared):
    """The work behind a peer's rows: plain, and with SCR by flat edge weights, as for every baseline.

    A training is kept in `models/`, each scored scan in `maps/`: what was interrupted goes on.
    """

    def __init__(self, make: type[Peer]) -> None:
        self._class = make
        what = f"{make.what} ({make.citation})"
        scr = f"{make.what}; the map cut by SCR with flat edge weights, lent by InvDetect"
        rows = (Row(make.key, make.title, what, "peer"), Row(f"{make.key}-scr", f"{make.title} + SCR", scr, "peer"))
        super().__init__(rows, lambda study: _AsBaseline(make, study))

    def fit(self, study: Study) -> dict[str, Any]:
        facts = super().fit(study)
        assert isinstance(self.baseline, _AsBaseline)
        whole = round(facts["training_seconds"] + self.baseline.before, 1)
        return facts | {"training_seconds": whole, "resumed": False, "peer": self.baseline.facts}  # nothing of a resumed one is lost


class _AsBaseline:
    """See `baselines.Baseline`."""

    def __init__(self, make: MakePeer, study: Study) -> None:
        self._effort, self._study = EFFORTS[study.size], study
        self._peer = make(self._effort, find_device(study.device))
        self.facts: dict[str, Any] = {}
        self.before = 0.0  # seconds of training in earlier runs

    def settings(self) -> dict[str, Any]:
        return {"peer": self._peer.key, "effort": dataclasses.asdict(self._effort)} | self._peer.settings()

    def fit(self, scans: Sequence[Slices]) -> None:
        study = self._study
        fingerprint = study.fingerprint(self.settings())
        path = study.work / "models" / f"{self._peer.key}-{fingerprint}.checkpoint"
        kept = Kept(path, fingerprint, self._effort.seconds)
        self.facts = self._peer.fit(scans, SEED, kept, study.progress)
        self.before = kept.before

    def map(self, scan: Slices) -> np.ndarray:
        found = np.zeros(scan.foreground.shape, np.float32)
        for k, (values, foreground) in enumerate(zip(scan.values, scan.foreground)):
            self._study.progress.check()
            if foreground.any():
                found[k] = self._peer.map(values, foreground)
        return found
