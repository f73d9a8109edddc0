"""The operating point of a mask: what a user may turn, and what it means for one model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from ..calibration import Calibration
from ..common import WrongUse, shown
from ..models import Range, Share, from_values

_STRONGEST, _FURTHEST = 1e6, 1e15  # a map is float32, which ends at 3e38, and lambda is a product


@dataclass(frozen=True)
class Controls:
    """The operating point of a mask.

    contiguity  factor on the model's lambda (Eq. 2), 0 or more; 1 is the model's own
    rate        share of held-out normal tissue that `threshold` was chosen to flag; None when the threshold was given itself
    threshold   t, in the map's unit: SCR runs on A - t
    scr         False: no cut, the mask is A > t
    """

    contiguity: Annotated[float, Range(0.0, _STRONGEST)]
    rate: Share | None
    threshold: Annotated[float, Range(-_FURTHEST, _FURTHEST)]
    scr: bool

    @classmethod
    def from_dict(cls, values: Any) -> Controls:
        """The inverse of `dataclasses.asdict`. `InvDetectError` for what no controls can be."""
        return from_values(cls, values, "controls")

    @classmethod
    def choose(
        cls, calibration: Calibration, contiguity: float = 1.0, rate: float | None = None, threshold: float | None = None, scr: bool = True
    ) -> Controls:
        """The controls that a user's wishes mean for one model.

        `rate` sets t to `calibration.threshold(rate, contiguity)`, so that the rate holds at that contiguity (contiguity 0 without
        SCR, which is the same cut); `threshold` sets t itself; with neither, t is the model's default threshold. Raises `WrongUse` for
        both at once and for impossible numbers, `InvDetectError` for a rate that the model was not calibrated for.
        """
        if rate is not None and threshold is not None:
            raise WrongUse("A rate and a threshold contradict each other; give one of them.")
        if not 0 <= contiguity <= _STRONGEST:
            raise WrongUse(f"Contiguity must be a number of 0 or more, at most {_STRONGEST:g}, not {shown(contiguity)}.")
        if threshold is not None and not abs(threshold) <= _FURTHEST:
            raise WrongUse(f"The threshold must be a number within {_FURTHEST:g} of 0, not {shown(threshold)}.")
        if rate is not None:
            threshold = calibration.threshold(rate, contiguity if scr else 0.0)
        elif threshold is None:
            threshold = calibration.default_threshold
        return cls(float(contiguity), None if rate is None else float(rate), float(threshold), bool(scr))

    def weight(self, calibration: Calibration) -> float:
        """lambda of Eq. 2, in the map's unit; 0 without SCR."""
        return calibration.contiguity * self.contiguity if self.scr else 0.0
