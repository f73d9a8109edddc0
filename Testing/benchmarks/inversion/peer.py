"""(b) The peer: the U-Net of `diffusers`, with its own inverse scheduler or in one pass, at the size of InvDetect's network.

The same blocks (four stages down and up, no attention), the same time grid and depth, random weights: only its time is of interest. Its
residual blocks are two where InvDetect's decoder has one, so its widths are scaled down until the operations of a pass agree.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

WIDTHS = (16, 24, 48, 64)  # InvDetect's `standard` has 24, 48, 72, 96
_FOLD = 2


def operations(network: torch.nn.Module, *inputs: torch.Tensor) -> float:
    """Floating point operations of one pass."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(*inputs)
    return float(counter.get_total_flops())


class Peer:
    """The way to noise by `diffusers`; raises ImportError without it."""

    def __init__(self, steps: int, last: int, device: torch.device) -> None:
        """steps  network passes;  last  time at which the inversion ends"""
        from diffusers import DDIMInverseScheduler, UNet2DModel

        self._device = device
        self.network = UNet2DModel(
            sample_size=32,
            in_channels=_FOLD**2,
            out_channels=_FOLD**2,
            block_out_channels=WIDTHS,
            layers_per_block=1,
            norm_num_groups=8,
            down_block_types=("DownBlock2D",) * 4,
            up_block_types=("UpBlock2D",) * 4,
            add_attention=False,
        )
        self.network = self.network.requires_grad_(False).eval().to(device)
        self._scheduler = DDIMInverseScheduler(num_train_timesteps=1000, beta_start=1e-4, beta_end=0.02, clip_sample=False)
        self._scheduler.set_timesteps(200)
        self._times = [time for time in self._scheduler.timesteps.tolist() if time < last][:steps]

    @property
    def evaluations(self) -> int:
        """Network passes a patch."""
        return len(self._times)

    def invert(self, patches: np.ndarray) -> None:
        """Take (N, b, b) patches to noise."""
        z = functional.pixel_unshuffle(torch.from_numpy(patches[:, None]).to(self._device), _FOLD)
        with torch.no_grad():
            for time in self._times:
                z = self._scheduler.step(self.network(z, time).sample, time, z).prev_sample
        z.cpu()

    def once(self, images: torch.Tensor, time: int) -> torch.Tensor:
        """The noise predicted in whole images, both (N, 1, row, column) float32 on the device, by one pass."""
        with torch.no_grad():
            return functional.pixel_shuffle(self.network(functional.pixel_unshuffle(images, _FOLD), time).sample, _FOLD)
