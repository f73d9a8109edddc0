"""Where and how numbers are computed: devices, their memory, optimisation, checkpoints. Knows nothing of images.

In: a device's name, arrays, a network. Out: tensors there and arrays back, work that shrinks or moves where memory is short.
"""

from .checkpoint import Checkpoint
from .claim import claim, is_left
from .memory import affordable
from .optimisation import Trainer
from .placing import Placed
from .ranks import ALONE, Ranks, together
from .tensors import (
    compute_on_threads,
    compute_repeatably,
    describe_device,
    find_device,
    list_devices,
    thread_count,
    to_array,
    to_tensor,
)
from .weights import load_network, unfit, unfitting

__all__ = [
    "ALONE",
    "Checkpoint",
    "Placed",
    "Ranks",
    "Trainer",
    "affordable",
    "claim",
    "compute_on_threads",
    "compute_repeatably",
    "describe_device",
    "find_device",
    "is_left",
    "list_devices",
    "load_network",
    "thread_count",
    "to_array",
    "to_tensor",
    "together",
    "unfit",
    "unfitting",
]
