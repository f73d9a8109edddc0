"""Where the midline of each slice runs, and what follows from it: the slice's reflection, and which pixels have a partner there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

SYMMETRIC = 0.45  # of `symmetry_of` normal scans: from here on left against right says something; the figures are in that docstring

@dataclass(frozen=True)
class Midlines:
    """One line a slice, on the grid on which it was found.

    With c the middle of the image, ((rows - 1) / 2, (columns - 1) / 2), the line of a slice is the set of points p, (row, column) in
    pixels, with (p - c) . n = offset and n = (sin angle, cos angle). At angle 0 it is upright and parts left from right; where angle is
    above 0 its upper end leans to the right of the image, where offset is above 0 it lies right of the middle.

    angle        (slice,) float64, radians
    offset       (slice,) float64, pixels
    correlation  (slice,) float32, -1 to 1: of the slice with its reflection, over the pixels whose partner is foreground too; NaN where
                 these are too few to tell (no foreground, or hardly any with a partner)
    """

    angle: np.ndarray
    offset: np.ndarray
    correlation: np.ndarray

    def __len__(self) -> int:
        return len(self.angle)

    def __getitem__(self, part: slice | np.ndarray) -> Midlines:
        """The lines of some of the slices, as `slice` picks them."""
        return Midlines(self.angle[part], self.offset[part], self.correlation[part])

    def points(self, number: int, shape: tuple[int, int]) -> tuple[tuple[float, float], tuple[float, float]]:
        """The upper and the lower end, each (row, column) in pixels, of the line of slice `number` within an image.

        shape  (rows, columns) of the grid on which the lines were found; pixels are whole: the image reaches from -0.5 to rows - 0.5.
        Raises ValueError where the line does not meet the image, which is then not the one in which it was found.
        """
        normal = normal_of(self.angle[number])
        along = np.array([normal[1], -normal[0]])
        middle = (np.array(shape) - 1) / 2
        foot = middle + float(self.offset[number]) * normal
        low, high = -np.inf, np.inf
        for start, way, length in zip(foot, along, shape):
            if abs(way) < 1e-12:
                low, high = (low, high) if -0.5 <= start <= length - 0.5 else (np.inf, -np.inf)
                continue
            near, far = sorted(((-0.5 - start) / way, (length - 0.5 - start) / way))
            low, high = max(low, near), min(high, far)
        if low > high:
            raise ValueError(f"the midline of slice {number} does not meet an image of {shape[0]} x {shape[1]} pixels")
        upper, lower = foot + low * along, foot + high * along
        return (float(upper[0]), float(upper[1])), (float(lower[0]), float(lower[1]))


def mirrored(values: np.ndarray, midlines: Midlines) -> np.ndarray:
    """Each slice reflected at its midline: what is left comes to the right, resampled linearly, beyond the rim the rim's own values.

    values  (slice, row, column, ...) on the grid of `midlines`, one line a slice

    Returns float32 of the same shape. Whether a pixel has a partner at all is for `paired` to say.
    """
    return _at(values, midlines, "nearest")


def paired(foreground: np.ndarray, midlines: Midlines) -> np.ndarray:
    """Pixels of the foreground whose partner on the other side of the midline lies inside the image and is foreground, too.

    foreground  (slice, row, column) bool on the grid of `midlines`, one line a slice

    Returns bool of the same shape. Where the field of view cuts one side, the other has no partners there.
    """
    return np.asarray(foreground & (_at(foreground, midlines, "constant") >= 0.5))


def symmetry_of(normals: Sequence[Midlines]) -> float:
    """How symmetric the normal scans are: the mean correlation of all their slices that have one; NaN where none has.

    normals  one `Midlines` a scan

    From `SYMMETRIC` on a model is offered left against right. On normal scans that models train on, rule `median` (the fundus: `local`),
    grid 128: FLAIR of heads (TCGA-LGG, 48 patients) 0.78; FLAIR of brains (SOOP, 119 each) axial 0.66, coronal 0.62, sagittal 0.28; T1 of
    brains (ds002748, 16 adults, as volumes) axial 0.70, coronal 0.67, sagittal 0.29; photographs of the fundus (IDRiD, 47) 0.16; made heads
    (12) 0.63. Air is no part of the pairs; with it, everything would look more symmetric.
    """
    found = np.concatenate([np.zeros(0, np.float32), *(one.correlation for one in normals)])
    found = found[np.isfinite(found)]
    return float(found.mean(dtype=np.float64)) if len(found) else float("nan")


def normal_of(angle: float) -> np.ndarray:
    """n, (row, column), of a line with this angle."""
    return np.array([np.sin(angle), np.cos(angle)])


def reflected(values: np.ndarray, angle: np.ndarray, offset: np.ndarray, middle: np.ndarray, mode: str) -> np.ndarray:
    """(slice, row, column, ...) float32, each slice at its line around `middle`: p comes from p - 2 ((p - middle) . n - offset) n.

    mode  of `scipy.ndimage`, for what lies beyond the rim
    """
    result = np.empty_like(values)
    for number in range(len(values)):
        normal = normal_of(angle[number])
        matrix = np.eye(2) - 2 * np.outer(normal, normal)
        shift = middle - matrix @ middle + 2 * offset[number] * normal
        images, into = (array[number].reshape(*values.shape[1:3], -1) for array in (values, result))
        for channel in range(images.shape[2]):
            into[..., channel] = ndimage.affine_transform(images[..., channel], matrix, shift, order=1, mode=mode)
    return result


def _at(values: np.ndarray, midlines: Midlines, mode: str) -> np.ndarray:
    if len(values) != len(midlines):
        raise ValueError(f"{len(values)} slices have {len(midlines)} midlines")
    middle = (np.array(values.shape[1:3]) - 1) / 2
    return reflected(np.ascontiguousarray(values, np.float32), midlines.angle, midlines.offset, middle, mode)
