"""The masses of held-out normals for a model that was calibrated before there were any, without training."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from InvDetectLib.calibration import Calibration, calibrate_method
from InvDetectLib.common import InvDetectError, Progress
from InvDetectLib.computing import find_device
from InvDetectLib.methods import Slices, make_method
from InvDetectLib.models import OTHER_DIRECTIONS, Model, calibrations
from InvDetectLib.scans import Prepared, Scan, find_masks, find_scans, match_mask, prepare, read_mask, read_scan

_SAME = 1e-3  # of the unit of the map: other processors round otherwise
MASSES = ("masses", "mass_unit")


def weighed(model: Model, paths: Sequence[Path], masks: Path | None, device: str, progress: Progress) -> Model:
    """The model with the masses of the normal scans it was calibrated on; as it is where it has them.

    paths  those scans;  masks  folder of the foregrounds that the model was calibrated with, None for its own rule
    Everything is measured anew by the stored network, and nothing else is kept of it: `InvDetectError` when units, thresholds or peaks come
    out otherwise than they are stored, as they do on other scans.
    """
    if all("masses" in stored for stored in _by_direction(model).values()):
        return model
    method = make_method(model.settings, find_device(device))
    method.load_arrays(model.arrays)
    found_scans, _ = find_scans(list(paths))  # in the order that they were calibrated in
    prepared = [_prepared(model, read_scan(one.path), masks) for one in found_scans]
    found, _ = calibrate_method(
        method,
        [method.look_over(Slices(one.slices, one.foreground)) for one in prepared],
        [one.grid for one in prepared],
        model.card["mean_neighbour_distance"],
        model.calibration["peak_unit"] == "scan",
        model.settings.refinement,
        progress,
    )
    own = model.settings.invdetect.direction
    again = calibrations(found, own)
    calibration = {name: _added(stored, again[name]) for name, stored in _by_direction(model).items()}
    others = {OTHER_DIRECTIONS: {name: one for name, one in calibration.items() if name != own}} if len(calibration) > 1 else {}
    return Model(model.settings, model.arrays, calibration[own] | others, model.card)


def _by_direction(model: Model) -> dict[str, dict[str, Any]]:
    return calibrations(model.calibration, model.settings.invdetect.direction)


def _prepared(model: Model, scan: Scan, masks: Path | None) -> Prepared:
    preparation, mask = model.settings.preparation, None
    if masks is not None:
        preparation = dataclasses.replace(preparation, foreground="masks")
        mask = read_mask(match_mask(scan.name, [one.path for one in find_masks(masks)[0]]), scan.geometry)
    return prepare(scan, preparation, model.part("intensity"), mask, model.settings.least_side)


def _added(stored: dict[str, Any], again: dict[str, Any]) -> dict[str, Any]:
    before, now = Calibration.from_dict(stored), Calibration.from_dict(again)
    for name in ("offset", "scale", "contiguity", "default_threshold", "thresholds", "peaks"):
        one, other = (np.asarray(getattr(calibration, name), float) for calibration in (before, now))
        if one.shape != other.shape or not np.allclose(one, other, rtol=_SAME, atol=_SAME):
            raise InvDetectError(f"Measured anew, {name} differs from what the model has stored, so its normals are not those it knew.")
    return {name: value for name, value in stored.items() if name != OTHER_DIRECTIONS} | {name: again[name] for name in MASSES}
