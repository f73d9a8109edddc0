"""A detector for those who first ask about a scan and then have it examined: what both need is made once."""

from __future__ import annotations

import hashlib

import numpy as np

from .detection import Detector
from .methods import Slices
from .scans import Foreground, Prepared, Scan


class Remembering(Detector):
    """A `Detector` that keeps the last scan that it prepared and looked over: its check, its estimate and its detection share them."""

    _last: tuple[object, Prepared] | None = None
    _looked_over: tuple[Prepared, Slices] | None = None

    def prepare(self, scan: Scan, foreground: Foreground = None) -> Prepared:
        """See `Detector.prepare`."""
        rule = hashlib.sha256(foreground.tobytes()).digest() if isinstance(foreground, np.ndarray) else foreground
        key = (scan.digest, scan.name, rule)
        if self._last is None or self._last[0] != key:
            self._last = self._looked_over = None  # before the next one needs its memory
            self._last = key, super().prepare(scan, foreground)
        return self._last[1]

    def look_over(self, prepared: Prepared) -> Slices:
        """See `Detector.look_over`."""
        if self._looked_over is None or self._looked_over[0] is not prepared:
            self._looked_over = prepared, super().look_over(prepared)
        return self._looked_over[1]
