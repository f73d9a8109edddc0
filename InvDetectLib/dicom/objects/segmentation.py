"""The findings as a Segmentation: binary, one segment a finding, numbered by its label."""

from __future__ import annotations

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.seg import Segmentation, SegmentDescription
from pydicom.dataset import Dataset

from ...common import InvDetectError, __version__
from ...results import Result
from .identity import NAME, Identity
from .referenced import Referenced
from .terms import ALGORITHMS, ANOMALY, CATEGORY

NUMBER = 9001  # of the series; the objects stand behind the study's own
_COLOUR = [38338, 49652, 50732]  # CIELab, as DICOM counts it: that of findings elsewhere, (1, 0.3, 0) in sRGB
_MOST = 65535  # segments that can be numbered


def tracking(identity: Identity, label: int) -> tuple[str, str]:
    """(UID, words) under which every object knows the finding with this label."""
    return str(identity.uid("finding", str(label))), f"{NAME} finding {label}"


def segmentation(result: Result, labels: np.ndarray, referenced: Referenced, identity: Identity) -> Dataset:
    """labels  (slice, row, column) in the order of the source's slices, of findings 1, 2, ..., all of which are there"""
    if len(result.findings) > _MOST:
        raise InvDetectError(f"A DICOM segmentation holds at most {_MOST} findings, and there are {len(result.findings)}; flag less.")
    algorithm = AlgorithmIdentificationSequence(NAME, ALGORITHMS, __version__, NAME, identity.parameters)
    segments = []
    for finding in result.findings:
        number, words = tracking(identity, finding.label)
        segment = SegmentDescription(
            segment_number=finding.label,
            segment_label=f"Anomaly {finding.label}",
            segmented_property_category=CATEGORY,
            segmented_property_type=ANOMALY,
            algorithm_type="AUTOMATIC",
            algorithm_identification=algorithm,
            tracking_uid=number,
            tracking_id=words,
        )
        segment.RecommendedDisplayCIELabValue = _COLOUR
        segments.append(segment)
    data = Segmentation(
        source_images=referenced.stand_ins,
        pixel_array=labels.astype(np.uint16 if len(segments) > 255 else np.uint8),
        segmentation_type="BINARY",
        segment_descriptions=segments,
        series_instance_uid=identity.uid("segmentation series"),
        series_number=NUMBER,
        sop_instance_uid=identity.uid("segmentation"),
        instance_number=1,
        content_label="ANOMALIES",
        content_description="Anomaly candidates, one segment each",
        series_description=identity.described("anomaly candidates"),
        **identity.equipment(),
    )
    referenced.complete(data)
    return data
