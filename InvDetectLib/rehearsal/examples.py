"""What made lesions look like, for pictures: a few of each kind, at the contrast that words take as their example."""

from __future__ import annotations

import numpy as np

from ..models import EXAMPLES, KINDS, ContrastDetail
from ..results import greys_of
from ..scans import stretched
from .lesions import Lesion, grain, put
from .places import Places

Examples = dict[str, list[np.ndarray]]  # kind -> one picture for each of `example_sizes`, (row, column[, channel]) from 0 to 1
_AT = (1 / 6, 1 / 2, 5 / 6)  # of the way from the smallest to the largest size, log-spaced
_FIELD = 1.5  # of a picture: times its largest lesion
_SIDE = 288  # voxels of the made texture
_CELL = 1.5  # voxels: sigma of its grain


def example_sizes(sizes: tuple[float, float]) -> list[float]:
    """The sizes of the lesions that are shown."""
    low, high = sizes
    return [low * (high / low) ** at for at in _AT]


def examples_of(
    array: np.ndarray,
    inside: np.ndarray,
    background: float,
    spacing: tuple[float, ...],
    axis: int,
    sizes: tuple[float, float],
    rng: np.random.Generator,
) -> Examples:
    """Lesions in copies of a scan, each in the middle of a picture; all pictures have one scale and show a slice along `axis`.

    array, inside, background, spacing  as for `put`;  sizes  smallest and largest
    A lesion for which there is no room has no picture, and neither have those that are larger. Beyond the scan pictures are black.
    """
    shown = example_sizes(sizes)
    reach = [0 if one == axis else max(1, round(_FIELD * shown[-1] / 2 / spacing[one])) for one in range(3)]
    whole = np.zeros_like(inside)  # where a picture lies in the scan as a whole
    whole[tuple(slice(far, length - far) if length > 2 * far else slice(0) for far, length in zip(reach, inside.shape))] = True
    low, high = greys_of(array, inside)
    pictures: Examples = {}
    for kind in KINDS:
        pictures[kind] = []
        for size in shown:
            centre = _place(inside, whole, spacing, size / 2, rng)
            if centre is None:
                break
            changed = array.copy()
            put(changed, inside, spacing, centre, Lesion(kind, size, EXAMPLES[kind]), background, rng)
            image = np.nan_to_num(changed.take(centre[axis], axis).astype(np.float32), nan=low)
            around = [(far, far) for one, far in enumerate(reach) if one != axis] + [(0, 0)] * (array.ndim - 3)
            padded = np.pad(stretched(image, low, high), around)
            cut = [slice(centre[one], centre[one] + 2 * reach[one] + 1) for one in range(3) if one != axis]
            pictures[kind].append(padded[tuple(cut)])
    return pictures


def _place(
    inside: np.ndarray, whole: np.ndarray, spacing: tuple[float, ...], radius: float, rng: np.random.Generator
) -> tuple[int, ...] | None:
    """The middle of a lesion, where `whole` holds if there is such a place."""
    nothing = np.zeros_like(inside)
    found = Places(inside & whole, nothing, spacing).draw(radius, rng) if (inside & whole).any() else None
    return Places(inside, nothing, spacing).draw(radius, rng) if found is None else found


def made_examples(detail: ContrastDetail) -> Examples:
    """The same in a made texture as uneven as the tissue was, for who has no scan at hand."""
    surface = detail.surfaces[0]
    rng = np.random.default_rng(detail.seed)
    step = 3 * _FIELD * example_sizes(surface.sizes)[-1] / _SIDE
    texture = grain((1, _SIDE, _SIDE), (1.0, 1.0, 1.0), rng, _CELL)
    unevenness = 1 / max(detail.surface("bright").spread if "bright" in {one.kind for one in detail.surfaces} else surface.spread, 2.0)
    array = np.asarray(1 + unevenness * texture)
    inside = np.ones(array.shape, bool)
    return examples_of(array, inside, 0.0, (step, step, step), 0, surface.sizes, rng)
