"""What the methods share: where they compute, how much they take at once, and what becomes of both when memory is short."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

from ..common import OutOfMemory, Progress, is_shortage
from .memory import NOWHERE, halved, moved, release

Found = TypeVar("Found")


class Placed:
    """Something that computes on a device. Subclasses say how much it takes at once there, and bring along what they have learned.

    batch  patches (or slices) taken at once; less after memory was short
    """

    _what = "patches"
    _least = 1  # where not even these fit, it is not they that fill the memory

    def __init__(self, device: torch.device) -> None:
        self._place(device)

    @property
    def device(self) -> torch.device:
        """What computes; the CPU after another's memory was not enough."""
        return self._device

    def _most(self, device: torch.device) -> int:
        """How much to take at once on a device, as long as its memory suffices."""
        raise NotImplementedError

    def _follow(self) -> None:
        """Bring what was learned to the device."""
        raise NotImplementedError

    def _let_go(self) -> None:
        """Give up what only large batches need."""

    def _place(self, device: torch.device) -> None:
        self._device, self.batch = device, self._most(device)

    def attempt(self, work: Callable[[], Found], taken: int, progress: Progress) -> Found | None:
        """What `work` finds; None where memory was not enough for it, after which less is taken, or the CPU. To be asked again then.

        taken  how much it took at once
        """
        try:
            return work()
        except (RuntimeError, MemoryError) as error:
            if not is_shortage(error):
                raise
        self._spare_memory(taken, progress)
        return None

    def _spare_memory(self, taken: int, progress: Progress) -> None:
        """Take at most half of what was too much, or else the CPU; `OutOfMemory` when that was tried. To be called outside of `except`."""
        if taken > self._least:
            self.batch = max(self._least, taken // 2)
            self._let_go()
            release(self._device)
            progress.warn(halved(self._device, self.batch, self._what))
        elif self._device.type != "cpu":
            self._to_cpu(progress)
        else:
            raise OutOfMemory(NOWHERE)

    def _or_on_the_cpu(self, work: Callable[[], Found], progress: Progress) -> Found:
        """Do the work; once more on the CPU when the device's memory is not enough for it in portions either."""
        try:
            return work()
        except (RuntimeError, MemoryError) as error:
            if not is_shortage(error):
                raise
            if self._device.type == "cpu":
                raise OutOfMemory(NOWHERE) from error
        self._to_cpu(progress)
        return work()

    def _to_cpu(self, progress: Progress) -> None:
        progress.warn(moved(self._device))
        before = self._device
        self._place(torch.device("cpu"))
        self._follow()
        release(before)
