"""PII: as FPI, but gradients are mixed instead of intensities, so that a patch has no edge."""

from __future__ import annotations

import numpy as np

from .fpi import FPI
from .pasting import gradients, integrated


class PII(FPI):
    """Tan et al. 2021; see `contract.Peer`.

    As published: patches, shares, labels and loss are those of FPI; in the patch, of the two gradients, each times its slice's share, the
    larger one is taken in each place and direction, and the image with these gradients and the slice's own values at the patch's border is
    found by Poisson's equation.
    Otherwise here: as FPI; the border that stays is the outermost pixels of the patch instead of those around it; values are held to
    [-1, 1] instead of the slice's own range. Size small: as FPI.
    """

    key, title = "pii", "PII"
    what = "a network's guess at how much of another slice is mixed into each pixel, seamlessly"
    citation = "Tan, Hou, Day, Simpson, Rueckert, Kainz: Detecting Outliers with Poisson Image Interpolation, MICCAI 2021"

    def _mixed(self, own: np.ndarray, other: np.ndarray, share: float) -> np.ndarray:
        pairs = zip(gradients((1 - share) * own), gradients(share * other))
        down, right = (np.where(np.abs(mine) > np.abs(foreign), mine, foreign) for mine, foreign in pairs)
        return integrated(own, down, right).clip(-1, 1)
