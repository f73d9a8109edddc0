"""The sample in Slicer's Sample Data module: a made head with two lesions, in a file that comes with InvDetect. Nothing is downloaded.

`SampleData.downloadSample("InvDetectMadeHead")` and `add_made_head()` give the same head to scripts. The model that fits it,
`made-heads`, comes with InvDetect, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .resources import resource

if TYPE_CHECKING:
    import numpy as np

    from InvDetectLib.scans import Geometry

CATEGORY = "InvDetect"
SAMPLE = "InvDetectMadeHead"
NODE = "Made head"
MODEL = "made-heads"
FILE = "SampleData/InvDetectMadeHead.nii.gz"
CHECKSUM = "SHA256:2f63c481599e2561050f143a3620bb9edbe31fb23503967fb84e7f3f821e0e57"  # so that an older file in Slicer's cache is not taken
SEED, LESIONS = 1000, 2  # that `InvDetectLib.scans.write_phantoms` drew it with: a head that the model has never seen


def register_sample_data() -> None:
    """Put the sample among those of the Sample Data module. The same sample is registered once."""
    from SampleData import SampleDataLogic

    SampleDataLogic.registerCustomSampleDataSource(
        category=CATEGORY,
        sampleName=SAMPLE,
        # An address of a file, and no downloader of our own, which Slicer uses for the button alone and not for scripts.
        uris=resource(FILE).as_uri(),
        fileNames=FILE.rpartition("/")[2],
        nodeNames=NODE,
        checksums=CHECKSUM,
        thumbnailFileName=str(resource("Icons/InvDetectMadeHead.png")),
    )


def add_made_head() -> Any:
    """Put the head into the scene and show it; returns its volume node."""
    import numpy as np
    import slicer

    from InvDetectLib.scans import read_scan

    scan = read_scan(resource(FILE))
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
