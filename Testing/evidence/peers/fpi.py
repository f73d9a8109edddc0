"""FPI: a network learns to tell how much of a patch of another slice is mixed in."""

from __future__ import annotations

from typing import Any

import numpy as np

from .pasting import Normals, Pasted, box_around

SIDES = (0.1, 0.4)  # of a patch, as shares of the image's side
SHARES = (0.05, 0.95)  # of the other slice


class FPI(Pasted):
    """Tan et al. 2020; see `contract.Peer`.

    As published: a square patch of 0.1 to 0.4 of the image's side becomes a mixture of the slice and another one at the same place; the
    other's share, evenly drawn from 0.05 to 0.95, is the label of each pixel in the patch and 0 that of others; the loss is the binary
    cross-entropy of each pixel, the map is what the network says.
    Otherwise here: the library's U-Net instead of a wide residual network, on slices of at most 128 pixels; patches lie around pixels of
    the foreground instead of in the middle 80 % of the image, and where neither slice has foreground nothing counts; the label is the share
    also where both slices are exactly alike (the two are drawn independently, so once in as many draws as there are slices it is one slice
    twice); each pair gives one image instead of two; Adam at 0.001 with a falling rate and averaged weights. Size small: widths 24 to 96,
    2,000 steps of 8 slices or 15 minutes.
    """

    key, title = "fpi", "FPI"
    what = "a network's guess at how much of another slice is mixed into each pixel"
    citation = "Tan, Hou, Batten, Qiu, Kainz: Detecting Outliers with Foreign Patch Interpolation, arXiv 2020"

    def settings(self) -> dict[str, Any]:
        return super().settings() | {"sides": SIDES, "shares": SHARES}

    def paste(self, normals: Normals, number: int, other: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        image, inside = normals.images[number].copy(), normals.inside[number]
        side, share = inside.shape[0] * rng.uniform(*SIDES), rng.uniform(*SHARES)
        rows, columns = box = box_around(normals.place(number, rng), (side, side), inside.shape[0])
        image[:, rows, columns] = self._mixed(image[:, rows, columns], normals.images[other][:, rows, columns], share)
        label, counted = np.zeros(inside.shape, np.float32), inside.copy()
        label[box] = share
        counted[box] |= normals.inside[other][box]
        return image, label, counted

    def _mixed(self, own: np.ndarray, other: np.ndarray, share: float) -> np.ndarray:
        """(channel, row, column) of a box, mixed."""
        return (1 - share) * own + share * other
