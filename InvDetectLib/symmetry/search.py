"""Finding midlines: turned upright by an angle, a slice is correlated with itself run backwards, for all shifts at once.

The sum over pixels of x(p) x(partner of p) is a convolution of the rows with themselves, which the Fourier transform gives for every place
of the line. Intensities are centred, so chance pairs add nothing and pixels without a partner neither: where the field of view cuts one
side, what is left decides. They are also freed of shading and clipped hard, so a lesion weighs no more than the tissue it replaces.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft, ndimage, optimize

from .midlines import Midlines, normal_of, reflected

_COARSE, _FINE = 64, 128  # pixels along the longer side: where the line is looked for, and where it is placed
_ANGLES = np.deg2rad(np.arange(-12, 12.1, 2))
_AROUND = np.deg2rad(np.arange(-3, 3.1, 1.5))  # the best of these
_SHIFT = 0.12  # of the longer side
_INSIDE = 0.45  # of the columns: a narrow image still holds its line
_SLICES = 24  # of a volume, spread evenly, place its plane
_ENOUGH = 0.05  # share of a slice that must be foreground, or paired, to say something about its symmetry
_SHADING = 0.08  # of the longer side: what is smoother than this is shading
_CLIP = 1.0  # standard deviations
_UPRIGHT = 0.06  # of the foreground's votes, for upright lines in the middle: one half of a brain has a midline, too
_BLUR = 1.0  # pixels
_SKIP = 2  # of the smoothed, upright rows every other one says enough


def find_midlines(values: np.ndarray, foreground: np.ndarray, volume: bool) -> Midlines:
    """Where left and right meet in each slice: the line at which the slice is most like its reflection.

    values      (slice, row, column, channel) float32 in [-1, 1] on the model's grid, left and right along the columns; the mean of the
                channels is looked at
    foreground  (slice, row, column) bool
    volume      the slices are those of one gapless volume: one plane through all of them, so that they share an angle and the offset
                runs linearly with the slice's number. Slices without symmetry (a mass, a neck) are outvoted by the others. Else each
                slice has a line of its own.

    It is looked for within 12 degrees of upright and 12 % of the longer side from the middle, on about 64 pixels, and then placed, to a
    fraction of a pixel and of a degree, within 3 degrees and 2 of those pixels. Slices with less than 5 % of foreground get the volume's
    line, or angle and offset 0. The correlation is taken over slices of about 64 pixels, too, so that noise hardly lowers it.
    Raises ValueError for arrays that do not belong together.
    """
    if values.ndim != 4 or foreground.shape != values.shape[:3]:
        raise ValueError(f"slices of shape {values.shape} have a foreground of shape {foreground.shape}")
    grey = values.mean(axis=3, dtype=np.float32)
    coarse = _Small.of(grey, foreground, _COARSE)
    usable = np.flatnonzero(coarse.foreground.mean((1, 2)) >= _ENOUGH)
    angle, offset = np.zeros(len(values)), np.zeros(len(values))
    if volume and len(usable):
        chosen = usable[np.unique(np.linspace(0, len(usable) - 1, min(_SLICES, len(usable))).round().astype(int))]
        angle[:], first, last = _plane(coarse, _Small.of(grey[chosen], foreground[chosen], _FINE), chosen)
        offset[:] = first + (last - first) * _places(np.arange(len(values)), chosen)
    elif len(usable):
        fine = _Small.of(grey[usable], foreground[usable], _FINE)
        for place, number in enumerate(usable):
            angle[number], offset[number], _ = _plane(coarse, fine[place : place + 1], usable[place : place + 1])
    return Midlines(angle, offset, _correlation(coarse, angle, offset))


@dataclass(frozen=True)
class _Small:
    """Slices with fewer pixels.

    grey, foreground  (slice, row, column) float32, 0 outside the foreground, and bool
    step              one pixel in pixels of the grid
    middle            where the middle of the grid lies here, row and column; in the middle of these slices where `step` divides the sides
    """

    grey: np.ndarray
    foreground: np.ndarray
    step: int
    middle: np.ndarray

    @classmethod
    def of(cls, grey: np.ndarray, foreground: np.ndarray, side: int) -> _Small:
        """Means over squares of whole pixels, of what is foreground in them, so that the longer side has about `side` pixels."""
        rows, columns = grey.shape[1:]
        step = max(1, round(max(rows, columns) / side))
        weight = foreground.astype(np.float32)
        total, weight = _summed(grey * weight, step), _summed(weight, step)
        inside = weight >= 0.5 * step**2
        mean = np.divide(total, weight, out=np.zeros_like(total), where=inside)
        return cls(mean, inside, step, np.array([rows, columns]) / (2 * step) - 0.5)

    def __getitem__(self, part: slice) -> _Small:
        return _Small(self.grey[part], self.foreground[part], self.step, self.middle)


def _summed(images: np.ndarray, step: int) -> np.ndarray:
    """Sums over squares of `step` pixels; beyond the rim nothing."""
    if step == 1:
        return images
    count, rows, columns = images.shape
    padded = np.pad(images, ((0, 0), (0, -rows % step), (0, -columns % step))) if rows % step or columns % step else images
    return np.asarray(padded.reshape(count, -(-rows // step), step, -(-columns // step), step).sum((2, 4)))


def _places(numbers: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Where slices lie between the first of the chosen ones, 0, and the last, 1."""
    return (numbers - chosen[0]) / max(1, chosen[-1] - chosen[0])


def _plane(coarse: _Small, fine: _Small, chosen: np.ndarray) -> tuple[float, float, float]:
    """The plane on which the chosen slices agree best: its angle, and its offset in the first and in the last of them, in pixels.

    coarse  all slices;  fine  the chosen ones alone
    """
    place = _places(chosen, chosen)
    rows, columns = coarse.foreground.shape[1:]
    limit = min(_SHIFT * max(rows, columns), _INSIDE * columns)  # in coarse pixels
    reach = int(2 * limit)
    ends = np.arange(-reach, reach + 1)  # twice the offset
    votes = [_symmetry(coarse.grey[number], coarse.foreground[number], coarse.middle, _ANGLES, reach) for number in chosen]
    away = np.square(_ANGLES / _ANGLES[-1])[:, None] + np.square(ends / max(1, reach))
    votes = [vote - _UPRIGHT * away * area for vote, area in zip(votes, coarse.foreground[chosen].sum((1, 2)))]
    if len(chosen) == 1:
        turn, first = np.unravel_index(votes[0].argmax(), votes[0].shape)
        last = first
    else:
        lags = np.rint(ends[:, None] + (ends[None, :] - ends[:, None]) * place[:, None, None]).astype(int)
        total = np.sum([vote[:, lag + reach] for vote, lag in zip(votes, lags)], axis=0)
        turn, first, last = np.unravel_index(total.argmax(), total.shape)
    scale = coarse.step / fine.step
    start = np.array([ends[first], ends[last]]) * scale  # twice the offset, in fine pixels
    angles = _ANGLES[turn] + _AROUND
    slack = 4 * scale
    reach = int(np.ceil(np.abs(start).max() + slack)) + 1
    votes = [_symmetry(grey, inside, fine.middle, angles, reach) for grey, inside in zip(fine.grey, fine.foreground)]
    turned, *found = _peak(np.array(votes), place, start, slack)
    return float(np.interp(turned, np.arange(len(angles)), angles)), found[0] / 2 * fine.step, found[1] / 2 * fine.step


def _peak(votes: np.ndarray, place: np.ndarray, start: np.ndarray, slack: float) -> tuple[float, float, float]:
    """Between the samples of `votes` (slice, angle, twice the offset): where their sum along a plane is largest, near `start`.

    Returns the angle as a fractional index, and twice the offset at both ends.
    """
    splines = np.stack([ndimage.spline_filter(vote, order=3, mode="mirror") for vote in votes])
    numbers, middle, reach = np.arange(len(votes)), (votes.shape[1] - 1) / 2, votes.shape[2] // 2
    total = votes.max((1, 2)).sum() + 1e-9

    def cost(plane: np.ndarray) -> float:
        lags = plane[1] + (plane[-1] - plane[1]) * place + reach
        where = np.array([numbers, np.full(len(numbers), plane[0]), lags])
        return float(-ndimage.map_coordinates(splines, where, order=3, mode="mirror", prefilter=False).sum() / total)

    ends = start[: min(len(votes), 2)]  # a single slice has one
    bounds = [(0, 2 * middle), *((end - slack, end + slack) for end in ends)]
    begin = np.array([middle, *ends])
    simplex = np.concatenate([begin[None], begin + np.diag([0.4, *(0.8 for _ in ends)])])
    options = {"initial_simplex": simplex, "xatol": 0.01, "fatol": 1e-7}
    found = optimize.minimize(cost, begin, method="Nelder-Mead", bounds=bounds, options=options)
    return float(found.x[0]), float(found.x[1]), float(found.x[-1])


def _symmetry(grey: np.ndarray, inside: np.ndarray, middle: np.ndarray, angles: np.ndarray, reach: int) -> np.ndarray:
    """How much of a slice finds its like on the other side, for lines of these angles and all offsets up to `reach` / 2.

    Returns (angle, twice the offset from -reach to reach), float32, at most the number of pixels of the foreground.
    """
    image = _evened(grey, inside)
    # Cubic, and smoothed before: linear interpolation blurs a turned image more than an upright one, which draws the line to angle 0.
    splines = ndimage.spline_filter(image, 3, np.float32, mode="mirror")
    margin = int(np.ceil(0.1 * max(image.shape))) + 2  # for what leaves the image when it is turned
    shape = (image.shape[0] + 2 * margin) // _SKIP, image.shape[1] + 2 * margin
    upright = np.empty((len(angles), *shape), np.float32)
    for number, angle in enumerate(angles):
        across = normal_of(angle)
        matrix = np.array([[_SKIP * across[1], across[0]], [-_SKIP * across[0], across[1]]])  # columns: along the line, and across
        shift = middle - matrix @ (np.array(shape) - 1) / 2
        ndimage.affine_transform(splines, matrix, shift, shape, upright[number], 3, prefilter=False)
    length = fft.next_fast_len(2 * shape[1] - 1, real=True)
    backwards = fft.irfft(np.square(fft.rfft(upright, length, axis=2)).sum(1), length, axis=1)
    centre = shape[1] - 1
    return np.asarray(backwards[:, centre - reach : centre + reach + 1] * _SKIP)


def _evened(grey: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """A slice, smoothed, without its shading, clipped, with mean 0 and deviation 1 inside the foreground and 0 outside."""
    weight = inside.astype(np.float32)
    image = _smoothed(grey, weight, _BLUR) - _smoothed(grey, weight, _SHADING * max(grey.shape))
    known = image[inside]
    middle = np.median(known)
    spread = _CLIP * 1.4826 * np.median(np.abs(known - middle)) + 1e-6
    known = np.clip(known, middle - spread, middle + spread)
    result = np.zeros_like(grey)
    result[inside] = (known - known.mean()) / (known.std() + 1e-6)
    return result


def _smoothed(grey: np.ndarray, weight: np.ndarray, sigma: float) -> np.ndarray:
    """A Gaussian mean over the foreground alone."""
    total, share = (ndimage.gaussian_filter(image, sigma, mode="constant", truncate=3.0) for image in (grey * weight, weight))
    return np.asarray(total / np.maximum(share, 1e-3))


def _correlation(small: _Small, angle: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """`Midlines.correlation` of the lines with these angles, and offsets in pixels of the grid."""
    both = np.stack([small.grey, small.foreground], axis=3, dtype=np.float32)
    other = reflected(both, angle, offset / small.step, small.middle, mode="constant")
    result = np.full(len(angle), np.nan, np.float32)
    for number, (grey, inside) in enumerate(zip(small.grey, small.foreground)):
        pair = inside & (other[number, ..., 1] >= 0.5)
        if pair.mean() >= _ENOUGH:
            x, y = grey[pair], other[number, ..., 0][pair] / other[number, ..., 1][pair]
            x, y = x - x.mean(), y - y.mean()
            result[number] = x @ y / np.sqrt((x @ x) * (y @ y) + 1e-12)
    return result
