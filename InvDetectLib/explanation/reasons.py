"""What speaks for each finding: the views that say so, how it looks beside what lies around, how high its peak is among normals'."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from scipy import ndimage

from ..common import Progress
from ..methods import Method, Slices
from ..models import Settings
from ..results import Finding, Reasons, Result
from ..scans import SliceGrid
from ..symmetry import mirrored, paired

MOST = 30  # findings, strongest first, whose slices are scored once more
_NAMES = {"noise": "predicted noise", "intensity": "intensity", "one-class": "windows", "residual": "residual"}
_MIRROR = "left against right"
_GAP = 2  # pixels between a finding and its ring: the finding's own rim says nothing about what lies around
_WIDTH = 5  # pixels of the ring at least; of large findings half their radius
_FEWEST = 12  # pixels that a ring needs
_QUARTILES = 1.349  # standard deviations between the quartiles of what is normally distributed
_FEWEST_INSIDE = 9  # pixels, off the rim, that fine detail can be judged on


def view_names(settings: Settings) -> list[str]:
    """What each view of a model's score is called, in the order of `SliceMap.views`; all of left against right have one name.

    Empty for methods whose score is no sum of views.
    """
    views = settings.invdetect.views.sum if settings.method == "invdetect" else ()
    return [_MIRROR if view.mirror else _NAMES[view.kind] for view in views]


def views_of(
    numbers: Sequence[int], method: Method, slices: Slices, settings: Settings, progress: Progress
) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """Score some slices once more, one after the other: the number of each, ascending, and what each view says there.

    slices  the scan's, on the model's grid, looked over by `method`
    A view is (row, column) float32; those of one name are summed. Nothing is scored, and nothing told, where the score is no sum.
    """
    names = np.array(view_names(settings))
    if not len(names) or not len(numbers):
        return
    wanted = np.unique(numbers)
    for found in method.map_and_edges(slices.part(wanted), progress):
        if found.views is not None:
            yield int(wanted[found.number]), {name: found.views[names == name].sum(axis=0) for name in dict.fromkeys(names.tolist())}


def grey_of(values: np.ndarray, settings: Settings) -> np.ndarray:
    """(..., channel) prepared values -> (...) float32: the channel that the model's views look at, else the mean over all."""
    colour = settings.invdetect.views.colour if settings.method == "invdetect" else "all"
    if colour == "all" or values.shape[-1] == 1:
        return np.asarray(values.mean(axis=-1), np.float32)
    return np.asarray(values[..., ("red", "green", "blue").index(colour)], np.float32)


def peak_slice(result: Result, finding: Finding) -> int:
    """The number of the slice, on the model's grid, that holds the finding's peak."""
    grid = SliceGrid.for_scan(result.geometry, result.preparation)
    return grid.first_slice_index(finding.peak_index[grid.slice_axis])  # turning twice gives what it was


def with_reasons(result: Result, method: Method, slices: Slices, settings: Settings, progress: Progress) -> Result:
    """`result` with the reasons of its `MOST` strongest findings; those of the others are None, and of one with no pixel on the grid.

    slices  the scan's, on the model's grid, looked over by `method`, which made the result

    A sum of views is not kept while a scan is scored, which would take memory by the slice: the slices of the peaks are scored once more.
    """
    places = {finding.label: peak_slice(result, finding) for finding in result.findings[:MOST]}
    if not places:
        return result
    labels = result.grid_labels
    shares: dict[int, tuple[tuple[str, float], ...]] = {}
    for k, views in views_of(list(places.values()), method, slices, settings, progress):
        shares |= {label: _shares(views, labels[k] == label) for label, number in places.items() if number == k}
    findings = []
    for finding in result.findings:
        number = places.get(finding.label)
        if number is not None and (inside := labels[number] == finding.label).any():
            here = slices.part(slice(number, number + 1))
            contrast, other_side, roughness = _measured(here, inside, result.grid_map[number], result.grid_mask[number], settings)
            peaks = result.calibration.peaks
            reasons = Reasons(
                views=shares.get(finding.label, ()),
                contrast=contrast,
                mirrored=other_side,
                roughness=roughness,
                below=bisect_left(peaks, finding.peak),
                of=len(peaks),
                unit=result.calibration.peak_unit,
            )
            finding = replace(finding, reasons=reasons)
        findings.append(finding)
    return replace(result, findings=findings)


def _shares(views: dict[str, np.ndarray], inside: np.ndarray) -> tuple[tuple[str, float], ...]:
    """Each view's share of what all say above 0, on average over the pixels `inside`; largest first."""
    above = {name: float(np.maximum(values[inside], 0).sum()) for name, values in views.items()}
    total = sum(above.values())
    if not total > 0:
        return ()
    return tuple(sorted(((name, round(value / total, 4)) for name, value in above.items()), key=lambda one: -one[1]))


def _measured(
    here: Slices, inside: np.ndarray, scores: np.ndarray, flagged: np.ndarray, settings: Settings
) -> tuple[float | None, float | None, float | None]:
    """Contrast, difference from the other side, and roughness, as `Reasons` has them.

    here     one slice;  inside, flagged  (row, column) bool: the finding, and all findings, which are no surroundings of each other
    scores   (row, column) float: the half of the finding where they are highest is what is compared, since patches and cuts reach beyond
    """
    grey, foreground = grey_of(here.values, settings)[0], here.foreground[0]
    distance = ndimage.distance_transform_edt(~inside)
    width = max(_WIDTH, 0.5 * np.sqrt(inside.sum() / np.pi))
    ring = foreground & ~flagged & (distance > _GAP) & (distance <= _GAP + width)
    low, middle, high = np.percentile(grey[ring], (25, 50, 75)) if ring.sum() >= _FEWEST else (0.0, 0.0, 0.0)
    spread = float(high - low) / _QUARTILES
    if not spread > 0:
        return None, None, None
    core = inside & (scores >= np.median(scores[inside]))
    contrast = float(np.median(grey[core]) - middle) / spread
    other_side = None
    if here.midlines is not None:
        pairs = core & paired(here.foreground, here.midlines)[0]
        if 2 * pairs.sum() >= core.sum():
            reflected = mirrored(grey[None], here.midlines)[0]
            other_side = round(float(np.median((grey - reflected)[pairs])) / spread, 3)
    return round(contrast, 3), other_side, _roughness(grey, foreground, inside, ring)


def _roughness(grey: np.ndarray, foreground: np.ndarray, inside: np.ndarray, ring: np.ndarray) -> float | None:
    core = ndimage.binary_erosion(inside)
    if core.sum() < _FEWEST_INSIDE:
        return None
    weight = ndimage.gaussian_filter(foreground.astype(np.float32), 1)
    smooth = ndimage.gaussian_filter(np.where(foreground, grey, 0), 1) / np.maximum(weight, 1e-3)
    detail = grey - smooth
    around = float(detail[ring].std())
    return round(float(detail[core].std()) / around, 3) if around > 0 else None
