"""The upper bound of METHOD.md 7.5: a perfect score of each window, put together as InvDetect puts its windows together."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import numpy as np
from scipy import ndimage

from InvDetectLib.computing.tensors import to_array, to_tensor
from InvDetectLib.methods.invdetect.patches import PatchGrid, aggregate, holds_foreground, window_places
from InvDetectLib.scans import read_scan

from .maps import Mapped
from .rows import Row
from .sets import Case
from .study import Study


class Oracle:
    """The lesion's share of each window that `standard` scores, through Eq. 1. It has seen the truth and is no method."""

    rows = (
        Row(
            "oracle-windows",
            "bound: oracle window score",
            "each window that standard scores gets the lesion's share of it (METHOD.md 7.5): what the size of the windows allows at most",
            "bound",
        ),
    )

    def settings(self, study: Study) -> dict[str, Any]:
        method = study.settings("standard", "standard").invdetect
        return {"oracle": [dataclasses.asdict(method.patches), dataclasses.asdict(method.features)]}

    def fit(self, study: Study) -> dict[str, Any]:
        return {}

    def score(self, study: Study, case: Case) -> tuple[Mapped, ...]:
        started = time.monotonic()
        method = study.settings("standard", "standard").invdetect
        scan = read_scan(case.scan)
        _, prepared = study.prepared(case)
        truth = study.truth(case)
        lesion = prepared.grid.to_grid(np.zeros(scan.array.shape[:3]) if truth is None else truth.astype(np.float32))
        size, window = method.patches.size, method.features.window if method.features.kind != "latent" else method.patches.size
        share = window_means(lesion, window)
        patches = PatchGrid.over(lesion.shape[1:], method.patches).places(prepared.foreground, method.patches.min_foreground)
        offsets, weights = window_places(size, window, method.features.spacing)
        places = (patches[:, None] + np.column_stack([np.zeros(len(offsets), np.int64), offsets])[None]).reshape(-1, 3)
        usable = holds_foreground(prepared.foreground, places, window, method.window_foreground)
        places, weights = places[usable], np.tile(weights, len(patches))[usable]
        scores = to_tensor(share[tuple(places.T)].astype(np.float32))[:, None]
        averaged, _ = aggregate(scores, to_tensor(weights), to_tensor(places), window, lesion.shape)
        native = prepared.grid.from_grid(to_array(averaged)[..., 0])
        nothing = np.zeros(native.shape, bool)
        seconds = time.monotonic() - started
        return (Mapped(native, nothing, prepared.native_foreground, prepared.grid.slice_axis, seconds, len(lesion)),)


def window_means(values: np.ndarray, window: int) -> np.ndarray:
    """(slice, row, column) float32: the mean of the window whose first pixel is here; 0 beyond the last row and column."""
    half = -(window // 2)  # a centred mean, moved by half a window
    return ndimage.uniform_filter(values.astype(np.float32), (1, window, window), origin=(0, half, half), mode="constant")
