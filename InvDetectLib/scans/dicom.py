"""DICOM: which files of a folder make one series, and its slices as one array in space. Everything is taken from each file's header."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..common import InvDetectError
from .dicom_headers import File, Slice, header
from .dicom_kinds import is_dicom, other_than_image
from .dicom_order import check_alike, in_order, placed, volumes
from .dicom_pixels import read_values
from .geometry import Geometry
from .itk import unreadable

Pixels = tuple[np.ndarray, Geometry, tuple[str, ...]]

_ENDINGS = (".dcm", ".ima")
_COPY = "Copy or download it again"
_CINE = "the frames of the DICOM file are taken for slices at equal distances; their places were not checked"


@dataclass(frozen=True)
class _Series:
    """What can be chosen: slices of one volume, the files they come from, and what tells them from others of the same UID."""

    files: list[File]
    slices: list[Slice]
    words: str = ""


def read_dicom_file(path: Path, series: str | None = None) -> Pixels:
    """One DICOM file: an image without a position is 2-D, one with a position a volume of one slice, several frames a volume.

    series  which of the volumes in a multi-frame file ("UID#2"); not looked at when there is only one
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom tells of every value that a header should not have
        choices = _choices([_file_at(path)])
        return _stack(_chosen(choices, series, path) if len(choices) > 1 else next(iter(choices.values())), path)


def read_dicom_folder(folder: Path, series: str | None = None) -> Pixels:
    """The series `series` of the DICOM files that lie directly in `folder`; None when there is only one.

    series  a SeriesInstanceUID; with "#" and a number for one of several volumes in multi-frame files, as the error lists them

    Raises InvDetectError when the folder holds no DICOM image or several series, when a file that belongs to them cannot be read, and
    when slices of the series are missing, repeated, unequally spaced or of different kinds.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        choices = _choices(_files_in(folder))
        return _stack(_chosen(choices, series, folder), folder)


def volumes_at(source: Path | Sequence[Path]) -> dict[str, tuple[list[Slice], Geometry]]:
    """Every volume that `source` offers, a file, a folder or several files: by the name that chooses it its slices in the array's order,
    and its geometry.

    Volumes that cannot be read are left out, as are those of frames that say no place. Raises InvDetectError as reading does.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = {}
        paths = [source] if isinstance(source, Path) else list(source)
        path = paths[0]
        files = [file for one in paths for file in (_files_in(one) if one.is_dir() else [_file_at(one)])]
        for name, series in _choices(files).items():
            try:
                if all(file.objection is None and (file.frames == 1 or file.is_placed) for file in series.files):
                    slices, step = _arranged(series.slices, path)
                    size = slices[0].size
                    found[name] = slices, placed(slices[0], (len(slices), size[1], size[0]), step)
            except InvDetectError:
                continue
        return found


def _file_at(path: Path) -> File:
    if not is_dicom(path):
        raise unreadable(path, "it is no DICOM file, or damaged", "Give a scan, or copy it again")
    file = header(path)
    if file is None:
        raise _no_image(path)
    return file


def _files_in(folder: Path) -> list[File]:
    paths = sorted(path for path in folder.iterdir() if not path.name.startswith(".") and not path.is_dir())
    candidates = [path for path in paths if is_dicom(path)]
    files = [file for path in candidates if (file := header(path)) is not None]
    if not files:
        if len(candidates) == 1:
            raise _no_image(candidates[0])
        remedy = "Give a scan file, or the folder that directly holds the files of a series"
        raise InvDetectError(f"{folder} holds no DICOM image. {remedy}.")
    _check_the_rest(set(paths) - set(candidates), files)
    return files


def _no_image(path: Path) -> InvDetectError:
    what = other_than_image(path) or "something else"
    remedy = "Give the DICOM images that it belongs to"
    if what == "a segmentation":
        remedy += "; a mask is read from .seg.nrrd or .nii.gz, into which 3D Slicer converts it"
    return unreadable(path, f"it holds no image of a patient but {what}", remedy)


def _check_the_rest(others: set[Path], files: list[File]) -> None:
    """A file that by its name belongs to the series, and is no DICOM, is a slice that would be missing silently."""
    patterns = {_pattern(file.path) for file in files}
    for path in sorted(others):
        if path.name.upper() != "DICOMDIR" and (path.suffix.lower() in _ENDINGS or _pattern(path) in patterns):
            reason = "it is a link to nothing" if not path.exists() else "it is empty" if path.stat().st_size == 0 else _closed(path)
            raise unreadable(path, reason, f"{_COPY}, or move it out of the folder of the series")


def _closed(path: Path) -> str:
    try:
        with path.open("rb"):
            return "it lies among the files of a DICOM series and is none, or is damaged"
    except OSError as error:
        return error.strerror or "it cannot be opened"


def _pattern(path: Path) -> str:
    """A file's name with all numbers made equal."""
    return re.sub(r"\d+", "0", path.name.lower())


def _choices(files: list[File]) -> dict[str, _Series]:
    """What can be chosen, by its name."""
    groups: dict[str, list[File]] = {}
    for file in files:
        groups.setdefault(file.series, []).append(file)
    choices: dict[str, _Series] = {}
    for uid, group in sorted(groups.items()):
        slices = [one for file in group for one in file.slices]
        is_placed = any(file.is_placed or (file.slices[0].groups and file.slices[0].position is not None) for file in group)
        parts = volumes(slices) if is_placed else [(slices, "")]
        for k, (part, words) in enumerate(parts, 1):
            paths = {one.path for one in part}
            choices[f"{uid}#{k}" if len(parts) > 1 else uid] = _Series([file for file in group if file.path in paths], part, words)
    return choices


def _chosen(choices: dict[str, _Series], series: str | None, source: Path) -> _Series:
    how = "UID#NUMBER" if any("#" in name for name in choices) else "UID"
    if series is None and len(choices) > 1:
        remedy = f"Choose one with --series {how} (detect, evaluate), or give it a folder of its own"
        raise InvDetectError(f"{source} holds {len(choices)} DICOM series: {_list(choices)}. {remedy}.")
    if series is not None and series not in choices:
        raise InvDetectError(f"{source} holds no DICOM series {series}; it holds {_list(choices)}. Choose one of these.")
    return choices[series] if series is not None else next(iter(choices.values()))


def _list(choices: dict[str, _Series]) -> str:
    lines = []
    for name, choice in choices.items():
        sizes = sorted({f"{one.size[0]}x{one.size[1]}" for one in choice.slices})
        kind, count = ("frame", len(choice.slices)) if any(file.is_placed for file in choice.files) else ("file", len(choice.files))
        facts = [f"{count} {kind}{'s' if count != 1 else ''}", f"{', '.join(sizes)} pixels", *([choice.words] if choice.words else [])]
        lines.append(f"{name} ({', '.join(facts)})")
    return "; ".join(lines)


def _stack(series: _Series, source: Path) -> Pixels:
    """The voxels of one series. `source` is what error messages name."""
    files, slices = series.files, series.slices
    for file in files:
        if file.objection is not None:
            raise unreadable(file.path, *file.objection)
    bare = sum(not file.has_mark for file in files)
    notes = (f"{bare} of {len(files)} DICOM files have no mark (DICM at byte 128); they were read all the same",) if bare else ()
    if any(file.frames > 1 and not file.is_placed for file in files):
        if len(files) > 1:
            raise unreadable(source, f"its {len(files)} DICOM files hold several frames each", "Give one multi-frame file by its own name")
        array = read_values(files[0].path, list(range(files[0].frames)), [slices[0].scale] * files[0].frames)
        return array, _cine(slices[0], array.shape), (*notes, _CINE)
    slices, step = _arranged(slices, source)
    array = _values(slices)
    return array, placed(slices[0], array.shape, step), notes


def _arranged(slices: list[Slice], source: Path) -> tuple[list[Slice], float]:
    """The slices in the array's order, and their distance in mm."""
    if len(slices) == 1:
        return slices, slices[0].step
    check_alike(slices, source)
    return in_order(slices, source)


def _values(slices: list[Slice]) -> np.ndarray:
    """(slice, row, column[, 3]); each file is read once, whichever order its frames have."""
    plain = [one.plain for one in slices if one.plain is not None]
    if len(plain) == len(slices):
        array = np.empty((len(slices), *plain[0].shape), np.result_type(*(one.rule.dtype for one in plain)))
        for k, (one, pixels) in enumerate(zip(slices, plain, strict=True)):
            array[k] = pixels.read(one.path)
        return array
    where: dict[Path, list[int]] = {}
    for k, one in enumerate(slices):
        where.setdefault(one.path, []).append(k)
    parts = {path: read_values(path, [slices[k].frame for k in rows], [slices[k].scale for k in rows]) for path, rows in where.items()}
    if len({part.shape[3:] for part in parts.values()}) > 1:
        raise unreadable(slices[0].path, "some slices of its series are grey and others coloured", "Give one volume alone")
    array = np.empty((len(slices), *next(iter(parts.values())).shape[1:]), np.result_type(*(part.dtype for part in parts.values())))
    for path, rows in where.items():
        array[rows] = parts[path]
    return array


def _cine(first: Slice, shape: tuple[int, ...]) -> Geometry:
    """Frames whose places the file does not say: a volume that begins where the file says, if it does."""
    geometry = placed(first, shape, first.step)
    return Geometry(
        geometry.shape,
        geometry.spacing if first.spacing is None else (first.spacing[1], first.spacing[0], first.step),
        geometry.origin,
        geometry.direction,
        unit=geometry.unit,
    )
