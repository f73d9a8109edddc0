"""Images beyond the tile's side: the seams do not show."""

import numpy as np
import pytest
import torch

from InvDetectLib.methods.invdetect.inverter import Inverter
from InvDetectLib.methods.invdetect.once import NoiseSeen
from InvDetectLib.methods.invdetect.schedule import inversion_path
from InvDetectLib.methods.invdetect.tiles import tiles
from InvDetectLib.methods.invdetect.unet import UNet
from InvDetectLib.models.method_settings import Inversion
from InvDetectLib.models.model import Model

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def inverter() -> Inverter:
    """A trained network, that of a starter model; in float32, since bfloat16 rounds by as much as seams may show."""
    model = Model.load("fundus")
    network = UNet(3, model.settings.invdetect.network)
    network.load_state_dict({name: torch.from_numpy(model.arrays[f"network/{name}"].copy()) for name in network.state_dict()})
    return Inverter(network.requires_grad_(False).eval(), inversion_path(Inversion()), CPU, bfloat16=False)


def photograph(rows: int, columns: int) -> torch.Tensor:
    """Spots of every size on an uneven ground, one side much brighter than the other, so that no tile is like the whole."""
    generator = torch.Generator().manual_seed(4)
    image = torch.zeros(1, 3, rows, columns)
    for scale in (4, 16, 64):
        coarse = torch.randn((1, 3, rows // scale + 1, columns // scale + 1), generator=generator)
        image += 0.2 * torch.nn.functional.interpolate(coarse, size=(rows, columns), mode="bilinear")
    return (image + torch.linspace(-0.6, 0.6, columns)).clamp(-1, 1).permute(0, 2, 3, 1).contiguous()


@pytest.mark.parametrize("shape", [(512, 640), (700, 300)])
def test_a_slice_in_tiles_has_the_map_of_the_whole_slice(inverter, shape):
    image = photograph(*shape)
    whole, tiled = (NoiseSeen((0.7,), 1000, 128, side)(inverter, image) for side in (2048, 384))
    assert len(tiles(shape, 384, 16)) > 1
    assert (tiled - whole).abs().max() < 0.01 * whole.std(), "seams are within a hundredth of the map's spread"
    again = NoiseSeen((0.7,), 1000, 128, 2048)(inverter, image)
    assert torch.equal(again, whole), "the network is left as it was"


def test_tiles_own_every_pixel_once_and_begin_where_the_network_halves_evenly():
    owned = np.zeros((528, 720), int)
    for tile in tiles((528, 720), 384, 16):
        owned[tile.own] += 1
        for inner, own, whole in zip(tile.inner, tile.own, tile.whole):
            assert whole.start + inner.start == own.start and inner.stop - inner.start == own.stop - own.start
            assert whole.start % 16 == 0 and (whole.stop - whole.start) % 16 == 0
    assert (owned == 1).all()


def test_a_small_slice_is_one_tile():
    assert len(tiles((384, 128), 384, 16)) == 1
