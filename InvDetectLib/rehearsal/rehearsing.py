"""The run: normal scans with made lesions go the whole way of detection, and what is found of them is counted."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..common import Cancelled, Event, InvDetectError, Progress, WrongUse
from ..detection import Detector
from ..models import KINDS, REHEARSAL, ContrastDetail, Model, relied_on
from ..results import Result
from ..scans import Candidate, Paths, Scan, Surveyor, survey_unseen
from .chart import check_chart, draw_chart
from .examples import Examples
from .lesions import Lesion
from .made_scans import MadeScan, MadeScans, Untouched
from .surface import fit

_STRANGE = 5, 0.02  # times the share of normal tissue that is to be flagged, and at least this share

# Does a piece of work, a module's own function of a thing, the rate, a detector and a progress, for many things, and gives each back with
# what came of it, in any order. Raises `InvDetectError` where nothing comes of one.
Engine = Callable[[Callable[..., Any], Iterable[Any], float | None, Progress], Iterable[tuple[Any, Any]]]


def rehearse(
    model: Model | str | Path | Detector,
    normals: Paths,
    *,
    masks: str | Path | None = None,
    rate: float | None = None,
    seed: int = 0,
    device: str = "auto",
    picture: str | Path | None = None,
    engine: Engine | None = None,
    surveyor: Surveyor | None = None,
    on_progress: Callable[[Event], None] | None = None,
    progress: Progress | None = None,
) -> ContrastDetail:
    """Put made lesions into normal scans and tell how often the model finds them, by kind, size and contrast.

    model    or a `Detector`, in which case `device` is its own
    normals  folder (nested, mixed formats), file, pattern, or a list of these: two scans or more; those that the model was trained on are
             left out
    masks    folder of foreground masks, for a model with the foreground rule "masks"
    rate     share of normal tissue to flag; None: the model's own operating point
    seed     of places, sizes and contrasts: the same seed and scans give the same result
    picture  file to write the contrast-detail chart to, a PNG
    engine   who looks for the lesions; None: this process, in one scan after the other;  surveyor  who reads the scans first, see `survey`

    A lesion is found when a finding shares at least a tenth of their union with it. Raises `WrongUse` for fewer than two scans and
    impossible wishes, `InvDetectError` for scans that are too small for such lesions.
    """
    progress = progress or Progress(on_progress)
    if seed < 0:
        raise WrongUse(f"A seed must be 0 or more, not {seed}.")
    if picture is not None:
        check_chart(picture)
    detector = model if isinstance(model, Detector) else Detector(model, device)
    detector.controls(rate=rate)
    settings = detector.model.settings
    known, why = relied_on(detector.model.card).trained_on.digests, "which flatters it"
    candidates = survey_unseen(normals, settings.preparation, settings.least_side, masks, known, why, progress, surveyor)
    rehearsal = _Rehearsal(detector, candidates, rate, seed, progress, independent=True, engine=engine)
    detail = rehearsal.run()
    if picture is not None:
        draw_chart(detail, os.fspath(picture), rehearsal.examples(detail))
    return detail


def rehearsed(model: Model, candidates: Sequence[Candidate], device: str, seed: int, progress: Progress) -> dict[str, Any]:
    """What the card of a model is to say of its rehearsal on the scans that set its threshold; empty, with a warning, where there is none.

    Raises `Cancelled` alone: a model that is made is not lost because it could not be rehearsed.
    """
    try:
        return {REHEARSAL: _Rehearsal(Detector(model, device), candidates, None, seed, progress, independent=False).run().as_dict()}
    except Cancelled:
        raise
    except InvDetectError as error:
        progress.warn(f"What this model can see was not rehearsed: {error}")
        return {}


@dataclass
class _Tried:
    """Lesions of one kind so far: each, whether it was found, and its contrast in local spreads."""

    lesions: list[Lesion]
    found: list[bool]
    spreads: list[float]


class _Rehearsal:
    """One run."""

    def __init__(
        self,
        detector: Detector,
        candidates: Sequence[Candidate],
        rate: float | None,
        seed: int,
        progress: Progress,
        independent: bool,
        engine: Engine | None = None,
    ) -> None:
        """independent: what the scans themselves are like is not known yet, and worth a warning where they seem not to be normal."""
        self._detector, self._rate, self._seed = detector, rate, seed
        self._progress, self._independent = progress, independent
        self._engine, self._ahead = engine or _here(detector), engine is not None
        self._scans = MadeScans(detector.model.settings, candidates, seed, self._untouched, progress)

    def run(self) -> ContrastDetail:
        """Raises `InvDetectError` for scans too small for the lesions."""
        if self._ahead:
            seen = {item[0]: one for item, one in self._engine(look_at, self._scans.untouched(), self._rate, self._progress)}
            self._scans.looked.update((number, self._heard(number, *seen[number])) for number in sorted(seen))
        told: list[tuple[list[Lesion], np.ndarray, list[float]]] = []

        def places() -> Iterator[tuple[int, MadeScan]]:
            for number, made in enumerate(self._scans):
                told.append((made.lesions, np.zeros(0, bool), made.spreads))
                yield number, made

        for (number, made), found in self._engine(look_for, places(), self._rate, self._progress):
            told[number] = (made.lesions, found, made.spreads)
        tried = {kind: _Tried([], [], []) for kind in KINDS}
        for lesions, found, spreads in told:
            for lesion, hit, spread in zip(lesions, found, spreads, strict=True):
                tried[lesion.kind].lesions.append(lesion)
                tried[lesion.kind].found.append(bool(hit))
                tried[lesion.kind].spreads.append(spread)
        return self._told(tuple(fit(one.lesions, one.found, one.spreads) for one in tried.values()))

    def examples(self, detail: ContrastDetail) -> Examples:
        """What some lesions look like in the first of the scans, after the run."""
        return self._scans.examples(detail.surfaces[0].sizes)

    def _told(self, surfaces: tuple[Any, ...]) -> ContrastDetail:
        looked = list(self._scans.looked.values())
        known = set(self._detector.model.card["calibrated_on"]["digests"])
        flagged = sum(one.flagged for one in looked) / sum(one.foreground for one in looked)
        self._doubt(looked)
        return ContrastDetail(
            unit=self._scans.unit,
            direction=self._detector.direction,
            rate=self._rate,
            flagged=flagged,
            false_findings=sum(one.findings for one in looked) / len(looked),
            scans=len(looked),
            calibrating=sum(self._scans.candidates[number].digest in known for number in self._scans.looked),
            seed=self._seed,
            surfaces=surfaces,
        )

    def _doubt(self, looked: Sequence[Untouched]) -> None:
        """Say so when scans called normal are not so to the model."""
        expected = self._rate if self._rate is not None else float(self._detector.model.card["normal_area"])
        limit = max(_STRANGE[0] * expected, _STRANGE[1])
        strange = sum(one.flagged > limit * one.foreground for one in looked)
        if strange and self._independent:
            self._progress.warn(
                f"In {strange} of the {len(looked)} scans more than {limit:.0%} is flagged without any made lesion: they may hold lesions "
                "of their own or come from another scanner, and what is found in them says little; give normal scans like those of the "
                "model, or adapt it first."
            )

    def _untouched(self, number: int, scan: Scan, mask: np.ndarray | None) -> Untouched:
        for _, one in self._engine(look_at, [(number, scan, mask)], self._rate, self._progress):
            return self._heard(number, *one)
        raise AssertionError("an engine gives back what it was given")

    def _heard(self, number: int, untouched: Untouched, warnings: Sequence[str]) -> Untouched:
        for text in warnings if self._independent else ():
            self._progress.warn(f"{self._scans.candidates[number].found.relative}: {text}")
        return untouched


def look_at(
    item: tuple[int, Scan, np.ndarray | None], rate: float | None, detector: Detector, progress: Progress
) -> tuple[Untouched, list[str]]:
    """What a detector makes of an untouched scan, and its warnings; item  number, scan and foreground mask."""
    _, scan, mask = item
    result = _detect(scan, mask, rate, detector, progress)
    return Untouched.of(scan, result), result.provenance["warnings"]


def look_for(item: tuple[int, MadeScan], rate: float | None, detector: Detector, progress: Progress) -> np.ndarray:
    """(lesion,) bool: which lesions of a made scan a detector finds; item  number and scan."""
    _, made = item
    return made.found(_detect(made.scan, made.foreground, rate, detector, progress))


def _detect(scan: Scan, mask: np.ndarray | None, rate: float | None, detector: Detector, progress: Progress) -> Result:
    return detector.detect(scan, rate=rate, foreground=mask, stability=False, reasons=False, progress=progress.silent())


def _here(detector: Detector) -> Engine:
    """This process, one thing after the other."""

    def engine(work: Callable[..., Any], items: Iterable[Any], rate: float | None, progress: Progress) -> Iterator[tuple[Any, Any]]:
        for item in items:
            yield item, work(item, rate, detector, progress)

    return engine
