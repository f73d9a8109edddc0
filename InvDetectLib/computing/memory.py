"""When memory is short: how much to take at once, and what is said about it."""

from __future__ import annotations

import torch

from .tensors import describe_device

NOWHERE = "There is not enough memory here, in however small portions; close other programs, or use a smaller grid or fewer scans."


def affordable(device: torch.device, most: int, bytes_each: int) -> int:
    """How many things of `bytes_each` to take at once: a power of two, at most `most`, that fits into half of the device's free memory.

    Only CUDA tells what is free; elsewhere it is `most`, until memory turns out to be short.
    """
    if device.type != "cuda":
        return most
    free, _ = torch.cuda.mem_get_info(device)
    fitting = max(1, int(free) // 2 // bytes_each)
    return min(most, 1 << (fitting.bit_length() - 1))


def release(device: torch.device) -> None:
    """Give back what torch keeps of a device's memory for later; call it outside of `except`, which keeps the arrays alive."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def halved(device: torch.device, batch: int, what: str = "patches") -> str:
    """The warning for going on with `batch` patches, or whatever is taken, at once."""
    return f"The memory of {describe_device(device)} was not enough, so only {batch} {what} are taken at once from here on."


def moved(device: torch.device) -> str:
    """The warning for leaving `device`."""
    return f"The memory of {describe_device(device)} was not enough even for few patches; the CPU goes on, which takes longer."
