"""How far the scores of one scan are from those of held-out normal scans, as a new scanner moves them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .calibration import Calibration

_LOW, _MIDDLE = 1, 50  # percentiles: a lesion lifts the upper ones of its scan, and neither of these as long as it is small
_FAR, _WIDE = 0.5, 1.6  # chosen well beyond FLAIR of six institutions (-0.03 to 0.06, 0.85 to 1.18; `quick`, bright, some scans together)


@dataclass(frozen=True)
class ScoreShift:
    """median: of the scan's scores less that of held-out normals, in the unit of the map; spread: from the 1st percentile to the median,
    over the same of held-out normals."""

    median: float
    spread: float
    _middle: float
    _known: float

    @classmethod
    def of(cls, raw: np.ndarray, calibration: Calibration) -> ScoreShift:
        """From the raw scores (before the unit of the calibration) of one scan's foreground, at least one."""
        low, middle = (float(value) for value in np.percentile(raw, [_LOW, _MIDDLE]))
        known_low, known = calibration.raw_quantiles[:2]
        spread = max(middle - low, 1e-6) / max(known - known_low, 1e-6)
        return cls((middle - known) / calibration.scale, spread, middle, known)

    @property
    def is_far(self) -> bool:
        """Whether the scan's scores lie elsewhere than those of the scans that the threshold comes from."""
        return abs(self.median) > _FAR or not 1 / _WIDE < self.spread < _WIDE

    @property
    def text(self) -> str:
        """One sentence for the user."""
        return (
            "The scores of this scan lie elsewhere than those of the normal scans that the threshold comes from (median "
            f"{self.median:+.2f} in the map's unit, spread {self.spread:.2f} times theirs), as on another scanner; calibrate the model on "
            "normal scans of this one."
        )

    def as_dict(self) -> dict[str, float]:
        """For a card or a provenance."""
        return {"median": round(self.median, 3), "spread": round(self.spread, 3)}

    def undone(self, raw: np.ndarray) -> np.ndarray:
        """Scores of the scan, moved and stretched to the median and the spread of held-out normals; float32."""
        return ((raw - np.float32(self._middle)) / np.float32(self.spread) + np.float32(self._known)).astype(np.float32)
