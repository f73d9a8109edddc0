"""Models side by side: the same made lesions in the same places, found by each at as many false findings as the others have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..common import Cancelled, InvDetectError, Progress
from ..detection import Detector
from ..methods import Slices
from ..models import CHOSEN, Model
from ..results import Result
from ..scans import Candidate, Foreground, Prepared, Scan
from .made_scans import MadeScan, MadeScans, Untouched

_RATES = tuple(float(rate) for rate in np.geomspace(0.001, 0.1, 13))  # of normal tissue to flag: those that models are calibrated for
_LOOKED_FOR = {"bright": ("bright",), "dark": ("dark",)}  # kinds of lesion that a direction looks for
_SIDES = ("bright", "dark")
_BEFORE = 0.1  # of a lesion's voxels: as much as makes a finding


@dataclass(frozen=True)
class Compared:
    """What one of several models finds at as many false findings as the others have.

    detection       mean over the kinds of the share (0 to 1) of their lesions that is found
    false_findings  in an untouched scan, on average;  rate  the share of normal tissue to flag at which that is so
    """

    detection: float
    false_findings: float
    rate: float


def compare(models: Sequence[Model], candidates: Sequence[Candidate], device: str, seed: int, progress: Progress) -> list[Compared]:
    """Rehearse models that share preparation and intensity rule on normal scans that none was trained on, each at its own rate.

    That rate is the one at which it has, in the untouched scans, as many false findings as the first model has at its own operating point,
    as far as rates from 0.001 to 0.1 reach. Lesions are bright and dark ones, or of the one kind that the first model's direction looks
    for; they lie where that model flags hardly anything, and another that flags a tenth of a lesion's place without it has not found it.
    Raises `WrongUse` for fewer than two scans, `InvDetectError` for scans too small for lesions.
    """
    kinds = _LOOKED_FOR.get(models[0].settings.invdetect.direction, _SIDES)
    shared = _Shared()
    detectors = [_Sharing(model, device, shared) for model in models]
    rates: list[float] = []

    def detect(number: int, scan: Scan, mask: np.ndarray | None) -> Result:
        silent, rate = progress.silent(), rates[number]
        return detectors[number].detect(scan, rate=rate, foreground=mask, stability=False, reasons=False, progress=silent)

    untouched: dict[int, list[Untouched]] = {}

    def examine(which: int, scan: Scan, mask: np.ndarray | None) -> Untouched:
        untouched[which] = [Untouched.of(scan, detect(number, scan, mask)) for number in range(len(models))]
        return untouched[which][0]

    scans = MadeScans(models[0].settings, candidates, seed, examine, progress, kinds)
    rates += _rates(detectors, scans.candidates, progress)
    hits = {kind: np.zeros(len(models)) for kind in kinds}
    tried = dict.fromkeys(kinds, 0)
    for made in scans:
        for number, before in enumerate(untouched[made.number]):
            found = made.found(detect(number, made.scan, made.foreground)) & (_share_flagged(made, before) < _BEFORE)
            for lesion, hit in zip(made.lesions, found, strict=True):
                hits[lesion.kind][number] += hit
        for lesion in made.lesions:
            tried[lesion.kind] += 1
    detection = np.mean([hits[kind] / tried[kind] for kind in kinds], axis=0)
    false = np.mean([[one.findings for one in every] for every in untouched.values()], axis=0)
    return [Compared(float(one), float(other), rate) for one, other, rate in zip(detection, false, rates, strict=True)]


def choose_model(models: Mapping[str, Model], candidates: Sequence[Candidate], device: str, seed: int, progress: Progress) -> Model:
    """The model that finds most made lesions (see `compare`), the first of those that find as many; its card tells of all, as "chosen".

    models  by what people call them; the first is the one that was asked for, and the one that stays, with a warning, where nothing can be
            compared. Raises `Cancelled` alone.
    """
    names, every = list(models), list(models.values())
    try:
        compared = compare(every, candidates, device, seed, progress)
    except Cancelled:
        raise
    except InvDetectError as error:
        progress.warn(f"Nothing was chosen, and the settings stay as they are: {error}")
        return every[0]
    best = max(range(len(every)), key=lambda number: compared[number].detection)
    told: dict[str, Any] = {
        "kept": names[best],
        "scans": len(candidates),
        "candidates": [
            {
                "name": name,
                "detection": round(one.detection, 4),
                "false_findings": round(one.false_findings, 4),
                "rate": round(one.rate, 5),
            }
            for name, one in zip(names, compared)
        ],
    }
    return replace(every[best], card={**every[best].card, CHOSEN: told})


def _share_flagged(made: MadeScan, before: Untouched) -> np.ndarray:
    """Of each lesion the share of its voxels that was flagged without it."""
    count = len(made.lesions) + 1
    flagged = np.bincount(made.labels[before.flags], minlength=count)
    return np.asarray(flagged[1:] / np.maximum(np.bincount(made.labels.ravel(), minlength=count)[1:], 1))


def _rates(detectors: Sequence[Detector], candidates: Sequence[Candidate], progress: Progress) -> list[float]:
    """For each detector the rate at which it has as many false findings as the first has at its own operating point."""
    wanted = 0
    counts = np.zeros((len(detectors), len(_RATES)), int)
    for done, candidate in enumerate(candidates):
        progress.report("counting false findings", done, len(candidates))
        scan, mask = candidate.read()
        for number, detector in enumerate(detectors):
            result = detector.detect(scan, foreground=mask, stability=False, reasons=False, progress=progress.silent())
            wanted += len(result.findings) if number == 0 else 0
            counts[number] += [len(result.refine(rate=rate, progress=progress.silent()).findings) for rate in _RATES]
    return [_rate(own, wanted) for own in counts]


def _rate(counts: np.ndarray, wanted: int) -> float:
    """The first rate at which that many findings are reached, between two of `_RATES` in proportion (of its logarithm)."""
    above = np.flatnonzero(counts > wanted)
    if not len(above):
        return _RATES[-1]
    if above[0] == 0:
        return _RATES[0]
    before, after = counts[above[0] - 1], counts[above[0]]
    share = (wanted - before) / (after - before)
    low, high = np.log(_RATES[above[0] - 1 : above[0] + 1])
    return float(np.clip(np.exp(low + share * (high - low)), _RATES[0], _RATES[-1]))


@dataclass
class _Shared:
    """The scan that was prepared last, and its slices, looked over by the first that wanted to."""

    scan: Scan | None = None
    prepared: Prepared | None = None
    slices: Slices | None = None


class _Sharing(Detector):
    """One of several detectors that look at the same scan in turn, which is prepared once."""

    def __init__(self, model: Model, device: str, shared: _Shared) -> None:
        super().__init__(model, device)
        self._shared = shared

    def prepare(self, scan: Scan, foreground: Foreground = None) -> Prepared:
        """See `Detector.prepare`."""
        if self._shared.scan is not scan or self._shared.prepared is None:
            self._shared.scan, self._shared.slices = scan, None
            self._shared.prepared = super().prepare(scan, foreground)
        return self._shared.prepared

    def look_over(self, prepared: Prepared) -> Slices:
        """See `Detector.look_over`."""
        if self._shared.slices is None or self._shared.slices.midlines is None:
            self._shared.slices = super().look_over(prepared)
        return self._shared.slices
