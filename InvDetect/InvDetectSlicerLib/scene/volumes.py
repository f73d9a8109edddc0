"""Between a volume in the scene and the library's arrays, geometry and files. Slicer counts in RAS, the library in LPS: it is turned here.

Arrays are (slice, row, column[, channel]). Geometry is the volume's own: a parent transform moves the volume in the world, not its
voxels, and results share it. Nothing here changes a volume that was given.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from InvDetectLib.common import InvDetectError
from InvDetectLib.scans import Geometry, Scan

_PNG = (np.uint8, np.uint16)
_ROUNDING = 0.01  # voxels


def array_of(volume: Any) -> np.ndarray:
    """The voxels of a volume, (slice, row, column), or (slice, row, column, 3) of a colour volume, without its transparency.

    A view into the scene's own memory: to be read, not written. Raises InvDetectError for a volume without image data and for one that
    is neither grey nor colour.
    """
    image = volume.GetImageData() if volume is not None else None
    scalars = image.GetPointData().GetScalars() if image is not None else None
    if image is None or scalars is None or image.GetNumberOfPoints() == 0:
        raise InvDetectError(f"{_title(volume)} holds no image data. Load it again, or choose another volume.")
    columns, rows, slices = image.GetDimensions()
    values = vtk_to_numpy(scalars).reshape(slices, rows, columns, -1)
    channels = values.shape[3]
    if channels not in (1, 3, 4):
        raise InvDetectError(
            f"{_title(volume)} has {channels} values a voxel, neither grey (1) nor colour (3). Extract one of them as a volume of its own."
        )
    return values[..., 0] if channels == 1 else values[..., :3]


def geometry_of(volume: Any) -> Geometry:
    """Where the voxels of a volume lie, without its parent transform. Oblique, flipped and sheared axes are kept.

    A single slice whose place says nothing (spacing 1, origin 0, no turn) is a picture: its geometry has 2 dimensions and counts in
    pixels, as when the library reads the picture's file.
    """
    array = array_of(volume)
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASDirectionMatrix(matrix)
    lps = np.diag([-1.0, -1.0, 1.0])
    direction = lps @ np.array([[matrix.GetElement(i, j) for j in range(3)] for i in range(3)])
    shape, origin = array.shape[:3], lps @ np.array(volume.GetOrigin())
    left, posterior, superior = _tidy(origin)
    geometry = Geometry(shape, volume.GetSpacing(), (left, posterior, superior), _tidy(direction))
    if shape[0] == 1 and geometry.is_plain and array.dtype in _PNG:
        return Geometry(shape, dimension=2, unit="pixel")
    return geometry


def array_in(volume: Any, geometry: Geometry) -> np.ndarray:
    """The voxels of a volume in the order of a geometry of the same place, whose axes may run the other way.

    Slicer turns axes round when it reads a volume whose axes are left-handed. Raises InvDetectError for a volume of another place.
    """
    array, own = array_of(volume), geometry_of(volume)
    last, corners = np.array(own.shape) - 1, _corners(own)
    there = np.rint(own.index_from_ras(geometry.ras_from_index(corners))).astype(int)
    flips = [axis for axis in range(3) if there[0, axis] == last[axis] > 0]
    expected = np.where(np.isin(range(3), flips), last - corners, corners)
    if own.shape != geometry.shape or not np.array_equal(there, expected):
        raise InvDetectError(f"{_title(volume)} does not lie where its scan did. Detect again.")
    return np.flip(array, tuple(flips))


def same_place(one: Geometry, other: Geometry) -> bool:
    """Whether two geometries have the same voxels in the same places, but for what rounding in a file does."""
    corners = _corners(one)
    return one.shape == other.shape and bool(np.allclose(other.index_from_ras(one.ras_from_index(corners)), corners, atol=_ROUNDING))


def _corners(geometry: Geometry) -> np.ndarray:
    """(4, 3) int: the first voxel, and the last along each axis; where these lie all others follow."""
    return np.vstack([np.zeros(3, int), np.diag(np.array(geometry.shape) - 1)])


def ijk_to_ras(geometry: Geometry) -> Any:
    """vtkMatrix4x4 from voxel (column, row, slice) to RAS."""
    origin = geometry.ras_from_index((0, 0, 0))
    steps = [geometry.ras_from_index(index) - origin for index in ((0, 0, 1), (0, 1, 0), (1, 0, 0))]
    matrix = np.eye(4)
    matrix[:3] = np.column_stack([*steps, origin])
    return slicer.util.vtkMatrixFromArray(matrix)


def scan_of(volume: Any) -> Scan:
    """A volume as the library's `Scan`, under the volume's name, sharing its voxels. Raises InvDetectError as `array_of`."""
    return Scan.from_array(array_of(volume), geometry_of(volume), volume.GetName() or "volume")


def write_exchange(volume: Any, folder: Path, name: str = "scan") -> Path:
    """The volume as an uncompressed file for the worker, exactly as it is: NAME.nrrd, or NAME.png for a picture. Returns its path.

    NRRD because NIfTI straightens sheared axes without a word; PNG because the library counts pictures in pixels. Raises InvDetectError
    as `array_of`, and when the file cannot be written.
    """
    array, geometry = array_of(volume), geometry_of(volume)
    path = folder / f"{name}{'.png' if geometry.dimension == 2 else '.nrrd'}"
    try:
        sitk.WriteImage(geometry.to_image(array), str(path), useCompression=False)
    except RuntimeError as error:
        path.unlink(missing_ok=True)
        raise InvDetectError(
            f"{_title(volume)} cannot be handed over: writing a temporary file failed. Free some space on the disk of {folder}."
        ) from error
    return path


def mask_of(segmentation: Any, volume: Any) -> np.ndarray:
    """(slice, row, column) bool on the voxels of `volume`: inside any shown segment of a segmentation, transforms of both included.

    Raises InvDetectError when no segment is shown, or nothing of them lies inside the volume.
    """
    mask = np.zeros(array_of(volume).shape[:3], bool)
    segments = vtk.vtkStringArray()
    display = segmentation.GetDisplayNode()
    for segment in segmentation.GetSegmentation().GetSegmentIDs():
        if display is None or display.GetSegmentVisibility(segment):
            segments.InsertNextValue(segment)
    if segments.GetNumberOfValues():
        labels = slicer.mrmlScene.AddNode(hidden_node("vtkMRMLLabelMapVolumeNode", "InvDetect region"))
        try:
            slicer.vtkSlicerSegmentationsModuleLogic.ExportSegmentsToLabelmapNode(segmentation, segments, labels, volume)
            if labels.GetImageData() is not None:
                mask |= array_of(labels) > 0
        finally:
            made = labels.GetDisplayNode()  # by the export, with a colour table
            for node in (made and made.GetColorNode(), made, labels):
                if node is not None:
                    slicer.mrmlScene.RemoveNode(node)
    if not mask.any():
        raise InvDetectError(
            f"No shown segment of {_title(segmentation)} lies inside {_title(volume)}. "
            "Draw the region over the scan and make it visible, or choose no region."
        )
    return mask


def add_like(reference: Any, array: np.ndarray, name: str, class_name: str = "vtkMRMLScalarVolumeNode", hidden: bool = False) -> Any:
    """A new volume with these voxels, (slice, row, column[, channel]), in the place of `reference` and under its parent transform.

    The voxels are copied. `hidden` keeps it out of the lists that users choose from. A bool array becomes uint8.
    """
    unique = slicer.mrmlScene.GenerateUniqueName(name)
    node = hidden_node(class_name, unique) if hidden else slicer.mrmlScene.AddNewNodeByClass(class_name, unique)
    set_voxels(node, array)
    place_like(reference, node)
    return slicer.mrmlScene.AddNode(node) if hidden else node


def place_like(reference: Any, node: Any) -> None:
    """Puts a volume of the same size in the place of another, under the same parent transform."""
    node.CopyOrientation(reference)
    node.SetAndObserveTransformNodeID(reference.GetTransformNodeID())


def set_voxels(node: Any, array: np.ndarray) -> None:
    """Gives a volume other voxels, copied from a (slice, row, column[, channel]) array. A bool array becomes uint8."""
    node.SetAndObserveImageData(fill_image(vtk.vtkImageData(), array))


def fill_image(image: Any, array: np.ndarray) -> Any:
    """A vtkImageData of any kind with a copy of the voxels; returns it."""
    values = np.ascontiguousarray(array, np.uint8 if array.dtype == np.bool_ else None)
    slices, rows, columns = values.shape[:3]
    image.SetDimensions(columns, rows, slices)
    scalars = numpy_to_vtk(values.reshape(slices * rows * columns, -1), deep=True)
    scalars.SetName("ImageScalars")
    image.GetPointData().SetScalars(scalars)
    return image


def hidden_node(class_name: str, name: str) -> Any:
    """A node, not yet in the scene, that stays out of lists and out of the subject hierarchy."""
    node = getattr(slicer, class_name)()
    node.SetName(name)
    node.SetHideFromEditors(True)  # before it enters the scene, or Slicer has listed it already
    node.SetAttribute("SubjectHierarchy.ExcludeFromTree", "1")
    return node


def _title(node: Any) -> str:
    return "The volume" if node is None or not node.GetName() else f'"{node.GetName()}"'


def _tidy(values: np.ndarray) -> tuple[float, ...]:
    """Plain floats; turning leaves negative zeros, which would only confuse readers of files."""
    return tuple(float(value) + 0.0 for value in values.ravel())
