"""What a method must offer, and what it takes and gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from ..common import Progress
from ..symmetry import Midlines

if TYPE_CHECKING:
    import torch

    from ..computing import Checkpoint  # brings torch, which scores alone do not need


@dataclass(frozen=True)
class Slices:
    """Prepared slices of one scan.

    values      (slice, row, column, channel) float32 in [-1, 1], or float16 where they are `KeptSlices`
    foreground  (slice, row, column) bool
    midlines    one a slice, once the scan was looked over by a method that compares left and right
    """

    values: np.ndarray
    foreground: np.ndarray
    midlines: Midlines | None = None

    def part(self, which: slice | np.ndarray) -> Slices:
        """Some of the slices, as float32: a range of them, or their numbers."""
        values = self.values[which].astype(np.float32, copy=False)
        return Slices(values, self.foreground[which], None if self.midlines is None else self.midlines[which])

    def square(self, number: int, top: int, left: int, side: int) -> np.ndarray:
        """(side, side, channel) float32: a square of one slice, and background (-1) where it reaches beyond the slice.

        top, left  of the square in the slice, below 0 where it begins before the slice does
        """
        rows, columns = self.foreground.shape[1:]
        found = np.full((side, side, self.values.shape[3]), -1, np.float32)
        down, across = (slice(max(first, 0), min(first + side, length)) for first, length in ((top, rows), (left, columns)))
        inside = slice(down.start - top, down.stop - top), slice(across.start - left, across.stop - left)
        found[inside] = self.values[number, down, across]
        return found


def places_with_foreground(scans: Sequence[Slices]) -> np.ndarray:
    """(N, 2) int64: number of the scan and of the slice in it, of all slices that hold foreground, in order."""
    found = [np.zeros((0, 2), np.int64)]
    for number, scan in enumerate(scans):
        held = np.flatnonzero(scan.foreground.any(axis=(1, 2)))
        found.append(np.column_stack([np.full(len(held), number), held]))
    return np.concatenate(found)


@dataclass(frozen=True)
class SliceMap:
    """One slice, scored.

    number        of the slice, as given
    scores        (row, column) float32, raw (before the unit of `calibration`), above 0 outside the normality boundary
    scored        (row, column) bool: pixels that some scored window contains
    distances     to be called where they are needed, before the next slice is asked for: |r_p - r_q|^2 of Eq. 4 between neighbours,
                  (row - 1, column) downwards and (row, column - 1) to the right, float32
    pseudo_normal (row, column, channel) float32 in [-1, 1]: what the slice would be if it were normal, from methods that say so
    views         (view, row, column) float32 that add up to the scores, from methods whose score is such a sum
    """

    number: int
    scores: np.ndarray
    scored: np.ndarray
    distances: Callable[[], tuple[np.ndarray, np.ndarray]]
    pseudo_normal: np.ndarray | None = None
    views: np.ndarray | None = None


class Method(Protocol):
    """A way to learn what is normal and to score slices."""

    def fit(
        self, training: Sequence[Slices], validation: Sequence[Slices], seed: int, checkpoint: Checkpoint, progress: Progress
    ) -> dict[str, Any]:
        """Learn from normal scans; returns facts for the model card (losses, counts). Resumes where `checkpoint` stands."""
        ...

    def look_over(self, slices: Slices) -> Slices:
        """With what has to be known of a whole scan before single slices of it are scored."""
        ...

    def settle(self, normals: Sequence[Slices], progress: Progress) -> float:
        """Measure, after `fit` or on another scanner's normal scans, what only held-out normals tell; `arrays` hold it then.

        Returns how strange these normals are to what was settled before: by how much the highest hundredth of what the network makes out
        in them lies above that of the normals before, over their own from the median to there. 0 where nothing was settled before.
        """
        ...

    def map_and_edges(self, slices: Slices, progress: Progress) -> Iterator[SliceMap]:
        """Score slices in order; memory does not grow with their number."""
        ...

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything learned, for the model file."""
        ...

    def load_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        """The inverse of `arrays`; `InvDetectError` when some are missing or of the wrong shape."""
        ...

    direction: str
    """What counts as abnormal: "bright", "dark" or "both"; "" for methods that do not tell them apart."""

    levels: tuple[float, ...]
    """Levels (abar) at which the network is asked what noise it sees, which may be changed; none for methods that do not ask that."""

    batch: int
    """Patches (or slices) taken at once; fewer after memory was short."""

    @property
    def directions(self) -> tuple[str, ...]:
        """Those that `direction` may be changed to; none for methods that do not tell them apart."""
        ...

    @property
    def device(self) -> torch.device:
        """What computes. It may become the CPU on the way, with a warning, where memory is short."""
        ...

    @property
    def patch_size(self) -> int:
        """The smallest side a slice may have, in pixels."""
        ...

    @property
    def rebuilds_images(self) -> bool:
        """Whether training images could be rebuilt from `arrays`."""
        ...


@runtime_checkable
class Refittable(Protocol):
    """A method whose network serves other settings as well."""

    def refit(self, arrays: dict[str, np.ndarray], training: Sequence[Slices], seed: int, progress: Progress) -> dict[str, Any]:
        """`fit` with the network in the `arrays()` of another method of its kind instead of training one; facts as those of `fit`."""
        ...


@runtime_checkable
class Tunable(Protocol):
    """A method with a radius that annotated scans can choose (see `calibration.tuning`)."""

    epsilon: float | None
    """The radius; None where there is none."""

    def radii(self) -> list[float]:
        """Radii to try, once it is fitted; none for a method that uses none."""
        ...

    def map_and_edges(self, slices: Slices, progress: Progress) -> Iterator[SliceMap]:
        """See `Method`."""
        ...
