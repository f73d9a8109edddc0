"""The method MatchGen: a base model of whole normal slices, whose code is moved until its picture fits the slice best.

In: slices in [-1, 1] and `MatchGenSettings`. Out: a pseudo-normal slice and its difference from the slice (paper, Eq. 1 and 2).
"""

from .base_training import BaseTrainer, SlicePool
from .method import MatchGen

__all__ = [
    "BaseTrainer",
    "MatchGen",
    "SlicePool",
]
