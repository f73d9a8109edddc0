"""What was found in one scan: map, mask, findings and how they came about; refined, saved, loaded, drawn.

In: a map on the model's grid, where its scan lies, and an operating point. Out: a `Result` and its files.
"""

from .controls import Controls
from .files import BAD_ZIP, SEGMENT_TERM, SUFFIXES, write_findings, write_segmentation
from .findings import Finding, label_findings, volume_unit
from .parts import Examined, Images, OnGrid
from .pictures import LINE, backgrounds_of, display_range
from .result import Result
from .table import write_table

__all__ = [
    "BAD_ZIP",
    "Controls",
    "Examined",
    "Finding",
    "Images",
    "LINE",
    "OnGrid",
    "Result",
    "SEGMENT_TERM",
    "SUFFIXES",
    "backgrounds_of",
    "display_range",
    "label_findings",
    "volume_unit",
    "write_findings",
    "write_segmentation",
    "write_table",
]
