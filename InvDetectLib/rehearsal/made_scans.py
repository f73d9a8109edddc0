"""Normal scans with made lesions in them: which scans, how many lesions, of what sizes, and where."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..common import InvDetectError, Progress, WrongUse
from ..metrics import same_place
from ..models import KINDS, Settings
from ..results import Result, label_findings
from ..scans import Candidate, Scan, SliceGrid
from .examples import Examples, examples_of
from .lesions import Lesion, put, spread_evenly
from .places import Places

_FEWEST = 2  # scans: one says nothing of others
_IN_A_VOLUME, _IN_A_SLICE = (8, 40), (2, 60)  # lesions a scan, and of each kind
_MOST_SLOW_SLICES = 1000  # to be scored by methods that take a second a slice
_FEWEST_ROUNDS = 6
_FEWEST_PLACED = 5  # of a kind: fewer make no surface
_SMALLEST, _LARGEST = 2.0, 0.25  # pixels of the model's grid (or of the scan, where those are larger); of the foreground's extent
_STREAM, _LESIONS = 25, 1 << 20  # of the seed's random numbers; of the lesions' sizes and contrasts among these


@dataclass(frozen=True)
class Untouched:
    """A scan before any lesion: foreground and what is flagged there, in bits, and where no signal lies.

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
    def of(cls, scan: Scan, result: Result) -> Untouched:
        """What a model made of it."""
        lowest = float(np.nanmin(scan.array))
        bits = np.packbits(result.foreground), np.packbits(result.mask)
        counts = int(result.mask.sum()), int(result.foreground.sum()), len(result.findings)
        return cls(*bits, result.mask.shape, min(lowest, 0.0), *counts)

    @property
    def flags(self) -> np.ndarray:
        """(slice, row, column) bool: what is flagged."""
        return self._unpacked(self.mask)

    def places(self, scan: Scan) -> tuple[np.ndarray, Places]:
        """The foreground, (slice, row, column) bool, and places in it."""
        inside = self._unpacked(self.inside)
        return inside, Places(inside, self.flags, scan.geometry.spacing[::-1])

    def _unpacked(self, bits: np.ndarray) -> np.ndarray:
        return np.unpackbits(bits, count=int(np.prod(self.shape))).reshape(self.shape) > 0


@dataclass(frozen=True)
class MadeScan:
    """A scan with lesions.

    number      of the scan among those that are used
    foreground  its mask, for models that want such;  labels  (slice, row, column) int32, 1 for the first of `lesions`
    spreads     contrast of each lesion in local spreads
    """

    number: int
    scan: Scan
    foreground: np.ndarray | None
    labels: np.ndarray
    lesions: list[Lesion]
    spreads: list[float]

    def found(self, result: Result) -> np.ndarray:
        """(lesion,) bool: which of them a result holds: a finding shares at least a tenth of their union with it."""
        return np.asarray(same_place(self.labels, label_findings(result.mask, result.findings)).any(axis=1))


class MadeScans:
    """Lesions of some kinds in normal scans of one unit; the same for the same seed, scans, and opinion of the untouched ones.

    candidates  the scans that are used, in the order in which they are;  looked  what is known of them untouched, by their number
    """

    def __init__(
        self,
        settings: Settings,
        candidates: Sequence[Candidate],
        seed: int,
        examine: Callable[[int, Scan, np.ndarray | None], Untouched],
        progress: Progress,
        kinds: tuple[str, ...] = KINDS,
    ) -> None:
        """settings  of the model, or of all that are compared;  examine  from number, scan and foreground mask, called once a scan.

        Raises `WrongUse` for fewer than two scans.
        """
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
        order = np.random.default_rng([seed, _STREAM]).permutation(len(alike))
        self.candidates = [alike[number] for number in order]
        self.looked: dict[int, Untouched] = {}
        self._settings, self._seed, self._kinds = settings, seed, kinds
        self._examine, self._progress = examine, progress

    @property
    def unit(self) -> str:
        """Of sizes: "mm" or "pixels"."""
        return "mm" if self.candidates[0].geometry.unit == "mm" else "pixels"

    def untouched(self) -> Iterator[tuple[int, Scan, np.ndarray | None]]:
        """Number, scan and mask of those that are looked at untouched in any case: for whoever looks before `looked` is asked for them."""
        wanted, at_once, _ = self._extent()
        for number in range(min(-(-wanted // at_once), len(self.candidates))):
            yield (number, *self.candidates[number].read())

    def __iter__(self) -> Iterator[MadeScan]:
        """Scan after scan, each read and changed when it is asked for. Raises `InvDetectError` for scans too small for lesions."""
        wanted, at_once, rounds = self._extent()
        sizes = self._sizes()
        placed = dict.fromkeys(self._kinds, 0)
        rng = np.random.default_rng([self._seed, _STREAM, _LESIONS])
        waiting = deque(spread_evenly(wanted, sizes, rng, self._kinds))
        for number in range(2 * rounds):  # lesions for which a scan has no room wait for the next
            if not waiting:
                break
            self._progress.report("rehearsing with made lesions", wanted - len(waiting), wanted)
            made = self._round(number, waiting, at_once)
            for lesion in made.lesions:
                placed[lesion.kind] += 1
            if made.lesions:
                yield made
        self._progress.report("rehearsing with made lesions", wanted, wanted)
        for kind, count in placed.items():
            if count < _FEWEST_PLACED:
                raise InvDetectError(
                    f"The foreground of these scans has no room for made lesions of {sizes[0]:.2g} to {sizes[1]:.2g} "
                    f"{self.unit} ({kind}: {count} fitted); check the foreground rule, or give larger scans."
                )

    def examples(self, sizes: tuple[float, float]) -> Examples:
        """What some lesions look like in the first of the scans, after the run."""
        scan, _ = self.candidates[0].read()
        untouched, axis = self.looked[0], self._grid(self.candidates[0]).slice_axis
        inside, _ = untouched.places(scan)
        rng = np.random.default_rng([self._seed, _STREAM, _LESIONS])
        return examples_of(scan.array, inside, untouched.background, scan.geometry.spacing[::-1], axis, sizes, rng)

    def _extent(self) -> tuple[int, int, int]:
        """How many lesions there are to be, at most in one scan, and in how many scans, where all find room."""
        flat = all(self._grid(candidate).shape[0] == 1 for candidate in self.candidates)
        at_once, of_each = _IN_A_SLICE if flat else _IN_A_VOLUME
        rounds = self._rounds(-(-of_each * len(self._kinds) // at_once))
        return min(of_each * len(self._kinds), rounds * at_once), at_once, rounds

    def _rounds(self, enough: int) -> int:
        """How many scans with lesions are scored: as many as it takes, fewer by methods that are slow on scans of many slices."""
        if self._settings.whole_slices and self._settings.method == "invdetect":
            return enough
        return min(enough, max(_FEWEST_ROUNDS, _MOST_SLOW_SLICES // self._grid(self.candidates[0]).shape[0]))

    def _grid(self, candidate: Candidate) -> SliceGrid:
        return SliceGrid.for_scan(candidate.geometry, self._settings.preparation)

    def _sizes(self) -> tuple[float, float]:
        """Smallest and largest diameter, the same for all scans; the extent is that of the first one's foreground."""
        smallest: list[float] = []
        largest: list[float] = []
        for number, candidate in enumerate(self.candidates):
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
                f"{self.unit}, and a quarter of the foreground is {high:.2g}; give scans with a larger foreground."
            )
        return low, high

    def _untouched(self, number: int, scan: Scan, mask: np.ndarray | None) -> Untouched:
        if number not in self.looked:
            self.looked[number] = self._examine(number, scan, mask)
        return self.looked[number]

    def _round(self, number: int, waiting: deque[Lesion], at_once: int) -> MadeScan:
        """One scan with the next lesions; those for which there is no room go to the end of the queue."""
        which = number % len(self.candidates)
        rng = np.random.default_rng([self._seed, _STREAM, number])
        scan, mask = self.candidates[which].read()
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
        return MadeScan(which, Scan.from_array(array, scan.geometry, scan.name), mask, labels, here, spreads)
