"""What a `Result` is put together from: where the scan lies, what was scored, what there is to look at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..models import Preparation
from ..scans import Geometry


@dataclass(frozen=True, eq=False)
class Examined:
    """The scan that was examined, and how it lies on the model's grid.

    name         stem for file names; never written into a file
    geometry     of the scan;  preparation  of the model: with it the grid
    foreground   (slice, row, column) bool in the scan's voxels: what counts as the patient
    """

    name: str
    geometry: Geometry
    preparation: Preparation
    foreground: np.ndarray


@dataclass(frozen=True, eq=False)
class OnGrid:
    """What was scored, on the model's grid.

    map          (slice, row, column) float, in the model's score unit; where nothing was scored it may be anything, NaN included
    scored       (slice, row, column) bool
    down, right  (slice, row - 1, column) and (slice, row, column - 1) floats: alpha of Eq. 4. Any float type is rounded to float16 before
                 the first cut, so that a result that was saved and loaded refines to the same masks
    """

    map: np.ndarray
    scored: np.ndarray
    down: np.ndarray
    right: np.ndarray


@dataclass(frozen=True, eq=False)
class Images:
    """What there is to look at beside the map; all None after `Result.load` but the pseudo-normal image.

    background         (S, H, W[, channel]) float32 from 0 to 1, or uint8: the scan on the grid
    pseudo_normal      the scan's (slice, row, column[, channel]): see `scans.pseudo_normal_from_grid`
    pseudo_background  `pseudo_normal` as `background` has the scan, in the same greys
    """

    background: np.ndarray | None = None
    pseudo_normal: np.ndarray | None = None
    pseudo_background: np.ndarray | None = None
