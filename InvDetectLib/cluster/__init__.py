"""Cohorts, evaluations, rehearsals and surveys on the workers of Dask: several processes of this computer, a scheduler, or Slurm.

In: where to compute, a model, and scans. Out: a `Cluster`, whose engines do for each scan exactly what one process does.

A scheduler, its workers and this process trust each other wholly: what they exchange is pickled. Nothing that comes out of a file is.
"""

from .cluster import Cluster
from .connecting import connect

__all__ = ["Cluster", "connect"]
