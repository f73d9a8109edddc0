"""Clocks and meters of the benchmark."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from Testing.support.hardware import processor


def hardware(device: torch.device) -> str:
    """The machine and the versions, in one line."""
    what = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "numpy", "scikit-learn", "diffusers"))
    return f"{processor()}, {os.cpu_count()} cores, {what}, {platform.system()}, Python {platform.python_version()}, {versions}"


def measured(work: Callable[[], object], device: torch.device, repeats: int) -> tuple[float, int]:
    """Seconds of the fastest of `repeats` runs after one that warms up, and the peak of memory in bytes (0: not known)."""
    work()
    _forget_peak(device)
    seconds = []
    for _ in range(repeats):
        _wait(device)
        start = time.perf_counter()
        work()
        _wait(device)
        seconds.append(time.perf_counter() - start)
    return min(seconds), _peak(device)


def matrix_rate(device: torch.device) -> dict[str, float]:
    """FLOP/s of large matrix products in float32 and bfloat16."""
    side = 8192 if device.type == "cuda" else 1024
    rates = {}
    for name, kind in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        matrix = torch.ones(side, side, device=device, dtype=kind)
        seconds, _ = measured(lambda: matrix @ matrix, device, 5)  # noqa: B023
        rates[name] = 2 * side**3 / seconds
    return rates


def sentence(row: dict[str, Any], rate: dict[str, float]) -> str:
    """One line of the table."""
    seconds = f"{row['seconds']:.2f} s{' (scaled)' if row['scaled'] else ''}"
    share = row["flops"] / max(rate.values())
    return (
        f"{row['what']:>17} {row['mode']:6}{seconds:>18} {row['ms_a_slice']:8.0f} ms a slice {row['patches_a_second']:8.1f} patches/s "
        f"{row['flops'] / 1e9:8.1f} GFLOP/s ({share:.0%} of matrix products) {row['peak_bytes'] / 1e6:6.0f} MB at most"
    )


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _forget_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif Path("/proc/self/clear_refs").exists():
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            pass  # then the peak is that of the process so far


def _peak(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)
