"""Maps of labels and masks among normal scans: nothing can be learned from them, and no scan may be taken for one of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .pairing import says_labels
from .reading import Scan

_FEW = 16  # different values, and the highest label that is one without its name saying so
_FULL = (255, 65535)  # "inside" in masks that were saved as pictures
_FLAT, _FLAT_NAMED = 0.9, 0.5  # share of neighbours inside that have the same value: of scans with 16 greys 0.7, with more far less
_MUCH = 4_000_000  # voxels that are looked at


@dataclass(frozen=True)
class LabelMap:
    """What speaks for a scan being a map of labels: `reason` as a phrase; `sure` when nothing speaks against it."""

    reason: str
    sure: bool


def as_label_map(scan: Scan) -> LabelMap | None:
    """Whether a scan is a map of labels, or looks like one; None for what is plainly a scan.

    Sure are 0 with 1 or the highest of a picture, few small whole numbers from 0 in flat pieces, and flat pieces of whole numbers under a
    name that says so (see `says_labels`). Few other values (a phantom in Hounsfield units), and the name alone, are not.
    """
    named = says_labels(scan.name)
    values = _numbers(scan.array)
    if values is None or values.min() == values.max():  # fractions; constant scans are told as such
        return LabelMap("its name is that of a mask or label map", False) if named else None
    count = _count(values)
    few = f"it holds only {count} different whole numbers" if count <= _FEW else "its pieces are of one whole number each"
    from_zero, flat = values.min() == 0, _flatness(values) if named or count <= _FEW else 0.0
    if named and (count <= 2 or flat >= _FLAT_NAMED):
        return LabelMap(f"a mask or label map: its name says so, and {few}", True)
    binary = count == 2 and values.max() in (1, *_FULL)
    if from_zero and (binary or (count <= _FEW and values.max() <= _FEW and flat >= _FLAT)):
        return LabelMap(f"a mask or label map: {few}", True)
    if named:
        return LabelMap("its name is that of a mask or label map", False)
    return LabelMap(few, False) if count <= _FEW else None


def _numbers(array: np.ndarray) -> np.ndarray | None:
    """(slice, row, column) whole numbers, of colours one for each; None when there are others, or NaN. Large scans are thinned out."""
    step = max(1, round((array[..., 0].size if array.ndim == 4 else array.size) / _MUCH))
    thinned = array[::step] if len(array) >= 8 * step else array
    if thinned.dtype.kind == "f":
        if not np.isfinite(thinned).all() or (thinned != np.rint(thinned)).any():
            return None
    if thinned.ndim == 4:
        colours = thinned.astype(np.int64)
        grey = (colours == colours[..., :1]).all()
        return colours[..., 0] if grey else (colours[..., 0] * 65536 + colours[..., 1]) * 65536 + colours[..., 2]
    return thinned


def _count(values: np.ndarray) -> int:
    """How many different values there are."""
    some = np.unique(values.reshape(-1)[:: max(1, values.size // 50_000)])
    return len(some) if len(some) > _FEW else len(np.unique(values))


def _flatness(values: np.ndarray) -> float:
    """Share of neighbours in a row or column, not both of the most frequent value, that have the same value."""
    found, counts = np.unique(values.reshape(-1)[:: max(1, values.size // 50_000)], return_counts=True)
    inside = values != found[counts.argmax()]
    alike = pairs = 0
    for first, second in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:, :, :-1], np.s_[:, :, 1:])):
        both = inside[first] & inside[second]
        pairs += int(both.sum())
        alike += int((both & (values[first] == values[second])).sum())
    return alike / pairs if pairs else 1.0
