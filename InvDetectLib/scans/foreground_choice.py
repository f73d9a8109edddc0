"""What a user says of the foreground of scans."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ..models import FOREGROUNDS
from .cases import Case, cases_of
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
        self._masks = [mask.path for mask in find_masks(str(choice))[0]] if named else None

    @classmethod
    def one(cls, mask: Path) -> ForegroundChoice:
        """This very mask, for the one scan that it belongs to."""
        choice = cls(None)
        choice._masks = [mask]
        return choice

    @property
    def has_masks(self) -> bool:
        """Whether a folder of masks was chosen."""
        return self._masks is not None

    def cases(self, found: Iterable[Found]) -> list[Case]:
        """The scans with their masks, where such were chosen."""
        return cases_of(found, self._masks)

    def of(self, scan: Scan) -> Foreground:
        """The foreground of one scan, as `Detector.prepare` takes it; `InvDetectError` when its mask is missing or does not fit."""
        if self._masks is None:
            return self._rule
        return read_mask(match_mask(scan.name, self._masks), scan.geometry)
