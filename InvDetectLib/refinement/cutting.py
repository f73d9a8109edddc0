"""Minimum cuts of many slices on threads, while the caller goes on: SciPy's solver works mostly outside the interpreter's lock.

Measured on two cores, 240x240: SciPy is 1.5 times as fast on two threads as on one, PyMaxflow as fast as on one (its cut is short, and
what surrounds it holds the lock). Processes would be 1.8 and 1.2 times as fast, but each takes a second to start, and a script without a
guarded main module could not start them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import numpy as np

from .minimum_cut import minimum_cut

_MOST_THREADS = 8  # beyond them they wait for the interpreter's lock


class Cuts:
    """Cuts under way, as a context manager; leaving it drops those that nobody has asked for yet."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1), thread_name_prefix="cut")
        self._begun: list[tuple[int, Future[np.ndarray]]] = []

    def __enter__(self) -> Cuts:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)

    def add(
        self,
        number: int,
        anomaly_map: np.ndarray,
        down: np.ndarray,
        right: np.ndarray,
        contiguity: float,
        threshold: float,
        scored: np.ndarray,
    ) -> None:
        """Begin the cut of a slice; the arrays must stay as they are until its mask is known.

        number     whatever the caller calls the slice
        anomaly_map, contiguity, scored   as for `minimum_cut` (where `scored` is `valid`), the map before the threshold is taken away
        threshold  t: the cut is of A - t
        down, right  alpha of Eq. 4, of any float type
        """
        self._begun.append((number, self._threads.submit(cut, anomaly_map, down, right, contiguity, threshold, scored)))

    def __len__(self) -> int:
        """How many were added."""
        return len(self._begun)

    def masks(self) -> Iterator[tuple[int, np.ndarray]]:
        """Number and (row, column) bool mask of every slice, in the order in which they were added; raises what a cut raised."""
        for number, mask in self._begun:
            yield number, mask.result()

    def mask(self, shape: tuple[int, ...]) -> np.ndarray:
        """The masks of all slices in one array, (slice, row, column) bool of this shape, by their numbers; False where none was added."""
        whole = np.zeros(shape, bool)
        for number, mask in self.masks():
            whole[number] = mask
        return whole


def cut(
    anomaly_map: np.ndarray, down: np.ndarray, right: np.ndarray, contiguity: float, threshold: float, scored: np.ndarray
) -> np.ndarray:
    """The mask of one slice at once; see `Cuts.add`."""
    edges = down.astype(np.float32, copy=False), right.astype(np.float32, copy=False)
    return minimum_cut(anomaly_map - np.float32(threshold), *edges, contiguity, valid=scored)
