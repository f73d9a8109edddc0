"""NSA: patches of other slices, moved and scaled and blended in without an edge, labelled by how much they changed."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage

from .pasting import Box, Normals, Pasted, box_around, gradients, integrated

_MOST, _ANOTHER = 4, 0.5  # patches, and the chance of each after the first
_LEAST, _LARGEST = 0.06, 0.8  # sides of a patch, as shares of the image's (the authors' code has half of them, from the centre)
_SHAPE, _SCALE = 2.0, 0.1  # of the Gamma distribution by which a side is longer than the least
_RESIZED, _SPREAD = (0.7, 1.3), 0.5  # least and largest scale, and the standard deviation around 1
_STEEP, _MIDDLE = 1 / 3, 7  # of the logistic function of a change, in levels of 255
_LEVELS = 127.5  # of 255 for a difference of 1 between values in [-1, 1]
_UNCHANGED = 1.0  # levels of 255: what changed by no more is no anomaly
_MEDIAN = 5  # pixels


class NSA(Pasted):
    """Schlueter et al. 2022; see `contract.Peer`.

    As published: up to four rectangular patches, their sides 0.06 + Gamma(2, 0.1) of the image's and 0.8 at most, come from another slice,
    scaled by 0.7 to 1.3 and to another place, and are blended in by Poisson's equation with the patch's gradients; the label of a pixel
    that was changed is a logistic function of how much it was, made smooth by a median, and that of others 0; the loss is the binary
    cross-entropy of each pixel, the map is what the network says.
    Otherwise here: the library's U-Net instead of a ResNet with a decoder, on slices of at most 128 pixels; both patches lie around pixels
    of the foreground, which stands for the original's shares of object in them, and end where the image does; a logistic of 7 levels of
    255 with a steepness of a third, one of the pairs that the original uses; one median of 5 pixels for 11 at twice the resolution; where
    neither foreground nor a patch is, nothing counts; no rotations and crops of the training slices; Adam at 0.001 with a falling rate and
    averaged weights. Size small: widths 24 to 96, 2,000 steps of 8 slices or 15 minutes.
    """

    key, title = "nsa", "NSA"
    what = "a network's guess at how much each pixel was changed by patches of other slices"
    citation = "Schlueter, Tan, Hou, Kainz: Natural Synthetic Anomalies for Self-Supervised Anomaly Detection and Localization, ECCV 2022"

    def settings(self) -> dict[str, Any]:
        sizes = [_LEAST, _LARGEST, _SHAPE, _SCALE, *_RESIZED, _SPREAD]
        return super().settings() | {"patches": [_MOST, _ANOTHER], "sizes": sizes, "label": [_STEEP, _MIDDLE, _UNCHANGED, _MEDIAN]}

    def paste(self, normals: Normals, number: int, other: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        before, inside = normals.images[number], normals.inside[number]
        image, touched = before.copy(), np.zeros(inside.shape, bool)
        for patch in range(_MOST):
            if patch and rng.random() > _ANOTHER:
                continue
            height, width = inside.shape[0] * np.minimum(_LEAST + rng.gamma(_SHAPE, _SCALE, 2), _LARGEST)
            place, source = normals.place(number, rng), normals.place(other, rng)
            rows, columns = box = box_around(place, (height, width), inside.shape[0])
            foreign = _moved(normals.images[other], box, place, source, float(np.clip(rng.normal(1, _SPREAD), *_RESIZED)))
            image[:, rows, columns] = integrated(image[:, rows, columns], *gradients(foreign)).clip(-1, 1)
            touched[box] = True
        change = ndimage.median_filter(np.abs(image - before).mean(axis=0), _MEDIAN) * _LEVELS
        label = np.where(touched & (change > _UNCHANGED), 1 / (1 + np.exp(-_STEEP * (change - _MIDDLE))), 0)
        return image, label.astype(np.float32), inside | touched


def _moved(image: np.ndarray, box: Box, place: tuple[int, int], source: tuple[int, int], scale: float) -> np.ndarray:
    """(channel, row, column) of the box: what lies around `source`, scaled, brought around `place`."""
    rows, columns = ((np.arange(part.start, part.stop) - at) / scale + origin for part, at, origin in zip(box, place, source))
    where = np.meshgrid(rows, columns, indexing="ij")
    return np.stack([ndimage.map_coordinates(channel, where, order=1, mode="nearest") for channel in image])
