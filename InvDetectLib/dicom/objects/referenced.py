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
from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.uid import UID
from pydicom.valuerep import DA, TM, PersonName, format_number_as_ds

from ...common import InvDetectError
from ...scans import Origin, SliceSource
from .identity import uid

_PLACED, _FLAT = UID("1.2.840.10008.5.1.4.1.1.4"), UID("1.2.840.10008.5.1.4.1.1.7")  # plain images with and without a place
_IDENTIFIERS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_TYPE_2 = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate", "StudyTime", "AccessionNumber",
           "ReferringPhysicianName")  # fmt: skip
_GROUPS = (0x0008, 0x0010, 0x0012, 0x0020, 0x0032)  # of the patient, the study and the trial
_OF_SLICES = ("SOPClassUID", "SOPInstanceUID", "ImagePositionPatient", "ImageOrientationPatient")  # each stand-in has its own
_COMPRESSION = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")
_UNICODE = "ISO_IR 192"
_REMEDY = "The other results are complete without DICOM objects."


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
        self._body_part = str(first.get("BodyPartExamined") or "")
        self._slices = {str(one.SOPInstanceUID): k for k, one in enumerate(self.stand_ins)}

    def point_at_files(self, data: Dataset) -> None:
        """Turn all references of an image object to the stand-ins into such to the files."""
        for frame in data.PerFrameFunctionalGroupsSequence:
            for derivation in frame.get("DerivationImageSequence", []):
                for item in derivation.SourceImageSequence:
                    _refer(item, self.references[self._slices[str(item.ReferencedSOPInstanceUID)]])
        instances = {(one.storage, one.instance): None for one in self.references}
        data.SourceImageSequence = [_refer(Dataset(), Reference(*one, None)) for one in instances]
        series = Dataset()
        series.SeriesInstanceUID = self.series
        series.ReferencedInstanceSequence = [_refer(Dataset(), Reference(*one, None)) for one in instances]
        data.ReferencedSeriesSequence = [series]

    def complete(self, data: Dataset) -> None:
        """Give any object what highdicom leaves out: the source's body part, and in which letters its texts are written."""
        data.SpecificCharacterSet = _UNICODE
        if self._body_part:
            data.BodyPartExamined = self._body_part

    def images_of(self, slices: Iterable[int]) -> list[tuple[str, str, list[int] | None]]:
        """(class, instance, frames from 1 or None) of the source images that these slices of the array are, each file once."""
        found: dict[tuple[str, str], list[int]] = {}
        for k in slices:
            storage, instance, frame = self.references[k]
            found.setdefault((storage, instance), []).extend([] if frame is None else [frame])
        return [(*name, sorted(frames) or None) for name, frames in found.items()]

    def _check(self, headers: list[Dataset]) -> None:
        for keyword in _IDENTIFIERS:
            if not all(header.get(keyword) for header in headers):
                raise InvDetectError(f"No DICOM objects can refer to this series, for its files do not all say their {keyword}. {_REMEDY}")
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
            if one.spacing is not None:
                data.PixelSpacing = _decimals(one.spacing)
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
    """Patient and study of a file, and what else its objects take from it; values that DICOM forbids are empty."""
    data = Dataset()
    for element in header:
        keyword = keyword_for_tag(element.tag)
        if element.tag.group in _GROUPS and element.VR != "SQ" and keyword and keyword not in _OF_SLICES:
            value = element.value
            data.add_new(element.tag, element.VR, str(value) if isinstance(value, PersonName) else value)
    for keyword in _COMPRESSION:
        if keyword in header:
            setattr(data, keyword, header[keyword].value)
    for keyword in _TYPE_2:
        value = data.get(keyword)
        setattr(data, keyword, "" if value is None or not _is_allowed(keyword, value) else value)
    data.SpecificCharacterSet = _UNICODE
    return data


def _is_allowed(keyword: str, value: Any) -> bool:
    if keyword == "PatientSex":
        return value in ("M", "F", "O")
    kind = {"Date": DA, "Time": TM}.get(keyword[-4:])
    try:
        return kind is None or value == "" or bool(kind(str(value)))
    except ValueError:
        return False


def _decimals(values: Iterable[float]) -> list[str]:
    return [format_number_as_ds(float(value)) for value in values]
