"""What a stored result must be like: dtypes, shapes and places that its own scan and grid imply."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..common import InvDetectError
from ..models import Count, Share, from_values
from ..scans import Geometry, SliceGrid, largest_image
from .findings import Finding
from .reasons import Reasons


def layout(geometry: Geometry, grid: SliceGrid) -> dict[str, tuple[np.dtype, tuple[int, ...]]]:
    """dtype and shape of everything in NAME.refine.npz; bits are packed in array order."""
    slices, rows, columns = grid.shape
    bits = {"scored": grid.shape, "mask": grid.shape, "foreground": geometry.shape}
    return {
        "map": (np.dtype(np.float32), grid.shape),
        "edges_down": (np.dtype(np.float16), (slices, rows - 1, columns)),
        "edges_right": (np.dtype(np.float16), (slices, rows, columns - 1)),
        **{name: (np.dtype(np.uint8), ((math.prod(shape) + 7) // 8,)) for name, shape in bits.items()},
    }


@dataclass(frozen=True)
class _Stability:
    rows: tuple[tuple[Count, Count, Count, Share], ...]


def read_stability(rows: Any) -> dict[tuple[int, int, int], float] | None:
    """What a result.json says of the stability of findings, by their peak voxel. Raises `InvDetectError` for what cannot be."""
    if rows is None:
        return None
    return {(k, i, j): share for k, i, j, share in from_values(_Stability, {"rows": rows}, "stability").rows}


@dataclass(frozen=True)
class _Reasons:
    rows: tuple[tuple[Count, Count, Count, Reasons], ...]


def read_reasons(rows: Any) -> dict[tuple[int, int, int], Reasons]:
    """What a result.json says of the reasons of earlier findings, by their peak voxel. Raises `InvDetectError` for what cannot be."""
    return {(k, i, j): reasons for k, i, j, reasons in from_values(_Reasons, {"rows": rows}, "reasons").rows}


def check_inside(finding: Finding, geometry: Geometry, grid: SliceGrid) -> Finding:
    """The finding, when it lies inside its scan."""
    within = all(place < length for place, length in zip(finding.peak_index, geometry.shape))
    if not within or not finding.first_slice <= finding.last_slice < geometry.shape[grid.slice_axis]:
        raise InvDetectError(f"The finding {finding.label} lies outside of its scan; the file is damaged. Detect again.")
    return finding


def check_sizes(path: Path, geometry: Geometry, grid: SliceGrid) -> None:
    """Raise `InvDetectError` for a result of a scan that could not have been read here, or of a grid that no image may have: zeros pack so
    well that a small file can hold bits for any size, and maps of that size are made from them."""
    most = largest_image()
    if math.prod(geometry.shape) > most or math.prod(grid.shape) * np.dtype(np.float32).itemsize > most:
        raise InvDetectError(
            f"{path} is said to be of a scan of {geometry.shape} voxels, on a grid of {grid.shape}, which is more than can be computed "
            "with here. If it is not damaged, use a computer with more memory."
        )


def unpack(bits: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """The bits of a mask, packed in array order, as bool of that shape."""
    return np.unpackbits(bits, count=int(np.prod(shape))).reshape(shape).astype(bool)
