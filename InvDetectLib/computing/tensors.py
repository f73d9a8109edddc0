"""Where numpy arrays become torch tensors and back, and which device computes. The only such place.

torch 2.2 (the last one on Intel Macs) was built against numpy 1 and cannot convert arrays of numpy 2 by itself, so arrays
cross through the buffer protocol and DLPack, which need neither side's C interface.
"""

from __future__ import annotations

import numpy as np
import torch

from ..common import InvDetectError, shown

_DTYPES = {
    "float32": torch.float32,
    "float64": torch.float64,
    "float16": torch.float16,
    "int64": torch.int64,
    "int32": torch.int32,
    "uint8": torch.uint8,
    "bool": torch.bool,
}


def to_tensor(array: np.ndarray, device: torch.device | str = "cpu") -> torch.Tensor:
    """A tensor with the array's shape, values and dtype (float16/32/64, int32/64, uint8, bool), in memory of its own."""
    array = np.array(array, order="C", copy=True)
    dtype = _DTYPES[array.dtype.name]
    if array.size == 0:
        return torch.empty(array.shape, dtype=dtype, device=device)
    return torch.frombuffer(array.data.cast("B"), dtype=dtype).reshape(array.shape).to(device)


def to_array(tensor: torch.Tensor) -> np.ndarray:
    """A writable array with the tensor's shape, values and dtype, in memory of its own."""
    plain = tensor.detach().to("cpu").contiguous()
    if plain.dtype == torch.bool:
        return np.array(np.from_dlpack(plain.to(torch.uint8)), copy=True).astype(bool)
    return np.array(np.from_dlpack(plain), copy=True)


def find_device(name: str = "auto") -> torch.device:
    """The device called "auto", "cpu", "cuda", "cuda:N" or "mps"; auto takes CUDA, then MPS, then the CPU.

    Raises `InvDetectError` when the wanted device is not there: nobody should wait for a CPU who asked for a GPU.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", 0)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    kind, _, number = name.partition(":")
    if kind == "cpu" and not number:
        return torch.device("cpu")
    if kind == "mps" and not number and torch.backends.mps.is_available():
        return torch.device("mps")
    if kind == "cuda" and (number or "0").isdigit() and torch.cuda.is_available() and int(number or 0) < torch.cuda.device_count():
        return torch.device("cuda", int(number or 0))
    raise InvDetectError(f"The device {shown(name)} is not available here; this machine has {', '.join(list_devices())}.")


def thread_count() -> int:
    """On how many threads of the CPU torch computes."""
    return torch.get_num_threads()


def compute_repeatably() -> None:
    """One thread, and of several algorithms always the same: sums are taken in one order then, also on another machine of this kind."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True, warn_only=True)


def compute_on_threads(count: int) -> None:
    """So many threads, and whichever algorithm is fastest: as in a process in which `compute_repeatably` was never called."""
    torch.set_num_threads(count)
    torch.use_deterministic_algorithms(False)


def list_devices() -> list[str]:
    """Names that `find_device` accepts here, "cpu" first."""
    devices = ["cpu"]
    devices += [f"cuda:{number}" for number in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    return devices + (["mps"] if torch.backends.mps.is_available() else [])


def describe_device(device: torch.device) -> str:
    """For result files: "cpu" or the accelerator's own name."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
