"""Made lesions: of a kind, size and contrast, put into a scan's own voxels before anything is prepared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ..models import KINDS

CONTRASTS = {"bright": (0.05, 1.0), "dark": (0.05, 1.0), "rough": (0.05, 1.0), "smooth": (0.25, 1.0), "pushing": (0.1, 0.6)}
FADED = 2.5  # radii: from there on a pushing lesion leaves the tissue as it is
_EDGE = 1.5  # mm over which a lesion begins, as far as voxels are smaller and the lesion is no speck
_STEEPNESS = 0.27  # of that width is the scale of the logistic edge
_EVENLY = 0.7548776662466927, 0.5698402909980532  # steps of a sequence that fills a square (of the plastic number)
_GRAIN = 0.7  # mm, the sigma of a grain of about 1 mm; with larger voxels each has a value of its own


@dataclass(frozen=True)
class Lesion:
    """kind, contrast  see `models.Surface`;  size  diameter in mm, or in pixels of a scan without spacing"""

    kind: str
    size: float
    contrast: float


@dataclass(frozen=True)
class Made:
    """Where a lesion lies and what it changed.

    box     of the scan's array, slices along its three axes;  mask  bool, in that box: where more than half is lesion
    spread  root mean square of the change inside the mask, in standard deviations of the tissue around
    """

    box: tuple[slice, ...]
    mask: np.ndarray
    spread: float


def spread_evenly(count: int, sizes: tuple[float, float], rng: np.random.Generator, kinds: tuple[str, ...] = KINDS) -> list[Lesion]:
    """Lesions of these kinds in turn, spread evenly over log size (from the smaller to the larger of `sizes`) and log contrast."""
    lesions = []
    for kind in kinds:
        ends = np.log([sizes, CONTRASTS[kind]])
        numbers = np.arange(-(-count // len(kinds)))[:, None]
        places = (rng.random(2) + numbers * _EVENLY) % 1
        values = np.exp(ends[:, 0] + places * (ends[:, 1] - ends[:, 0]))
        lesions.append([Lesion(kind, float(size), float(contrast)) for size, contrast in rng.permutation(values)])
    return [lesion for together in zip(*lesions) for lesion in together][:count]


def put(
    array: np.ndarray,
    inside: np.ndarray,
    spacing: tuple[float, ...],
    centre: tuple[int, ...],
    lesion: Lesion,
    background: float,
    rng: np.random.Generator,
) -> Made:
    """Change `array` in place by one lesion.

    array       (slice, row, column[, channel]), any real dtype, whose range is kept; all channels change alike
    inside      (slice, row, column) bool: the foreground; nothing outside it is touched
    spacing     distance of voxels along the array's axes, in the unit of the lesion's size
    centre      index of a voxel of the foreground
    background  the level of no signal, in the array's unit: contrast is a share of the tissue's intensity above it
    """
    radius = lesion.size / 2
    box, points = around(array.shape[:3], centre, FADED * radius + 2 * max(spacing[1:]), spacing)
    within, distance = inside[box], np.sqrt((points**2).sum(axis=0))
    tissue = array[box].astype(np.float64)
    width = max(min(spacing), min(_EDGE, lesion.size / 4))
    share = blob(points, radius, rng, _STEEPNESS * width)
    mask = (share > 0.5) & within
    mask[tuple(one - part.start for one, part in zip(centre, box))] = True
    near = tissue[within & (distance <= 2 * radius + 2 * min(spacing))]
    level, spread = lesion.contrast * np.maximum(near.mean(axis=0) - background, 0), float(near.std(axis=0).mean())
    part = share if array.ndim == 3 else share[..., None]
    if lesion.kind in ("bright", "dark"):
        changed = tissue + (1 if lesion.kind == "bright" else -1) * part * level
    elif lesion.kind == "rough":
        rough = grain(share.shape, spacing, rng, _GRAIN)
        changed = tissue + part * level * (rough if array.ndim == 3 else rough[..., None])
    elif lesion.kind == "smooth":
        changed = tissue + part * lesion.contrast * (tissue[mask].mean(axis=0) - tissue)
    else:
        length = lesion.contrast * radius * np.clip((FADED - np.maximum(distance / radius, 1)) / (FADED - 1), 0, 1) ** 2
        changed = pushed(tissue, points, length, spacing)
    changed = np.maximum(changed, np.minimum(background, tissue))
    if np.issubdtype(array.dtype, np.integer):
        limits = np.iinfo(array.dtype)
        changed = np.clip(np.rint(changed), limits.min, limits.max)
    kept = within & (np.isfinite(changed) if array.ndim == 3 else np.isfinite(changed).all(axis=3))
    array[box][kept] = changed[kept].astype(array.dtype)
    change = float(np.sqrt(np.mean((array[box][mask].astype(np.float64) - tissue[mask]) ** 2)))
    return Made(box, mask, change / spread if spread > 0 else 0.0)


def around(
    shape: tuple[int, ...], centre: tuple[int, ...], reach: float, spacing: tuple[float, ...]
) -> tuple[tuple[slice, ...], np.ndarray]:
    """(box, points): the box of an array that reaches so far around a voxel, and the (3, ...) places of its voxels relative to that one.

    reach, spacing and points have one unit, along the array's axes.
    """
    far = [int(reach / step) for step in spacing]
    box = tuple(slice(max(0, c - f), min(c + f + 1, n)) for c, f, n in zip(centre, far, shape))
    index = np.indices([part.stop - part.start for part in box])
    points = index + np.reshape([part.start - c for part, c in zip(box, centre)], (3, 1, 1, 1))
    return box, points * np.reshape(spacing, (3, 1, 1, 1))


def blob(points: np.ndarray, radius: float, rng: np.random.Generator, edge: float) -> np.ndarray:
    """Share of lesion, 0 to 1, at (3, ...) points around its centre: a ball with three waves on its surface.

    edge  scale of the logistic function of the distance from the surface, in the unit of points and radius
    """
    distance = np.sqrt((points**2).sum(axis=0)) + 1e-6
    surface = np.full(distance.shape, radius)
    for _ in range(3):
        direction = rng.standard_normal(3)
        direction /= np.linalg.norm(direction)
        along = np.tensordot(direction, points / distance, axes=1)
        surface += 0.08 * radius * np.sin(rng.uniform(2, 4) * along + rng.uniform(0, 2 * np.pi))
    return np.asarray(1 / (1 + np.exp(np.minimum((distance - surface) / edge, 500))))


def grain(shape: tuple[int, ...], spacing: tuple[float, ...], rng: np.random.Generator, sigma: float) -> np.ndarray:
    """Smoothed noise of standard deviation 1; sigma  of the Gaussian, in the unit of the spacing."""
    noise = np.asarray(ndimage.gaussian_filter(rng.standard_normal(shape), [sigma / step for step in spacing]))
    return noise / noise.std()


def pushed(tissue: np.ndarray, points: np.ndarray, length: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """The tissue as a growing ball leaves it: what now lies at a point came from nearer the centre.

    tissue  (slice, row, column[, channel]);  points  (3, ...) from the centre;  length  (...) by how much each was pushed
    """
    if tissue.ndim == 4:
        return np.stack([pushed(tissue[..., channel], points, length, spacing) for channel in range(tissue.shape[3])], axis=3)
    distance = np.sqrt((points**2).sum(axis=0)) + 1e-6
    shift = points / distance * np.minimum(length, 0.9 * distance)
    index = np.indices(tissue.shape) - shift / np.reshape(spacing, (3, 1, 1, 1))
    return np.asarray(ndimage.map_coordinates(tissue, index, order=1, mode="nearest"))
