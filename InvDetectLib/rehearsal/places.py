"""Where in a normal scan a made lesion may lie."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

_MOST_VOXELS = 500_000  # that are looked at: every so many-th along each axis of a larger scan
_TRIES = 30
_FLAGGED = 0.02  # of a lesion's place in the untouched scan: a fifth of the overlap that counts as found
_APART = 1.5  # times the sum of two radii


class Places:
    """Draws places of lesions inside the foreground of one scan, apart from each other."""

    def __init__(self, inside: np.ndarray, flagged: np.ndarray, spacing: tuple[float, ...]) -> None:
        """inside, flagged  (slice, row, column) bool: the foreground, and what the model finds in the untouched scan

        spacing  of the voxels along the array's axes
        """
        used = [np.flatnonzero(inside.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
        box = [slice(places[0], places[-1] + 1) for places in used]
        self._step = _strides([part.stop - part.start for part in box], spacing)
        self._start = np.array([part.start for part in box])
        chosen = tuple(slice(part.start, part.stop, step) for part, step in zip(box, self._step))
        self._spacing = np.array(spacing) * np.array(self._step)
        padded = np.pad(inside[chosen], [(0, 0), (1, 1), (1, 1)]) if inside.shape[0] == 1 else np.pad(inside[chosen], 1)
        depth = ndimage.distance_transform_edt(padded, sampling=self._spacing)
        self._depth = depth[:, 1:-1, 1:-1] if inside.shape[0] == 1 else depth[1:-1, 1:-1, 1:-1]
        self._flagged = np.argwhere(flagged[chosen] & inside[chosen]) * self._spacing
        self._taken: list[tuple[np.ndarray, float]] = []

    def draw(self, radius: float, rng: np.random.Generator) -> tuple[int, ...] | None:
        """Index of the centre of a lesion of that radius (in the unit of the spacing), which is taken from then on; None: there is no room.

        At least the radius away from the foreground's edge, or half of it where nothing lies so deep; hardly anything there is flagged.
        """
        free = self._depth > 0
        for centre, other in self._taken:
            index = np.ogrid[tuple(slice(0, length) for length in free.shape)]
            along = [((axis - c) * step) ** 2 for axis, c, step in zip(index, centre, self._spacing)]
            free &= along[0] + along[1] + along[2] > (_APART * (radius + other)) ** 2
        for least in (radius, radius / 2):
            candidates = np.flatnonzero(free & (self._depth >= least))
            for number in rng.choice(candidates, min(_TRIES, len(candidates)), replace=False) if len(candidates) else ():
                centre = np.array(np.unravel_index(number, free.shape))
                if self._share_flagged(centre, radius) <= _FLAGGED:
                    self._taken.append((centre, radius))
                    return tuple(int(value) for value in self._start + centre * self._step)
        return None

    def _share_flagged(self, centre: np.ndarray, radius: float) -> float:
        """Flagged voxels within the radius, as a share of the voxels of such a ball, of which there is at least one."""
        distance = np.sqrt(((self._flagged - centre * self._spacing) ** 2).sum(axis=1))
        near = np.count_nonzero(distance <= max(radius, float(self._spacing.min())))
        if self._depth.shape[0] == 1:
            voxels = math.pi * radius**2 / float(np.prod(self._spacing[1:]))
        else:
            voxels = 4 / 3 * math.pi * radius**3 / float(np.prod(self._spacing))
        return float(near / max(voxels, 1.0))


def _strides(lengths: list[int], spacing: tuple[float, ...]) -> list[int]:
    """How many voxels are stepped over along each axis, so that few enough are left; the closest spacing is thinned first."""
    steps = [1, 1, 1]
    while math.prod(-(-length // step) for length, step in zip(lengths, steps)) > _MOST_VOXELS:
        room = [gap * step if length > step else math.inf for gap, step, length in zip(spacing, steps, lengths)]
        steps[room.index(min(room))] += 1
    return steps
