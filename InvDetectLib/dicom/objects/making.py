"""The three DICOM objects of a result: Segmentation, Parametric Map, and a report by template TID 1500."""

from __future__ import annotations

import importlib.util
import io
import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...common import InvDetectError, write_whole
from ...results import SUFFIXES, Result, label_findings, read_findings
from ...scans import Origin, Scan, origin_of
from .decisions import Decision

if TYPE_CHECKING:
    from pydicom.dataset import Dataset  # loads pydicom

_NEEDED = "DICOM objects need highdicom, which is not installed: pip install 'invdetect[dicom]'."


@dataclass(frozen=True)
class Objects:
    """What is written of one result; each is a whole DICOM file with its meta information, in a series of its own.

    segmentation    binary, one segment a finding, numbered by the finding's label; None without findings, for it needs a segment
    parametric_map  float32 of every slice of the scan, in units of held-out normals; None of an image without a place, of which highdicom
                    writes none
    report          Comprehensive 3D SR, TID 1500: the findings' measurements; without findings it says so
    """

    segmentation: Dataset | None
    parametric_map: Dataset | None
    report: Dataset

    @property
    def lacking(self) -> str:
        """What there could not be, as a sentence; "" when all is there that there can be."""
        if self.parametric_map is not None:
            return ""
        return "The image says no place, so there is no DICOM parametric map of it; its report and segmentation are."

    def files(self) -> dict[str, bytes]:
        """The content of each as a DICOM file, by the kinds of `results.SUFFIXES`."""
        objects = {"dicom_segmentation": self.segmentation, "dicom_map": self.parametric_map, "dicom_report": self.report}
        return {kind: _content(data) for kind, data in objects.items() if data is not None}

    def write(self, folder: Path, name: str) -> list[Path]:
        """Write NAME.seg.dcm, NAME.map.dcm and NAME.sr.dcm, as far as there are such, all or none; returns their paths.

        InvDetectError when one of them is there already, or cannot be written.
        """
        contents = {folder / (name + SUFFIXES[kind]): content for kind, content in self.files().items()}
        for path in contents:
            if path.exists():
                raise InvDetectError(f"{path} exists already and is left as it is. Choose another folder.")
        written: list[Path] = []
        try:
            for path, content in contents.items():
                write_whole(path, content, "DICOM object")
                written.append(path)
        except BaseException:
            for path in written:
                path.unlink(missing_ok=True)
            raise
        return written


def dicom_objects(
    result: Result,
    source: str | Path | Sequence[str | Path],
    *,
    model_name: str = "",
    decisions: Mapping[int, Decision] | None = None,
) -> Objects:
    """The objects of a result of the DICOM series at `source`, in the source's study, patient and frame of reference.

    source      the series' folder, or its file, as `read_scan` takes it; of several series there the one that was examined is found.
                Or the files of the series, of a scan that another program read from them: on its grid then, which may be turned
    model_name  under which the model is known, for people; the objects hold its checksum in any case
    decisions   of a reviewer, by the label of the finding; findings without one are open. Dismissed findings stay in the segmentation

    The same result of the same series gives the same UIDs, so that an archive holds it once; other decisions give a report of its own.
    Raises InvDetectError without highdicom, for a source that is no DICOM, for one that is not what was examined, and for one of which
    no right object can be written (such as frames without places).
    """
    check_available()
    paths = Path(source) if isinstance(source, (str, Path)) else [Path(one) for one in source]
    origin = origin_of(paths, result.geometry, _digest(result))
    return _objects(result, origin, model_name, decisions)


def more_files(result: Result, scan: Scan, path: Path) -> Mapping[str, bytes]:
    """`more` of `cohort.detect_cohort`: the objects of a result, or nothing where there can be none: `result.provenance["dicom"]` then
    says why, without a name, so that a cohort with other scans among it goes on. Raises InvDetectError without highdicom."""
    check_available()
    try:
        origin = origin_of(path, result.geometry, scan.digest)
    except InvDetectError:  # which names the file, and results do not
        result.provenance["dicom"] = "The scan is no DICOM series whose files say where each slice lies."
        return {}
    try:
        objects = _objects(result, origin)
    except InvDetectError as error:
        result.provenance["dicom"] = str(error)
        return {}
    if objects.lacking:
        result.provenance["dicom"] = objects.lacking
    return objects.files()


def lacking(result: Path) -> str:
    """Why the result whose NAME.result.json lies at `result` has no DICOM objects, as a phrase, as `more_files` left it; "" if it has."""
    return str(read_findings(result).provenance.get("dicom", ""))


def _objects(result: Result, origin: Origin, model_name: str = "", decisions: Mapping[int, Decision] | None = None) -> Objects:
    """Errors name neither files nor what stands in them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom and highdicom tell of every value that a header should not have
        from .identity import Identity
        from .parametric_map import parametric_map
        from .referenced import Referenced
        from .report import report
        from .segmentation import segmentation

        logging.getLogger("highdicom").setLevel(logging.ERROR)  # it logs names of patients that have no comma or caret
        referenced = Referenced(origin)
        identity = Identity(result, referenced.series, model_name)
        labels = origin.from_scan(label_findings(result.mask, result.findings), result.geometry)
        values = origin.from_scan(result.anomaly_map, result.geometry)
        try:
            found = segmentation(result, labels, referenced, identity) if result.findings else None
            mapped = parametric_map(result, values, referenced, identity) if referenced.is_placed else None
            told = report(result, labels, referenced, identity, found, decisions)
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            reason = f"for highdicom does not take what its files say ({type(error).__name__})"
            raise InvDetectError(f"No DICOM objects can be written of this series, {reason}. Export it again.") from error
    return Objects(found, mapped, told)


def check_available() -> None:
    """Raise InvDetectError where highdicom is not installed."""
    if importlib.util.find_spec("highdicom") is None:
        raise InvDetectError(_NEEDED)


def _digest(result: Result) -> str:
    told = result.provenance.get("scan")
    return str(told.get("digest", "")) if isinstance(told, Mapping) else ""


def _content(data: Dataset) -> bytes:
    file = io.BytesIO()
    data.save_as(file)
    return file.getvalue()
