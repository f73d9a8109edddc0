"""How well maps and masks agree with annotations, and how sure that is.

In: a map, a mask and the truth of each scan (`ScoredScan`). Out: Dice, precision, AP, AUROC, each with an interval over patients.
"""

from .agreement import (
    ScoredScan,
    intensity_score,
    normal_area,
    oracle_dice,
    oracle_threshold,
    ranking,
    same_place,
    slice_dice,
    slice_precision,
    threshold_at_rate,
)
from .resampling import Averaged, patient_bootstrap

__all__ = [
    "Averaged",
    "ScoredScan",
    "intensity_score",
    "normal_area",
    "oracle_dice",
    "oracle_threshold",
    "patient_bootstrap",
    "ranking",
    "same_place",
    "slice_dice",
    "slice_precision",
    "threshold_at_rate",
]
