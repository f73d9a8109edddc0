"""Coded terms: what the objects call an anomaly, what is measured of it, and in which units.

Where DICOM has no code for something, InvDetect's own scheme says it; values of it are never changed, only added.
"""

from __future__ import annotations

from pydicom.sr.coding import Code

from ...results import SEGMENT_TERM

SCHEME = "99INVDETECT"


def _own(value: str, meaning: str) -> Code:
    return Code(value, SCHEME, meaning)


def _of_segment(part: int) -> Code:
    """A code in the terminology that segmentations carry in 3D Slicer."""
    scheme, value, meaning = SEGMENT_TERM.split("~")[part].split("^")
    return Code(value, scheme, meaning)


CATEGORY, ANOMALY = _of_segment(1), _of_segment(2)
ALGORITHMS = Code("123110", "DCM", "Artificial Intelligence")
IMAGING = Code("363679005", "SCT", "Imaging procedure")
DEVICE = Code("121007", "DCM", "Device")
COMMENT = Code("121106", "DCM", "Comment")

VOLUME, AREA = Code("118565006", "SCT", "Volume"), Code("42798000", "SCT", "Area")
SCORE = _own("SCORE", "Anomaly score")
MAXIMUM, MEAN = Code("56851009", "SCT", "Maximum"), Code("373098007", "SCT", "Mean")
MASS = _own("MASS", "Sum of the anomaly score above its forming level")
P_PEAK = _own("PPEAK", "Share of held-out normals with such a peak")
P_MASS = _own("PMASS", "Share of held-out normals with such a mass")
NORMALS = _own("NORMALS", "Number of held-out normals")
STABILITY = _own("STABILITY", "Share of small changes of the scan that it stays under")
CANDIDATES = _own("CANDIDATES", "Number of anomaly candidates")
THRESHOLD = _own("THRESHOLD", "Threshold on the anomaly score")
DECISION = _own("DECISION", "Decision of the reviewer")
DECISIONS = {
    "open": _own("OPEN", "Not decided"),
    "accepted": _own("ACCEPTED", "Accepted"),
    "dismissed": _own("DISMISSED", "Dismissed"),
}

ONE = Code("1", "UCUM", "no units")
SIZES = {"mm3": Code("mm3", "UCUM", "cubic millimeter"), "mm2": Code("mm2", "UCUM", "square millimeter")}
PIXELS = Code("{pixels}", "UCUM", "pixels")
