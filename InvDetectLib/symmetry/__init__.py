from .midlines import Midlines, mirrored, paired, symmetry_of
from .search import find_midlines

SYMMETRIC = 0.7
__all__ = ["Midlines", "find_midlines", "mirrored", "paired", "symmetry_of", "SYMMETRIC"]
