"""Anomaly maps that another tool made of the scans of an evaluation: which belongs to which scan, before anything is computed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from ..common import InvDetectError, WrongUse
from .cases import Case
from .finding import PICTURES, SEGMENTATION, VOLUMES, Found, LeftOut, Paths, ending, find_masks, stem
from .geometry import Geometry
from .masks import read_map
from .pairing import NothingFits, paired_by, pairs, says_labels

_JPEG = (".jpg", ".jpeg")
_NO_MAP = {
    "jpeg": "JPEG changes the scores",
    "picture": "a picture, and the scan is none",
    "labels": "its name says that it is a mask",
    "segmentation": "a segmentation",
    "other": "neither NIfTI nor NRRD nor MetaImage",
}


class OtherMaps:
    """The maps of scans and of normal scans: volumes, and pictures of what is a picture, each paired with its scan by name (see `pairs`).

    No map serves two scans, and none is a mask.
    """

    def __init__(self, scans: Sequence[Case], maps: Paths, normals: Sequence[Case], normal_maps: Paths | None) -> None:
        """`normal_maps` None: they are among the others. Raises `WrongUse` where maps cannot be told from scans, or those of scans from
        those of normal scans, and `InvDetectError` where no normal scan has one."""
        names, of_normals = ({paired_by(stem(case.found.path)) for case in cases} for cases in (scans, normals))
        if normal_maps is None and (both := sorted(names & of_normals)):
            raise WrongUse(
                f"Scans and normal scans have names in common, such as {both[0]}; give the maps of the normal scans with --against-normals."
            )
        given = _Given(maps)
        of_normals_given = given if normal_maps is None else _Given(normal_maps)
        every = [*scans, *normals]
        for one in (given, of_normals_given):
            one.are_apart_from(every)
        self._of = _once(
            [*given.of(scans, names | of_normals).items(), *of_normals_given.of(normals, names | of_normals).items()],
            {os.path.realpath(case.mask) for case in every if case.mask is not None},
        )
        if (why := [self.lacking(case) for case in normals]) and all(why):
            raise InvDetectError(f"None of the normal scans has a map, so the other tool has no threshold ({why[0]})")

    def lacking(self, case: Case) -> str:
        """Why there is no map of a scan, as a sentence, or ""."""
        one = self._of[case]
        return "" if isinstance(one, Path) else str(one)

    def read(self, case: Case, geometry: Geometry) -> np.ndarray:
        """The map of a scan as of `read_map`; `InvDetectError` where it does not fit."""
        one = self._of[case]
        if isinstance(one, InvDetectError):
            raise one
        return read_map(one, geometry)

    def may_be_exchanged(self, case: Case, geometry: Geometry) -> bool:
        """Whether nothing would tell that rows and columns of a scan's map are exchanged: a square picture, and its map a volume.

        Volumes hold columns first, and programs put arrays of pictures into them that hold rows first.
        """
        one, square = self._of[case], geometry.shape[1] == geometry.shape[2]
        return isinstance(one, Path) and square and ending(case.found.path) in PICTURES and ending(one) in VOLUMES


class _Given:
    """One folder of maps."""

    def __init__(self, folder: Paths) -> None:
        self._found, self._left_out = find_masks(folder)

    def are_apart_from(self, cases: Sequence[Case]) -> None:
        """`WrongUse` where a file is both a scan and a map: one of both would be taken for the other."""
        scans = {os.path.realpath(case.found.path) for case in cases}
        both = [found.path for found in self._found if _kind(found.path, True) == "" and os.path.realpath(found.path) in scans]
        if both:
            longest = max(both, key=lambda path: len(path.name))  # the name of a map says more than that of its scan
            raise WrongUse(
                f"{longest} lies both among the scans and among the maps of the other tool. Put the maps into a folder of their own, or "
                "tell both apart by patterns, such as 'folder/*_map.nii.gz'."
            )

    def of(self, cases: Sequence[Case], names: set[str]) -> dict[Case, Path | InvDetectError]:
        """The map of each scan, or why there is none: a volume, or for a scan that is a picture a picture where there is no volume."""
        volumes = [found for found in self._found if not _kind(found.path, False)]
        pictures = [found for found in self._found if ending(found.path) in PICTURES and not _kind(found.path, True)]
        scans = [case.found for case in cases]
        by_volume, by_picture = (pairs("map", scans, files, names) for files in (volumes, pictures))
        chosen: dict[Case, Path | InvDetectError] = {}
        for case, volume, picture in zip(cases, by_volume, by_picture, strict=True):
            flat = ending(case.found.path) in PICTURES
            one = picture if flat and isinstance(volume, NothingFits) else volume
            chosen[case] = self._explained(one, case, flat, names) if isinstance(one, NothingFits) else one
        return chosen

    def _explained(self, error: NothingFits, case: Case, flat: bool, names: set[str]) -> InvDetectError:
        """The same, with what has a map's name and was left out, and why."""
        left_out = [*self._left_out, *(LeftOut(found.path, _NO_MAP[kind]) for found in self._found if (kind := _kind(found.path, flat)))]
        fits = [one for one in left_out if isinstance(pairs("map", [case.found], [_by_name(one.path)], names)[0], Path)]
        more = f", and {len(fits) - 1} more" if len(fits) > 1 else ""
        return InvDetectError(f"{error} Left out: {fits[0].path} ({fits[0].reason}){more}.") if fits else error


def _by_name(path: Path) -> Found:
    """A file that was left out, without an ending that is none of a scan's, such as .npy."""
    named = path if ending(path) else path.with_suffix("")
    return Found(named, named)


def _kind(path: Path, flat: bool) -> str:
    """Why a file is no map, a key of `_NO_MAP`, or ""; flat  whether the scan is a picture."""
    if says_labels(stem(path)):
        return "labels"
    if ending(path) in PICTURES:
        return "jpeg" if ending(path) in _JPEG else "" if flat else "picture"
    return "" if ending(path) in VOLUMES else "segmentation" if ending(path) == SEGMENTATION else "other"


def _once(paired: Iterable[tuple[Case, Path | InvDetectError]], masks: set[str]) -> dict[Case, Path | InvDetectError]:
    """The same without maps that several scans would have, and without those that are masks of lesions."""
    given = dict(paired)
    count = Counter(os.path.realpath(one) for one in given.values() if isinstance(one, Path))

    def checked(one: Path | InvDetectError) -> Path | InvDetectError:
        if isinstance(one, InvDetectError):
            return one
        if os.path.realpath(one) in masks:
            return InvDetectError(f"{one} is a mask of lesions, and no map of the other tool. Give the folder of its maps.")
        if count[os.path.realpath(one)] > 1:
            return InvDetectError(f"{one} would be the map of several scans. Name each map like its scan.")
        return one

    return {case: checked(one) for case, one in given.items()}
