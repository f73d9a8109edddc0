"""Slices of one DICOM series in space: whether they belong together, in which order they lie, and which make volumes of their own.

Slices are sorted along their normal (row direction x column direction), whatever their names or instance numbers say.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from ..common import InvDetectError
from .dicom_headers import Slice
from .geometry import IDENTITY, Geometry
from .itk import unreadable

_LISTED = 8
_SAME_PLACE = 0.01  # mm
_SAME_AXES = 1e-3


def placed(first: Slice, shape: tuple[int, ...], step: float) -> Geometry:
    """The geometry that begins at `first`, with slices `step` mm apart."""
    axes, position = first.axes, first.position
    is_placed = axes is not None and position is not None
    spacing = (first.spacing[1], first.spacing[0], step) if first.spacing is not None else (1.0, 1.0, 1.0)
    return Geometry(
        shape=(shape[0], shape[1], shape[2]),
        spacing=spacing if is_placed or first.spacing is None else (spacing[0], spacing[1], 1.0),
        origin=(float(position[0]), float(position[1]), float(position[2])) if position is not None and is_placed else (0.0, 0.0, 0.0),
        direction=tuple(float(value) for value in axes.ravel()) if axes is not None and is_placed else IDENTITY,
        dimension=3 if is_placed else 2,
        unit="pixel" if first.spacing is None else "mm",
    )


def check_alike(slices: list[Slice], source: Path) -> None:
    """Slices of one volume share size, pixel size and orientation, and have a place. `source` is what error messages name."""
    sizes = Counter(f"{one.size[0]}x{one.size[1]}" for one in slices)
    if len(sizes) > 1:
        kinds = ", ".join(f"{size} pixels ({count} files)" for size, count in sizes.most_common())
        raise unreadable(source, f"its DICOM slices differ in size: {kinds}", "Move those that do not belong to the scan elsewhere")
    lost = [one.path.name for one in slices if one.position is None or one.axes is None]
    if lost:
        reason = f"{len(lost)} of its {len(slices)} DICOM slices say no position ({lost[0]})"
        raise unreadable(source, reason, "Give such images one by one")
    first = slices[0]
    for one in slices[1:]:
        if not (_turned_alike(one, first) and _scaled_alike(one, first)):
            what = "pixel size" if _turned_alike(one, first) else "orientation"
            raise unreadable(source, f"its DICOM slices differ in {what} ({first.path.name}, {one.path.name})", "Give one volume alone")


def in_order(slices: list[Slice], source: Path) -> tuple[list[Slice], float]:
    """The slices sorted along their common normal, and their distance in mm. Raises InvDetectError unless they are equally spaced."""
    axes = slices[0].axes
    positions = np.array([one.position for one in slices])
    along = _along(slices)
    order = np.argsort(along, kind="stable")
    along, positions = along[order], positions[order]
    gaps = np.diff(along)
    step = float(np.median(gaps))
    tolerance = max(0.01 * step, _SAME_PLACE)
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
    limit = 0.5 * min(slices[0].spacing or (1.0,))
    if np.linalg.norm(drift, axis=1).max() > limit:
        reason = f"its DICOM slices are shifted against each other by up to {np.linalg.norm(drift, axis=1).max():.2f} mm (tilted gantry?)"
        raise unreadable(source, reason, "Straighten the series, for example in 3D Slicer, and save it as .nrrd")
    return [slices[k] for k in order], float(along[-1] - along[0]) / (len(slices) - 1)


def volumes(frames: list[Slice]) -> list[tuple[list[Slice], str]]:
    """Frames of multi-frame files that share a series, parted into volumes, each with what tells it from the others ("echo time 4.6").

    Frames of another orientation or pixel size make a volume of their own, as do frames at one place that differ in echo, time or the
    like. What is left at one place stays together, so that `in_order` says so. Without differences there is one volume, with "".
    """
    if any(one.position is None or one.axes is None for one in frames):
        return [(frames, "")]
    kinds: list[list[Slice]] = []
    for one in frames:
        alike = (kind for kind in kinds if _turned_alike(one, kind[0]) and _scaled_alike(one, kind[0]) and one.size == kind[0].size)
        like = next(alike, None)
        if like is None:
            kinds.append([one])
        else:
            like.append(one)
    parted = [(part, words, _plane(kind[0])) for kind in kinds for part, words in _parted(kind, 0)]
    return [(part, ", ".join((plane, words) if words else (plane,)) if len(kinds) > 1 else words) for part, words, plane in parted]


def _plane(one: Slice) -> str:
    return ("sagittal", "coronal", "axial")[int(np.abs(one.axes[:, 2]).argmax())]  # type: ignore[index]


def _turned_alike(one: Slice, other: Slice) -> bool:
    return one.axes is other.axes or bool(np.abs(one.axes - other.axes).max() <= _SAME_AXES)  # type: ignore[operator]


def _scaled_alike(one: Slice, other: Slice) -> bool:
    if one.spacing is None or other.spacing is None or one.spacing == other.spacing:
        return one.spacing == other.spacing
    return bool(np.allclose(one.spacing, other.spacing, rtol=1e-3))


def _parted(frames: list[Slice], start: int) -> list[tuple[list[Slice], str]]:
    """`frames` by the traits from number `start` on that differ at one place, until every place is taken once."""
    places = _numbered_places(frames)
    most = max(Counter(places).values())
    if most == 1:
        return _by_stack(frames)
    for k in range(start, min(len(one.traits) for one in frames)):
        values = [one.traits[k][1] for one in frames]
        differs = len(set(zip(places, values, strict=True))) > len(set(places))
        # A trait with another value at each place, like the delay after the last heart beat, would part slices that belong together.
        if differs and len(set(values)) <= most:
            words = frames[0].traits[k][0]
            found = []
            for value in sorted(set(values), key=_sortable):
                label = f"{words} {_words(value)}"
                part = [one for one, own in zip(frames, values, strict=True) if own == value]
                found += [(finer, f"{label}, {rest}" if rest else label) for finer, rest in _parted(part, k + 1)]
            return found
    return _by_turn(frames, places, most)


def _by_stack(frames: list[Slice]) -> list[tuple[list[Slice], str]]:
    """Frames with a place each: one volume when they are equally spaced, else by the stacks that the scanner calls them."""
    try:
        if len(frames) > 1:
            in_order(frames, frames[0].path)
    except InvDetectError:
        stacks = Counter(one.traits[0][1] for one in frames)
        if len(stacks) > 1 and min(stacks.values()) > 1:
            names = sorted(stacks, key=_sortable)
            return [([one for one in frames if one.traits[0][1] == name], f"stack {_words(name)}") for name in names]
    return [(frames, "")]


def _by_turn(frames: list[Slice], places: list[int], most: int) -> list[tuple[list[Slice], str]]:
    """Frames that nothing tells apart: by file when each has every place once, else in the order of the file when places are even."""
    paths = sorted({one.path for one in frames})
    if len(paths) == most and len({(place, one.path) for place, one in zip(places, frames, strict=True)}) == len(frames):
        return [([one for one in frames if one.path == path], path.name) for path in paths]
    if set(Counter(places).values()) != {most}:
        return [(frames, "")]
    turns: Counter[int] = Counter()
    parts: list[list[Slice]] = [[] for _ in range(most)]
    for place, one in zip(places, frames, strict=True):
        parts[turns[place]].append(one)
        turns[place] += 1
    return [(part, f"frame {k} of {most} at each place") for k, part in enumerate(parts, 1)]


def _along(slices: list[Slice]) -> np.ndarray:
    """Where the slices lie along their common normal, in mm, rounded like the reader did that the digests of known scans come from."""
    positions, normal = np.array([one.position for one in slices]), slices[0].axes[:, 2]  # type: ignore[index]
    return np.asarray((positions * normal).sum(axis=1) if slices[0].groups else positions @ normal)


def _numbered_places(frames: list[Slice]) -> list[int]:
    """For each frame the number of its place along the normal; frames closer than rounding share one."""
    along = _along(frames)
    order = np.argsort(along, kind="stable")
    numbers = np.zeros(len(frames), int)
    numbers[order[1:]] = np.cumsum(np.diff(along[order]) > _SAME_PLACE)
    return numbers.tolist()


def _sortable(value: Any) -> tuple[int, Any, str]:
    is_number = isinstance(value, (int, float))
    return (0, float(value), "") if is_number else (1, 0.0, str(value))


def _words(value: Any) -> str:
    if value is None:
        return "not told"
    if isinstance(value, float):
        return f"{value:g}"
    return "/".join(_words(part) for part in value) if isinstance(value, tuple) else str(value)


def _places(values: list[float]) -> str:
    rest = f" and {len(values) - _LISTED} more places" if len(values) > _LISTED else ""
    return ", ".join(f"{value:.2f}" for value in values[:_LISTED]) + f" mm{rest}"
