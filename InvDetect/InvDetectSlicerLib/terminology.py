"""The terms by which Slicer and DICOM call what InvDetect finds: "anomaly candidate", not "tissue"."""

from __future__ import annotations

from pathlib import Path

import slicer
import vtk

from InvDetectLib.errors import InvDetectError
from InvDetectLib.result_files import SEGMENT_TERM

FILE = "InvDetect.term.json"
CONTEXT = "InvDetect anomalies"
ENTRY = SEGMENT_TERM


def load_terminology() -> str:
    """Makes the terms known to Slicer, once; returns the name of their context. Raises InvDetectError when the file is missing."""
    logic = slicer.modules.terminologies.logic()
    names = vtk.vtkStringArray()
    logic.GetLoadedTerminologyNames(names)
    known = {names.GetValue(i) for i in range(names.GetNumberOfValues())}
    if CONTEXT not in known and logic.LoadTerminologyFromFile(str(_file())) != CONTEXT:
        raise InvDetectError(f"{_file()} is damaged. Install InvDetect again.")
    return CONTEXT


def _file() -> Path:
    """In the source tree the file lies beside the modules' folder, in an installed extension inside it."""
    modules = Path(__file__).resolve().parents[1]
    for folder in (modules, modules.parent):
        if (folder / "Resources" / FILE).is_file():
            return folder / "Resources" / FILE
    raise InvDetectError(f"{FILE} is missing from the Resources of InvDetect. Install InvDetect again.")
