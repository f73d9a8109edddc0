"""What scores mean: their unit, thresholds that flag a known share of normal tissue, and p-values, from held-out normal scans.

In: the `Scores` of held-out normal scans, or of annotated ones for tuning. Out: a `Calibration`.
"""

from .calibration import RATES, Calibration
from .held_out import calibrate
from .tuning import choose_radius, choose_threshold, read_annotated

__all__ = [
    "Calibration",
    "RATES",
    "calibrate",
    "choose_radius",
    "choose_threshold",
    "read_annotated",
]
