"""The noise predictor at work: what is computed in bfloat16, and that it changes little."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from InvDetectLib.methods.invdetect.inverter import Inverter
from InvDetectLib.methods.invdetect.schedule import inversion_path
from InvDetectLib.methods.invdetect.unet import UNet
from InvDetectLib.models.method_settings import InvDetectSettings, Inversion, Network
from InvDetectLib.models.model import Model
from InvDetectLib.scans.phantoms import make_head

SETTINGS = InvDetectSettings(
    network=Network(widths=(24, 48, 72, 96), fold=2), inversion=Inversion(solver="multistep", evaluations=12, abar=0.28)
)


@pytest.fixture(scope="module")
def network() -> UNet:
    """A trained network: that of a starter model."""
    network = UNet(1, SETTINGS.network)
    arrays = Model.load("brain-t1").arrays
    network.load_state_dict({name: torch.from_numpy(arrays[f"network/{name}"].copy()) for name in network.state_dict()})
    return network.requires_grad_(False).eval()


@pytest.fixture(scope="module")
def patches() -> torch.Tensor:
    head = make_head(3, (3, 128, 128))[0][1]
    head = np.clip(head / np.median(head[head > head.mean()]) * 1.5 - 1.5, -1, 1).astype(np.float32)
    return torch.from_numpy(np.stack([head[r : r + 64, c : c + 64] for r in (0, 32, 64) for c in (32, 64)])[:, None])


def distance(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).norm() / other.norm())


def test_bfloat16_at_late_times_moves_latents_by_less_than_a_hundredth(network: UNet, patches: torch.Tensor) -> None:
    path = inversion_path(SETTINGS.inversion)
    exact, mixed = (Inverter(network, path, torch.device("cpu"), bfloat16=low)(patches) for low in (False, True))
    assert mixed.dtype == torch.float32 and 0 < distance(mixed, exact) < 0.01


def test_early_times_stay_in_float32(network: UNet, patches: torch.Tensor) -> None:
    early = inversion_path(Inversion(solver="ddim", steps=200, abar=0.9))
    assert early.times[-1] < 110
    exact, mixed = (Inverter(network, early, torch.device("cpu"), bfloat16=low)(patches) for low in (False, True))
    assert torch.equal(mixed, exact)


def test_few_evaluations_land_where_all_steps_do(network: UNet, patches: torch.Tensor) -> None:
    every = inversion_path(Inversion(solver="ddim", steps=200, abar=SETTINGS.inversion.abar))
    few = inversion_path(SETTINGS.inversion)
    assert few.evaluations * 5 < every.evaluations
    slow, fast = (Inverter(network, path, torch.device("cpu"))(patches) for path in (every, few))
    assert distance(fast, slow) < 0.05
