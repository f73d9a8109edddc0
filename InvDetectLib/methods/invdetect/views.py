"""The score of whole slices as a sum of views: predicted noise, intensity, left against right, the one-class model.

Each view is a map of its own, smoothed inside the foreground, on two sides: what is bright, and what is dark. On either side it is brought
into its own unit of held-out normals, (v - q90) / (q99 - q50), and the weighted views add up. The score of the direction "both" is the
larger of the two sums, each again in its own unit: a lesion is bright or dark, and what is bright in one view and dark in another is
neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ...common import InvDetectError
from ...computing import unfit, unfitting
from ...models import DIRECTIONS, Views
from ...symmetry import mirrored, paired
from ..contract import Slices

KINDS = ("noise", "intensity", "one-class", "residual")
_UNSIGNED = ("one-class", "residual")
COLOURS = ("all", "red", "green", "blue")
_SIDES = {"bright": 1.0, "dark": -1.0}
_AT = (0.5, 0.9, 0.99)  # quantiles of held-out normals
_MOST = 2_000_000  # pixels of held-out normals that quantiles are taken of
_MOST_OF_ONE = 20_000  # of one slice, so that large ones do not fill the memory


def check_views(views: Views) -> None:
    """Raise `InvDetectError` for views that there are not."""
    unknown = [view.kind for view in views.sum if view.kind not in KINDS]
    if unknown or views.direction not in DIRECTIONS or views.colour not in COLOURS:
        raise InvDetectError(
            f"There are no such views: kinds {unknown or 'as known'}, direction {views.direction!r}, colour {views.colour!r}. Kinds are "
            f"{', '.join(KINDS)}; directions {', '.join(DIRECTIONS)}; colours {', '.join(COLOURS)}."
        )
    if any(view.kind in _UNSIGNED and view.mirror for view in views.sum):
        raise InvDetectError("The views one-class and residual have no mirror difference; take that of the noise or of the intensity.")
    if not all(view.weight > 0 and view.sigma >= 0 for view in views.sum):
        raise InvDetectError("A view needs a weight above 0 and a sigma of 0 or more.")


@dataclass(frozen=True)
class Units:
    """q50, q90 and q99 of held-out normals, on the sides bright and dark, float64.

    channels  (2, view, channel, 3); views (2, view, 3); sums (2, 3): of the sum of all views
    """

    channels: np.ndarray
    views: np.ndarray
    sums: np.ndarray


def raw_views(views: Views, slices: Slices, noise: np.ndarray | None, unsigned: dict[str, np.ndarray]) -> np.ndarray:
    """Maps of every view before any unit, bright side: (view, slice, row, column, channel) float32, smoothed; 0 outside the foreground.

    noise      (slice, row, column, channel) float32, predicted; None where no view asks for it
    unsigned   the maps without a direction that views ask for, by kind, (slice, row, column) float32
    The mirror difference is 0 where a pixel has no partner: the field of view cuts one side there. Channels are those that `views.colour`
    tells; a map without a direction has the same value in all of them.
    """
    keep = slice(None) if views.colour == "all" or slices.values.shape[3] == 1 else [COLOURS.index(views.colour) - 1]
    values = slices.values[..., keep]
    noise = None if noise is None else noise[..., keep]
    inside, shares = slices.foreground, _Shares(slices.foreground)
    pairs = None
    maps = np.zeros((len(views.sum), *values.shape), np.float32)
    for found, view in zip(maps, views.sum):
        own: np.ndarray | None = values if view.kind == "intensity" else noise
        if view.kind in _UNSIGNED:
            own = np.broadcast_to(unsigned[view.kind][..., None], values.shape)
        assert own is not None
        if view.mirror:
            if slices.midlines is None:
                raise RuntimeError("a mirror view needs midlines; `look_over` finds them")
            pairs = paired(inside, slices.midlines) if pairs is None else pairs
            own = (own - mirrored(own, slices.midlines)) * pairs[..., None]
        found[:] = shares.smooth(own, view.sigma)
    return maps


class Sum:
    """The views of one model in the unit of held-out normals, and their sum."""

    def __init__(self, views: Views, units: Units) -> None:
        self._views, self._units = views, units
        self._weights = np.array([view.weight for view in views.sum], np.float32)

    def single(self, maps: np.ndarray, side: str) -> np.ndarray:
        """Every view on one side, in its unit times its weight: (view, slice, row, column) float32; their sum is that side's score."""
        number = list(_SIDES).index(side)
        found = np.stack([self._in_unit(own, number, view) for view, own in enumerate(maps)])
        return found * self._weights[:, None, None, None]

    def score(self, maps: np.ndarray, direction: str) -> tuple[np.ndarray, np.ndarray]:
        """(slice, row, column) float32: the score; and (view, slice, row, column) float32: the views that add up to it.

        For the direction "both" the views of either side are brought into that side's unit, and each pixel has those of its larger side.
        """
        if direction != "both":
            single = self.single(maps, direction)
            return single.sum(axis=0), single
        sides = []
        for number, side in enumerate(_SIDES):
            middle, offset, top = self._units.sums[number]
            single = self.single(maps, side)
            sides.append((single - np.float32(offset / len(single))) / np.float32(top - middle))
        bright, dark = (single.sum(axis=0) for single in sides)
        return np.maximum(bright, dark), np.where(bright >= dark, *sides)

    def _in_unit(self, own: np.ndarray, side: int, view: int) -> np.ndarray:
        joined = _joined(own, self._units.channels[side, view], list(_SIDES.values())[side if self._has_sides(view) else 0])
        return _unit(joined, self._units.views[side, view])

    def _has_sides(self, view: int) -> bool:
        return self._views.sum[view].kind not in _UNSIGNED


def pixels_of(maps: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """What `measure_units` takes of `raw_views`: (view, pixel, channel) float32, evenly spread over the foreground (slice, row, column)."""
    return maps[:, inside][:, :: max(1, int(inside.sum()) // _MOST_OF_ONE)]


def measure_units(views: Views, normals: Sequence[np.ndarray]) -> Units:
    """Units from held-out normals, `pixels_of` some slices each.

    Raises `InvDetectError` where a view is the same everywhere, so that it has no unit.
    """
    step = max(1, -(-sum(some.shape[1] for some in normals) // _MOST))
    pixels = np.concatenate(normals, axis=1)[:, ::step]
    count, channels = len(views.sum), pixels.shape[2]
    units = Units(np.zeros((2, count, channels, 3)), np.zeros((2, count, 3)), np.zeros((2, 3)))
    units.channels[...] = units.views[...] = units.sums[...] = 0, 0, 1
    for side, sense in enumerate(_SIDES.values()):
        for number, (view, own) in enumerate(zip(views.sum, pixels)):
            sense_of = 1.0 if view.kind in _UNSIGNED else sense
            if channels > 1:
                units.channels[side, number] = np.quantile(sense_of * own, _AT, axis=0).T
            units.views[side, number] = _quantiles(_joined(own, units.channels[side, number], sense_of), view.kind)
    total = Sum(views, units)
    for side, name in enumerate(_SIDES):
        units.sums[side] = _quantiles(total.single(pixels[:, None, None], name).sum(axis=0), "sum")
    return units


def find_units(arrays: dict[str, np.ndarray], views: Views, channels: int) -> Units:
    """The units of views of slices of so many channels in a model's arrays; `InvDetectError` where they are missing or of others."""
    count, channels = len(views.sum), channels if views.colour == "all" else 1
    if misfit := unfit(arrays, {"views/channels": (2, count, channels, 3), "views/views": (2, count, 3), "views/sums": (2, 3)}):
        raise unfitting(misfit)
    units = Units(*(arrays[f"views/{name}"] for name in ("channels", "views", "sums")))
    if not ((units.views[..., 2] > units.views[..., 0]).all() and (units.sums[:, 2] > units.sums[:, 0]).all()):
        raise unfitting("a view has no unit")
    return units


def strangeness(views: Views, before: Units, after: Units) -> float:
    """By how much the highest hundredth of predicted noise lies above that of other normals, in theirs from the median to there.

    Intensity says little: the rules bring the scans of any scanner, and of any modality, to one scale. 0 without such a view.
    """
    noise = [number for number, view in enumerate(views.sum) if view.kind == "noise" and not view.mirror]
    lifted = (after.views[:, noise, 2] - before.views[:, noise, 2]) / (before.views[:, noise, 2] - before.views[:, noise, 0])
    return float(lifted.max(initial=0.0))


def _joined(own: np.ndarray, quantiles: np.ndarray, sense: float) -> np.ndarray:
    """One number a pixel from its channels (the last axis): the root mean square of what is above the normal median in each."""
    if own.shape[-1] == 1:
        return np.asarray(sense * own[..., 0])
    middle, _, top = quantiles.astype(np.float32).T
    above = np.maximum((np.float32(sense) * own - middle) / np.maximum(top - middle, np.float32(1e-6)), 0)
    return np.asarray(np.sqrt(np.square(above).mean(axis=-1)))


def _unit(values: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    middle, offset, top = quantiles
    return ((values - np.float32(offset)) / np.float32(top - middle)).astype(np.float32)


def _quantiles(values: np.ndarray, what: str) -> np.ndarray:
    found = np.quantile(values, _AT)
    if not found[2] > found[0]:
        raise InvDetectError(
            f"The view {what} of the held-out normal scans is the same everywhere, so no unit can be derived from it; give more, and more "
            "varied, normal scans."
        )
    return np.asarray(found)


class _Shares:
    """Gaussian means inside a foreground: what lies outside has no weight."""

    def __init__(self, inside: np.ndarray) -> None:
        self._inside = inside.astype(np.float32)
        self._known: dict[float, np.ndarray] = {}

    def smooth(self, values: np.ndarray, sigma: float) -> np.ndarray:
        """(slice, row, column, channel) float32, 0 outside."""
        inside = self._inside[..., None]
        if sigma == 0:
            return np.asarray(values * inside)
        if sigma not in self._known:
            self._known[sigma] = np.maximum(ndimage.gaussian_filter(self._inside, (0, sigma, sigma), mode="constant"), 1e-3)
        total = ndimage.gaussian_filter(values * inside, (0, sigma, sigma, 0), mode="constant")
        return np.asarray(total / self._known[sigma][..., None] * inside, np.float32)
