"""DICOM files made for tests: images, series and multi-frame files of any class, bits, rescaling and transfer syntax, and parts of them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

CLASSES = "1.2.840.10008.5.1.4.1.1."
MR, ENHANCED_MR, CT, ENHANCED_CT, CAPTURE = (CLASSES + part for part in ("4", "4.1", "2", "2.1", "7"))
ROW, COLUMN = (0.984611908, 0.161360920, -0.067097268), (-0.161853198, 0.986812958, -0.001930817)
NORMAL = np.cross(ROW, COLUMN) / np.linalg.norm(np.cross(ROW, COLUMN))
START = np.array((-10.1, 20.3, 33.3))

# What every image of a patient should say, so that objects made of it can.
WHOLE = {
    "FrameOfReferenceUID": "1.2.9", "PatientName": "Made^Head", "PatientID": "made-1", "PatientBirthDate": "19700102", "PatientSex": "O",
    "StudyID": "7", "StudyDate": "20200304", "StudyTime": "101500", "AccessionNumber": "a7", "ReferringPhysicianName": "",
}  # fmt: skip


def place(along: float) -> list[str]:
    """ImagePositionPatient of a slice `along` mm along the normal."""
    return [f"{value:.6f}" for value in START + along * NORMAL]


def write_image(path: Path, pixels: np.ndarray | None, storage: str = MR, syntax: UID = ExplicitVRLittleEndian, **elements: Any) -> Path:
    """A DICOM file with `pixels` ([frame,] row, column) as unsigned or signed integers; `elements` by keyword, None leaves one out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about values that no header should have, which tests want
        data = Dataset()
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = syntax
        data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = UID(storage)
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid()
        facts: dict[str, Any] = {"Modality": "MR", "StudyInstanceUID": "1.2.1", "SeriesInstanceUID": "1.2.3"}
        if pixels is not None:
            bits = pixels.dtype.itemsize * 8
            shape = pixels.shape[-2:] if (elements.get("SamplesPerPixel") or 1) == 1 else pixels.shape[-3:-1]
            facts |= {
                "ImagePositionPatient": place(0), "ImageOrientationPatient": [f"{value:.9f}" for value in (*ROW, *COLUMN)],
                "PixelSpacing": ["0.7", "0.8"], "SliceThickness": "2.5", "SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2",
                "Rows": shape[0], "Columns": shape[1], "BitsAllocated": bits, "BitsStored": bits, "HighBit": bits - 1,
                "PixelRepresentation": int(pixels.dtype.kind == "i"),
            }  # fmt: skip
        for keyword, value in (facts | elements).items():
            if value is not None:
                setattr(data, keyword, value)
        if pixels is not None and "PixelData" not in elements:
            data.PixelData = pixels.astype(pixels.dtype.newbyteorder(">" if not syntax.is_little_endian else "<")).tobytes()
        data.preamble = bytes(128)  # with these two pydicom 2 and 3 both write what the standard wants
        data.file_meta.FileMetaInformationGroupLength = 0  # put right when written
        data.save_as(path)
    return path


def write_series(folder: Path, pixels: np.ndarray, step: float = 3.0, **elements: Any) -> Path:
    """A folder with an image for each of `pixels` (slice, row, column), `step` mm apart; the files' names say nothing of the order.

    elements  as of `write_image`, or functions from the number of a slice to them
    """
    for k, values in enumerate(pixels):
        place_of_it = {} if "ImagePositionPatient" in elements else {"ImagePositionPatient": place(step * k)}
        told = {key: value(k) if callable(value) else value for key, value in elements.items()}
        write_image(folder / f"i{(7 * k + 3) % 11:02}.dcm", values, **(WHOLE | place_of_it | told))
    return folder


def write_frames(
    path: Path,
    frames: np.ndarray,
    along: Sequence[float],
    each: Sequence[dict[str, dict[str, Any]]] = (),
    storage: str = ENHANCED_MR,
    **elements: Any,
) -> Path:
    """A multi-frame file: `along` says where each frame lies (mm along the normal); `each` adds functional groups to each frame."""
    none = {"ImagePositionPatient": None, "ImageOrientationPatient": None, "PixelSpacing": None, "SliceThickness": None}
    shared = _item({
        "PlaneOrientationSequence": {"ImageOrientationPatient": [f"{value:.9f}" for value in (*ROW, *COLUMN)]},
        "PixelMeasuresSequence": {"PixelSpacing": ["0.7", "0.8"], "SliceThickness": "2.5"},
    })  # fmt: skip
    own = []
    for k, position in enumerate(along):
        groups = {"PlanePositionSequence": {"ImagePositionPatient": place(position)}, "FrameContentSequence": {"StackID": "1"}}
        for group, values in (each[k] if each else {}).items():
            groups[group] = groups.get(group, {}) | values  # type: ignore[operator]
        own.append(_item(groups))
    groups = {"SharedFunctionalGroupsSequence": [shared], "PerFrameFunctionalGroupsSequence": own}
    return write_image(path, frames, storage, NumberOfFrames=len(frames), **(none | groups | elements))


def without_mark(path: Path) -> Path:
    """Cut the 128 bytes and "DICM" from the beginning of a file."""
    path.write_bytes(path.read_bytes()[132:])
    return path


def _item(groups: dict[str, dict[str, Any]]) -> Dataset:
    item = Dataset()
    for group, values in groups.items():
        inner = Dataset()
        for keyword, value in values.items():
            setattr(inner, keyword, value)
        setattr(item, group, [inner])
    return item
