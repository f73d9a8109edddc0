"""The sample in Slicer's Sample Data module: a made head with two lesions, drawn when it is asked for. Nothing is downloaded.

The model that fits it, `made-heads`, comes with InvDetect.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .resources import resource

if TYPE_CHECKING:
    import numpy as np

    from InvDetectLib.scans import Geometry

CATEGORY = "InvDetect"
SAMPLE = "InvDetectMadeHead"
NODE = "Made head"
MODEL = "made-heads"
SEED, LESIONS = 1000, 2  # a head that the model has never seen


def register_sample_data() -> None:
    """Put the sample among those of the Sample Data module. The same sample is registered once."""
    from SampleData import SampleDataLogic

    SampleDataLogic.registerCustomSampleDataSource(
        category=CATEGORY,
        sampleName=SAMPLE,
        # Slicer wants an address and a file name; with a downloader of our own it uses neither.
        uris="invdetect:made-head",
        fileNames="made-head.nii.gz",
        nodeNames=NODE,
        thumbnailFileName=str(resource("Icons/InvDetectMadeHead.png")),
        customDownloader=lambda source: [add_made_head()],
    )


def add_made_head() -> Any:
    """Draw the head (some seconds) and show it; returns its volume node."""
    import numpy as np
    import slicer

    from InvDetectLib.scans import read_scan, write_phantoms

    with tempfile.TemporaryDirectory() as folder:
        (path,) = write_phantoms(Path(folder), 1, SEED, lesions=LESIONS)
        scan = read_scan(path)
    node = slicer.util.addVolumeFromArray(np.ascontiguousarray(scan.array), ijkToRAS=ijk_to_ras(scan.geometry), name=NODE)
    slicer.util.setSliceViewerLayers(background=node, fit=True)
    return node


def ijk_to_ras(geometry: Geometry) -> np.ndarray:
    """(4, 4) float64: from (column, row, slice, 1) to RAS in mm."""
    import numpy as np

    matrix = np.eye(4)
    matrix[:3, 3] = geometry.ras_from_index((0, 0, 0))
    for axis, index in enumerate(((0, 0, 1), (0, 1, 0), (1, 0, 0))):
        matrix[:3, axis] = geometry.ras_from_index(index) - matrix[:3, 3]
    return matrix
