"""The headers of DICOM files, frame by frame: where each slice lies, how large its pixels are, and what tells it from others there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.filereader import read_partial

from .dicom_elements import frame_count, groups_of, in_groups, items, numbers, text, whole
from .dicom_kinds import what_else
from .dicom_values import Plain, Scale, scale_in
from .itk import unreadable

Traits = tuple[tuple[str, Any], ...]

_COPY = "Copy or download it again"
_PIXELS = {0x7FE00008, 0x7FE00009, 0x7FE00010}
_STANDARD = "1.2.840.10008."
_WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
_TILES = "Export the region of interest as one picture (.tif or .png)"
_SEVERAL_IN_ONE = "Convert it to NIfTI with dcm2niix"
# Private elements of scanners that lay all slices of a volume side by side into one picture: how many there are.
_MOSAICS = {0x0019100A: ("SIEMENS", "Siemens mosaic"), 0x00651050: ("UIH", "grid of United Imaging")}
_KEYWORDS = (
    "ImageType", "SOPClassUID", "SpacingBetweenSlices", "SliceThickness", "SeriesInstanceUID", "ImagePositionPatient",
    "ImageOrientationPatient", "NumberOfFrames", "Rows", "Columns", "PixelSpacing", "DetectorInformationSequence",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "TotalPixelMatrixColumns", "DimensionOrganizationType",
    "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "PixelRepresentation", "RescaleSlope",
    "RescaleIntercept", "ManufacturerModelName",
)  # fmt: skip
_TAGS = [*(tag for keyword in _KEYWORDS if (tag := tag_for_keyword(keyword)) is not None), *_MOSAICS, 0x00190010, 0x00650010]

# What may tell frames at one place apart: words for the user, functional group, element in it. The first that does is taken.
_TRAITS = (
    ("stack", "FrameContentSequence", "StackID"),
    ("echo time", "MREchoSequence", "EffectiveEchoTime"),
    ("b-value", "MRDiffusionSequence", "DiffusionBValue"),
    ("diffusion", "MRDiffusionSequence", "DiffusionDirectionality"),
    ("time", "FrameContentSequence", "TemporalPositionIndex"),
    ("image type", "MRImageFrameTypeSequence", "FrameType"),
    ("image type", "CTImageFrameTypeSequence", "FrameType"),
    ("image type", "PETFrameTypeSequence", "FrameType"),
    ("component", "MRImageFrameTypeSequence", "ComplexImageComponent"),
    ("kernel", "CTReconstructionSequence", "ConvolutionKernel"),
    ("energy", "CTXRayDetailsSequence", "KVP"),
    ("inversion time", "MRModifierSequence", "InversionTimes"),
    ("cardiac phase", "CardiacSynchronizationSequence", "NominalPercentageOfCardiacPhase"),
    ("trigger delay", "CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime"),
    ("time offset", "TemporalPositionSequence", "TemporalPositionTimeOffset"),
    ("acquisition", "FrameContentSequence", "FrameAcquisitionNumber"),
)  # fmt: skip


@dataclass(frozen=True)
class Slice:
    """One slice: an image of its own file, or a frame of a file that says the place of each.

    frame     its number in the file, from 0
    spacing   (row, column) distance in mm; None where not told, like position and axes (LPS)
    step      mm to the next slice, as far as a slice alone tells: the distance told, or else the thickness; 1 without either
    axes      (3, 3), columns: along a row, along a column, normal
    scale     (slope, offset) of its values
    thickness in mm; None where not told
    plain     its pixels, when they can be taken from the file as they are
    groups    where its functional groups stand (its own, those of all frames), when it is a frame that has them
    """

    path: Path
    frame: int
    size: tuple[int, int]  # columns, rows
    spacing: tuple[float, float] | None
    step: float
    position: np.ndarray | None
    axes: np.ndarray | None
    scale: Scale = (1.0, 0.0)
    plain: Plain | None = None
    groups: tuple[Dataset, ...] = ()
    thickness: float | None = None

    @cached_property
    def traits(self) -> Traits:
        """(words, value) of what may tell it from other frames at its place, in the same order for all."""
        return _traits(self.groups)


@dataclass(frozen=True)
class File:
    """The header of one DICOM image.

    frames     how many there are
    slices     one for each frame whose place the file says; one, for the first, where it says none
    is_placed  whether several frames have places
    objection  (reason, remedy) why its pixels are not what they seem, or None
    """

    path: Path
    series: str
    frames: int
    slices: list[Slice] = field(default_factory=list)
    is_placed: bool = False
    has_mark: bool = True
    objection: tuple[str, str] | None = None


def header(path: Path) -> File | None:
    """The header of a DICOM image; None for a file that holds something else. Damaged files raise InvDetectError."""
    pixels: list[int] = []

    def stop(tag: int, vr: str | None, length: int) -> bool:
        if tag in _PIXELS:
            pixels.append(length)
        return tag >= 0x7FE00008

    try:
        with path.open("rb") as file:
            data = read_partial(file, stop, force=True, specific_tags=list(_TAGS))
            at = file.tell()
        storage = text(data, "SOPClassUID") or text(data.file_meta, "MediaStorageSOPClassUID")
        if what_else(storage, text(data, "ManufacturerModelName")):
            return None
        if pixels and whole(data, "Rows") and whole(data, "Columns"):
            return _file(path, data, storage, Plain.of(data, at, pixels[0]))
    except OSError:
        raise
    except Exception as error:  # pydicom raises whatever a damaged file leads it to
        raise unreadable(path, "it is cut off or damaged", _COPY) from error
    if storage and not storage.startswith(_STANDARD):  # a manufacturer's own kind, without an image
        return None
    raise unreadable(path, "it is cut off or damaged: it is DICOM, and holds no image", _COPY)


def _file(path: Path, data: Dataset, storage: str, plain: Plain | None) -> File:
    frames = frame_count(data)
    size = (whole(data, "Columns"), whole(data, "Rows"))
    places = groups_of(data, frames)
    slices = [_slice(path, k, size, data, place) for k, place in enumerate(places)] if any(places) else []
    is_placed = frames > 1 and any(one.position is not None for one in slices)
    if not is_placed:
        slices = slices[:1] or [_slice(path, 0, size, data, (), plain if frames == 1 else None)]
    has_mark = getattr(data, "preamble", None) is not None
    return File(path, text(data, "SeriesInstanceUID"), frames, slices, is_placed, has_mark, _objection(data, storage, frames))


def _objection(data: Dataset, storage: str, frames: int) -> tuple[str, str] | None:
    mosaic = "Siemens mosaic" if "MOSAIC" in text(data, "ImageType").split("\\") else ""
    for tag, (maker, words) in _MOSAICS.items():
        if tag in data and (numbers(data, tag, 1) or (0.0,))[0] > 1:
            creator = data.get(tag & 0xFFFF0000 | 0x10)
            mosaic = words if creator is not None and str(creator.value).upper().startswith(maker) else mosaic
    if mosaic and frames == 1:
        return f"its slices lie side by side in one picture ({mosaic})", _SEVERAL_IN_ONE
    tiled = storage == _WHOLE_SLIDE or "TotalPixelMatrixColumns" in data or text(data, "DimensionOrganizationType").startswith("TILED")
    return ("its frames are the tiles of one large picture, not slices", _TILES) if tiled and frames > 1 else None


def _slice(path: Path, frame: int, size: tuple[int, int], data: Dataset, places: tuple[Dataset, ...], plain: Plain | None = None) -> Slice:
    detector = next(iter(items(data, "DetectorInformationSequence")), None)  # nuclear medicine has its place there

    def take(group: str, keyword: str, count: int) -> tuple[float, ...] | None:
        found = numbers(in_groups(places, group), keyword, count) or numbers(data, keyword, count)
        return found or (numbers(detector, keyword, count) if detector is not None else None)

    position = take("PlanePositionSequence", "ImagePositionPatient", 3)
    spacing = take("PixelMeasuresSequence", "PixelSpacing", 2)
    thickness = take("PixelMeasuresSequence", "SliceThickness", 1)
    step = take("PixelMeasuresSequence", "SpacingBetweenSlices", 1) or thickness or (1.0,)
    return Slice(
        path,
        frame,
        size,
        None if spacing is None or min(spacing) <= 0 else (spacing[0], spacing[1]),
        abs(step[0]) or 1.0,
        None if position is None else np.array(position),
        _axes(take("PlaneOrientationSequence", "ImageOrientationPatient", 6), bool(places)),
        scale_in(in_groups(places, "PixelValueTransformationSequence"), data),
        plain,
        places,
        None if thickness is None or thickness[0] <= 0 else thickness[0],
    )


def _traits(places: tuple[Dataset, ...]) -> Traits:
    found = [(words, _plain(in_groups(places, group), keyword)) for words, group, keyword in _TRAITS]
    direction = in_groups((group,), "DiffusionGradientDirectionSequence") if (group := in_groups(places, "MRDiffusionSequence")) else None
    found.insert(4, ("direction", _plain(direction, "DiffusionGradientOrientation")))
    indices = _plain(in_groups(places, "FrameContentSequence"), "DimensionIndexValues")
    values = indices if isinstance(indices, tuple) else (indices,)
    return (*found, *((f"dimension {k + 1}", value) for k, value in enumerate(values)))


def _plain(item: Dataset | None, keyword: str) -> Any:
    """A value that can be compared and sorted with others of its kind; None where there is none."""
    value = None if item is None else item.get(keyword)
    if value is None or isinstance(value, (str, int, float)):
        return value
    return tuple(value) if isinstance(value, Iterable) else str(value)


@lru_cache(64)
def _axes(cosines: tuple[float, ...] | None, is_frame: bool) -> np.ndarray | None:
    """Right-angled unit axes; the file's decimals leave the two directions a little off.

    Single images are straightened along their rows, frames along their columns: so did the reader that stored digests come from.
    """
    if cosines is None:
        return None
    along_row, along_column = np.array(cosines[:3]), np.array(cosines[3:])
    normal = np.cross(along_row, along_column)
    if min(np.linalg.norm(along_row), np.linalg.norm(normal)) < 0.5:
        return None
    normal = normal / np.linalg.norm(normal)
    if is_frame:
        along_row = np.cross(along_column, normal)
        along_row = along_row * (1 / np.linalg.norm(along_row))
    else:
        along_row = along_row / np.linalg.norm(along_row)
    return np.stack([along_row, np.cross(normal, along_row), normal], axis=1)
