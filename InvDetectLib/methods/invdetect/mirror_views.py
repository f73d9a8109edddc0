"""Whether a model may compare left with right: only where its normal scans are symmetric."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...common import WrongUse
from ...models import InvDetectSettings
from ...symmetry import SYMMETRIC, find_midlines, symmetry_of
from ..contract import Slices, places_with_foreground

_LOOKED_AT = 48  # slices, evenly spread over the training scans


def with_mirror_settled(settings: InvDetectSettings, training: Sequence[Slices]) -> tuple[InvDetectSettings, dict[str, Any]]:
    """The settings with `views.mirror` as "yes" or "no", and views of left against right in them only where it is "yes".

    Returns facts for the card, too, where there was something to settle: "mirror", whether left is compared with right, and "symmetry", the
    mean correlation of training slices with their own reflection, where it was looked at.
    Raises `WrongUse` where the mirror was asked for and the scans are not symmetric.
    """
    views = settings.views
    if views.mirror == "no" or not any(view.mirror for view in views.sum):
        return _without(settings), {"mirror": False} if any(view.mirror for view in views.sum) else {}
    places = places_with_foreground(training)
    chosen = places[:: max(1, -(-len(places) // _LOOKED_AT))].tolist()
    ones = [training[number].part(slice(k, k + 1)) for number, k in chosen]
    symmetry = symmetry_of([find_midlines(one.values, one.foreground, False) for one in ones])
    facts = {"symmetry": round(symmetry, 3) if np.isfinite(symmetry) else 0.0}
    if symmetry > SYMMETRIC:
        return dataclasses.replace(settings, views=dataclasses.replace(views, mirror="yes")), {"mirror": True, **facts}
    if views.mirror == "yes":
        raise WrongUse(
            f"Left and right cannot be compared: the normal scans are not symmetric (correlation with their own reflection "
            f"{facts['symmetry']:.2f}, and {SYMMETRIC:.2f} are needed). Leave the mirror out."
        )
    return _without(settings), {"mirror": False, **facts}


def _without(settings: InvDetectSettings) -> InvDetectSettings:
    rest = tuple(view for view in settings.views.sum if not view.mirror)
    return dataclasses.replace(settings, views=dataclasses.replace(settings.views, sum=rest, mirror="no" if settings.views.sum else "auto"))
