"""Reading scans of every format, and the way between a scan's voxels and the model's slices."""

from .finding import Found, LeftOut, find_masks, find_scans, match_mask, stem
from .geometry import Geometry
from .preparing import Prepared, learn_intensity, measure_intensity, prepare
from .reading import Scan, read_mask, read_scan
from .slicing import SliceGrid

__all__ = [
    "Found",
    "Geometry",
    "LeftOut",
    "Prepared",
    "Scan",
    "SliceGrid",
    "find_masks",
    "find_scans",
    "learn_intensity",
    "match_mask",
    "measure_intensity",
    "prepare",
    "read_mask",
    "read_scan",
    "stem",
]
