"""Spatial contiguity refinement (SCR, Eq. 2 to 4): from an anomaly map to a mask by a minimum cut.

In: the map of a slice and what neighbouring pixels have in common. Out: edge weights, and the mask that costs least.
"""

from .cutting import Cuts, cut
from .edges import edge_weights, feature_distances, image_distances, latent_distances
from .minimum_cut import solver_name

__all__ = [
    "Cuts",
    "cut",
    "edge_weights",
    "feature_distances",
    "image_distances",
    "latent_distances",
    "solver_name",
]
