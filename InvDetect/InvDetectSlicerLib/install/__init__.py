"""Getting and choosing what computes: packages that Slicer lacks, other Pythons, and what the modules do when Slicer starts.

In: this Slicer's packages, a user's consent. Out: what is missing, in words; an installation that never replaces what Slicer bundles.
"""

from . import dependencies, installing, pythons, startup

__all__ = [
    "dependencies",
    "installing",
    "pythons",
    "startup",
]
