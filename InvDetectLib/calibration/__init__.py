"""What scores mean: their unit, thresholds that flag a known share of normal tissue, and p-values, from held-out normal scans.

In: the `Scores` of held-out normal scans, or of annotated ones for tuning. Out: a `Calibration`.
"""

from .calibration import RATES, Calibration, calibration_of
from .held_out import calibrate, calibrate_method
from .likeness import unlike
from .refitting import refit
from .score_shift import ScoreShift
from .tuning import choose_radius, choose_threshold, read_annotated

__all__ = [
    "Calibration",
    "RATES",
    "ScoreShift",
    "calibrate",
    "calibrate_method",
    "calibration_of",
    "choose_radius",
    "choose_threshold",
    "read_annotated",
    "refit",
    "unlike",
]
