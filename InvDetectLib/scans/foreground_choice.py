"""What a user says of the foreground of scans."""

from __future__ import annotations

import os
from collections.abc import Sequence
from copy import copy
from pathlib import Path

import numpy as np

from ..models import FOREGROUNDS
from .cases import Case, paired_cases
from .finding import Found, find_masks
from .masks import read_mask
from .pairing import match_mask
from .reading import Scan

Foreground = np.ndarray | str | None
"""Of one scan: (slice, row, column) bool in its own voxels, a rule ("auto", "brain", "none"), or None for the model's own rule."""


class ForegroundChoice:
    """What a user says of the foreground of many scans: None (the model's own), "auto", "brain", "none", or a folder of masks."""

    def __init__(self, choice: str | Path | None) -> None:
        self._rule = str(choice) if choice is not None and str(choice) in FOREGROUNDS else None
        named = choice is not None and self._rule is None
        self._masks = find_masks(str(choice))[0] if named else None
        self._paired: dict[str, Case] = {}

    @classmethod
    def one(cls, mask: Path) -> ForegroundChoice:
        """This very mask, for the one scan that it belongs to."""
        choice = cls(None)
        choice._masks = [Found(mask, Path(mask.name))]
        return choice

    @property
    def has_masks(self) -> bool:
        """Whether a folder of masks was chosen."""
        return self._masks is not None

    def cases(self, found: Sequence[Found]) -> list[Case]:
        """Some of the scans that `among` was told of, with their masks where such were chosen."""
        return [self._paired.get(os.path.abspath(entry.path), Case(entry)) for entry in found]

    def among(self, found: Sequence[Found]) -> ForegroundChoice:
        """The same, which knows of all scans of a folder which mask belongs to which; folders tell apart those of one name."""
        if self._masks is None:
            return self
        choice = copy(self)
        choice._paired = self._paired | {os.path.abspath(case.found.path): case for case in paired_cases(found, self._masks)}
        return choice

    def of(self, scan: Scan, path: str | os.PathLike[str]) -> Foreground:
        """The foreground of the scan at `path`, as `Detector.prepare` takes it; `InvDetectError` as of `mask`."""
        return self._rule if self._masks is None else self.mask(scan, path)

    def mask(self, scan: Scan, path: str | os.PathLike[str]) -> np.ndarray | None:
        """The mask of the scan at `path`, (slice, row, column) bool in its own voxels; None where no folder of masks was chosen.

        The mask of one that no `among` was told of is the one that fits its name. `InvDetectError` when it is missing or does not fit.
        """
        if self._masks is None:
            return None
        known = self._paired.get(os.path.abspath(path))
        mask = None if known is None else known.wanted_mask()
        return read_mask(mask or match_mask(scan.name, [one.path for one in self._masks]), scan.geometry)
