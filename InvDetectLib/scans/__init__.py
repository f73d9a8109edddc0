"""Reading scans of every format, and the way between a scan's voxels and the model's slices.

In: files and folders. Out: a `Scan` with its `Geometry`, slices on the model's grid (`Prepared`), and maps brought back to the voxels.
"""

from .finding import Found, LeftOut, find_masks, find_scans, stem
from .foreground_choice import Foreground, ForegroundChoice
from .forms import write_nifti
from .geometry import Geometry
from .intensity import is_invertible
from .masks import read_mask, read_truth
from .midplane import midplane
from .native import map_from_grid, pseudo_normal_from_grid
from .normals import Look, appearance, are_gapless, at_most, counts
from .pairing import match_mask
from .phantoms import write_phantoms
from .preparing import Prepared, learn_intensity, measure_intensity, prepare
from .previews import Preview, preview, thumbnail
from .reader import get_ready
from .reading import Scan, read_scan
from .slicing import SliceGrid
from .small_changes import SmallChange, small_changes
from .survey import Candidate, apart_from, split, survey, survey_unseen

__all__ = [
    "Candidate",
    "Foreground",
    "ForegroundChoice",
    "Found",
    "Geometry",
    "LeftOut",
    "Look",
    "Prepared",
    "Preview",
    "Scan",
    "SliceGrid",
    "SmallChange",
    "apart_from",
    "appearance",
    "are_gapless",
    "at_most",
    "counts",
    "find_masks",
    "find_scans",
    "get_ready",
    "is_invertible",
    "learn_intensity",
    "map_from_grid",
    "match_mask",
    "measure_intensity",
    "midplane",
    "prepare",
    "preview",
    "pseudo_normal_from_grid",
    "read_mask",
    "read_scan",
    "read_truth",
    "small_changes",
    "split",
    "stem",
    "survey",
    "survey_unseen",
    "thumbnail",
    "write_nifti",
    "write_phantoms",
]
