"""DICOM: which files of a folder make one series, in which order they lie in space, and whether one is missing.

Everything is taken from each file's own header. Slices are sorted along their normal (row direction x column direction), whatever
their names or instance numbers say, and read one by one, because the rescaling of values may differ from slice to slice.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..common import InvDetectError
from .geometry import IDENTITY, Geometry
from .itk import load_image, open_image, unreadable

Pixels = tuple[np.ndarray, Geometry, tuple[str, ...]]

_IO = "GDCMImageIO"
_STANDARD = "1.2.840.10008."
_DIRECTORY = "1.2.840.10008.1.3.10"
# Storage classes without pixels: reports, presentation states, RT plans and structures, waveforms, documents, raw data, surfaces ...
_WITHOUT_PIXELS = tuple(
    "1.2.840.10008.5.1.4.1.1." + part for part in ("88.", "11.", "9.", "104.", "66", "67", "68.", "481.3", "481.4", "481.5", "481.8", "90.")
)
# Multi-frame classes that keep the pixel size inside their frames, where GDCM finds it and SimpleITK's tags do not show it.
_ENHANCED = {"1.2.840.10008.5.1.4.1.1." + part for part in ("2.1", "2.2", "4.1", "4.3", "4.4", "128.1", "130")}
_LISTED = 8


@dataclass(frozen=True)
class _File:
    """The header of one DICOM image: `spacing` is (row, column) distance in mm; position and orientation in LPS; None where not told."""

    path: Path
    series: str
    size: tuple[int, int, int]  # columns, rows, frames
    spacing: tuple[float, ...] | None
    thickness: float
    position: np.ndarray | None
    axes: np.ndarray | None  # (3, 3), columns: along a row, along a column, normal
    is_enhanced: bool


def is_dicom(path: Path) -> bool:
    """True for a file with the mark "DICM" at byte 128, whatever its name, that is no DICOMDIR. Files that cannot be opened: False."""
    if path.name.upper() == "DICOMDIR" or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            file.seek(128)
            return file.read(4) == b"DICM"
    except OSError:
        return False


def read_dicom_file(path: Path) -> Pixels:
    """One DICOM file: an image without a position is 2-D, one with a position a volume of one slice, several frames a volume."""
    return _stack([_header(path)], path)


def read_dicom_folder(folder: Path, series: str | None = None) -> Pixels:
    """The series `series` (a SeriesInstanceUID) of the DICOM files that lie directly in `folder`; None when there is only one.

    Raises InvDetectError when the folder holds no DICOM image or several series, and when slices of the series are missing, repeated,
    unequally spaced or of different kinds.
    """
    candidates = sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.is_file() and is_dicom(path))
    files = [header for path in candidates if (header := _image_header(path)) is not None]
    if not files:
        raise InvDetectError(f"{folder} holds no DICOM image. Give a scan file, or the folder that directly holds the files of a series.")
    groups: dict[str, list[_File]] = {}
    for file in files:
        groups.setdefault(file.series, []).append(file)
    if series is None and len(groups) > 1:
        remedy = "Choose one with --series UID (detect, evaluate), or give it a folder of its own"
        raise InvDetectError(f"{folder} holds {len(groups)} DICOM series: {_list(groups)}. {remedy}.")
    if series is not None and series not in groups:
        raise InvDetectError(f"{folder} holds no DICOM series {series}; it holds {_list(groups)}. Choose one of these.")
    return _stack(groups[series] if series is not None else files, folder)


def _list(groups: dict[str, list[_File]]) -> str:
    lines = []
    for uid, files in sorted(groups.items()):
        sizes = sorted({f"{file.size[0]}x{file.size[1]}" for file in files})
        lines.append(f"{uid} ({len(files)} {'file' if len(files) == 1 else 'files'}, {', '.join(sizes)} pixels)")
    return "; ".join(lines)


def _image_header(path: Path) -> _File | None:
    """The header of a DICOM image in a folder; None for DICOM files that are no images. Damaged images raise InvDetectError."""
    try:
        return _header(path)
    except InvDetectError:
        storage = _storage_class(path)
        if storage == _DIRECTORY or not storage.startswith(_STANDARD) or storage.startswith(_WITHOUT_PIXELS):
            return None
        raise


def _header(path: Path) -> _File:
    reader = open_image(path, _IO)
    size = reader.GetSize()
    position = _numbers(reader, "0020|0032", 3)
    cosines = _numbers(reader, "0020|0037", 6)
    spacing = _numbers(reader, "0028|0030", 2)
    if spacing is not None and min(spacing) <= 0:
        spacing = None
    thickness = _numbers(reader, "0018|0088", 1) or _numbers(reader, "0018|0050", 1) or (1.0,)
    return _File(
        path=path,
        series=_text(reader, "0020|000e"),
        size=(size[0], size[1], size[2] if len(size) > 2 else 1),
        spacing=spacing,
        thickness=abs(thickness[0]) or 1.0,
        position=None if position is None else np.array(position),
        axes=_axes(cosines),
        is_enhanced=_text(reader, "0008|0016") in _ENHANCED,
    )


def _text(reader: sitk.ImageFileReader, tag: str) -> str:
    return reader.GetMetaData(tag).strip(" \0") if reader.HasMetaDataKey(tag) else ""


def _numbers(reader: sitk.ImageFileReader, tag: str, count: int) -> tuple[float, ...] | None:
    try:
        values = tuple(float(part) for part in _text(reader, tag).split("\\"))
    except ValueError:
        return None
    return values if len(values) == count and np.isfinite(values).all() else None


def _axes(cosines: tuple[float, ...] | None) -> np.ndarray | None:
    """Right-angled unit axes; the file's decimals leave the two directions a little off."""
    if cosines is None:
        return None
    along_row, along_column = np.array(cosines[:3]), np.array(cosines[3:])
    normal = np.cross(along_row, along_column)
    if np.linalg.norm(along_row) < 0.5 or np.linalg.norm(normal) < 0.5:
        return None
    along_row, normal = along_row / np.linalg.norm(along_row), normal / np.linalg.norm(normal)
    return np.stack([along_row, np.cross(normal, along_row), normal], axis=1)


def _stack(files: list[_File], source: Path) -> Pixels:
    """The voxels of one series. `source` is what error messages name."""
    if len(files) == 1:
        return _single(files[0])
    if any(file.size[2] > 1 for file in files):
        raise unreadable(source, f"its {len(files)} DICOM files hold several frames each", "Give one multi-frame file by its own name")
    _check_alike(files, source)
    files, step = _in_order(files, source)
    images = [load_image(open_image(file.path, _IO)) for file in files]
    array = np.concatenate([sitk.GetArrayViewFromImage(image) for image in images])
    return array, _placed(files[0], array.shape[:3], step), ()


def _single(file: _File) -> Pixels:
    image = load_image(open_image(file.path, _IO))
    array = sitk.GetArrayFromImage(image)
    if file.size[2] == 1:
        return array, _placed(file, array.shape[:3], file.thickness), ()
    has_unit = file.spacing is not None or file.is_enhanced
    geometry = Geometry.of_image(image, "mm" if has_unit else "pixel")
    if not has_unit:
        geometry = replace(geometry, spacing=(1.0, 1.0, 1.0))
    return array, geometry, ("the frames of the DICOM file are taken for slices at equal distances; their places were not checked",)


def _placed(file: _File, shape: tuple[int, ...], step: float) -> Geometry:
    """The geometry that begins at `file`, with slices `step` mm apart."""
    axes, position = file.axes, file.position
    is_placed = axes is not None and position is not None
    spacing = (file.spacing[1], file.spacing[0], step) if file.spacing is not None else (1.0, 1.0, 1.0)
    return Geometry(
        shape=(shape[0], shape[1], shape[2]),
        spacing=spacing if is_placed or file.spacing is None else (spacing[0], spacing[1], 1.0),
        origin=(float(position[0]), float(position[1]), float(position[2])) if position is not None and is_placed else (0.0, 0.0, 0.0),
        direction=tuple(float(value) for value in axes.ravel()) if axes is not None and is_placed else IDENTITY,
        dimension=3 if is_placed else 2,
        unit="pixel" if file.spacing is None else "mm",
    )


def _check_alike(files: list[_File], source: Path) -> None:
    """Slices of one volume share size, pixel size and orientation, and have a place."""
    sizes = Counter(f"{file.size[0]}x{file.size[1]}" for file in files)
    if len(sizes) > 1:
        kinds = ", ".join(f"{size} pixels ({count} files)" for size, count in sizes.most_common())
        raise unreadable(source, f"its DICOM slices differ in size: {kinds}", "Move those that do not belong to the scan elsewhere")
    lost = [file.path.name for file in files if file.position is None or file.axes is None]
    if lost:
        raise unreadable(source, f"{len(lost)} of its {len(files)} DICOM slices say no position ({lost[0]})", "Give such images one by one")
    first = files[0]
    for file in files[1:]:
        turned = np.abs(file.axes - first.axes).max() > 1e-3  # type: ignore[operator]
        both = file.spacing is not None and first.spacing is not None
        scaled = not np.allclose(file.spacing, first.spacing, rtol=1e-3) if both else file.spacing != first.spacing  # type: ignore[arg-type]
        if turned or scaled:
            what = "orientation" if turned else "pixel size"
            raise unreadable(source, f"its DICOM slices differ in {what} ({first.path.name}, {file.path.name})", "Give one volume alone")


def _in_order(files: list[_File], source: Path) -> tuple[list[_File], float]:
    """The slices sorted along their common normal, and their distance in mm. Raises InvDetectError unless they are equally spaced."""
    axes = files[0].axes
    positions = np.array([file.position for file in files])
    along = positions @ axes[:, 2]  # type: ignore[index]
    order = np.argsort(along, kind="stable")
    along, positions = along[order], positions[order]
    gaps = np.diff(along)
    step = float(np.median(gaps))
    tolerance = max(0.01 * step, 0.01)
    repeated = along[1:][gaps < tolerance]
    if repeated.size:
        places = _places(sorted(set(np.round(repeated, 2))))
        reason = f"several DICOM slices lie at the same position ({places}), as in a series over time or with several echoes"
        raise unreadable(source, reason, "Give a folder with one volume only")
    odd = np.flatnonzero(np.abs(gaps - step) > tolerance)
    if odd.size:
        counts = np.round(gaps[odd] / step)
        if (counts >= 2).all() and (np.abs(gaps[odd] - counts * step) <= tolerance * counts).all():
            missing = [along[k] + step * n for k, count in zip(odd, counts, strict=True) for n in range(1, int(count))]
            reason = f"DICOM slices are missing at {_places(missing)} along the slice normal, where one is expected every {step:.2f} mm"
            raise unreadable(source, reason, "Add the missing files")
        pairs = [f"{along[k]:.2f} to {along[k + 1]:.2f}" for k in odd[:_LISTED]]
        rest = f" and {odd.size - _LISTED} more" if odd.size > _LISTED else ""
        reason = f"its DICOM slices are not equally spaced: {step:.2f} mm as a rule, but not from {', '.join(pairs)}{rest} mm"
        raise unreadable(source, reason, "Add missing files, or resample the series to equal distances")
    drift = positions - positions[0]
    drift = drift - np.outer(drift @ axes[:, 2], axes[:, 2])  # type: ignore[index]
    limit = 0.5 * min(files[0].spacing or (1.0,))
    if np.linalg.norm(drift, axis=1).max() > limit:
        reason = f"its DICOM slices are shifted against each other by up to {np.linalg.norm(drift, axis=1).max():.2f} mm (tilted gantry?)"
        raise unreadable(source, reason, "Straighten the series, for example in 3D Slicer, and save it as .nrrd")
    return [files[k] for k in order], float(along[-1] - along[0]) / (len(files) - 1)


def _places(values: list[float]) -> str:
    rest = f" and {len(values) - _LISTED} more places" if len(values) > _LISTED else ""
    return ", ".join(f"{value:.2f}" for value in values[:_LISTED]) + f" mm{rest}"


def _storage_class(path: Path) -> str:
    """MediaStorageSOPClassUID from the file's meta header, which is always little endian with explicit types; "" when not found."""
    with path.open("rb") as file:
        data = file.read(1024)
    at = data.find(b"\x02\x00\x02\x00UI", 132)
    if at < 0:
        return ""
    length = int.from_bytes(data[at + 6 : at + 8], "little")
    return data[at + 8 : at + 8 + length].decode("ascii", "replace").strip(" \0")
