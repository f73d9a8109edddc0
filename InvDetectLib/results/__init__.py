"""What was found in one scan: map, mask, findings and how they came about; refined, saved, loaded, drawn.

In: a map on the model's grid, where its scan lies, and an operating point. Out: a `Result` and its files.
"""

from .backgrounds import backgrounds_of, display_range, greys_of, unit_range
from .bids import begin_derivative, derivative_files
from .canvas import DARK, DIM, LIGHT, LINE, as_png, check_available, colour_map, put_text
from .controls import Controls
from .files import BAD_ZIP, SEGMENT_TERM, SUFFIXES, file_names, write_findings, write_segmentation
from .findings import Finding, label_findings, volume_unit
from .parts import Examined, Images, OnGrid
from .publishing import check_unclaimed, collected, fault, publish, recover
from .reasons import Reasons
from .result import Result
from .stability import stability_of
from .table import check_table, read_findings, write_table

__all__ = [
    "BAD_ZIP",
    "Controls",
    "DARK",
    "DIM",
    "Examined",
    "Finding",
    "Images",
    "LIGHT",
    "LINE",
    "OnGrid",
    "Reasons",
    "Result",
    "SEGMENT_TERM",
    "SUFFIXES",
    "as_png",
    "backgrounds_of",
    "begin_derivative",
    "check_available",
    "check_table",
    "check_unclaimed",
    "collected",
    "colour_map",
    "derivative_files",
    "display_range",
    "fault",
    "file_names",
    "greys_of",
    "label_findings",
    "publish",
    "put_text",
    "read_findings",
    "recover",
    "stability_of",
    "unit_range",
    "volume_unit",
    "write_findings",
    "write_segmentation",
    "write_table",
]
