"""Left against right: where the midline of each slice runs, its reflection there, and whether a kind of scan is symmetric at all.

In: slices on the model's grid and their foreground. Out: `Midlines`, slices reflected at them, and the pixels that have a partner.
"""

from .midlines import SYMMETRIC, Midlines, mirrored, paired, symmetry_of
from .search import find_midlines

__all__ = ["SYMMETRIC", "Midlines", "find_midlines", "mirrored", "paired", "symmetry_of"]
