"""Reading scans of every format, and the way between a scan's voxels and the model's slices."""

from .finding import Found, LeftOut, find_masks, find_scans, match_mask, stem
from .geometry import Geometry
from .reading import Scan, read_mask, read_scan

__all__ = ["Found", "Geometry", "LeftOut", "Scan", "find_masks", "find_scans", "match_mask", "read_mask", "read_scan", "stem"]
