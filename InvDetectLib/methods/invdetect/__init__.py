"""The method InvDetect: patches, the noise that a diffusion model sees in them, and a one-class model of that noise.

In: slices in [-1, 1] and `InvDetectSettings`. Out: the score of every pixel, above 0 outside of what is normal (paper, Eq. 1).
"""

from .method import InvDetect
from .mirror_views import with_mirror_settled
from .noise_training import NoiseTrainer, PatchPool
from .patches import PatchGrid

__all__ = [
    "InvDetect",
    "NoiseTrainer",
    "PatchGrid",
    "PatchPool",
    "with_mirror_settled",
]
