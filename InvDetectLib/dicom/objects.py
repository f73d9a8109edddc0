"""The three DICOM objects of a result: Segmentation, Parametric Map, and a report by template TID 1500."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..results import Result
from ..scans import Scan

if TYPE_CHECKING:
    from pydicom.dataset import Dataset  # loads pydicom


@dataclass(frozen=True)
class Decision:
    """What a reviewer said of one finding: `state` is "open", "accepted" or "dismissed"."""

    state: str = "open"
    comment: str = ""


@dataclass(frozen=True)
class Objects:
    """What is written of one result; each is a whole DICOM file with its meta information, in a series of its own.

    segmentation    binary, one segment a finding, numbered by the finding's label; None without findings, for it needs a segment
    parametric_map  float32 of every slice of the scan, in units of held-out normals
    report          Comprehensive 3D SR, TID 1500: the findings' measurements; without findings it says so
    """

    segmentation: Dataset | None
    parametric_map: Dataset
    report: Dataset

    def files(self) -> dict[str, bytes]:
        """The content of each as a DICOM file, by the kinds of `results.SUFFIXES`."""
        raise NotImplementedError


def dicom_objects(
    result: Result, source: str | Path, *, model_name: str = "", decisions: Mapping[int, Decision] | None = None
) -> Objects:
    """The objects of a result of the DICOM series at `source`, in the source's study, patient and frame of reference.

    source      the series' folder, or its file, as `read_scan` takes it; of several series there the one that was examined is found
    model_name  under which the model is known, for people; the objects hold its checksum in any case
    decisions   of a reviewer, by the label of the finding; findings without one are open

    The same result of the same series gives the same UIDs, so that an archive holds it once; other decisions give a report of its own.
    Raises InvDetectError without highdicom, for a source that is no DICOM, for one that is not what was examined, and for one of which
    no right object can be written (such as frames without places).
    """
    raise NotImplementedError


def more_files(result: Result, scan: Scan, path: Path) -> Mapping[str, bytes]:
    """`more` of `cohort.detect_cohort`: the objects of a result, or nothing where there can be none: `result.provenance["dicom"]` then
    says why in a sentence, so that a cohort with other scans among it goes on."""
    raise NotImplementedError
