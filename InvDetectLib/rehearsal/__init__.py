"""What a model can see: made lesions of known kind, size and contrast in normal scans, and how many of them it finds.

In: a model and normal scans. Out: a `models.ContrastDetail` (a surface of detection for each kind of lesion), its chart, and the lesions.
"""

from .chart import draw_chart
from .choosing import Compared, choose_model, compare
from .lesions import Lesion, around, blob, grain, pushed, put
from .rehearsing import Engine, rehearse, rehearsed
from .surface import fit

__all__ = [
    "Compared",
    "Engine",
    "Lesion",
    "around",
    "blob",
    "choose_model",
    "compare",
    "draw_chart",
    "fit",
    "grain",
    "pushed",
    "put",
    "rehearse",
    "rehearsed",
]
