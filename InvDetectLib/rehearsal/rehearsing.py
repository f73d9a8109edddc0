"""The run: normal scans with made lesions go the whole way of detection, and what is found of them is counted."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..common import Cancelled, Event, InvDetectError, Progress, WrongUse
from ..detection import Detector
from ..metrics import same_place
from ..models import KINDS, REHEARSAL, ContrastDetail, Model, Settings
from ..results import Result, label_findings
from ..scans import Candidate, Scan, SliceGrid, survey
from .chart import check_chart, draw_chart
from .examples import Examples, examples_of
from .lesions import Lesion, put, spread_evenly
from .places import Places
from .surface import fit

_FEWEST = 2  # scans: one says nothing of others
_IN_A_VOLUME, _IN_A_SLICE = (8, 40), (2, 60)  # lesions a scan, and of each kind
_MOST_SLOW_SLICES = 1000  # to be scored by methods that take a second a slice
_FEWEST_ROUNDS = 6
_FEWEST_PLACED = 5  # of a kind: fewer make no surface
_SMALLEST, _LARGEST = 2.0, 0.25  # pixels of the model's grid (or of the scan, where those are larger); of the foreground's extent
_STRANGE = 5, 0.02  # times the share of normal tissue that is to be flagged, and at least this share
_STREAM, _LESIONS = 25, 1 << 20  # of the seed's random numbers; of the lesions' sizes and contrasts among these


def rehearse(
    model: Model | str | Path,
    normals: str | Path | Sequence[str | Path],
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
    settings, card = detector.model.settings, detector.model.card
    found = survey(normals, settings.preparation, settings.least_side, masks, progress)
    for objection in found.left_out:
        progress.warn(f"left out {objection.path}: {objection.reason}")
    trained, candidates = set(card["trained_on"]["digests"]), []
    for candidate in found.candidates:
        if candidate.digest in trained:
            progress.warn(f"left out {candidate.found.relative}: the model was trained on this very scan, which flatters it")
        else:
            candidates.append(candidate)
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


@dataclass(frozen=True)
class _Untouched:
    """A scan before any lesion: foreground and what the model flags there, in bits, and where no signal lies.

    flagged, foreground  voxels;  findings  how many
    """

    inside: np.ndarray
    mask: np.ndarray
    shape: tuple[int, ...]
    background: float
    flagged: int
    foreground: int
    findings: int

    @classmethod
    def of(cls, scan: Scan, result: Result) -> _Untouched:
        lowest = float(np.nanmin(scan.array))
        bits = np.packbits(result.foreground), np.packbits(result.mask)
        counts = int(result.mask.sum()), int(result.foreground.sum()), len(result.findings)
        return cls(*bits, result.mask.shape, min(lowest, 0.0), *counts)

    def places(self, scan: Scan) -> tuple[np.ndarray, Places]:
        """The foreground, (slice, row, column) bool, and places in it."""
        inside, mask = (np.unpackbits(bits, count=int(np.prod(self.shape))).reshape(self.shape) > 0 for bits in (self.inside, self.mask))
        return inside, Places(inside, mask, scan.geometry.spacing[::-1])


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
        units = [candidate.geometry.unit for candidate in candidates]
        alike = [candidate for candidate in candidates if candidate.geometry.unit == max(sorted(set(units)), key=units.count)]
        if len(alike) < _FEWEST:
            raise WrongUse(
                f"How often lesions are found differs between scans, and only {len(alike)} normal scan{'s' if len(alike) != 1 else ''} "
                f"can be used; give at least {_FEWEST} that the model was not trained on, better ten."
            )
        if len(alike) < len(candidates):
            others = len(candidates) - len(alike)
            progress.warn(f"{others} of the scans are left out: their sizes are not in {alike[0].geometry.unit}, as those of most are.")
        self._detector, self._rate, self._seed = detector, rate, seed
        self._progress, self._independent = progress, independent
        order = np.random.default_rng([seed, _STREAM]).permutation(len(alike))
        self._candidates = [alike[number] for number in order]
        self._looked: dict[int, _Untouched] = {}
        self._tried = {kind: _Tried([], [], []) for kind in KINDS}

    @property
    def _unit(self) -> str:
        return "mm" if self._candidates[0].geometry.unit == "mm" else "pixels"

    def run(self) -> ContrastDetail:
        """Raises `InvDetectError` for scans too small for the lesions."""
        flat = all(self._grid(candidate).shape[0] == 1 for candidate in self._candidates)
        at_once, of_each = _IN_A_SLICE if flat else _IN_A_VOLUME
        rounds = self._rounds(-(-of_each * len(KINDS) // at_once))
        wanted = min(of_each * len(KINDS), rounds * at_once)
        sizes = self._sizes()
        waiting = deque(spread_evenly(wanted, sizes, np.random.default_rng([self._seed, _STREAM, _LESIONS])))
        for number in range(2 * rounds):  # lesions for which a scan has no room wait for the next
            if not waiting:
                break
            self._progress.report("rehearsing with made lesions", wanted - len(waiting), wanted)
            self._round(number, waiting, at_once)
        self._progress.report("rehearsing with made lesions", wanted, wanted)
        for kind, tried in self._tried.items():
            if len(tried.lesions) < _FEWEST_PLACED:
                raise InvDetectError(
                    f"The foreground of these scans has no room for made lesions of {sizes[0]:.2g} to {sizes[1]:.2g} "
                    f"{self._unit} ({kind}: {len(tried.lesions)} fitted); check the foreground rule, or give larger scans."
                )
        surfaces = tuple(fit(tried.lesions, tried.found, tried.spreads) for tried in self._tried.values())
        return self._told(surfaces)

    def examples(self, detail: ContrastDetail) -> Examples:
        """What some lesions look like in the first of the scans, after the run."""
        scan, _ = self._candidates[0].read()
        untouched, axis = self._looked[0], self._grid(self._candidates[0]).slice_axis
        inside, _ = untouched.places(scan)
        rng = np.random.default_rng([self._seed, _STREAM, _LESIONS])
        return examples_of(scan.array, inside, untouched.background, scan.geometry.spacing[::-1], axis, detail.surfaces[0].sizes, rng)

    def _told(self, surfaces: tuple[Any, ...]) -> ContrastDetail:
        looked = list(self._looked.values())
        known = set(self._detector.model.card["calibrated_on"]["digests"])
        flagged = sum(one.flagged for one in looked) / sum(one.foreground for one in looked)
        self._doubt(looked)
        return ContrastDetail(
            unit=self._unit,
            direction=self._detector.direction,
            rate=self._rate,
            flagged=flagged,
            false_findings=sum(one.findings for one in looked) / len(looked),
            scans=len(looked),
            calibrating=sum(self._candidates[number].digest in known for number in self._looked),
            seed=self._seed,
            surfaces=surfaces,
        )

    def _doubt(self, looked: Sequence[_Untouched]) -> None:
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

    def _rounds(self, enough: int) -> int:
        """How many scans with lesions are scored: as many as it takes, fewer by methods that are slow on scans of many slices."""
        settings: Settings = self._detector.model.settings
        if settings.whole_slices and settings.method == "invdetect":
            return enough
        return min(enough, max(_FEWEST_ROUNDS, _MOST_SLOW_SLICES // self._grid(self._candidates[0]).shape[0]))

    def _grid(self, candidate: Candidate) -> SliceGrid:
        return SliceGrid.for_scan(candidate.geometry, self._detector.model.settings.preparation)

    def _sizes(self) -> tuple[float, float]:
        """Smallest and largest diameter, the same for all scans; the extent is that of the first one's foreground."""
        smallest: list[float] = []
        largest: list[float] = []
        for number, candidate in enumerate(self._candidates):
            grid = self._grid(candidate)
            in_plane = [axis for axis in range(3) if axis != grid.slice_axis]
            steps = [candidate.geometry.spacing[2 - axis] for axis in in_plane]
            pixel = grid.pixel if grid.unit == candidate.geometry.unit else 1.0
            smallest.append(_SMALLEST * max(pixel, *steps))
            if number == 0:
                scan, mask = candidate.read()
                inside, _ = self._untouched(number, scan, mask).places(scan)
                places = [np.flatnonzero(inside.any(axis=tuple(other for other in range(3) if other != axis))) for axis in in_plane]
                largest = [_LARGEST * step * (place[-1] - place[0] + 1) for step, place in zip(steps, places)]
        low, high = float(np.median(smallest)), float(min(largest))
        if high < 2 * low:
            raise InvDetectError(
                f"The normal scans are smaller than the lesions to put in: the model's grid shows none below {low:.2g} "
                f"{self._unit}, and a quarter of the foreground is {high:.2g}; give scans with a larger foreground."
            )
        return low, high

    def _untouched(self, number: int, scan: Scan, mask: np.ndarray | None) -> _Untouched:
        if number not in self._looked:
            result = self._detect(scan, mask)
            self._looked[number] = _Untouched.of(scan, result)
            for text in result.provenance["warnings"] if self._independent else ():
                self._progress.warn(f"{self._candidates[number].found.relative}: {text}")
        return self._looked[number]

    def _detect(self, scan: Scan, mask: np.ndarray | None) -> Result:
        return self._detector.detect(scan, rate=self._rate, foreground=mask, stability=False, progress=self._progress.silent())

    def _round(self, number: int, waiting: deque[Lesion], at_once: int) -> None:
        """One scan with the next lesions; those for which there is no room go to the end of the queue."""
        which = number % len(self._candidates)
        rng = np.random.default_rng([self._seed, _STREAM, number])
        scan, mask = self._candidates[which].read()
        untouched = self._untouched(which, scan, mask)
        inside, places = untouched.places(scan)
        spacing = scan.geometry.spacing[::-1]
        array, labels = scan.array.copy(), np.zeros(inside.shape, np.int32)
        here: list[Lesion] = []
        spreads: list[float] = []
        for lesion in sorted((waiting.popleft() for _ in range(min(at_once, len(waiting)))), key=lambda one: -one.size):
            centre = places.draw(lesion.size / 2, rng)
            if centre is None:
                waiting.append(lesion)
                continue
            made = put(array, inside, spacing, centre, lesion, untouched.background, rng)
            here.append(lesion)
            spreads.append(made.spread)
            labels[made.box][made.mask] = len(here)
        if not here:
            return
        result = self._detect(Scan.from_array(array, scan.geometry, scan.name), mask)
        true = same_place(labels, label_findings(result.mask, result.findings))
        for lesion, row, spread in zip(here, true, spreads, strict=True):
            tried = self._tried[lesion.kind]
            tried.lesions.append(lesion)
            tried.found.append(bool(row.any()))
            tried.spreads.append(spread)
