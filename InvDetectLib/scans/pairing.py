"""Which mask or map belongs to which scan, and which names say that a file is a mask or a map of labels: names alone, no file is opened."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Sequence
from functools import lru_cache
from pathlib import Path

from ..common import InvDetectError
from .finding import Found, stem

_Named = tuple[str, Path]  # a file and the name that it is paired by, which takes a look at the disk
_WORDS = {  # by what a file is: what says so in its name
    "mask": "mask|masks|seg|dseg|segmentation|label|labels|labelmap|lesion|lesions|roi|truth|gt",
    "map": "map|maps|anomaly|anomalymap|score|scores|heatmap|residual",
}
_BEFORE = {what: re.compile(rf"^(?:{words})[-_. ]+(?=.)", re.IGNORECASE) for what, words in _WORDS.items()}
_AFTER = {what: re.compile(rf"(?<=.)[-_. ]+(?:{words})$", re.IGNORECASE) for what, words in _WORDS.items()}
_DESCRIBED = re.compile(r"_desc-[0-9A-Za-z+]+(?=_)")  # of a derivative by BIDS: a map made of the image without it
# What is said of a file's whole content, not of what is to be seen in it: a scan of a lesion may be called so.
_LABELS = re.compile(r"[-_. ](?:mask|seg|dseg|segmentation|label|labels|labelmap)$", re.IGNORECASE)


class NothingFits(InvDetectError):
    """No file has a name that belongs to the scan's."""


def says_labels(name: str) -> bool:
    """Whether the name of a scan (its stem) ends as those of masks and label maps do: `_seg`, `_mask`, `_dseg`, `_label`, `.seg`."""
    return _LABELS.search(name) is not None


def paired_by(name: str) -> str:
    """The name of a file or folder as others are held against it: some systems store "ü" as one sign, others as "u" and its dots."""
    return unicodedata.normalize("NFC", name)


def match_mask(scan_name: str, mask_paths: Sequence[Path], others: Collection[str] = ()) -> Path:
    """The mask of the scan called `scan_name` (its stem).

    A mask belongs to the scan of its own name, with or without a word that says what it is: `case01`, `case01_mask` and `mask_case01`
    (or seg, label, lesion, ...) to `case01`. Where there is none, it belongs to a scan whose name is its own and more, or the other way
    round, with "_" between: `case01_mask` to `case01_flair` or `2019_case01`, `case01_reader2` to `case01`.

    others  names of the other scans of the folder: a mask of the very name of one of them is no longer name's mask
    No such mask, or two, raise InvDetectError.
    """
    return _match("mask", paired_by(scan_name), _named(mask_paths), {paired_by(other) for other in others})


def pairs(what: str, scans: Sequence[Found], files: Sequence[Found], others: Collection[str] = ()) -> list[Path | InvDetectError]:
    """What of `files` belongs to each of the scans, or why nothing does; what  "mask" or "map".

    Names decide, see `match_mask`; as maps `case01`, `case01_map`, `case01.anomaly` (or score, heatmap, ...) belong to `case01`, and
    `sub-01_desc-anomaly_FLAIR` to `sub-01_FLAIR`. Scans of one name are told apart by the folder that they lie in below the given one:
    `p1/flair_mask` belongs to `p1/flair` and not to `p2/flair`, and what lies in no such folder belongs to neither.
    """
    names, others = [paired_by(stem(scan.path)) for scan in scans], {paired_by(other) for other in others}
    count, every = Counter(names), _named([file.path for file in files])
    folders: dict[str, list[_Named]] = {}
    for file, named in zip(files, every, strict=True):
        folders.setdefault(_folder(file), []).append(named)
    found = []
    for scan, name in zip(scans, names, strict=True):
        possible = every if count[name] == 1 else folders.get(_folder(scan), [])
        found.append(_pair(what, name, possible, every, others, scan.relative.with_name(f"{name}_{what}")))
    return found


def _pair(
    what: str, name: str, possible: Sequence[_Named], every: Sequence[_Named], others: Collection[str], wanted: Path
) -> Path | InvDetectError:
    """Of the `possible` files of `every` one that of a scan, or why there is none; wanted  where it should be when it lies elsewhere."""
    try:
        return _match(what, name, possible, others)
    except InvDetectError as error:
        elsewhere = [] if _fitting(what, name, possible, others) else _fitting(what, name, every, others)
        if not elsewhere:
            return error
    return InvDetectError(
        f"Several scans are called {name}, and {elsewhere[0]} does not lie in the folder of this one. Name its {what} {wanted} in the "
        f"folder of {what}s, or give the scans different names."
    )


def _named(paths: Sequence[Path]) -> list[_Named]:
    return [(paired_by(stem(path)), path) for path in paths]


def _folder(file: Found) -> str:
    return paired_by(str(file.relative.parent))


def _match(what: str, scan_name: str, files: Sequence[_Named], others: Collection[str]) -> Path:
    fitting = _fitting(what, scan_name, files, others)
    if not fitting:
        raise NothingFits(f"There is no {what} for {scan_name}. Name it {scan_name} or {scan_name}_{what}, or leave the scan out.")
    if len(fitting) > 1:
        alike = len({path.name for path in fitting}) < len(fitting)
        names = ", ".join(sorted(str(path) if alike else path.name for path in fitting))
        raise InvDetectError(f"Several {what}s fit {scan_name}: {names}. Keep one of them in the folder of {what}s.")
    return fitting[0]


def _fitting(what: str, scan_name: str, files: Sequence[_Named], others: Collection[str]) -> list[Path]:
    if same := [path for name, path in files if _is_same(what, scan_name, name)]:
        return same
    akin = [(name, path) for name, path in files if _is_akin(what, scan_name, name)]
    return [path for name, path in akin if not any(_is_same(what, other, name) for other in others if other != scan_name)]


def _is_same(what: str, scan: str, name: str) -> bool:
    return scan in _names(what, name)


def _is_akin(what: str, scan: str, name: str) -> bool:
    return any(
        longer.startswith(f"{shorter}_") or longer.endswith(f"_{shorter}")
        for less in _names(what, name)
        for longer, shorter in ((scan, less), (less, scan))
    )


@lru_cache(maxsize=1 << 16)  # every scan is held against every file
def _names(what: str, name: str) -> frozenset[str]:
    """The name of a mask or a map, and what is left of it without some or all of the words that say that it is one.

    Some may be the scan's own: `lesion_01_mask` belongs to `lesion_01`, or to `01`.
    """
    names, new = {name}, {name}
    while new:
        shorter = {pattern.sub("", one) for one in new for pattern in (_BEFORE[what], _AFTER[what])}
        if what == "map":
            shorter |= {_DESCRIBED.sub("", one) for one in new}
        new = shorter - names
        names |= new
    return frozenset(names)
