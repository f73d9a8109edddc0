"""Prepared slices of many scans in one file, mapped into memory as they are asked for, so that their number is bounded by a disk."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable, Sequence
from math import prod
from typing import overload

import numpy as np

from ..common import Scratch, unwritable
from .contract import Slices

_VALUE = np.dtype(np.float16)  # one rounding, whatever the machine: 11 bits of a value, and scanners write 12
KEPT = "prepared slices"  # what an error calls them


class KeptSlices(Sequence[Slices]):
    """Slices of scans in a file that one process writes, and others may read as well.

    A scan is mapped when it is asked for and let go with the last array of it: who walks along the scans has one of them in memory, and who
    takes a square of one slice (`Slices.square`) a few pages. Values are float16, arrays read-only.

    places  of each scan, first byte and (slices, rows, columns, channels): what `places` of the writer says
    """

    def __init__(self, file: Scratch, places: Iterable[Sequence[int]] = ()) -> None:
        self._file = file
        self.places: list[tuple[int, ...]] = [tuple(place) for place in places]

    @staticmethod
    def size(shapes: Iterable[Sequence[int]]) -> int:
        """Bytes of the file that holds scans of these shapes (slices, rows, columns, channels)."""
        return sum(_aligned(_bytes(shape)) for shape in shapes)

    def append(self, slices: Slices) -> None:
        """Write one scan behind what the file holds. Raises `InvDetectError` where the disk is full."""
        start = _aligned(os.fstat(self._file.file).st_size)
        try:
            with open(self._file.file, "r+b", closefd=False) as file:
                file.seek(start)
                file.write(np.ascontiguousarray(slices.values, _VALUE).data)
                file.write(np.ascontiguousarray(slices.foreground, bool).data)
        except OSError as error:
            raise unwritable(KEPT, self._file.path.parent, error) from error
        self.places.append((start, *slices.values.shape))

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, number: int) -> Slices: ...
    @overload
    def __getitem__(self, number: slice) -> KeptSlices: ...
    def __getitem__(self, number: int | slice) -> Slices | KeptSlices:
        if isinstance(number, slice):
            return KeptSlices(self._file, self.places[number])
        start, *shape = self.places[number]
        mapped = mmap.mmap(self._file.file, _bytes(shape), access=mmap.ACCESS_READ, offset=start)
        pixels, count = prod(shape[:3]), prod(shape)
        values = np.frombuffer(mapped, _VALUE, count).reshape(shape)
        return Slices(values, np.frombuffer(mapped, bool, pixels, count * _VALUE.itemsize).reshape(shape[:3]))


def _bytes(shape: Sequence[int]) -> int:
    return prod(shape) * _VALUE.itemsize + prod(shape[:3])


def _aligned(count: int) -> int:
    """The first byte from there on at which a map may begin."""
    return -(-count // mmap.ALLOCATIONGRANULARITY) * mmap.ALLOCATIONGRANULARITY
