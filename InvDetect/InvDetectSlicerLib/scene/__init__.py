"""What InvDetect puts into the scene and reads from it: volumes, map, mask, table of findings, stored result, terms, display.

In: a `Result` of the library, or nodes that a saved scene brought back. Out: `ResultNodes`, arrays and places of volumes. No worker, no Qt.
"""

from . import display, mask, side_by_side
from .dicom_source import dicom_files
from .findings_table import ACCEPTED, DISMISSED, OPEN, STATES, Review, findings_of, geometry_in, reviews_of, slice_axis_of, write_reviews
from .marker import mark, remove_marker, unmark
from .mask import add_finding, remove_finding
from .midline import has_midline, hide_midline, show_midline
from .modality import contradicting_modality
from .nodes import ResultNodes, how_made, is_own, nodes_of, own_volumes_in_scene, provenance_of, results_in_scene, scans_in_scene
from .partial_map import MapInProgress, begin_map
from .scene import jump, show_mask, show_mask_slice, show_result
from .slice_views import shown_slice
from .stored_result import MISSING, content_of, controls_of, is_kept, unpack, write_kept
from .terminology import load_terminology
from .volumes import array_in, array_of, geometry_of, mask_of, write_exchange

__all__ = [
    "ACCEPTED",
    "DISMISSED",
    "MISSING",
    "MapInProgress",
    "OPEN",
    "ResultNodes",
    "Review",
    "STATES",
    "add_finding",
    "array_in",
    "array_of",
    "begin_map",
    "content_of",
    "contradicting_modality",
    "controls_of",
    "dicom_files",
    "display",
    "findings_of",
    "geometry_in",
    "geometry_of",
    "has_midline",
    "hide_midline",
    "how_made",
    "is_kept",
    "is_own",
    "load_terminology",
    "mark",
    "mask",
    "mask_of",
    "nodes_of",
    "own_volumes_in_scene",
    "provenance_of",
    "remove_finding",
    "remove_marker",
    "results_in_scene",
    "reviews_of",
    "scans_in_scene",
    "jump",
    "show_mask",
    "show_midline",
    "show_mask_slice",
    "show_result",
    "shown_slice",
    "side_by_side",
    "slice_axis_of",
    "unmark",
    "unpack",
    "write_exchange",
    "write_kept",
    "write_reviews",
]
