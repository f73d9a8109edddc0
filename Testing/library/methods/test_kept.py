"""Prepared slices in a file: they come back as they were put in, and however many there are, few are in memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from InvDetectLib.common import InvDetectError, scratch
from InvDetectLib.methods import KeptSlices, Slices
from InvDetectLib.methods.contract import places_with_foreground
from InvDetectLib.methods.invdetect.noise_training import PatchPool
from InvDetectLib.models import Patches
from Testing.support import REPOSITORY
from Testing.support.tiny_model import full_disk

CPU = torch.device("cpu")
WALK = """
import resource, sys
from pathlib import Path
import numpy as np
import torch
from InvDetectLib.common import scratch
from InvDetectLib.methods import KeptSlices, Slices
from InvDetectLib.methods.contract import places_with_foreground
from InvDetectLib.methods.invdetect.noise_training import PatchPool
from InvDetectLib.models import Patches

scan = Slices(np.full((64, 128, 128, 1), 0.5, np.float32), np.ones((64, 128, 128), bool))
with scratch(Path(sys.argv[1]), "slices", 0) as file:
    kept, peaks = KeptSlices(file), []
    for _ in range(4):
        for _ in range(30):
            kept.append(scan)
        pool = PatchPool(kept, Patches(size=128, stride=32), torch.device("cpu"))
        for first in range(0, len(pool), 64):
            pool.take(np.arange(first, min(first + 64, len(pool))))
        places_with_foreground(kept)
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
print(*peaks)
"""


def scan(seed: int, shape: tuple[int, ...] = (3, 20, 24, 1)) -> Slices:
    rng = np.random.default_rng(seed)
    return Slices(rng.uniform(-1, 1, shape).astype(np.float32), rng.random(shape[:3]) < 0.5)


def test_scans_come_back_in_order_rounded_to_half_precision(tmp_path: Path) -> None:
    scans = [scan(0), scan(1, (1, 33, 7, 3)), scan(2)]
    with scratch(tmp_path, "slices", 0) as file:
        kept = KeptSlices(file)
        for one in scans:
            kept.append(one)
        others = KeptSlices(file, kept.places)  # what another process is told
        assert len(kept) == len(others) == 3 and len(kept[1:]) == 2
        for one, found, other in zip(scans, kept, others):
            assert np.array_equal(found.values, one.values.astype(np.float16)) and np.array_equal(found.foreground, one.foreground)
            assert np.array_equal(found.values, other.values) and not found.values.flags.writeable
            part = found.part(slice(0, 1)).values
            assert part.dtype == np.float32 and np.array_equal(part, one.values[:1].astype(np.float16))
        assert np.array_equal(kept[1:][0].values, kept[1].values)
        assert file.path.stat().st_size <= KeptSlices.size(one.values.shape for one in scans) < file.path.stat().st_size + 65536


def test_two_parts_share_a_file(tmp_path: Path) -> None:
    with scratch(tmp_path, "slices", 0) as file:
        parts = KeptSlices(file), KeptSlices(file)
        for number in range(6):
            parts[number % 2].append(scan(number))
        for number in range(6):
            assert np.array_equal(parts[number % 2][number // 2].foreground, scan(number).foreground)


def test_a_square_beyond_the_slice_is_background_there(tmp_path: Path) -> None:
    one = scan(0)
    with scratch(tmp_path, "slices", 0) as file:
        kept = KeptSlices(file)
        kept.append(one)
        wanted = np.pad(one.values[1], ((4, 8), (4, 4), (0, 0)), constant_values=-1).astype(np.float16)
        assert np.array_equal(kept[0].square(1, -4, -4, 32), wanted)
        assert np.array_equal(kept[0].square(1, 3, 5, 8), one.values[1, 3:11, 5:13].astype(np.float16))


def test_a_pool_cuts_the_same_patches_from_a_file_as_from_memory(tmp_path: Path) -> None:
    scans = [scan(0), scan(1, (2, 40, 12, 1))]  # one side of the other is smaller than a patch
    patches = Patches(size=16, stride=8)
    rounded = [Slices(one.values.astype(np.float16).astype(np.float32), one.foreground) for one in scans]
    with scratch(tmp_path, "slices", 0) as file:
        kept = KeptSlices(file)
        for one in scans:
            kept.append(one)
        pools = [PatchPool(one, patches, CPU) for one in (kept, rounded)]
        assert np.array_equal(pools[0].places, pools[1].places) and len(pools[0]) == 20
        numbers = np.arange(len(pools[0]))[::-1]
        assert torch.equal(pools[0].take(numbers), pools[1].take(numbers))
        assert pools[0].take(numbers[:1]).shape == (1, 1, 16, 16)
        assert np.array_equal(places_with_foreground(kept), places_with_foreground(rounded))


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    with scratch(tmp_path, "slices", 0) as file, full_disk(10_000), pytest.raises(InvDetectError, match="slices cannot be written"):
        kept = KeptSlices(file)
        for number in range(10):
            kept.append(scan(number))


def test_memory_does_not_grow_with_the_number_of_scans(tmp_path: Path) -> None:
    """Each of the four rounds adds 94 MB to the file, and all of it is read."""
    done = subprocess.run(
        [sys.executable, "-c", WALK, str(tmp_path)], cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=True
    )
    peaks = [int(peak) for peak in done.stdout.split()]  # KB
    assert peaks[3] - peaks[0] < 40_000, peaks
