"""Why a finding is one: what was measured of it when it was found, and that in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from ..models import Count, Lengths, OneOf, Range, Share

UNLIKE = 1.0  # spreads of what lies around, from which a difference has a name
COARSE = 1.5  # times the fine detail around, from which a finding is rougher; smoother is what has its inverse


@dataclass(frozen=True)
class Reasons:
    """What speaks for one finding, measured in the slice of its highest value, on the model's grid and in the model's intensities.

    views      (name, share) of every view of the score, largest first: the shares, 0 to 1, are of the sum of what each view says above 0
               inside the finding and add up to 1. Empty for methods whose score is no sum, and where nothing is above 0
    contrast   median of the half of its pixels that score highest minus that of the ring around it, over the spread of that ring (a
               standard deviation from its quartiles, which a strip of skull or air does not move): above 0 brighter
    mirrored   median of what these pixels have more than the same place on the other side of the midline, over the same spread
    roughness  spread of fine detail inside over that in the ring: above 1 rougher
    below, of  how many of the peaks of so many held-out normals lie below this finding's peak;  unit  of normals: "scan" or "slice"
    The first three measurements are None where there is nothing to compare with.
    """

    views: tuple[tuple[Annotated[str, Lengths(1, 100)], Share], ...]
    contrast: float | None
    mirrored: float | None
    roughness: Annotated[float, Range(0.0, 1e30)] | None
    below: Count
    of: Count
    unit: Annotated[str, OneOf(("scan", "slice"))]

    @property
    def looks(self) -> str:
        """"brighter" or "darker", and "rougher" or "smoother" than what lies around; "" where it is neither."""
        words = []
        if self.contrast is not None and abs(self.contrast) >= UNLIKE:
            words.append("brighter" if self.contrast > 0 else "darker")
        if self.roughness is not None and not 1 / COARSE < self.roughness < COARSE:
            words.append("rougher" if self.roughness > 1 else "smoother")
        return " and ".join(words)

    @property
    def main_view(self) -> str:
        """The view that says most; "" without views."""
        return self.views[0][0] if self.views else ""

    def words(self) -> str:
        """All of it as one sentence for people."""
        parts = [*self._seen(), *self._ranked()]
        told = f"{', '.join(self._said())}: {'; '.join(parts)}" if self.views else "; ".join(parts)
        return f"{told[:1].upper()}{told[1:]}."

    def _said(self) -> list[str]:
        (name, share), *others = [(name, share) for name, share in self.views if share >= 0.1 or name == self.main_view]
        return [f"{name} says so ({_percent(share)})", *(f"then {name} ({_percent(share)})" for name, share in others)]

    def _seen(self) -> list[str]:
        if self.contrast is None:
            seen = "nothing around it to compare it with"
        elif abs(self.contrast) >= UNLIKE:
            seen = f"{_more(self.contrast)} than around it"
        else:
            seen = "hardly brighter or darker than around it"
        if self.looks.endswith(("rougher", "smoother")):
            seen += f"{' and' if abs(self.contrast or 0) >= UNLIKE else ', but'} {self.looks.rpartition(' ')[2]}"
        if self.mirrored is None:
            return [seen]
        if abs(self.mirrored) < UNLIKE:
            return [f"{seen}, much like the other side"]
        return [f"{seen}, {_more(self.mirrored)} than the other side"]

    def _ranked(self) -> list[str]:
        if not self.of:
            return []
        if self.of == 1:
            return [f"its peak is {'' if self.below else 'not '}above that of the one held-out normal {self.unit}"]
        below = f"all {self.of}" if self.below == self.of else f"{self.below or 'none'} of {self.of}"
        return [f"its peak is above that of {below} held-out normal {self.unit}s"]


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _more(difference: float) -> str:
    return f"{abs(difference):.1f} spreads {'brighter' if difference > 0 else 'darker'}"
