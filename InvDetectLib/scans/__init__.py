"""Reading scans of every format, and the way between a scan's voxels and the model's slices."""

from .geometry import Geometry

__all__ = ["Geometry"]
