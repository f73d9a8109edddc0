"""Finding midlines: turned upright, a slice is correlated with itself, run backwards, for all shifts at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft, ndimage, optimize

from .midlines import Midlines, mirrored, paired

_COARSE, _FINE = 64, 128  # pixels along the longer side: where the line is looked for, and where it is placed
_ANGLES = np.deg2rad(np.arange(-12, 12.1, 2))
_NEAR = np.deg2rad([-2.0, -1.0, 0.0, 1.0, 2.0])  # around the best of these
_SHIFT = 0.12  # of the longer side
_SAMPLED = 24  # slices of a volume that are looked at
_ENOUGH = 0.05  # share of a slice that must be foreground, or paired, to say something about its symmetry
_CLIP = 2.5  # standard deviations: one bright lesion must not outweigh the head
_BLUR = 1.0  # pixels
CONFIG = {"high": 0.0, "outline": 0.0}


def find_midlines(values: np.ndarray, foreground: np.ndarray, volume: bool) -> Midlines:
    fine = _reduced(values, foreground, _FINE)
    coarse = _reduced(values, foreground, _COARSE)
    count = len(values)
    angle, offset = np.zeros(count), np.zeros(count)
    usable = np.flatnonzero(coarse.foreground.mean((1, 2)) >= _ENOUGH)
    if volume and len(usable):
        chosen = usable[np.unique(np.linspace(0, len(usable) - 1, _SAMPLED).round().astype(int))]
        found = _plane(coarse, fine, chosen)
        first, last = found[1], found[2]
        angle[:] = found[0]
        offset[:] = first + (last - first) * (np.arange(count) - chosen[0]) / max(1, chosen[-1] - chosen[0])
    else:
        for number in usable:
            angle[number], offset[number], _ = _plane(coarse, fine, np.array([number]))
    return Midlines(angle, offset, _correlation(coarse, angle, offset))


@dataclass(frozen=True)
class _Reduced:
    values: np.ndarray
    foreground: np.ndarray
    step: int
    middle: np.ndarray

    def offset(self, pixels):
        return pixels / self.step


def _reduced(values, foreground, side):
    rows, columns = values.shape[1:3]
    step = max(1, round(max(rows, columns) / side))
    middle = (np.array([rows, columns]) / 2) / step - 0.5
    padded = [(0, 0), (0, -rows % step), (0, -columns % step)]
    weight = foreground.astype(np.float32)
    image = values.mean(-1) * weight
    if step > 1:
        weight, image = (np.pad(a, padded).reshape(len(a), -(-rows // step), step, -(-columns // step), step).mean((2, 4)) for a in (weight, image))
    inside = weight >= 0.5
    return _Reduced(np.where(inside, image / np.maximum(weight, 1e-6), 0), inside, step, middle)


def _standardised(image, inside, blur):
    weight = inside.astype(np.float32)
    image = image * weight
    if blur:
        image = ndimage.gaussian_filter(image, blur) / np.maximum(ndimage.gaussian_filter(weight, blur), 1e-3)
    if CONFIG["high"]:
        s = CONFIG["high"] * max(image.shape)
        image = image - ndimage.gaussian_filter(image * weight, s, mode="constant") / np.maximum(ndimage.gaussian_filter(weight, s, mode="constant"), 1e-3)
    known = image[inside]
    middle = np.median(known)
    spread = 1.4826 * np.median(np.abs(known - middle)) + 1e-6
    known = np.clip(known, middle - _CLIP * spread, middle + _CLIP * spread)
    known = (known - known.mean()) / (known.std() + 1e-6)
    result = np.zeros_like(image)
    result[inside] = known
    return result


def _scores(reduced, number, angles, blur):
    """(angle, lag) and offsets in small pixels."""
    image = _standardised(reduced.values[number], reduced.foreground[number], blur)
    images = [image]
    if CONFIG["outline"]:
        images.append(CONFIG["outline"] * (reduced.foreground[number] - 0.5).astype(np.float32))
    margin = int(np.ceil(0.1 * max(image.shape)))
    shape = np.array(image.shape) + 2 * margin
    result = 0
    n = fft.next_fast_len(int(2 * shape[1] - 1), real=True)
    for img in images:
        turned = []
        for angle in angles:
            matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
            shift = reduced.middle - matrix @ ((shape - 1) / 2)
            turned.append(ndimage.affine_transform(img, matrix, shift, output_shape=tuple(shape), order=1, mode="constant"))
        turned = np.array(turned)
        energy = np.square(turned).sum((1, 2))
        spectrum = fft.rfft(turned, n, axis=2)
        own = fft.irfft(np.square(spectrum).sum(1), n, axis=1)[:, : 2 * shape[1] - 1]
        result = result + own / (energy[:, None] + 1e-6) * np.square(img).sum()
    return result  # lag l: offset l / 2 - (shape[1]-1)/2


def _window(scores, limit):
    half = scores.shape[1] // 2
    reach = int(np.ceil(2 * limit)) + 3
    reach = min(reach, half)
    return scores[:, half - reach : half + reach + 1], reach


def _plane(coarse, fine, chosen):
    limit = _SHIFT * max(fine.values.shape[1:]) * fine.step
    place = (chosen - chosen[0]) / max(1, chosen[-1] - chosen[0])
    stack, reach = [], 0
    for number in chosen:
        s, reach = _window(_scores(coarse, number, _ANGLES, 0), limit / coarse.step)
        stack.append(s)
    stack = np.array(stack)
    ends = np.arange(-int(2 * limit / coarse.step), int(2 * limit / coarse.step) + 1)
    if len(chosen) == 1:
        total = stack[0][:, ends + reach]
        a, o = np.unravel_index(total.argmax(), total.shape)
        first = last = ends[o]
    else:
        f, l = np.meshgrid(ends, ends, indexing="ij")
        total = 0
        for s, t in zip(stack, place):
            total = total + s[:, np.rint(f + (l - f) * t).astype(int) + reach]
        total = total - 1e-3 * abs(total.max()) * np.abs(f - l) / len(ends)
        a, o1, o2 = np.unravel_index(total.argmax(), total.shape)
        first, last = ends[o1], ends[o2]
    first, last = first / 2 * coarse.step, last / 2 * coarse.step
    # fine
    angles = _ANGLES[a] + _NEAR
    stack = []
    for number in chosen:
        s, reach = _window(_scores(fine, number, angles, _BLUR), limit / fine.step)
        stack.append(ndimage.spline_filter(s, order=3, mode="mirror"))
    stack = np.array(stack)
    numbers = np.arange(len(chosen))
    scale = np.abs(stack).max()

    def cost(x):
        lag = 2 * (x[1] + (x[-1] - x[1]) * place) + reach
        at = np.array([numbers, np.full(len(chosen), x[0]), lag])
        return -ndimage.map_coordinates(stack, at, order=3, mode="mirror", prefilter=False).sum() / scale

    return _optimise(cost, stack, numbers, place, reach, len(_NEAR) // 2, first / fine.step, last / fine.step, angles, fine.step, limit)


def _optimise(cost, stack, numbers, place, reach, a, first, last, angles, step, limit):
    start = [a, first] if len(place) == 1 else [a, first, last]
    b = limit / step
    found = optimize.minimize(cost, start, method="L-BFGS-B", bounds=[(0, len(angles) - 1)] + [(-b, b)] * (len(start) - 1), options={"eps": 1e-3})
    angle = angles[0] + (angles[1] - angles[0]) * found.x[0]
    return angle, found.x[1] * step, found.x[-1] * step


def _correlation(coarse, angle, offset):
    lines = Midlines(angle, offset / coarse.step, np.zeros(len(angle), np.float32))
    shift = coarse.middle - (np.array(coarse.values.shape[1:]) - 1) / 2
    own = lines.offset + np.sin(angle) * shift[0] + np.cos(angle) * shift[1]
    lines = Midlines(angle, own, lines.correlation)
    both = paired(coarse.foreground, lines)
    other = mirrored(coarse.values, lines) / np.maximum(mirrored(coarse.foreground.astype(np.float32), lines), 0.5)
    result = np.full(len(angle), np.nan, np.float32)
    for number in np.flatnonzero(both.mean((1, 2)) >= _ENOUGH):
        x, y = coarse.values[number][both[number]], other[number][both[number]]
        x, y = x - x.mean(), y - y.mean()
        result[number] = (x @ y) / np.sqrt((x @ x) * (y @ y) + 1e-12)
    return result
