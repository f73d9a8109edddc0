"""The series that objects refer to: patient, study and frame of reference, and every slice as its file and frame.

highdicom takes what an object is made of from the data sets of its source images, and wants them plain and alike. Scanners write several
slices into a file, or give each frame its own groups. So highdicom gets a stand-in for each slice, a plain image with the slice's place and
the patient's data; afterwards all references are turned to the files and frames that the slices really are.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydicom import dcmread
from pydicom.config import RAISE
from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import UID
from pydicom.valuerep import DA, TM, PersonName, format_number_as_ds, validate_value

from ...common import InvDetectError
from ...scans import Origin, SliceSource
from .identity import uid

_PLACED, _FLAT = UID("1.2.840.10008.5.1.4.1.1.4"), UID("1.2.840.10008.5.1.4.1.1.7")  # plain images with and without a place
_IDENTIFIERS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_TYPE_2 = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate", "StudyTime", "AccessionNumber",
           "ReferringPhysicianName")  # fmt: skip
_GROUPS = (0x0008, 0x0010, 0x0012, 0x0020, 0x0032)  # of the patient, the study and the trial
_OF_SLICES = ("SOPClassUID", "SOPInstanceUID", "ImagePositionPatient", "ImageOrientationPatient")  # each stand-in has its own
# Kinds whose values have a form or a greatest length; their numbers are checked as they were written.
_CHECKED = ("AE", "AS", "CS", "DA", "DS", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UI")
_COMPRESSION = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")
UNICODE = "ISO_IR 192"
_REMEDY = "Export it again, complete, from where it was made."


class Reference(NamedTuple):
    """A source image: its class, its instance, and the frame's number from 1, None in a file of one image."""

    storage: str
    instance: str
    frame: int | None


class Referenced:
    """The source of a result.

    series      UID of the series
    stand_ins   one data set for each slice, in the order of the array
    references  what each slice really is, in the same order
    files       one data set for each file, with its true identifiers and the patient's data
    laterality  "L" or "R" where the files say so of a paired part of the body, else ""
    is_placed   whether it lies in a frame of reference
    """

    def __init__(self, origin: Origin) -> None:
        """Reads the headers of the files. Raises InvDetectError where the source does not say what its objects must say."""
        self.origin = origin
        headers = {one.path: _header(one.path) for one in origin.slices}
        first = headers[origin.slices[0].path]
        self.is_placed = origin.geometry.dimension == 3
        self._check(list(headers.values()))
        self.study, self.series = str(first.StudyInstanceUID), str(first.SeriesInstanceUID)
        patient = _patient(first)
        self.references = [_reference(headers[one.path], one.frame) for one in origin.slices]
        self.files = [_file(patient, header) for header in headers.values()]
        self.stand_ins = [self._stand_in(patient, k, one) for k, one in enumerate(origin.slices)]
        self.laterality = side if (side := str(first.get("Laterality") or "")) in ("L", "R") else ""
        self._body_part, self._orientation = (_allowed(first, keyword) for keyword in ("BodyPartExamined", "PatientOrientation"))
        self._slices = {str(one.SOPInstanceUID): k for k, one in enumerate(self.stand_ins)}

    def complete(self, data: Dataset) -> None:
        """Give an image object what highdicom leaves out: its references to files, and what the source says of body and letters."""
        self._point_at_files(data)
        dimensions = uid("dimensions", str(data.SOPInstanceUID))  # highdicom's would be another each time
        for item in (*data.DimensionOrganizationSequence, *data.DimensionIndexSequence):
            item.DimensionOrganizationUID = dimensions
        data.SpecificCharacterSet = UNICODE
        if self._body_part:
            data.BodyPartExamined = self._body_part
        if not self.is_placed:
            data.PatientOrientation = self._orientation

    def images_of(self, slices: Iterable[int]) -> list[tuple[str, str, list[int] | None]]:
        """(class, instance, frames from 1 or None) of the source images that these slices of the array are, each file once."""
        found: dict[tuple[str, str], list[int]] = {}
        for k in slices:
            storage, instance, frame = self.references[k]
            found.setdefault((storage, instance), []).extend([] if frame is None else [frame])
        return [(*name, sorted(frames) or None) for name, frames in found.items()]

    def _point_at_files(self, data: Dataset) -> None:
        """Turn all references of an image object to the stand-ins into such to the files."""
        for frame in data.PerFrameFunctionalGroupsSequence:
            for derivation in frame.get("DerivationImageSequence", []):
                for item in derivation.SourceImageSequence:
                    number = self._slices.get(str(item.ReferencedSOPInstanceUID))
                    if number is not None:  # frames of several segments share their items
                        _refer(item, self.references[number])
        instances = {(one.storage, one.instance): None for one in self.references}
        data.SourceImageSequence = [_refer(Dataset(), Reference(*one, None)) for one in instances]
        series = Dataset()
        series.SeriesInstanceUID = self.series
        series.ReferencedInstanceSequence = [_refer(Dataset(), Reference(*one, None)) for one in instances]
        data.ReferencedSeriesSequence = [series]

    def _check(self, headers: list[Dataset]) -> None:
        for keyword in _IDENTIFIERS:
            if not all(header.get(keyword) for header in headers):
                raise InvDetectError(f"No DICOM objects can refer to this series, for its files do not all say their {keyword}. {_REMEDY}")
        if len({str(header.SOPInstanceUID) for header in headers}) < len(headers):
            raise InvDetectError(f"No DICOM objects can refer to this series, for several of its files have one SOPInstanceUID. {_REMEDY}")
        if not self.is_placed:
            return
        frames = {str(header.get("FrameOfReferenceUID") or "") for header in headers}
        if len(frames) > 1 or not all(frames):
            what = "lie in several frames of reference" if all(frames) else "name no frame of reference (FrameOfReferenceUID)"
            raise InvDetectError(f"DICOM objects cannot say where the findings lie, for the files of the series {what}. {_REMEDY}")
        if self.origin.geometry.unit != "mm":
            reason = "for the files of the series do not say how large their pixels are"
            raise InvDetectError(f"DICOM objects cannot say where the findings lie, {reason}. {_REMEDY}")

    def _stand_in(self, patient: Dataset, number: int, one: SliceSource) -> Dataset:
        geometry = self.origin.geometry
        data = Dataset()
        data.update(patient)  # a data set made of another would share what is set below
        data.SOPClassUID = _PLACED if self.is_placed else _FLAT
        data.SOPInstanceUID = uid("stand-in", self.series, str(number))
        data.Rows, data.Columns = geometry.shape[1:]
        if not self.is_placed:
            data.pop("FrameOfReferenceUID", None)
            return data
        assert one.position is not None and one.spacing is not None
        data.ImagePositionPatient = _decimals(one.position)
        data.ImageOrientationPatient = _decimals(np.reshape(geometry.direction, (3, 3))[:, :2].T.ravel())
        data.PixelSpacing = _decimals(self.origin.slices[0].spacing or ())
        data.SliceThickness = _decimals([one.thickness or geometry.spacing[2]])[0]
        if len(self.origin.slices) > 1:
            data.SpacingBetweenSlices = _decimals([geometry.spacing[2]])[0]
        return data


def _header(path: Path) -> Dataset:
    return dcmread(path, force=True, stop_before_pixels=True)


def _reference(header: Dataset, frame: int | None) -> Reference:
    return Reference(str(header.SOPClassUID), str(header.SOPInstanceUID), None if frame is None else frame + 1)


def _refer(item: Dataset, to: Reference) -> Dataset:
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = UID(to.storage), UID(to.instance)
    if to.frame is not None:
        item.ReferencedFrameNumber = to.frame
    return item


def _file(patient: Dataset, header: Dataset) -> Dataset:
    data = Dataset()
    data.update(patient)
    data.SOPClassUID, data.SOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
    return data


def _patient(header: Dataset) -> Dataset:
    """Patient and study of a file, and what else its objects take from it; without values that DICOM forbids.

    Too long ones are left out and not cut: a part of a name or of a number may be that of another patient.
    """
    data = Dataset()
    for element in header:
        keyword = keyword_for_tag(element.tag)
        if element.tag.group in _GROUPS and element.VR != "SQ" and keyword and keyword not in _OF_SLICES and _is_allowed(element):
            value = element.value
            data.add_new(element.tag, element.VR, str(value) if isinstance(value, PersonName) else value)
    for keyword in _COMPRESSION:
        if keyword in header:
            setattr(data, keyword, header[keyword].value)
    for keyword in _TYPE_2:
        if data.get(keyword) is None:
            setattr(data, keyword, "")
    data.SpecificCharacterSet = UNICODE
    return data


def _allowed(header: Dataset, keyword: str) -> Any:
    """A value of a file; "" where it is missing, or is one that DICOM forbids."""
    return header[keyword].value or "" if keyword in header and _is_allowed(header[keyword]) else ""


def _is_allowed(element: DataElement) -> bool:
    if element.keyword == "PatientSex" and element.value not in ("M", "F", "O"):
        return False
    try:
        for value in element.value if isinstance(element.value, MultiValue) else [element.value]:
            validate_value(element.VR, str(value) if element.VR in _CHECKED else value, RAISE)
            {"DA": DA, "TM": TM}.get(element.VR, str)(value)
    except (ValueError, TypeError):
        return False
    return True


def _decimals(values: Iterable[float]) -> list[str]:
    return [format_number_as_ds(float(value)) for value in values]
