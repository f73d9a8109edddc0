"""From a baseline's map to rows under the same rule as InvDetect's: same scans, same held-out normals, same 1 %, same way back."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from InvDetectLib.calibration.calibration import Calibration
from InvDetectLib.calibration.held_out import calibrate
from InvDetectLib.methods.contract import Slices
from InvDetectLib.methods.scoring import Scores
from InvDetectLib.metrics.agreement import threshold_at_rate
from InvDetectLib.models.settings import Refinement
from InvDetectLib.results import Controls, Examined, OnGrid, Result

from .maps import Mapped
from .rows import Row
from .sets import Case
from .study import RATE, Study


class Baseline(Protocol):
    """A way to score prepared slices."""

    def settings(self) -> dict[str, Any]:
        """JSON-able; what shapes it."""
        ...

    def fit(self, scans: Sequence[Slices]) -> None:
        """Learn from normal scans."""
        ...

    def map(self, scan: Slices) -> np.ndarray:
        """(slice, row, column) float32 scores, higher = less normal; what lies outside the foreground does not count."""
        ...


@dataclass
class Compared:
    """A baseline as one row; with a second row, the same map cut by SCR with flat edge weights.

    make  the baseline, for a study's size and device
    grey  the intensity rule under which it sees grey scans, if not that of `standard`: one that learns nothing
    """

    rows: tuple[Row, ...]
    make: Callable[[Study], Baseline]
    grey: str | None = None
    baseline: Baseline | None = field(default=None, init=False)
    plain: Calibration | None = field(default=None, init=False)
    refined: Calibration | None = field(default=None, init=False)

    def settings(self, study: Study) -> dict[str, Any]:
        rule = self._rule(study)
        return self.make(study).settings() | ({"intensity": rule} if rule else {})

    def fit(self, study: Study) -> dict[str, Any]:
        training, held_out = ([self._slices(study, case) for case in part] for part in (study.data.train, study.data.calibration))
        resumed = any((study.work / "models").glob(f"{self.rows[0].key}-*.checkpoint"))
        started = time.monotonic()
        self.baseline = self.make(study)
        study.progress.report(f"{self.rows[0].title}: fitting")
        self.baseline.fit(training)
        maps = [self._map(one, study) for one in held_out]
        threshold = threshold_at_rate(maps, [one.foreground for one in held_out], RATE)
        self.plain = _point(threshold, np.concatenate([values[one.foreground] for values, one in zip(maps, held_out)]))
        facts = {"resumed": resumed, "threshold": threshold}
        if len(self.rows) > 1:
            scores = [_flat(values, one.foreground) for values, one in zip(maps, held_out)]
            grids = [study.prepared(case, self._rule(study))[1].grid for case in study.data.calibration]
            self.refined = calibrate(scores, grids, False, Refinement(rate=RATE), study.progress)
            facts |= {"lambda": self.refined.contiguity, "threshold with SCR": self.refined.default_threshold}
        return {"training_seconds": round(time.monotonic() - started, 1), **facts}

    def score(self, study: Study, case: Case) -> tuple[Mapped, ...]:
        assert self.plain is not None
        geometry, prepared = study.prepared(case, self._rule(study))
        started = time.monotonic()
        values = self._map(self._slices(study, case), study)
        seconds = time.monotonic() - started
        flat = _flat(values, prepared.foreground)
        found = []
        for calibration, scr in ((self.plain, False), (self.refined, True)):
            if calibration is None:
                continue
            in_unit = (values - np.float32(calibration.offset)) / np.float32(calibration.scale)
            result = Result.assemble(
                Examined(case.name, geometry, study.preparation, prepared.native_foreground),
                OnGrid(in_unit, prepared.foreground, flat.down, flat.right),
                calibration,
                Controls.choose(calibration, scr=scr),
                provenance={},
            )
            axis = prepared.grid.slice_axis
            found.append(Mapped(result.anomaly_map, result.mask, result.foreground, axis, seconds, len(values)))
        return tuple(found)

    def _rule(self, study: Study) -> str | None:
        return None if study.setting.colour else self.grey

    def _slices(self, study: Study, case: Case) -> Slices:
        _, prepared = study.prepared(case, self._rule(study))
        return Slices(prepared.slices, prepared.foreground)

    def _map(self, scan: Slices, study: Study) -> np.ndarray:
        assert self.baseline is not None
        study.progress.check()
        return self.baseline.map(scan).astype(np.float32)


def _flat(values: np.ndarray, foreground: np.ndarray) -> Scores:
    """Scores whose neighbours are all joined alike."""
    slices, rows, columns = foreground.shape
    down, right = np.ones((slices, rows - 1, columns), np.float16), np.ones((slices, rows, columns - 1), np.float16)
    return Scores(values, foreground, down, right)


def _point(threshold: float, normal: np.ndarray) -> Calibration:
    """A calibration that knows one threshold and no unit: all that a row without SCR needs."""
    return Calibration(
        unit="raw",
        offset=0.0,
        scale=1.0,
        contiguity=0.0,
        default_threshold=threshold,
        contiguities=(0.0,),
        rates=(RATE,),
        thresholds=((threshold,),),
        peaks=(),
        peak_unit="slice",
        floor=float(normal.min()),
        normal_area=RATE,
        raw_quantiles=tuple(float(q) for q in np.quantile(normal, [0.01, 0.5, 0.9, 0.99])),
    )
