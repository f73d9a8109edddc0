"""Reading scans of every format, and the way between a scan's voxels and the model's slices.

In: files and folders. Out: a `Scan` with its `Geometry`, slices on the model's grid (`Prepared`), and maps brought back to the voxels.
"""

from .bids import DESCRIPTION, WRITER, BidsFolder, is_written_here, read_description, within_dataset
from .cases import Case, annotated_cases, files_of
from .finding import Found, LeftOut, Paths, find_masks, find_scans, stem
from .foreground_choice import Foreground, ForegroundChoice
from .forms import write_nifti
from .geometry import Geometry
from .intensity import is_invertible
from .limits import largest_image
from .masks import read_mask, read_truth
from .midplane import midplane
from .native import map_from_grid, pseudo_normal_from_grid
from .normals import Appearance, appearance, are_gapless, at_most, counts
from .other_maps import OtherMaps
from .pairing import match_mask
from .phantoms import write_phantoms
from .preparing import Prepared, learn_intensity, measure_intensity, prepare
from .previews import Preview, preview, stretched, thumbnail
from .reader import get_ready, read_voxels
from .reading import Scan, read_scan
from .slice_sources import Origin, SliceSource, origin_of
from .slicing import SliceGrid
from .small_changes import SmallChange, small_changes
from .survey import Candidate, Look, Looked, Surveyor, apart_from, look, split, survey, survey_unseen

__all__ = [
    "Appearance",
    "BidsFolder",
    "Candidate",
    "Case",
    "DESCRIPTION",
    "Foreground",
    "ForegroundChoice",
    "Found",
    "Geometry",
    "LeftOut",
    "Look",
    "Looked",
    "Origin",
    "OtherMaps",
    "Paths",
    "Prepared",
    "Preview",
    "Scan",
    "SliceGrid",
    "SliceSource",
    "SmallChange",
    "Surveyor",
    "WRITER",
    "annotated_cases",
    "apart_from",
    "appearance",
    "are_gapless",
    "at_most",
    "counts",
    "files_of",
    "find_masks",
    "find_scans",
    "get_ready",
    "is_invertible",
    "is_written_here",
    "largest_image",
    "learn_intensity",
    "look",
    "map_from_grid",
    "match_mask",
    "measure_intensity",
    "midplane",
    "origin_of",
    "prepare",
    "preview",
    "pseudo_normal_from_grid",
    "read_description",
    "read_mask",
    "read_scan",
    "read_truth",
    "read_voxels",
    "small_changes",
    "split",
    "stem",
    "stretched",
    "survey",
    "survey_unseen",
    "thumbnail",
    "within_dataset",
    "write_nifti",
    "write_phantoms",
]
