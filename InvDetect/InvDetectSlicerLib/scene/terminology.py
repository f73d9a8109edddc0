"""The terms by which Slicer and DICOM call what InvDetect finds: "anomaly candidate", not "tissue"."""

from __future__ import annotations

import slicer
import vtk

from InvDetectLib.common import InvDetectError
from InvDetectLib.results import SEGMENT_TERM

from ..models import resource

FILE = "InvDetect.term.json"
CONTEXT = "InvDetect anomalies"
ENTRY = SEGMENT_TERM


def load_terminology() -> str:
    """Makes the terms known to Slicer, once; returns the name of their context. Raises InvDetectError when the file is missing."""
    logic = slicer.modules.terminologies.logic()
    names = vtk.vtkStringArray()
    logic.GetLoadedTerminologyNames(names)
    known = {names.GetValue(i) for i in range(names.GetNumberOfValues())}
    if CONTEXT not in known and logic.LoadTerminologyFromFile(str(resource(FILE))) != CONTEXT:
        raise InvDetectError(f"{resource(FILE)} is damaged. Install InvDetect again.")
    return CONTEXT
