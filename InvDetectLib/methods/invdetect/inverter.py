"""The noise predictor at work: batches of patches to noise latents, as fast as the device allows.

Precision goes by time, not by step: where z is nearly free of noise, errors of the predictor are the largest part of what is measured,
so that everything before `_LOW_PRECISION_FROM` is float32. After that bfloat16 moves latents by half a percent, and is taken where the
device computes it in units of its own. The state z stays float32 throughout.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch

from .inversion import invert
from .schedule import Path
from .tiles import in_tiles
from .unet import UNet

_LOW_PRECISION_FROM = 100  # the time from which bfloat16 is good enough
_FEWEST = 8  # patches a CUDA graph takes at least


def has_bfloat16_units(device: torch.device) -> bool:
    """Whether the device multiplies matrices in bfloat16 faster than in float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu":
        return False
    asked = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(question is not None and question() for question in asked)


class Inverter:
    """A network on a device, and the path that patches take through it."""

    def __init__(self, network: UNet, path: Path, device: torch.device, bfloat16: bool | None = None) -> None:
        """bfloat16: whether late times are computed so; None: where the device has units for it."""
        self._path = path
        # channels last: the layout in which convolutions are fastest
        self._exact = network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        low = has_bfloat16_units(device) if bfloat16 is None else bfloat16
        self._low = copy.deepcopy(self._exact).to(torch.bfloat16) if low else self._exact
        self._replays: dict[tuple[UNet, torch.Size], _Replay] = {}

    def __call__(
        self,
        patches: torch.Tensor,
        on_noise: Callable[[torch.Tensor], None] | None = None,
        on_step: Callable[[], None] | None = None,
    ) -> torch.Tensor:
        """Latents of patches, both (N, C, b, b) float32 on the device; `on_noise` and `on_step` as for `invert`."""
        count = len(patches)
        graphs = patches.device.type == "cuda"
        if graphs:  # a graph knows one shape, so there are few of them
            missing = max(_FEWEST, 1 << (count - 1).bit_length()) - count
            patches = torch.cat([patches, patches.new_zeros(missing, *patches.shape[1:])])

        def predict(z: torch.Tensor, t: int) -> torch.Tensor:
            network = self._low if t >= _LOW_PRECISION_FROM else self._exact
            if not graphs:
                return _predict(network, z, torch.tensor([t], device=z.device))
            if (network, z.shape) not in self._replays:
                self._replays[network, z.shape] = _Replay(network, z)
            return self._replays[network, z.shape](z, t)

        heard = None if on_noise is None else lambda noise: on_noise(noise[:count])
        with torch.inference_mode():
            return invert(predict, patches, self._path, heard, on_step)[:count]

    @property
    def multiple(self) -> int:
        """What the sides of an image must be divided by."""
        return self._exact.multiple

    def once(self, images: torch.Tensor, t: int, side: int) -> torch.Tensor:
        """The noise predicted at time t in images of any size, both (N, C, row, column) float32 on the device.

        Images beyond `side` pixels are taken in tiles. Without graphs, which know one shape, and with the precision that the time allows.
        """
        network = self._low if t >= _LOW_PRECISION_FROM else self._exact
        with torch.inference_mode():
            time = torch.tensor([t], device=images.device)
            return in_tiles(network, lambda tile: _predict(network, tile, time), images, side)

    def forget(self) -> None:
        """Give back the memory of graphs: those of large batches keep as much as the batches took."""
        self._replays.clear()


def _predict(network: UNet, z: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    return network(z.to(network.stem.weight.dtype), t).float()


class _Replay:
    """A CUDA graph of one network's pass at one shape: some hundred small kernels, which would take longer to launch than to run."""

    def __init__(self, network: UNet, like: torch.Tensor) -> None:
        self._z = like.clone(memory_format=torch.channels_last)
        self._t = torch.zeros(1, dtype=torch.int64, device=like.device)
        here = torch.cuda.current_stream(like.device)
        stream = torch.cuda.Stream(like.device)
        stream.wait_stream(here)
        with torch.cuda.stream(stream):  # passes before the recording let cuDNN choose its algorithms
            for _ in range(3):
                _predict(network, self._z, self._t)
        here.wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._noise = _predict(network, self._z, self._t)

    def __call__(self, z: torch.Tensor, t: int) -> torch.Tensor:
        self._z.copy_(z)
        self._t.fill_(t)
        self._graph.replay()
        return self._noise.clone()  # the next replay writes over it
