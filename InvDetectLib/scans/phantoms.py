"""Made head-like scans with lesions of known place, for the demo and the tests: nobody's data, the same for the same seed.

A head is written down as distances in mm (to the skin, to the brain's surface, to the nearest sulcus, to the ventricles), so it is the same
smooth 3-D object whatever the grid; tissues are laid over each other with soft edges. Everything that varies between people varies with the seed.
Bright tissue is normal in places (scalp, vessels, choroid plexus), so that brightness alone does not find the lesions.

Inside this file points are (3, slice, row, column) float32 mm: z up, y backwards, x to the patient's left, from the middle of the head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from ..errors import InvDetectError

# Lesion number i of seed s is of kind KINDS[(s + i) % 4], so that any run of seeds holds all kinds alike.
KINDS = ("bright", "rough", "dark", "mass")
FIELD_MM = 256.0  # longer in-plane side of the field of view
SLAB_MM = 72.0  # from the lowest slice's lower to the highest slice's upper face
SMOOTH_SHARE = 0.15  # of the texture lesions: smoother than their surroundings instead of rougher
NUCLEI = ((8, -20, 14, 10, 9, 5), (2, -4, 27, 11, 17, 8), (4, 13, 12, 9, 13, 8))  # z, |y|.. of caudate, lentiform, thalamus; then half-axes, mm
HORNS = ((8, -32, 8, 0.9), (14, -6, 10, 0.8), (8, 26, 20, 1.2), (2, 40, 17, 0.6))  # z, y, |x| mm along a lateral ventricle; share of its radius


def make_head(seed: int, size: Sequence[int] = (12, 128, 128), lesions: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A made head, axial: slices inferior to superior, rows anterior to posterior, columns from the patient's right to left.

    seed     0 or more; the same seed gives the same head with and without lesions
    size     (slices, rows, columns); the field of view is always 256 mm along the longer in-plane side and 72 mm across the slices
    lesions  how many; their kinds follow `KINDS`, their diameters are 20 to 40 mm (10 to 20 pixels of a 128-pixel grid), less where they do not fit

    Returns the scan, float32 (slice, row, column) in a scanner's arbitrary units, 0 or more, and the lesion mask, uint8 0 or 1, the same shape.
    Raises InvDetectError when there is no room for so many lesions.
    """
    body_rng, texture_rng, lesion_rng, scanner_rng = (np.random.default_rng([seed, part]) for part in range(4))
    spacing = _spacing(size)
    body = _Body.draw(body_rng)
    points = body.in_head_frame(_grid_points(size, spacing))
    head = body.distances(points)
    placed: list[_Lesion] = []
    for number in range(lesions):
        placed.append(_place(KINDS[(seed + number) % len(KINDS)], points, head, placed, lesion_rng))
    for lesion in placed:
        if lesion.kind == "mass":
            points = lesion.pull(points)
    if any(lesion.kind == "mass" for lesion in placed):
        head = body.distances(points)
    image = _paint(body, points, head, spacing, texture_rng)
    mask = np.zeros(image.shape, bool)
    for lesion in placed:
        image, inside = _add(lesion, image, head, body, spacing, lesion_rng)
        mask |= inside
    return _acquire(image, points, scanner_rng), mask.astype(np.uint8)


def write_phantoms(folder: str | Path, count: int, first_seed: int = 0, size: Sequence[int] = (12, 128, 128), lesions: int = 0) -> list[Path]:
    """Write `count` heads (seeds from `first_seed` on) as NIfTI into `folder`; returns their paths in order of seed.

    Voxels are int16, slices stand up to 10 degrees oblique, spacing in mm follows from `make_head`'s field of view (2 x 2 x 6 mm for the
    default size). With lesions, masks (uint8) of the same names go into the sibling folder named as `folder` plus "-masks".
    Raises InvDetectError when the folder cannot be written.
    """
    folder = Path(folder)
    masks = folder.with_name(folder.name + "-masks")
    paths = []
    try:
        for seed in range(first_seed, first_seed + count):
            scan, mask = make_head(seed, size, lesions)
            path = folder / f"head-{seed:04d}.nii.gz"
            for place, array in ((folder, np.rint(scan).astype(np.int16)), (masks, mask)):
                if place is folder or lesions:
                    place.mkdir(parents=True, exist_ok=True)
                    sitk.WriteImage(_in_scanner(array, seed), str(place / path.name))
            paths.append(path)
    except (OSError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise InvDetectError(f"{folder}: the made scans cannot be written there ({reason}). Choose a folder that can be written.") from error
    return paths


# --- the body -------------------------------------------------------------------------------------------------------------------------------


class _Waves:
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
class _Head:
    """Distances in mm, each (slice, row, column) float32: depths grow inwards, the others are negative inside."""

    skin: np.ndarray
    skull: np.ndarray
    inner: np.ndarray
    brain: np.ndarray
    ventricles: np.ndarray


@dataclass(frozen=True)
class _Body:
    """What differs between people. Lengths in mm, brightness on a scale where scalp is near 1."""

    rotation: np.ndarray
    shift: np.ndarray
    half: np.ndarray  # half-axes of the head: z, y, x
    taper: float  # how much narrower the forehead is
    warp: tuple[_Waves, _Waves, _Waves]
    layers: _Waves
    folds: _Waves
    fold_depth: _Waves
    csf_gap: float
    horns: tuple[float, float]  # radius of the right and left lateral ventricle
    vessels: np.ndarray  # (n, 4): angle, drift of the angle per mm of z, depth in the brain, radius
    white: float
    grey: float
    fluid: float
    scalp: float
    bone: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> _Body:
        tilt, nod, turn = np.deg2rad(rng.normal(0, (4, 4, 5)))
        age = rng.uniform(0, 1)
        horn = 3.5 + 3.5 * age + rng.normal(0, 0.4)
        vessels = rng.integers(9, 16)
        return cls(
            rotation=_rotation(turn, tilt, nod),
            shift=rng.normal(0, (3, 4, 4)),
            half=np.array([74.0, 96.0, 76.0]) * rng.normal(1, 0.03) * rng.normal(1, 0.025, 3),
            taper=rng.uniform(0.04, 0.14),
            warp=(_Waves(rng, 130), _Waves(rng, 130), _Waves(rng, 130)),
            layers=_Waves(rng, 90),
            folds=_Waves(rng, 42, 20),
            fold_depth=_Waves(rng, 50),
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

    def distances(self, points: np.ndarray) -> _Head:
        z, y, x = points
        half_z, half_y, half_x = self.half.astype(np.float32)
        width = half_x * (1 + self.taper * y / half_y)
        scaled = np.stack([z / np.where(z < 0, 0.92 * half_z, half_z), y / half_y, x / width])
        radius = np.sqrt((scaled**2).sum(axis=0)) + 1e-3
        slope = np.sqrt((z / half_z**2) ** 2 + (y / half_y**2) ** 2 + (x / width**2) ** 2) / radius + 1e-6
        skin = (1 - radius) / slope
        uneven = self.layers(points)
        scalp = 6.5 + 1.3 * uneven + 3.0 * _step(-z - 8, 30) + 2.5 * _step(y - 45, 60)
        skull = skin - scalp
        inner = skull - (6.0 - 0.8 * uneven)
        return _Head(skin, skull, inner, inner - self.csf_gap, self._ventricles(points))

    def _ventricles(self, points: np.ndarray) -> np.ndarray:
        z, y, x = points
        nearest = np.sqrt(((z + 4) * 0.35) ** 2 + ((y - 2) * 0.2) ** 2 + x**2) - 2.0  # the third ventricle, a slit in the midline
        aside = np.abs(x)
        size = np.where(x < 0, *self.horns).astype(np.float32)
        for start, end in zip(HORNS[:-1], HORNS[1:]):
            a, step = np.array(start[:3], np.float32), np.subtract(end[:3], start[:3]).astype(np.float32)
            along = np.clip(((z - a[0]) * step[0] + (y - a[1]) * step[1] + (aside - a[2]) * step[2]) / (step @ step), 0, 1)
            away = np.sqrt((z - a[0] - along * step[0]) ** 2 * 0.5 + (y - a[1] - along * step[1]) ** 2 + (aside - a[2] - along * step[2]) ** 2)
            nearest = np.minimum(nearest, away - size * (start[3] + along * (end[3] - start[3])))
        return nearest


def _paint(body: _Body, points: np.ndarray, head: _Head, spacing: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """Tissues laid over each other from the outside inwards, each with its own texture."""
    z, y, x = points
    shape = x.shape
    pixel = spacing[1]

    # Sulci are sheets that run inwards from the surface: zeros of a function that changes little along the way in.
    bent = points * (0.25 + 55 / (np.sqrt((points**2).sum(axis=0)) + 15))
    folds = body.folds(bent)
    slope = np.sqrt(sum(np.gradient(folds, pixel, axis=axis) ** 2 for axis in (1, 2))) + 0.02 if min(shape[1:]) > 1 else np.ones(shape)
    below = np.maximum(head.brain - (15 + 4 * body.fold_depth(points)), 0)
    sulcus = np.hypot(np.abs(folds) / slope, below)
    fissure = np.hypot(x, np.maximum(head.brain - 27 - 2 * np.maximum(z - 20, 0), 0))
    cortex = np.minimum(np.minimum(head.brain, sulcus - 0.8), fissure - 0.8)  # depth under the nearest grey surface

    coarse, fine = _noise(rng, shape, 3.6 / pixel), _noise(rng, shape, 1.6 / pixel)
    lobules, patchy = _noise(rng, shape, 2.4 / pixel), body.layers(points[::-1])
    white = body.white * (1 + 0.05 * coarse)
    grey = body.grey * (1 + 0.055 * fine)
    scalp = body.scalp * (0.86 + 0.09 * lobules + 0.10 * patchy)

    image = _over(np.zeros(shape, np.float32), scalp, _step(head.skin, pixel))
    image = _over(image, body.bone, _step(head.skull, pixel))
    image = _over(image, body.fluid, _step(head.inner, pixel))
    image = _over(image, grey, _step(cortex, pixel))
    image = _over(image, white, _step(cortex - 4.6, 2.5))
    for cz, cy, cx, hz, hy, hx in NUCLEI:
        inside = 1 - np.sqrt(((z - cz) / hz) ** 2 + ((y - cy) / hy) ** 2 + ((np.abs(x) - cx) / hx) ** 2)
        image = _over(image, grey, _step(inside * hx, 3.0))
    image = _over(image, body.fluid, _step(-head.ventricles, pixel))

    bright = body.scalp * 0.85
    plexus = np.sqrt(((z - 8) * 0.6) ** 2 + (y - 24) ** 2 + (np.abs(x) - 20) ** 2) - 3.2
    sinus = np.hypot(x, head.inner - 1.5) - 3.6
    image = _over(image, bright, _step(-plexus, pixel) * _step(-head.ventricles, pixel))
    image = _over(image, bright, _step(-sinus, pixel) * (y > 0))
    angle, distance = np.arctan2(x, -y), np.hypot(x, y)
    for start, drift, depth, radius in body.vessels:
        turn = np.angle(np.exp(1j * (angle - start - drift * z))) if False else (angle - start - drift * z + np.pi) % (2 * np.pi) - np.pi
        image = _over(image, bright, _step(radius - np.hypot(distance * turn, head.brain - depth), pixel))
    return image


# --- lesions --------------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Lesion:
    kind: str
    centre: np.ndarray  # (3,) mm
    radius: float  # mm
    boundary: np.ndarray  # (slice, row, column) mm, negative inside

    def pull(self, points: np.ndarray) -> np.ndarray:
        """Where the tissue now at `points` lay before the lesion pushed it aside."""
        offset = points - self.centre[:, None, None, None]
        distance = np.sqrt((offset**2).sum(axis=0)) + 1e-3
        push = 0.55 * self.radius * np.exp(-np.maximum(distance - self.radius, 0) / 14)
        return points - offset * (np.minimum(push, 0.9 * distance) / distance)


def _place(kind: str, points: np.ndarray, head: _Head, others: Sequence[_Lesion], rng: np.random.Generator) -> _Lesion:
    """A lesion in white or grey matter, apart from the ventricles, the midline and the other lesions; smaller when it does not fit."""
    radius = float(rng.uniform(12, 20) if kind in ("rough", "mass") else rng.uniform(10, 18))
    order = rng.random(head.brain.shape)
    edge = _Waves(rng, 1.6 * radius)
    stretch = rng.uniform(0.85, 1.18, 3).astype(np.float32)
    while radius >= 6:
        fits = (head.brain > 0.75 * radius) & (head.ventricles > 0.85 * radius) & (np.abs(points[2]) > 0.9 * radius)
        for other in others:
            fits &= other.boundary > radius + 5
        if fits.any():
            where = np.unravel_index(np.argmax(np.where(fits, order, -1)), order.shape)
            centre = points[(slice(None), *where)]
            offset = np.abs(points - centre[:, None, None, None]) / stretch[:, None, None, None]
            rounded = np.cbrt((np.hypot(offset[1], offset[2]) ** 3) + offset[0] ** 3)
            return _Lesion(kind, centre, radius, rounded - radius * (1 + 0.09 * edge(points)))
        radius *= 0.8
    raise InvDetectError(f"A made head has no room for {len(others) + 1} lesions. Ask for fewer.")


def _add(
    lesion: _Lesion, image: np.ndarray, head: _Head, body: _Body, spacing: tuple[float, float], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The image with the lesion in it, and the lesion's voxels (bool)."""
    pixel = spacing[1]
    tissue = head.brain > 0
    inside = (lesion.boundary < 0) & tissue
    soft = tissue * _step(-lesion.boundary, {"bright": 5.0, "dark": 4.0}.get(lesion.kind, 2.5))
    fine = _noise(rng, image.shape, 1.6 / pixel)
    if lesion.kind == "bright":
        return _over(image, body.scalp * rng.uniform(0.8, 0.95) * (1 + 0.03 * fine), soft), inside
    if lesion.kind == "dark":
        return _over(image, body.fluid * rng.uniform(0.7, 1.2) * (1 + 0.03 * fine), soft), inside
    if lesion.kind == "mass":
        return _over(image, body.grey * rng.uniform(1.0, 1.08) * (1 + 0.055 * fine), soft), inside
    if rng.random() < SMOOTH_SHARE:
        return _over(image, float(image[inside].mean()), soft), inside
    rough = _noise(rng, image.shape, 1.5 / pixel)
    rough -= rough[inside].mean()
    return np.maximum(image + soft * rng.uniform(0.14, 0.18) * rough, 0.02), inside


# --- the scanner ----------------------------------------------------------------------------------------------------------------------------


def _acquire(image: np.ndarray, points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Coil shading, Rician noise and the scanner's own unit (150 to 900 for scalp)."""
    shading = np.exp(0.07 * _Waves(rng, 260)(points)).astype(np.float32)
    sd = rng.uniform(0.014, 0.022)
    gain = np.exp(rng.uniform(np.log(150), np.log(900)))
    real, imaginary = (sd * rng.standard_normal(image.shape, np.float32) for _ in range(2))
    return (gain * np.hypot(image * shading + real, imaginary)).astype(np.float32)


def _in_scanner(array: np.ndarray, seed: int) -> sitk.Image:
    """The array as an image, its slices somewhat oblique (LPS mm), the middle of the field of view near the scanner's."""
    rng = np.random.default_rng([seed, 4])
    in_plane, across = _spacing(array.shape)[1], _spacing(array.shape)[0]
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((in_plane, in_plane, across))
    turn = _rotation(*np.deg2rad(rng.uniform(-10, 10, 3)))[::-1, ::-1]
    image.SetDirection([float(value) for value in turn.ravel()])
    middle = image.TransformContinuousIndexToPhysicalPoint([(length - 1) / 2 for length in image.GetSize()])
    image.SetOrigin([float(value) for value in rng.normal(0, 8, 3) - np.array(middle)])
    return image


# --- arithmetic -----------------------------------------------------------------------------------------------------------------------------


def _spacing(size: Sequence[int]) -> tuple[float, float]:
    """Across the slices and in the plane, mm."""
    slices, rows, columns = size
    return SLAB_MM / slices, FIELD_MM / max(rows, columns)


def _grid_points(size: Sequence[int], spacing: tuple[float, float]) -> np.ndarray:
    steps = (spacing[0], spacing[1], spacing[1])
    axes = [(np.arange(length, dtype=np.float32) - (length - 1) / 2) * step for length, step in zip(size, steps)]
    return np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float32)


def _rotation(about_z: float, about_y: float, about_x: float) -> np.ndarray:
    """(3, 3) rotation of (z, y, x) points; angles in radians."""
    total = np.eye(3)
    for angle, (a, b) in ((about_z, (1, 2)), (about_y, (0, 2)), (about_x, (0, 1))):
        one = np.eye(3)
        one[a, a] = one[b, b] = np.cos(angle)
        one[a, b], one[b, a] = -np.sin(angle), np.sin(angle)
        total = one @ total
    return total


def _step(distance: np.ndarray, width: float) -> np.ndarray:
    """0 to 1 over `width` around distance 0: a voxel's share of tissue."""
    return np.clip(distance / np.float32(width) + 0.5, 0, 1)


def _over(image: np.ndarray, value: np.ndarray | float, share: np.ndarray) -> np.ndarray:
    return image + share * (value - image)


def _noise(rng: np.random.Generator, shape: Sequence[int], pixels: float) -> np.ndarray:
    """Band-limited noise of unit variance with grains of `pixels` in the plane, independent between slices."""
    noise = ndimage.gaussian_filter(rng.standard_normal(shape, np.float32), (0, pixels / 2, pixels / 2), mode="wrap")
    return noise / max(float(noise.std()), 1e-6)
