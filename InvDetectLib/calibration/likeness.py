"""Whether a scan is of the kind that a model knows: what its findings mean depends on that."""

from __future__ import annotations

import numpy as np

from ..methods import Scores
from ..models import Preparation, TrainedOn, contradict, one_line
from ..scans import Prepared
from .calibration import Calibration


def unlike(
    settings: Preparation, known: TrainedOn, calibration: Calibration, prepared: Prepared, scores: Scores, modality: str | None = None
) -> str:
    """What makes a scan unlike the training scans of a model, as one sentence; "" when nothing does.

    settings, known, calibration  the model's;  scores  of some or all slices of the scan;  modality  what the user says that it is
    """
    reasons = []
    if contradict(modality, settings.modality):
        reasons.append(f"it is said to be {one_line(modality, 80)}, and the model was made for {one_line(settings.modality, 80)}")
    if known.unit == "mm" and prepared.grid.unit == "mm":
        low, high = known.pixel
        if not 0.7 * low <= prepared.grid.pixel <= 1.4 * high:
            reasons.append(f"on the model's grid a pixel is {prepared.grid.pixel:.2g} mm, in training {low:.2g} to {high:.2g} mm")
        if prepared.grid.anisotropy > 2 * known.anisotropy:
            reasons.append(f"its {settings.plane} slices are coarse in one direction, as if it was acquired in another plane")
    (low_1, _), (_, high_99) = known.intensity
    if low_1 >= 0 > prepared.intensity_range[0]:
        reasons.append("it has negative intensities and the training scans have none")
    elif settings.intensity.startswith(("window", "full")):
        if prepared.intensity_range[0] > high_99 or prepared.intensity_range[1] < low_1:
            reasons.append("its intensities lie outside the range of the training scans")
    values = scores.raw[scores.scored]
    if len(values) and float(np.median(values)) > calibration.raw_quantiles[2]:
        reasons.append("more than half of it scores higher than 90 % of normal tissue")
    if not reasons:
        return ""
    return f"This scan is unlike those the model was trained on ({'; '.join(reasons)}), so its findings may mean little."
