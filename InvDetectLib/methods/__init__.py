"""How slices get their scores: what a method must offer, which there are, and the one path from slices to scores.

In: `Slices` and settings. Out: a fitted `Method`, and `Scores`: anomaly map and edge weights of every slice, before the unit of the
calibration. The methods themselves lie in wings of their own, `invdetect` and `matchgen`, loaded by the one that is asked for.
"""

from .choosing import make_method, patches_of, suited
from .contract import Method, Refittable, SliceMap, Slices, Tunable
from .kept import KEPT, KeptSlices
from .loading import load_method
from .scoring import Scores, mean_neighbour_distance, other_levels, random_slice, score_slices

__all__ = [
    "KEPT",
    "KeptSlices",
    "Method",
    "Refittable",
    "Scores",
    "SliceMap",
    "Slices",
    "Tunable",
    "load_method",
    "make_method",
    "mean_neighbour_distance",
    "other_levels",
    "patches_of",
    "random_slice",
    "score_slices",
    "suited",
]
