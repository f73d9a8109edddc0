"""What held-out normal scans say about scores: unit, thresholds for a wanted rate, p-values (METHOD.md of the study, sections 4 and 9).

Three controls set the operating point of a result:
contiguity   a factor on the stored lambda of Eq. 2 (1 = the model's own);
rate         the share of held-out normal tissue flagged: SCR runs on A - t(rate);
threshold    t itself, on the map's scale.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any

import numpy as np

from ..common import InvDetectError, WrongUse, shown
from ..models import OTHER_DIRECTIONS, Lengths, OneOf, Range, Share, calibrations, from_values, to_values

CONTIGUITIES = (0.0, 0.5, 1.0, 2.0, 4.0)
RATES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)

Score = Annotated[float, Range(-1e15, 1e15)]  # of a map: far beyond any, and far from where float32 ends
Mass = Annotated[float, Range(0.0, 1e30)]
Factor = Annotated[float, Range(0.0, 1e6)]

AreaOf = Callable[[float, float], float]
"""(threshold, contiguity factor) -> share (0 to 1) of held-out normal foreground flagged by SCR on A - threshold."""


def score_unit(values: np.ndarray, unit: str) -> tuple[float, float]:
    """(offset, scale) such that A = (s - offset) / scale, from the map's raw values at held-out normal foreground pixels.

    unit  "raw": (0, 1); "calibrated": offset q90 and scale q99 - q50, so that 0 flags 10 % of normal tissue without SCR.
    """
    if unit == "raw":
        return 0.0, 1.0
    q50, q90, q99 = np.quantile(values, [0.5, 0.9, 0.99])
    if not q99 > q50:
        raise InvDetectError(
            "The scores of the held-out normal scans are all alike, so no unit can be derived from them; "
            "give more, and more varied, normal scans."
        )
    return float(q90), float(q99 - q50)


def smallest_contiguity(area_of: Callable[[float], float], rate: float, most: float = 1e4) -> float:
    """The smallest lambda whose flagged share of held-out normals stays below `rate` (the paper's rule), by bisection to 1 %.

    area_of  lambda -> share flagged at threshold 0; not increasing in lambda.
    Returns `most` when even that does not suffice (a rate that no lambda reaches; the thresholds t(r) still do).
    """
    if area_of(0.0) < rate:
        return 0.0
    low, high = 0.0, 1.0
    while area_of(high) >= rate:
        low, high = high, high * 2
        if high > most:
            return most
    while high - low > 0.01 * high:
        middle = 0.5 * (low + high)
        low, high = (middle, high) if area_of(middle) >= rate else (low, middle)
    return high


def threshold_for_rate(area_of: Callable[[float], float], rate: float, known: dict[float, float], least: float = 0.95) -> float:
    """The smallest known t that flags at most `rate` of held-out normals, and at least `least` of that where the areas allow it.

    area_of  t -> share flagged; not increasing in t (a larger t only removes pixels from the minimum cut). It costs one cut a slice.
    known    areas measured so far by t, at least one above and one at most `rate`; new ones are added, so that searches share them.
    """
    tolerance = 1e-3 * (max(known) - min(known))
    while True:
        high = min(t for t, area in known.items() if area <= rate)
        low = max((t for t, area in known.items() if area > rate), default=high)
        if known[high] >= least * rate or high - low <= tolerance:
            return high
        # The logarithm of the area falls almost linearly, but the end of the interval may be flat: stay inside it.
        top, bottom = np.log(known[low]), np.log(max(known[high], 1e-3 * rate))
        share = (top - np.log(rate * (1 + least) / 2)) / (top - bottom)
        middle = low + float(np.clip(share, 0.1, 0.9)) * (high - low)
        known[middle] = area_of(middle)


@dataclass(frozen=True)
class Calibration:
    """What a model keeps of its held-out normal scans.

    unit, offset, scale   the map is A = (s - offset) / scale of the raw scores s; unit "raw" or "calibrated"
    contiguity            lambda of Eq. 2, in the map's unit
    default_threshold     t of the default operating point
    contiguities, rates   factors on `contiguity` and shares of normal tissue for which `thresholds` was measured
    thresholds            one row a contiguity, one column a rate
    peaks                 highest value of the map in each held-out normal unit, ascending; peak_unit "scan" or "slice"
    floor                 the lowest score of held-out normals: the map's value where nothing was scored
    normal_area           share of held-out normal foreground that the default operating point flags
    raw_quantiles         1, 50, 90, 99 % of the held-out raw scores, to recognise a scan whose scores are unlike theirs
    masses                largest mass of a finding in each of these units, ascending; see `masses_of`. None kept by models of before
    mass_unit             "mm3" where the unit is a scan; "mm2" or "pixels", in the slice, where it is a slice; "" without masses
    """

    unit: Annotated[str, OneOf(("raw", "calibrated"))]
    offset: Score
    scale: Annotated[float, Range(1e-12, 1e12)]
    contiguity: Factor
    default_threshold: Score
    contiguities: Annotated[tuple[Factor, ...], Lengths(1, 1000)]
    rates: Annotated[tuple[Annotated[float, Range(1e-9, 1.0)], ...], Lengths(1, 1000)]
    thresholds: tuple[tuple[Score, ...], ...]
    peaks: tuple[Score, ...]
    peak_unit: Annotated[str, OneOf(("scan", "slice"))]
    floor: Score
    normal_area: Share
    raw_quantiles: Annotated[tuple[Score, ...], Lengths(4, 4)]
    masses: tuple[Mass, ...] = ()
    mass_unit: Annotated[str, OneOf(("", "mm3", "mm2", "pixels"))] = ""

    def threshold(self, rate: float, contiguity: float = 1.0) -> float:
        """t such that `rate` (share, 0 to 1) of held-out normal tissue is flagged at that contiguity factor.

        Interpolated between the measured points, linearly in the contiguity and in the logarithm of the rate.
        Raises `InvDetectError` outside the measured rates; contiguity factors beyond the last use the last.
        """
        if not self.rates[0] <= rate <= self.rates[-1]:
            raise InvDetectError(
                f"A rate of {rate:g} is not what this model was calibrated for; choose between {self.rates[0]:g} and {self.rates[-1]:g}."
            )
        if not contiguity >= 0:
            raise InvDetectError(f"Contiguity must be 0 or more, not {contiguity:g}.")
        at_rate = [float(np.interp(np.log(rate), np.log(self.rates), row)) for row in self.thresholds]
        return float(np.interp(contiguity, self.contiguities, at_rate))

    def p_value(self, peak: float, slices_scored: int) -> tuple[float | None, int]:
        """(p, n): how often a normal scan reaches this peak, (1 + units with at least this peak) / (1 + n).

        Where the unit is a slice, p is multiplied by the slices scored (Bonferroni) and capped at 1. (None, 0) without normals.
        """
        return self._rarity(self.peaks, peak, slices_scored), len(self.peaks)

    @property
    def forming_level(self) -> float:
        """u: what a mass is measured above, the 99th percentile of held-out normal tissue in the map's unit, whatever the threshold."""
        return (self.raw_quantiles[3] - self.offset) / self.scale

    def p_value_of_mass(self, mass: float, slices_scored: int) -> float | None:
        """How often a normal scan holds this much mass in one finding, by the rule of `p_value`; None without masses.

        mass  in `mass_unit`, of a finding at the model's default operating point: of the whole where the unit is a scan, of its heaviest
              slice where it is a slice
        """
        return self._rarity(self.masses, mass, slices_scored)

    def _rarity(self, known: tuple[float, ...], value: float, slices_scored: int) -> float | None:
        n = len(known)
        if n == 0:
            return None
        p = (1 + n - bisect_left(known, value)) / (1 + n)
        return p if self.peak_unit == "scan" else min(1.0, p * slices_scored)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, lists for tuples, ready for JSON."""
        return to_values(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Calibration:
        """The inverse of `as_dict`, also after JSON turned tuples into lists; `InvDetectError` on anything else."""
        own = {name: value for name, value in values.items() if name != OTHER_DIRECTIONS} if isinstance(values, dict) else values
        made = from_values(cls, own, "calibration")
        if not all(low < high for low, high in pairwise(made.contiguities)) or not all(low < high for low, high in pairwise(made.rates)):
            why = "its contiguities or rates do not ascend"
        elif [len(row) for row in made.thresholds] != [len(made.rates)] * len(made.contiguities):
            why = f"it needs {len(made.contiguities)} rows of {len(made.rates)} thresholds"
        elif sorted(made.peaks) != list(made.peaks) or sorted(made.raw_quantiles) != list(made.raw_quantiles):
            why = "its peaks or quantiles do not ascend"
        else:
            return made
        raise InvDetectError(f"The calibration stored in the file is damaged or from a newer InvDetect: {why}.")


def with_others(found: Mapping[str, Calibration], direction: str) -> dict[str, Any]:
    """What a model stores: the calibration of its own `direction`, and beside it those of the other directions, where there are some."""
    others = {name: one.as_dict() for name, one in found.items() if name != direction}
    return found[direction].as_dict() | ({OTHER_DIRECTIONS: others} if others else {})


def calibration_of(values: dict[str, Any], own: str, direction: str) -> Calibration:
    """The calibration of a direction from what a model stores (`with_others`); own  the model's direction, "" where it has none.

    Raises `WrongUse` for a direction that the model was not calibrated for.
    """
    found = calibrations(values, own)
    if direction not in found:
        known = f"it was for {', '.join(found)}" if own else "it does not tell bright from dark"
        raise WrongUse(f"The model was not calibrated for the direction {shown(direction)}; {known}. Leave the direction out.")
    return Calibration.from_dict(found[direction])


def threshold_table(area_of: AreaOf, low: float, high: float) -> tuple[tuple[float, ...], ...]:
    """t for every contiguity of `CONTIGUITIES` (rows) and rate of `RATES` (columns), searched within [low, high] of the map."""
    rows = []
    for contiguity in CONTIGUITIES:
        known = {t: area_of(t, contiguity) for t in (low, high)}
        if known[high] > min(RATES):  # a map that saturates is at its highest value in more pixels than the smallest rate allows
            known[high + max(1e-3 * (high - low), 1e-3)] = 0.0
        rows.append(tuple(threshold_for_rate(lambda t, c=contiguity: area_of(t, c), rate, known) for rate in RATES))  # type: ignore[misc]
    return tuple(rows)


def peaks_of(maps: Iterable[np.ndarray], valid: Sequence[np.ndarray], per_scan: bool) -> tuple[float, ...]:
    """Highest map value in each scan (or slice) of held-out normals, ascending; units without valid pixels are left out.

    maps, valid  one (slice, row, column) array a scan
    """
    units: list[float] = []
    for values, mask in zip(maps, valid):
        masked = np.where(mask, values, -np.inf)
        highest = [masked.max()] if per_scan else list(masked.reshape(len(masked), -1).max(axis=1))
        units += [float(peak) for peak in highest if np.isfinite(peak)]
    return tuple(sorted(units))
