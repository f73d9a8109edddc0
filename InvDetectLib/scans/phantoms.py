"""Made head-like scans with lesions of known place, for the demo and the tests: nobody's data, the same for the same seed.

What differs between people and between scanners varies with the seed. Bright tissue is normal in places (scalp, vessels, choroid plexus),
and most lesions are not bright, so that brightness alone does not find them. The anatomy is in `phantom_anatomy`, with its units and axes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..common import InvDetectError
from .geometry import Geometry
from .phantom_anatomy import Body, Head, Waves, grid_points, noise, over, paint, rotation_zyx, spacing_mm, step

# Lesion number i of seed s is of kind KINDS[(s + i) % 5], so that any run of seeds holds all kinds in their shares.
KINDS = ("bright", "rough", "dark", "bright", "mass")


def make_head(seed: int, size: Sequence[int] = (12, 128, 128), lesions: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A made head, axial: slices inferior to superior, rows anterior to posterior, columns from the patient's right to left.

    seed     0 or more; the same seed gives the same head with and without lesions
    size     (slices, rows, columns); the field of view is always 224 mm along the longer in-plane side and 72 mm across the slices
    lesions  how many; their kinds follow `KINDS`; 18 to 35 mm across (10 to 20 pixels of a 128-pixel grid), less where they do not fit

    Returns the scan, float32 (slice, row, column) in a scanner's arbitrary units, 0 or more, and the lesion mask, uint8 0 or 1, same shape.
    Raises InvDetectError when there is no room for so many lesions.
    """
    body_rng, texture_rng, lesion_rng, scanner_rng = (np.random.default_rng([seed, part]) for part in range(4))
    spacing = spacing_mm(size)
    body = Body.draw(body_rng)
    points = source = body.in_head_frame(grid_points(size, spacing))
    head = body.distances(points)
    placed: list[_Lesion] = []
    for number in range(lesions):
        placed.append(_place(KINDS[(seed + number) % len(KINDS)], points, head, placed, lesion_rng))
    masses = [lesion for lesion in placed if lesion.kind == "mass"]
    if masses:
        source = points - sum(lesion.push(points) for lesion in masses)
        head = body.distances(source)
    image = paint(body, source, head, spacing, texture_rng)
    mask = np.zeros(image.shape, bool)
    for lesion in placed:
        image, inside = _add(lesion, image, head, body, spacing, lesion_rng)
        mask |= inside
    return _acquire(image, points, scanner_rng), mask.astype(np.uint8)


def write_phantoms(
    folder: str | Path, count: int, first_seed: int = 0, size: Sequence[int] = (12, 128, 128), lesions: int = 0
) -> list[Path]:
    """Write `count` heads (seeds from `first_seed` on) as NIfTI into `folder`; returns their paths in order of seed.

    Voxels are int16, slices stand up to 10 degrees oblique, spacing in mm follows from `make_head`'s field of view (1.75 x 1.75 x 6 mm for
    the default size). With lesions, masks (uint8) of the same names go into the sibling folder named as `folder` plus "-masks".
    Raises InvDetectError when the folder cannot be written.
    """
    folder = Path(folder)
    masks = folder.with_name(folder.name + "-masks")
    paths = []
    for seed in range(first_seed, first_seed + count):
        scan, mask = make_head(seed, size, lesions)
        geometry = _in_scanner(seed, scan.shape)  # type: ignore[arg-type]  # three lengths
        paths.append(folder / f"head-{seed:04d}.nii.gz")
        _write(paths[-1], geometry.to_image(np.rint(scan).astype(np.int16)))
        if lesions:
            _write(masks / paths[-1].name, geometry.to_image(mask))
    return paths


def _write(path: Path, image: sitk.Image) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sitk.WriteImage(image, str(path), useCompression=True)
    except (OSError, RuntimeError) as error:
        raise InvDetectError(f"{path}: the made scan cannot be written. Choose a folder that is writable and has room.") from error


# --- lesions ------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Lesion:
    kind: str
    centre: np.ndarray  # (3,) mm
    radius: float  # mm
    boundary: np.ndarray  # (slice, row, column) mm, negative inside

    def push(self, points: np.ndarray) -> np.ndarray:
        """How far (mm, the shape of `points`) the tissue now at `points` was pushed away from the centre by the growing lesion."""
        offset = points - self.centre[:, None, None, None]
        distance = np.sqrt((offset**2).sum(axis=0)) + 1e-3
        length = 0.55 * self.radius * np.exp(-np.maximum(distance - self.radius, 0) / 14)
        return offset * (np.minimum(length, 0.9 * distance) / distance)


def _place(kind: str, points: np.ndarray, head: Head, others: Sequence[_Lesion], rng: np.random.Generator) -> _Lesion:
    """A lesion in white or grey matter, apart from the ventricles, the midline and the other lesions; smaller when it does not fit."""
    radius = float(rng.uniform(12, 17.5) if kind in ("rough", "mass") else rng.uniform(9, 17))
    order = rng.random(head.brain.shape)
    edge = Waves(rng, 1.6 * radius)
    stretch = rng.uniform(0.85, 1.18, 3).astype(np.float32)
    while radius >= 6:
        fits = (head.brain > 0.75 * radius) & (head.ventricles > 0.85 * radius) & (np.abs(points[2]) > 0.9 * radius)
        for other in others:
            fits &= other.boundary > radius + 5
        if fits.any():
            centre = points.reshape(3, -1)[:, np.argmax(np.where(fits, order, -1))]
            offset = np.abs(points - centre[:, None, None, None]) / stretch[:, None, None, None]
            # Blunt at both ends, so that no slice holds a mere sliver of a lesion.
            rounded = ((offset[1] ** 2 + offset[2] ** 2) ** 2 + offset[0] ** 4) ** 0.25
            return _Lesion(kind, centre, radius, rounded - radius * (1 + 0.09 * edge(points)))
        radius *= 0.8
    raise InvDetectError(f"A made head has no room for {len(others) + 1} lesions. Ask for fewer.")


def _add(
    lesion: _Lesion, image: np.ndarray, head: Head, body: Body, spacing: tuple[float, float], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The image with the lesion in it, and the lesion's voxels (bool)."""
    pixel = spacing[1]
    tissue = head.brain > 0
    inside = (lesion.boundary < 0) & tissue
    soft = tissue * step(-lesion.boundary, {"bright": 5.0, "dark": 4.0}.get(lesion.kind, 2.5))
    fine = noise(rng, image.shape, 1.6 / pixel)
    if lesion.kind == "bright":
        return over(image, body.scalp * rng.uniform(0.85, 1.0) * (1 + 0.03 * fine), soft), inside
    if lesion.kind == "dark":
        return over(image, body.fluid * rng.uniform(0.7, 1.2) * (1 + 0.03 * fine), soft), inside
    if lesion.kind == "mass":
        return over(image, body.grey * rng.uniform(1.03, 1.12) * (1 + 0.065 * fine), soft), inside
    # Only rougher, never smoother: under this noise a smooth patch cannot be seen by eye either (tried, and missed by the detector).
    rough = noise(rng, image.shape, 1.5 / pixel)
    rough -= rough[inside].mean()
    # the floor keeps tissue above nothing, but must not lift the air around the head
    return np.where(soft > 0, np.maximum(image + soft * rng.uniform(0.14, 0.18) * rough, 0.02), image), inside


# --- the scanner ------------------------------------------------------------------------------------------------------------------


def _acquire(image: np.ndarray, points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Coil shading, Rician noise and the scanner's own unit (150 to 900 for scalp)."""
    shading = np.exp(0.07 * Waves(rng, 260)(points)).astype(np.float32)
    sd = rng.uniform(0.014, 0.022)
    gain = np.exp(rng.uniform(np.log(150), np.log(900)))
    real, imaginary = (sd * rng.standard_normal(image.shape, np.float32) for _ in range(2))
    return (gain * np.hypot(image * shading + real, imaginary)).astype(np.float32)


def _in_scanner(seed: int, shape: tuple[int, int, int]) -> Geometry:
    """Somewhat oblique slices, the middle of the field of view near the scanner's."""
    rng = np.random.default_rng([seed, 4])
    across, in_plane = spacing_mm(shape)
    direction = rotation_zyx(*np.deg2rad(rng.uniform(-10, 10, 3)))[::-1, ::-1]
    spacing = (in_plane, in_plane, across)
    middle = direction @ ((np.array(shape[::-1]) - 1) / 2 * spacing)
    return Geometry(shape, spacing, tuple(rng.normal(0, 8, 3) - middle), tuple(direction.ravel()))
