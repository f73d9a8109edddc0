"""The anatomy of the made heads of `phantoms`: a body drawn from a seed, its tissues painted on a grid, and the arithmetic that both use.

A head is written down as distances in mm (to the skin, to the brain's surface, to the nearest sulcus, to the ventricles), so it is the same
smooth 3-D object whatever the grid; tissues are laid over each other with soft edges. Points are (3, slice, row, column) float32 mm: z up,
y backwards, x to the patient's left, from the middle of the head. Brightness is on a scale where scalp is near 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

FIELD_MM = 224.0  # longer in-plane side of the field of view
SLAB_MM = 72.0  # from the lowest slice's lower to the highest slice's upper face
NUCLEI = ((8, -20, 14, 10, 9, 5), (2, -4, 27, 11, 17, 8), (4, 13, 12, 9, 13, 8))  # caudate, lentiform, thalamus: z, y, |x|, half-axes (mm)
# Points along a lateral ventricle: z, y, |x| in mm, and there the share of its radius.
HORNS = ((8, -32, 8, 0.9), (14, -6, 10, 0.8), (8, 26, 20, 1.2), (2, 40, 17, 0.6))


class Waves:
    """A smooth random function of a point, about unit variance, made of plane waves of about `scale` mm: the same on any grid."""

    def __init__(self, rng: np.random.Generator, scale: float, count: int = 7) -> None:
        direction = rng.standard_normal((count, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        self.waves = (direction * 2 * np.pi / (scale * rng.uniform(0.75, 1.35, (count, 1)))).astype(np.float32)
        self.phases = rng.uniform(0, 2 * np.pi, count).astype(np.float32)

    def __call__(self, points: np.ndarray) -> np.ndarray:
        total = np.zeros(points.shape[1:], np.float32)
        for (z, y, x), phase in zip(self.waves, self.phases):
            total += np.sin(z * points[0] + y * points[1] + x * points[2] + phase)
        return total * np.float32(np.sqrt(2 / len(self.phases)))


@dataclass(frozen=True)
class Head:
    """Distances in mm, each (slice, row, column) float32: depths grow inwards, the others are negative inside."""

    skin: np.ndarray
    skull: np.ndarray
    inner: np.ndarray
    brain: np.ndarray
    ventricles: np.ndarray


@dataclass(frozen=True)
class Body:
    """What differs between people. Lengths in mm, brightness on a scale where scalp is near 1."""

    rotation: np.ndarray
    shift: np.ndarray
    half: np.ndarray  # half-axes of the head: z, y, x
    taper: float  # how much narrower the forehead is
    warp: tuple[Waves, Waves, Waves]
    layers: Waves
    folds: Waves
    fold_depth: Waves
    csf_gap: float
    horns: tuple[float, float]  # radius of the right and left lateral ventricle
    vessels: np.ndarray  # (n, 4): angle, drift of the angle per mm of z, depth in the brain, radius
    white: float
    grey: float
    fluid: float
    scalp: float
    bone: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Body:
        """A person; the older, the wider the ventricles and the gap around the brain."""
        tilt, nod, turn = np.deg2rad(rng.normal(0, (4, 4, 5)))
        age = rng.uniform(0, 1)
        horn = 3.5 + 3.5 * age + rng.normal(0, 0.4)
        vessels = rng.integers(9, 16)
        return cls(
            rotation=rotation_zyx(turn, tilt, nod),
            shift=rng.normal(0, (3, 4, 4)),
            half=np.array([74.0, 96.0, 76.0]) * rng.normal(1, 0.03) * rng.normal(1, 0.025, 3),
            taper=rng.uniform(0.04, 0.14),
            warp=(Waves(rng, 130), Waves(rng, 130), Waves(rng, 130)),
            layers=Waves(rng, 90),
            folds=Waves(rng, 29, 16),
            fold_depth=Waves(rng, 50),
            csf_gap=1.5 + 2.0 * age,
            horns=(horn * rng.normal(1, 0.08), horn * rng.normal(1, 0.08)),
            vessels=np.stack(
                [
                    rng.uniform(-np.pi, np.pi, vessels),
                    rng.normal(0, 0.012, vessels),
                    rng.uniform(-1, 9, vessels),
                    rng.uniform(1.6, 2.6, vessels),
                ],
                axis=1,
            ),
            white=0.42 * rng.normal(1, 0.03),
            grey=0.57 * rng.normal(1, 0.03),
            fluid=0.13 * rng.normal(1, 0.08),
            scalp=rng.normal(1, 0.05),
            bone=0.06 * rng.normal(1, 0.1),
        )

    def in_head_frame(self, points: np.ndarray) -> np.ndarray:
        """Points of the field of view -> points of the upright, symmetric head."""
        turned = np.einsum("ij,jsrc->isrc", self.rotation.astype(np.float32), points - self.shift.astype(np.float32)[:, None, None, None])
        turned[0] += 8  # the slab lies somewhat above the middle of the head
        return turned + np.stack([2.2 * wave(turned) for wave in self.warp])

    def distances(self, points: np.ndarray) -> Head:
        """How far points of the head's frame are from its layers."""
        z, y, x = points
        half_z, half_y, half_x = self.half.astype(np.float32)
        width = half_x * (1 + self.taper * y / half_y)
        scaled = np.stack([z / np.where(z < 0, 0.92 * half_z, half_z), y / half_y, x / width])
        radius = np.sqrt((scaled**2).sum(axis=0)) + 1e-3
        slope = np.sqrt((z / half_z**2) ** 2 + (y / half_y**2) ** 2 + (x / width**2) ** 2) / radius + 1e-6
        skin = (1 - radius) / slope
        uneven = self.layers(points)
        scalp = 5.5 + 1.0 * uneven + 1.8 * step(-z - 8, 30) + 1.8 * step(y - 45, 60)
        skull = skin - scalp
        inner = skull - (6.0 - 0.8 * uneven)
        return Head(skin, skull, inner, inner - self.csf_gap, self._ventricles(points))

    def _ventricles(self, points: np.ndarray) -> np.ndarray:
        z, y, x = points
        nearest = np.sqrt(((z + 4) * 0.35) ** 2 + ((y - 2) * 0.2) ** 2 + x**2) - 2.0  # the third ventricle, a slit in the midline
        aside = np.abs(x)
        size = np.where(x < 0, *self.horns).astype(np.float32)
        for start, end in zip(HORNS[:-1], HORNS[1:]):
            a, way = np.array(start[:3], np.float32), np.subtract(end[:3], start[:3]).astype(np.float32)
            along = np.clip(((z - a[0]) * way[0] + (y - a[1]) * way[1] + (aside - a[2]) * way[2]) / (way @ way), 0, 1)
            away = np.sqrt((z - a[0] - along * way[0]) ** 2 * 0.5 + (y - a[1] - along * way[1]) ** 2 + (aside - a[2] - along * way[2]) ** 2)
            nearest = np.minimum(nearest, away - size * (start[3] + along * (end[3] - start[3])))
        return nearest


def paint(body: Body, points: np.ndarray, head: Head, spacing: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """The head's brightness, (slice, row, column) float32: tissues laid over each other from the outside inwards, each with its texture.

    points, head  from `Body.in_head_frame` and `Body.distances`; spacing  mm across the slices and in the plane
    """
    z, y, x = points
    shape = x.shape
    pixel = spacing[1]

    # Sulci are sheets that run inwards from the surface: zeros of a function that changes little along the way in.
    bent = points * (0.25 + 55 / (np.sqrt((points**2).sum(axis=0)) + 15))
    folds = body.folds(bent)
    slope = np.hypot(*np.gradient(folds, pixel, axis=(1, 2))) + 0.02
    below = np.maximum(head.brain - (15 + 4 * body.fold_depth(points)), 0)
    sulcus = np.hypot(np.abs(folds) / slope, below)
    fissure = np.hypot(x, np.maximum(head.brain - 27 - 2 * np.maximum(z - 20, 0), 0))
    cortex = np.minimum(np.minimum(head.brain, sulcus - 0.8), fissure - 0.8)  # depth under the nearest grey surface

    coarse, fine = noise(rng, shape, 3.6 / pixel), noise(rng, shape, 1.6 / pixel)
    lobules, patchy = noise(rng, shape, 2.4 / pixel), body.layers(points[::-1])
    white = body.white * (1 + 0.07 * coarse)
    grey = body.grey * (1 + 0.065 * fine)
    scalp = body.scalp * (0.86 + 0.09 * lobules + 0.10 * patchy)

    image = over(np.zeros(shape, np.float32), scalp, step(head.skin, pixel))
    image = over(image, body.bone, step(head.skull, pixel))
    image = over(image, body.fluid, step(head.inner, pixel))
    image = over(image, grey, step(cortex, pixel))
    image = over(image, white, step(cortex - 4.6, 2.5))
    for cz, cy, cx, hz, hy, hx in NUCLEI:
        inside = 1 - np.sqrt(((z - cz) / hz) ** 2 + ((y - cy) / hy) ** 2 + ((np.abs(x) - cx) / hx) ** 2)
        image = over(image, grey, step(inside * hx, 3.0))
    image = over(image, body.fluid, step(-head.ventricles, pixel))

    bright = body.scalp * 0.85
    plexus = np.sqrt(((z - 8) * 0.6) ** 2 + (y - 24) ** 2 + (np.abs(x) - 20) ** 2) - 3.2
    sinus = np.hypot(x, head.inner - 1.5) - 3.6
    image = over(image, bright, step(-plexus, pixel) * step(-head.ventricles, pixel))
    image = over(image, bright, step(-sinus, pixel) * (y > 0))
    angle, distance = np.arctan2(x, -y), np.hypot(x, y)
    for start, drift, depth, radius in body.vessels.tolist():
        turn = (angle - start - drift * z + np.pi) % (2 * np.pi) - np.pi
        image = over(image, bright, step(radius - np.hypot(distance * turn, head.brain - depth), pixel))
    return image


def spacing_mm(size: Sequence[int]) -> tuple[float, float]:
    """Across the slices and in the plane, mm."""
    slices, rows, columns = size
    return SLAB_MM / slices, FIELD_MM / max(rows, columns)


def grid_points(size: Sequence[int], spacing: tuple[float, float]) -> np.ndarray:
    """The voxels' centres, from the middle of the field of view."""
    steps = (spacing[0], spacing[1], spacing[1])
    axes = [(np.arange(length, dtype=np.float32) - (length - 1) / 2) * step for length, step in zip(size, steps)]
    return np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float32)


def rotation_zyx(about_z: float, about_y: float, about_x: float) -> np.ndarray:
    """(3, 3) rotation of (z, y, x) points; angles in radians."""
    total = np.eye(3)
    for angle, (a, b) in ((about_z, (1, 2)), (about_y, (0, 2)), (about_x, (0, 1))):
        one = np.eye(3)
        one[a, a] = one[b, b] = np.cos(angle)
        one[a, b], one[b, a] = -np.sin(angle), np.sin(angle)
        total = one @ total
    return total


def step(distance: np.ndarray, width: float) -> np.ndarray:
    """0 to 1 over `width` around distance 0: a voxel's share of tissue."""
    return np.clip(distance / np.float32(width) + 0.5, 0, 1)


def over(image: np.ndarray, value: np.ndarray | float, share: np.ndarray) -> np.ndarray:
    """`value` laid over the image where `share` (0 to 1) says."""
    return image + share * (value - image)


def noise(rng: np.random.Generator, shape: Sequence[int], pixels: float) -> np.ndarray:
    """Band-limited noise of unit variance with grains of `pixels` in the plane, independent between slices."""
    grains = ndimage.gaussian_filter(rng.standard_normal(shape, np.float32), (0, pixels / 2, pixels / 2), mode="wrap")
    return grains / max(float(grains.std()), 1e-6)
