"""Which files are scans: folders, lists and patterns of every format, what is left out and why."""

from __future__ import annotations

import glob
import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..common import InvDetectError, beyond_locale
from .bids import BidsFolder
from .dicom_kinds import is_dicom, other_than_image

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
VOLUMES = (".nii.gz", ".nii", ".hdr", ".img", ".nrrd", ".nhdr", ".mha", ".mhd")
SEGMENTATION = ".seg.nrrd"
_DICOM = (".dcm", ".ima")
_RESULTS = (
    ".anomaly.nii.gz", ".mask.seg.nrrd", ".preview.png", ".anomaly.png", ".mask.png", ".findings.csv", ".result.json", ".refine.npz",
    ".pseudo-normal.nii.gz", ".seg.dcm", ".map.dcm", ".sr.dcm",
)  # fmt: skip
_OWN_MASKS = (".mask.seg.nrrd", ".mask.png")
_BIDS_RESULT = re.compile(r"_desc-anomaly[0-9a-z+]*_[0-9a-z]+\.(nii\.gz|json|tsv)$")
_FORBIDDEN = '<>:"/\\|?*'  # on Windows, in file names


@dataclass(frozen=True)
class Found:
    """A scan: a file, or the folder of a DICOM series. `relative` is its path below the given folder, which outputs mirror."""

    path: Path
    relative: Path


@dataclass(frozen=True)
class LeftOut:
    """A file that is no scan, and why, as a phrase."""

    path: Path
    reason: str


Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
"""Where scans are: what `find_scans` understands."""


def find_scans(path_or_paths: Paths) -> tuple[list[Found], list[LeftOut]]:
    """The scans in a folder and all below, or a file, a pattern with * ? [ ], a `BidsFolder`, or a list of these; sorted, each file once.

    A folder that directly holds DICOM files is one scan; a DICOM file named itself, or met by a pattern, is a scan of its own. Hidden
    files are skipped. Segmentations and InvDetect's own results are left out. With several paths, `relative` starts at their common
    folder; with a pattern, at the last folder before it. A missing path in a list counts as found, so that reading it tells.
    Raises InvDetectError when there is no scan at all.
    """
    return _find(path_or_paths, scans=True)


def find_masks(path_or_paths: Paths) -> tuple[list[Found], list[LeftOut]]:
    """Like `find_scans`, for masks and anomaly maps: segmentations count, InvDetect's own results too."""
    return _find(path_or_paths, scans=False)


def is_own_mask(path: str | os.PathLike[str]) -> bool:
    """Whether a mask is part of a result of InvDetect: by its name, and unless BIDS gave that by the result beside it."""
    place = Path(path)
    ends = [end for end in _OWN_MASKS if place.name.endswith(end)]
    beside = any(place.with_name(place.name.removesuffix(end) + ".result.json").exists() for end in ends)
    return beside or _BIDS_RESULT.search(place.name) is not None


def ending(path: str | os.PathLike[str]) -> str:
    """The known ending of a file name in lower case (".nii.gz", ".seg.nrrd", ".png", ...), or ""."""
    name = Path(path).name.lower()
    known = (SEGMENTATION, *VOLUMES, *PICTURES, *_DICOM)
    return next((end for end in known if name.endswith(end) and name != end), "")


def stem(path: str | os.PathLike[str]) -> str:
    """The name of a scan without its ending, safe as a file name everywhere; a folder keeps its whole name."""
    path = Path(path)
    if not path.name or path.name == "..":
        path = path.resolve()
    end = ending(path)
    name = path.name[: len(path.name) - len(end)] if end and not os.path.isdir(path) else path.name
    name = name.encode("utf-8", "replace").decode("utf-8")
    safe = "".join("_" if c in _FORBIDDEN or unicodedata.category(c)[0] == "C" else c for c in name)
    return safe.strip(" .") or "scan"


def _find(path_or_paths: Paths, scans: bool) -> tuple[list[Found], list[LeftOut]]:
    named = [path_or_paths] if isinstance(path_or_paths, (str, os.PathLike)) else list(path_or_paths)
    given = [Path(one) for one in named]
    base = _common(given)
    search = _Search(scans)
    for path, one in zip(given, named):
        if isinstance(one, BidsFolder):
            for image in one.files():
                search.file(image, base)
        elif os.path.isdir(path):
            search.folder(path, base)
        elif _is_pattern(path):
            _match(search, path, base)
        elif len(given) == 1 and not os.path.exists(path):
            raise InvDetectError(f"{path} does not exist. Check the path.")
        else:
            search.file(path, base, named=True)
    if not search.found:
        raise InvDetectError(_nothing(given, search.left_out, "scan" if scans else "image"))
    return sorted(search.found, key=lambda found: found.relative.parts), sorted(search.left_out, key=lambda left: left.path.parts)


def _match(search: _Search, pattern: Path, base: Path) -> None:
    for name in sorted(glob.glob(str(pattern), recursive=True)):
        path = Path(name)
        if os.path.isdir(path):
            if "**" not in pattern.parts:  # which also gives the folders above the files that it gives
                search.folder(path, base)
        else:
            search.file(path, base, named=True)


def _is_pattern(path: Path) -> bool:
    return any(c in str(path) for c in "*?[") and not os.path.exists(path)


def _before_pattern(pattern: Path) -> Path:
    parts = []
    for part in pattern.parts[:-1]:
        if any(c in part for c in "*?["):
            break
        parts.append(part)
    return Path(*parts)


def _common(given: Iterable[Path]) -> Path:
    """The deepest folder that holds all given paths; patterns count with the folder before them."""
    folders = [_before_pattern(path) if _is_pattern(path) else path if os.path.isdir(path) else path.parent for path in given]
    try:
        return Path(os.path.commonpath([os.path.abspath(folder) for folder in folders]))
    except ValueError:  # nothing given, or several drives of Windows
        return Path()


def _nothing(given: list[Path], left_out: list[LeftOut], what: str) -> str:
    where = ", ".join(str(path) for path in given[:3]) + (" ..." if len(given) > 3 else "") or "the list"
    if not left_out:
        return f"There is no {what} in {where}. Give a folder with .nii.gz, .nrrd, .mha, DICOM, .png, .jpg, .tif or .bmp files."
    first = left_out[0]
    more = f", and {len(left_out) - 1} more" if len(left_out) > 1 else ""
    return f"There is no {what} in {where}; left out: {first.path.name} ({first.reason}){more}. Give files of a supported format."


class _Search:
    """Collects what is found; a file or folder that links lead to twice is taken once, so that loops end and no scan counts double."""

    def __init__(self, scans: bool) -> None:
        self.found: list[Found] = []
        self.left_out: list[LeftOut] = []
        self._scans = scans
        self._seen: dict[str, Path] = {}
        self._headers: dict[Path, str] = {}

    def folder(self, top: Path, base: Path) -> None:
        """Everything below `top`; real folders come before links, so that a scan is listed where it lies."""
        waiting, links = [top], list[Path]()
        while waiting or links:
            folder = waiting.pop() if waiting else links.pop(0)
            if self._is_new(folder):
                folders = self._files_in(folder, base)
                waiting += [path for path in folders if not path.is_symlink()]
                links += sorted(path for path in folders if path.is_symlink())

    def file(self, path: Path, base: Path, named: bool = False) -> bool:
        """Take or leave out one file. False for a DICOM file that was not `named`: its folder is the scan."""
        if not os.path.lexists(path):
            self._add(path, base)
            return True
        dicom = ending(path) not in (*PICTURES, *VOLUMES, SEGMENTATION) and is_dicom(path)
        other = other_than_image(path) if dicom else ""
        if dicom and not other and not named:
            return False
        if dicom or not self._is_part(path):
            reason = self._other(other) if other else "" if dicom else self._objection(path)
            if reason:
                self.left_out.append(LeftOut(path, reason))
            elif self._is_new(path):
                self._add(path, base)
        return True

    def _files_in(self, folder: Path, base: Path) -> list[Path]:
        """Take the files that lie directly in `folder`; returns the folders in it."""
        try:
            entries = sorted(path for path in folder.iterdir() if not path.name.startswith((".", "__MACOSX")))
        except OSError as error:
            self.left_out.append(LeftOut(folder, f"the folder cannot be opened: {error.strerror}"))
            return []
        folders = [path for path in entries if os.path.isdir(path)]
        slices = [path for path in entries if not os.path.isdir(path) and not self.file(path, base)]
        if slices:
            self._add(folder, base)
        return folders

    def _add(self, path: Path, base: Path) -> None:
        if problem := beyond_locale(str(path)):
            raise InvDetectError(problem)
        relative = Path(os.path.relpath(os.path.abspath(path), os.path.abspath(base)))
        if relative == Path() or ".." in relative.parts:
            relative = Path(path.resolve().name)
        self.found.append(Found(path, relative))

    def _is_new(self, path: Path) -> bool:
        real = os.path.realpath(path)
        if real not in self._seen:
            self._seen[real] = path
            return True
        if not os.path.isdir(path) and os.path.abspath(path) != os.path.abspath(self._seen[real]):
            self.left_out.append(LeftOut(path, f"the same file as {self._seen[real].name}"))
        return False

    def _other(self, what: str) -> str:
        return f"{what} (DICOM), not a {'scan' if self._scans else 'mask that can be read'}"

    def _objection(self, path: Path) -> str:
        """Why a file is no scan, or ""."""
        name = path.name.lower()
        if not os.path.exists(path):
            return "a link to nothing"
        if self._scans and (name.endswith(_RESULTS) or _BIDS_RESULT.search(name)):
            return "a result of InvDetect"
        if self._scans and name.endswith(SEGMENTATION):
            return "a segmentation, not a scan"
        if not path.is_file():
            return "not a regular file"
        end = ending(path)
        if end == ".img":
            return "its header (.hdr) is missing"
        if end in _DICOM:
            return "not a DICOM file"
        return "" if end else "not a supported format"

    def _is_part(self, path: Path) -> bool:
        """True for a file that holds the voxels of a header beside it: the .img of a .hdr, the data file of a .mhd or .nhdr."""
        end = ending(path)
        if end:
            return end == ".img" and any(path.with_suffix(suffix).exists() for suffix in (".hdr", ".HDR"))
        if path.parent not in self._headers:
            headers = (header for header in sorted(path.parent.iterdir()) if ending(header) in (".mhd", ".nhdr") and header.is_file())
            self._headers[path.parent] = "\n".join(_beginning(header) for header in headers)
        return path.name in self._headers[path.parent]


def _beginning(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(1 << 16).decode("utf-8", "replace")
    except OSError:
        return ""
