"""Another model from a trained network: other views, levels or direction, settled and calibrated on the same held-out normals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..common import Progress, WrongUse
from ..methods import Refittable, Slices, make_method, mean_neighbour_distance
from ..models import Model, Settings, sees
from ..scans import SliceGrid
from .held_out import calibrate_method

if TYPE_CHECKING:
    import torch


def refit(
    model: Model,
    settings: Settings,
    training: Sequence[Slices],
    held_out: Sequence[Slices],
    grids: Sequence[SliceGrid],
    contiguous: bool,
    device: torch.device,
    seed: int,
    progress: Progress,
) -> Model:
    """A model of these settings with the network of `model`; nothing is trained but a one-class model, where there is one.

    training  the slices that the network learned from;  held_out, grids, contiguous  as for `calibrate`
    Raises `WrongUse` for a method that has nothing to share, `InvDetectError` where settings want another network.
    """
    method = make_method(settings, device)
    if not isinstance(method, Refittable):
        raise WrongUse(f"The method {settings.method} cannot be fitted again without training; choose invdetect.")
    facts = method.refit(model.arrays, training, seed, progress)
    looked_over = [method.look_over(scan) for scan in held_out]
    method.settle(looked_over, progress)
    edges, distance = settings.refinement.edges, model.card["mean_neighbour_distance"]
    if edges != "image":  # those of images do not ask what a model makes of them
        distance = mean_neighbour_distance(method, training, edges, progress)
    calibration, calibrated = calibrate_method(method, looked_over, grids, distance, contiguous, settings.refinement, progress)
    arrays = method.arrays() | {f"{part}/{name}": values for part in ("intensity", "gallery") for name, values in model.part(part).items()}
    return Model(settings, arrays, calibration, {**model.card, "sees": sees(settings), **facts, **calibrated})
