"""Findings as segments: all in one label map that the segments share, so that changing a slice of it costs no copy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import slicer
from scipy import ndimage
from vtk.util.numpy_support import vtk_to_numpy

from InvDetectLib.scans import Geometry

from .display import finding_colour
from .terminology import ENTRY
from .volumes import fill_image, ijk_to_ras

_LABELMAP, _SURFACE = "Binary labelmap", "Closed surface"
_MOVING = "Being adjusted"  # what appears while a slider moves, before the findings are numbered anew


def fill_segments(segmentation: Any, volume: Any, geometry: Geometry, labels: np.ndarray, numbers: Iterable[int]) -> None:
    """The segmentation anew: one segment "Finding N" for each of `numbers`, none for the other labels.

    volume    a volume in the place of the scan: lends its parent transform and its geometry, for exports
    geometry  of `labels`: (slice, row, column) whole numbers, 0 outside findings
    No numbers: a segmentation without segments.
    """
    numbers = list(numbers)
    had_surface = segmentation.GetSegmentation().ContainsRepresentation(_SURFACE)
    changing = segmentation.StartModify()
    segments = segmentation.GetSegmentation()
    for one in segments.GetSegmentIDs():  # off the shared label map first, or each would be wiped out of all its voxels: 90 ms for 256^3
        segments.GetSegment(one).AddRepresentation(_LABELMAP, slicer.vtkOrientedImageData())
    segments.RemoveAllSegments()
    segments.SetSourceRepresentationName(_LABELMAP)
    # The transform comes first: relative to it the reference geometry is kept, into which segments are resampled when they are saved.
    segmentation.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    if numbers:
        highest = int(labels.max(initial=0))
        shown: np.ndarray = np.zeros(highest + 1, smallest_type(highest + 1))
        shown[numbers] = numbers
        image = _image_in(geometry, shown[labels])
        for number in numbers:
            segments.AddSegment(_segment(number, image), segment_id(number))
    segmentation.EndModify(changing)
    if had_surface and numbers:
        show_surface(segmentation)


def segment_id(number: int) -> str:
    """The id of the segment of finding `number`."""
    return f"Finding_{number}"


def remove_finding(segmentation: Any, number: int) -> None:
    """Takes a finding out of the mask; the other segments stay as they are, also when somebody edited them."""
    if segmentation.GetSegmentation().GetSegment(segment_id(number)) is not None:
        segmentation.GetSegmentation().RemoveSegment(segment_id(number))


def add_finding(segmentation: Any, geometry: Geometry, labels: np.ndarray, number: int) -> None:
    """Brings a finding back as it was detected; the other segments stay as they are."""
    segments = segmentation.GetSegmentation()
    if segments.GetSegment(segment_id(number)) is not None:
        return
    box = ndimage.find_objects((labels == number).astype(np.uint8))[0]
    piece = ((labels[box] == number) * number).astype(smallest_type(number))
    image = _image_in(geometry, piece, [side.start for side in box])
    later = [s for s in segments.GetSegmentIDs() if s.startswith("Finding_") and s[8:].isdigit() and int(s[8:]) > number]
    segments.AddSegment(_segment(number, image), segment_id(number), later[0] if later else "")
    segments.CollapseBinaryLabelmaps(False)  # into the shared label map, unless an edited segment overlaps


def show_slice(
    segmentation: Any,
    volume: Any,
    geometry: Geometry,
    labels: np.ndarray,
    shown: Iterable[int],
    axis: int,
    index: int,
    mask: np.ndarray,
) -> None:
    """The mask of one slice while a slider moves; the rest stays. `fill_segments` makes everything right when it rests.

    volume, geometry, labels  as for `fill_segments`: the findings as they were before the slider moved
    shown        numbers of the findings that are not dismissed
    axis, index  which slice of the array;  mask  its new 2-D bool mask, in the order of the two other axes

    Each connected piece takes the number of the finding that it overlaps most, so that it keeps its segment; a piece of a dismissed
    finding stays away, and a piece without a finding goes into a segment of its own for the time being.
    """
    kept = sorted(shown)
    moving = int(labels.max(initial=0)) + 1
    values = _numbered(mask, np.take(labels, index, axis=axis), kept, moving)
    image = _shared_image(segmentation, volume, geometry, labels, kept, moving)
    segments = segmentation.GetSegmentation()
    if (values == moving).any() and segments.GetSegment(_MOVING) is None:
        segments.AddSegment(_segment(moving, image, _MOVING), _MOVING)
    if has_surface(segmentation):
        segmentation.RemoveClosedSurfaceRepresentation()  # or it would be made anew at each step
    slices, rows, columns = labels.shape
    whole = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(slices, rows, columns)
    np.moveaxis(whole, axis, 0)[index] = values
    image.GetPointData().GetScalars().Modified()
    image.Modified()  # the segmentation observes it


def smallest_type(highest: int) -> type:
    """The smallest type for labels up to `highest`: label maps are saved and shown as they are."""
    return np.uint8 if highest < 256 else np.uint16 if highest < 65536 else np.int32


def _numbered(mask: np.ndarray, before: np.ndarray, kept: list[int], moving: int) -> np.ndarray:
    """(row, column) label values for `show_slice`: a finding's number, `moving`, or 0."""
    pieces, count = ndimage.label(mask, np.ones((3, 3)))
    number_of = np.zeros(count + 1, np.int64)
    for piece, box in enumerate(ndimage.find_objects(pieces), start=1):
        votes = np.bincount(before[box][pieces[box] == piece], minlength=1)
        votes[0] = 0
        number = int(votes.argmax()) if votes.any() else moving
        number_of[piece] = number if number in kept or number == moving else 0
    return number_of[pieces]


def _shared_image(segmentation: Any, volume: Any, geometry: Geometry, labels: np.ndarray, kept: list[int], moving: int) -> Any:
    """The one label map of all segments, as large as the volume. Where it is not so (after loading, which crops it, or after edits), the
    segments are made anew."""
    segments = segmentation.GetSegmentation()
    slices, rows, columns = labels.shape
    if segments.GetNumberOfSegments():
        image = segments.GetNthSegment(0).GetRepresentation(_LABELMAP)
        ids = segments.GetSegmentIDs()
        expected = {segment_id(number): number for number in kept} | {_MOVING: moving}
        if (
            image.GetExtent() == (0, columns - 1, 0, rows - 1, 0, slices - 1)
            and set(ids) - {_MOVING} == set(expected) - {_MOVING}
            and all(segments.GetSegment(one).GetRepresentation(_LABELMAP) is image for one in ids)
            and all(segments.GetSegment(one).GetLabelValue() == expected[one] for one in ids)
        ):
            return image
    fill_segments(segmentation, volume, geometry, labels, kept)
    if kept:
        return segments.GetNthSegment(0).GetRepresentation(_LABELMAP)
    image = _image_in(geometry, np.zeros(labels.shape, smallest_type(moving)))
    segments.AddSegment(_segment(moving, image, _MOVING), _MOVING)
    return image


def show_surface(segmentation: Any, shown: bool = True) -> None:
    """Makes the findings' surfaces for the 3-D view, or takes them away, so that they need not follow each moved slider."""
    if shown and segmentation.GetSegmentation().GetNumberOfSegments():
        segmentation.CreateClosedSurfaceRepresentation()
    else:
        segmentation.RemoveClosedSurfaceRepresentation()
    segmentation.GetDisplayNode().SetVisibility3D(shown)


def has_surface(segmentation: Any) -> bool:
    """Whether the 3-D view shows the findings."""
    return bool(segmentation.GetSegmentation().ContainsRepresentation(_SURFACE))


def _segment(number: int, image: Any, name: str = "") -> Any:
    segment = slicer.vtkSegment()
    segment.SetName(name or f"Finding {number}")
    segment.SetNameAutoGenerated(False)
    segment.SetColor(*finding_colour())
    segment.SetColorAutoGenerated(False)
    segment.SetTerminology(ENTRY)
    segment.SetLabelValue(number)
    segment.AddRepresentation(_LABELMAP, image)
    return segment


def _image_in(geometry: Geometry, labels: np.ndarray, corner: Iterable[int] = (0, 0, 0)) -> Any:
    """Labels as an oriented image in a scan's geometry, their first voxel at `corner` (slice, row, column) of it."""
    image = fill_image(slicer.vtkOrientedImageData(), labels)
    k, j, i = corner
    slices, rows, columns = labels.shape
    image.SetExtent(i, i + columns - 1, j, j + rows - 1, k, k + slices - 1)
    image.SetGeometryFromImageToWorldMatrix(ijk_to_ras(geometry))
    return image
