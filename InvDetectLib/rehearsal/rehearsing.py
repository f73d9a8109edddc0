"""The run: normal scans with made lesions go the whole way of detection, and what is found of them is counted."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..common import Cancelled, Event, InvDetectError, Progress, WrongUse
from ..detection import Detector
from ..models import KINDS, REHEARSAL, ContrastDetail, Model, relied_on
from ..results import Result
from ..scans import Candidate, Paths, Scan, survey_unseen
from .chart import check_chart, draw_chart
from .examples import Examples
from .lesions import Lesion
from .made_scans import MadeScans, Untouched
from .surface import fit

_STRANGE = 5, 0.02  # times the share of normal tissue that is to be flagged, and at least this share


def rehearse(
    model: Model | str | Path,
    normals: Paths,
    *,
    masks: str | Path | None = None,
    rate: float | None = None,
    seed: int = 0,
    device: str = "auto",
    picture: str | Path | None = None,
    on_progress: Callable[[Event], None] | None = None,
    progress: Progress | None = None,
) -> ContrastDetail:
    """Put made lesions into normal scans and tell how often the model finds them, by kind, size and contrast.

    normals  folder (nested, mixed formats), file, pattern, or a list of these: two scans or more; those that the model was trained on are
             left out
    masks    folder of foreground masks, for a model with the foreground rule "masks"
    rate     share of normal tissue to flag; None: the model's own operating point
    seed     of places, sizes and contrasts: the same seed and scans give the same result
    picture  file to write the contrast-detail chart to, a PNG

    A lesion is found when a finding shares at least a tenth of their union with it. Raises `WrongUse` for fewer than two scans and
    impossible wishes, `InvDetectError` for scans that are too small for such lesions.
    """
    progress = progress or Progress(on_progress)
    if seed < 0:
        raise WrongUse(f"A seed must be 0 or more, not {seed}.")
    if picture is not None:
        check_chart(picture)
    detector = Detector(model, device)
    detector.controls(rate=rate)
    settings = detector.model.settings
    known, why = relied_on(detector.model.card).trained_on.digests, "which flatters it"
    candidates = survey_unseen(normals, settings.preparation, settings.least_side, masks, known, why, progress)
    rehearsal = _Rehearsal(detector, candidates, rate, seed, progress, independent=True)
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
    ) -> None:
        """independent: what the scans themselves are like is not known yet, and worth a warning where they seem not to be normal."""
        self._detector, self._rate, self._seed = detector, rate, seed
        self._progress, self._independent = progress, independent
        self._scans = MadeScans(detector.model.settings, candidates, seed, self._untouched, progress)

    def run(self) -> ContrastDetail:
        """Raises `InvDetectError` for scans too small for the lesions."""
        tried = {kind: _Tried([], [], []) for kind in KINDS}
        for made in self._scans:
            found = made.found(self._detect(made.scan, made.foreground))
            for lesion, hit, spread in zip(made.lesions, found, made.spreads, strict=True):
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
        result = self._detect(scan, mask)
        for text in result.provenance["warnings"] if self._independent else ():
            self._progress.warn(f"{self._scans.candidates[number].found.relative}: {text}")
        return Untouched.of(scan, result)

    def _detect(self, scan: Scan, mask: np.ndarray | None) -> Result:
        silent = self._progress.silent()
        return self._detector.detect(scan, rate=self._rate, foreground=mask, stability=False, reasons=False, progress=silent)
