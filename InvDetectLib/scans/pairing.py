"""Which mask or map belongs to which scan, and which names say that a file is a mask or a map of labels: names alone, no file is opened."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path

from ..common import InvDetectError
from .finding import stem

_WORDS = {  # by what a file is: what says so in its name
    "mask": "mask|masks|seg|dseg|segmentation|label|labels|labelmap|lesion|lesions|roi|truth|gt",
    "map": "map|maps|anomaly|anomalymap|score|scores|heatmap|residual",
}
_BEFORE = {what: re.compile(rf"^(?:{words})[-_. ]+(?=.)", re.IGNORECASE) for what, words in _WORDS.items()}
_AFTER = {what: re.compile(rf"(?<=.)[-_. ]+(?:{words})$", re.IGNORECASE) for what, words in _WORDS.items()}
# What is said of a file's whole content, not of what is to be seen in it: a scan of a lesion may be called so.
_LABELS = re.compile(r"[-_. ](?:mask|seg|dseg|segmentation|label|labels|labelmap)$", re.IGNORECASE)


def says_labels(name: str) -> bool:
    """Whether the name of a scan (its stem) ends as those of masks and label maps do: `_seg`, `_mask`, `_dseg`, `_label`, `.seg`."""
    return _LABELS.search(name) is not None


def match_mask(scan_name: str, mask_paths: Sequence[Path], others: Collection[str] = ()) -> Path:
    """The mask of the scan called `scan_name` (its stem).

    A mask belongs to the scan of its own name, with or without a word that says what it is: `case01`, `case01_mask` and `mask_case01`
    (or seg, label, lesion, ...) to `case01`. Where there is none, it belongs to a scan whose name is its own and more, or the other way
    round, with "_" between: `case01_mask` to `case01_flair` or `2019_case01`, `case01_reader2` to `case01`.

    others  names of the other scans of the folder: a mask of the very name of one of them is no longer name's mask
    No such mask, or two, raise InvDetectError.
    """
    return _match("mask", scan_name, mask_paths, others)


def match_map(scan_name: str, map_paths: Sequence[Path], others: Collection[str] = ()) -> Path:
    """Like `match_mask`, for anomaly maps: `case01`, `case01_map`, `case01.anomaly` (or score, heatmap, ...) belong to `case01`."""
    return _match("map", scan_name, map_paths, others)


def _match(what: str, scan_name: str, paths: Sequence[Path], others: Collection[str]) -> Path:
    same = [path for path in paths if _is_same(what, scan_name, stem(path))]
    theirs = [name for name in others if name != scan_name]
    fitting = same or [
        path for path in paths if _is_akin(what, scan_name, stem(path)) and not any(_is_same(what, name, stem(path)) for name in theirs)
    ]
    if not fitting:
        raise InvDetectError(f"There is no {what} for {scan_name}. Name it {scan_name} or {scan_name}_{what}, or leave the scan out.")
    if len(fitting) > 1:
        names = ", ".join(sorted(path.name for path in fitting))
        raise InvDetectError(f"Several {what}s fit {scan_name}: {names}. Keep one of them in the folder of {what}s.")
    return fitting[0]


def _is_same(what: str, scan: str, name: str) -> bool:
    return scan == name or scan == _bare(what, name)


def _is_akin(what: str, scan: str, name: str) -> bool:
    bare = _bare(what, name)
    return any(
        longer.startswith(f"{shorter}_") or longer.endswith(f"_{shorter}")
        for longer, shorter in ((scan, name), (scan, bare), (name, scan), (bare, scan))
    )


def _bare(what: str, name: str) -> str:
    """The name of a mask or a map without the words that say that it is one."""
    while True:
        shorter = _AFTER[what].sub("", _BEFORE[what].sub("", name))
        if shorter == name:
            return name
        name = shorter
