"""What kind of scan a volume is, as far as its DICOM files said, beside what a model says of itself in words."""

from __future__ import annotations

import re
from typing import Any

import slicer

# DICOM's codes (PS3.3, C.7.3.1.1.1) and how people call these scans. Only what is in this table can be told apart.
_CALLED = {
    "CR": {"radiograph", "radiographs", "radiography", "x-ray", "x-rays", "xray"},
    "CT": {"cbct", "ct"},
    "DX": {"radiograph", "radiographs", "radiography", "x-ray", "x-rays", "xray"},
    "MG": {"mammogram", "mammograms", "mammography"},
    "MR": {"dwi", "flair", "mr", "mri", "t1", "t1w", "t2", "t2w"},
    "OP": {"fundus"},
    "OPT": {"oct"},
    "PT": {"pet"},
    "US": {"sonography", "ultrasound"},
}


def contradicting_modality(volume: Any, meant: str) -> str | None:
    """The volume's DICOM modality ("CT", ...) where it is surely another than what a model is meant for; else None.

    meant  the model's modality in its maker's words ("MRI FLAIR"). None for volumes that did not come from DICOM, and for words or codes
           that are not known here: nobody is warned on suspicion.
    """
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    item = hierarchy.GetItemByDataNode(volume)
    code = hierarchy.GetItemAttribute(item, "DICOM.Modality").strip().upper() if item else ""
    words = set(re.findall(r"[a-z0-9-]+", meant.casefold()))
    kinds = {kind for kind, called in _CALLED.items() if called & words}
    return code if code in _CALLED and kinds and code not in kinds else None
