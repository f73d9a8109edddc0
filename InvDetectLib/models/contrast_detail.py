"""What a rehearsal with made lesions found out about a model: how often a lesion of a kind, size and contrast is found.

By the standard library alone, so that a panel can show it too. It stands in a model's card as "rehearsal".
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from ..common import InvDetectError
from .ranges import Count, Lengths, OneOf, Range, Share, from_values, to_values

REHEARSAL = "rehearsal"  # where it stands in a card
NOT_REHEARSED = "What this model can see was not rehearsed; `invdetect rehearse` or training anew does it."
# What a contrast is a share of, by kind, and the contrast that words and pictures take as their example.
KINDS = ("bright", "dark", "rough", "smooth", "pushing")
EXAMPLES = {"bright": 0.25, "dark": 0.25, "rough": 0.25, "smooth": 0.75, "pushing": 0.4}
HALF, MOST = 0.5, 0.9  # of the lesions found: the two lines of a contrast-detail chart
_Z = 1.959964  # of a normal distribution's 95 %
_SAME = 1e-6  # the last of several steps need not end where the range does, and what is stored for people is rounded


Measured = Annotated[float, Range(-1e9, 1e9)]
Positive = Annotated[float, Range(0.0, 1e9)]


@dataclass(frozen=True)
class Surface:
    """How often made lesions of one kind are found: logit p = b0 + b1 log2 size + b2 log2 contrast.

    kind           one of `KINDS`
    tried, found   lesions
    sizes          smallest and largest diameter tried, in the unit of the `ContrastDetail`
    contrasts      lowest and highest contrast tried: of bright, dark and rough lesions a share of the tissue's intensity above the scan's
                   background (rough: the standard deviation of the grain), of smooth ones the share of the texture taken away, of pushing
                   ones the share of their radius by which tissue is pushed outwards
    spread         a contrast of 1 in standard deviations of the tissue around (median over the lesions)
    coefficients   b0, b1, b2;  covariance  theirs, by rows
    """

    kind: Annotated[str, OneOf(KINDS)]
    tried: Count
    found: Count
    sizes: tuple[Positive, Positive]
    contrasts: tuple[Positive, Positive]
    spread: Positive
    coefficients: tuple[Measured, Measured, Measured]
    covariance: Annotated[tuple[tuple[Measured, Measured, Measured], ...], Lengths(3, 3)]

    @property
    def grows(self) -> bool:
        """Whether larger lesions are found more often: not so where a model takes large ones for the tissue around."""
        return self.coefficients[1] >= 0

    def probability(self, size: float, contrast: float) -> tuple[float, float, float]:
        """(p, low, high): share of such lesions that is found, with its 95 % interval. `size` and `contrast` are above 0."""
        at = (1.0, math.log2(size), math.log2(contrast))
        value, spread = _dot(self.coefficients, at), math.sqrt(max(self._variance(at), 0.0))
        return _expit(value), _expit(value - _Z * spread), _expit(value + _Z * spread)

    def size_at(self, probability: float, contrast: float) -> float | None:
        """The size from which on that share is found, or, where larger lesions are found less (`grows`), up to which it is.

        The smallest size tried where all sizes are found so often; None for a contrast outside those tried, and where no size is.
        """
        low, high = self.contrasts
        reached = [self.probability(size, contrast)[0] >= probability for size in self.sizes]
        if not low * (1 - _SAME) <= contrast <= high * (1 + _SAME) or not any(reached):
            return None
        if all(reached):
            return self.sizes[0]
        return min(max(2.0 ** self._log_size(probability, contrast), self.sizes[0]), self.sizes[1])

    def size_interval(self, probability: float, contrast: float) -> tuple[float, float] | None:
        """The 95 % interval of `size_at`, by the delta method, cut to the sizes tried; None where that is None or no size is the answer."""
        size = self.size_at(probability, contrast)
        if size is None or size in self.sizes:
            return None
        slope = self.coefficients[1]
        at = tuple(-value / slope for value in (1.0, math.log2(size), math.log2(contrast)))
        reach = _Z * math.sqrt(max(self._variance(at), 0.0))
        low, high = (2.0 ** min(max(math.log2(size) + side * reach, -60.0), 60.0) for side in (-1, 1))
        return max(low, self.sizes[0]), min(high, self.sizes[1])

    def contrast_steps(self, count: int = 5) -> list[float]:
        """Contrasts from the lowest to the highest tried, log-spaced."""
        low, high = self.contrasts
        return [low * (high / low) ** (number / (count - 1)) for number in range(count)]

    def _log_size(self, probability: float, contrast: float) -> float:
        b0, b1, b2 = self.coefficients
        return (math.log(probability / (1 - probability)) - b0 - b2 * math.log2(contrast)) / b1

    def _variance(self, at: tuple[float, ...]) -> float:
        return _dot(at, tuple(_dot(row, at) for row in self.covariance))


@dataclass(frozen=True)
class ContrastDetail:
    """How often a model finds made lesions in normal scans, at one operating point.

    unit             of sizes: "mm", or "pixels" of the scan where it has no spacing
    direction        what counts as abnormal to the model ("" where it does not tell)
    rate             the share of normal tissue to flag that was asked for; None: the model's own operating point
    flagged          share (0 to 1) of the foreground of the untouched scans that is flagged
    false_findings   in an untouched scan, on average
    scans            how many were used;  calibrating  those of them that set the model's threshold, which are not independent of it
    seed             of places and draws
    surfaces         one a kind
    """

    unit: Annotated[str, OneOf(("mm", "pixels"))]
    direction: str
    rate: Share | None
    flagged: Share
    false_findings: Positive
    scans: Count
    calibrating: Count
    seed: int
    surfaces: Annotated[tuple[Surface, ...], Lengths(1, len(KINDS))]

    @classmethod
    def of_card(cls, card: dict[str, Any]) -> ContrastDetail | None:
        """What a model's card holds; None where there is nothing, or nothing that can be understood."""
        try:
            return cls.from_dict(card[REHEARSAL]) if REHEARSAL in card else None
        except InvDetectError:
            return None

    @classmethod
    def from_dict(cls, values: Any) -> ContrastDetail:
        """The inverse of `as_dict`. Raises InvDetectError for missing or impossible entries."""
        try:
            detail = from_values(cls, values, REHEARSAL, ignore=True)
        except InvDetectError as error:
            raise InvDetectError(f"The rehearsal is damaged or foreign: {error} Rehearse again.") from error
        if not detail._is_possible():
            raise InvDetectError("The rehearsal holds impossible numbers; it is damaged or foreign. Rehearse again.")
        return detail

    def as_dict(self) -> dict[str, Any]:
        """For JSON, with the sizes at which half and nine tenths are found at some contrasts ("found_at"), for those who read it."""
        values = to_values(self)
        for one, surface in zip(values["surfaces"], self.surfaces):
            one["found_at"] = [_found_at(surface, contrast) for contrast in surface.contrast_steps()]
        return values

    def surface(self, kind: str) -> Surface:
        """That of a kind; KeyError for one that was not rehearsed."""
        return {surface.kind: surface for surface in self.surfaces}[kind]

    def probability(self, kind: str, size: float, contrast: float) -> tuple[float, float, float]:
        """See `Surface.probability`."""
        return self.surface(kind).probability(size, contrast)

    def size_at(self, kind: str, probability: float, contrast: float) -> float | None:
        """See `Surface.size_at`."""
        return self.surface(kind).size_at(probability, contrast)

    def words(self) -> str:
        """`sentences` in one text."""
        return " ".join(self.sentences())

    def sentences(self) -> list[str]:
        """All of it in short sentences: what is found at the example contrasts, what hardly, false findings, and on which scans.

        The first alone tells what a reader asks first.
        """
        alike: dict[str, list[Surface]] = {}
        for surface in self.surfaces:
            if not self.ignores(surface.kind):
                alike.setdefault(_contrast_words(surface.kind, EXAMPLES[surface.kind]), []).append(surface)
        told = [self._found(contrast, ones, first=not number) for number, (contrast, ones) in enumerate(alike.items())]
        fading = [one.kind for ones in alike.values() for one in ones if self._fades(one)]
        told += [f"Larger {_listed(fading, 'and')} ones are found less often."] if fading else []
        told += [f"{kind.capitalize()} ones are not looked for." for kind in KINDS if self.ignores(kind)]
        told.append("Sizes are diameters." if self.unit == "mm" else "Sizes are diameters in pixels of the scan.")
        told.append(f"{100 * self.flagged:.2g} % of normal tissue is flagged, in {self.false_findings:.2g} false findings a scan.")
        return [*told, f"Tried {self.where()}."]

    def ignores(self, kind: str) -> bool:
        """Whether lesions of this kind are no anomaly to a model of this direction."""
        return {"bright": "dark", "dark": "bright"}.get(self.direction) == kind

    def where(self) -> str:
        """On which scans, for people."""
        if self.calibrating == self.scans:
            return f"on the {self.scans} scans that set the threshold, so not independent"
        if self.calibrating:
            return f"on {self.scans} normal scans, of which {self.calibrating} set the threshold"
        return f"on {self.scans} other normal scans"

    def _found(self, contrast: str, ones: list[Surface], first: bool) -> str:
        """A sentence on kinds whose contrast has the same words, what is found most first."""
        parts: list[str] = []
        for share, often in ((MOST, "9 of 10"), (HALF, "half")):
            for one in ones:
                best = MOST if one.size_at(MOST, EXAMPLES[one.kind]) is not None else HALF
                if share == best and one.size_at(share, EXAMPLES[one.kind]) is not None:
                    named = f" {'of the ' if share == HALF else ''}{one.kind} ones" if len(ones) > 1 else ""
                    parts.append(f"{often}{named} {self._reach(one, share)}")
        hardly = [one.kind for one in ones if one.size_at(HALF, EXAMPLES[one.kind]) is None]
        if hardly:
            parts.append("hardly any" + (f" {_listed(hardly, 'or')} ones" if len(ones) > 1 else ""))
        kind = f"{ones[0].kind} " if len(ones) == 1 else ""
        return f"Of {'made ' if first else ''}{kind}{'lesions' if first else 'ones'} {contrast} it finds {_listed(parts, 'and')}."

    def _reach(self, surface: Surface, share: float) -> str:
        """From which diameter on, or up to which, that share of a kind is found at its example contrast, where it is."""
        told = f"{surface.size_at(share, EXAMPLES[surface.kind]) or 0.0:.2g} {'mm' if self.unit == 'mm' else 'pixels'}"
        return f"up to {told}" if self._fades(surface) else f"from {told} on"

    @staticmethod
    def _fades(surface: Surface) -> bool:
        """Whether some sizes are found at the example contrast, and larger ones less."""
        contrast = EXAMPLES[surface.kind]
        best = surface.size_at(MOST, contrast) or surface.size_at(HALF, contrast)
        return best is not None and not surface.grows and best != surface.sizes[0]

    def _is_possible(self) -> bool:
        kinds = [surface.kind for surface in self.surfaces]
        return len(set(kinds)) == len(kinds) and self.calibrating <= self.scans and all(map(_fits, self.surfaces))


def _contrast_words(kind: str, contrast: float) -> str:
    """A contrast as what it is of a kind."""
    share = f"{100 * contrast:.0f} %"
    if kind == "smooth":
        return f"that have lost {share} of their texture"
    return f"that move the tissue around by {share} of their radius" if kind == "pushing" else f"at a contrast of {share}"


def _fits(surface: Surface) -> bool:
    ranges = surface.sizes, surface.contrasts
    return all(0 < low < high for low, high in ranges) and surface.found <= surface.tried


def _found_at(surface: Surface, contrast: float) -> dict[str, Any]:
    row: dict[str, Any] = {"contrast": _short(contrast), "in_spreads": _short(contrast * surface.spread)}
    for name, share in (("half", HALF), ("nine_tenths", MOST)):
        size, interval = surface.size_at(share, contrast), surface.size_interval(share, contrast)
        row[name] = {"size": None if size is None else _short(size), "interval": interval and [_short(end) for end in interval]}
    return row


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def _listed(words: list[str], last: str) -> str:
    return " ".join(_commas(words, last))


def _commas(words: list[str], last: str) -> Iterator[str]:
    for number, word in enumerate(words):
        before_last = number == len(words) - 2
        yield word + (f" {last}" if before_last else "," if number < len(words) - 2 else "")


def _dot(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def _expit(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value >= 0 else 1 - 1 / (1 + math.exp(min(value, 0.0)))
