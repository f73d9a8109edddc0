"""Seconds of reading beside SimpleITK's own: `python Testing/benchmarks/reading.py`. Target: at most 1.3 times as long.

A volume of 256 x 256 x 256 int16, smooth with noise, so that it packs as scans do. Ours checks all of a file and hashes its voxels besides;
what that costs is printed apart.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import SimpleITK as sitk

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from InvDetectLib.scans import Scan, read_scan  # noqa: E402
from InvDetectLib.scans.nifti import read_nifti  # noqa: E402
from Testing.support.hardware import processor  # noqa: E402

SIDE = 256


def best_of_each(count: int, *works: Callable[[], object]) -> list[float]:
    """Seconds of the fastest of `count` runs of each, in turn, so that a busy machine is unfair to none."""
    seconds: list[list[float]] = [[] for _ in works]
    for _ in range(count):
        for kept, work in zip(seconds, works, strict=True):
            start = time.perf_counter()
            work()
            kept.append(time.perf_counter() - start)
    return [min(kept) for kept in seconds]


def main() -> None:
    print(f"{processor()}, SimpleITK {sitk.Version_VersionString()}, numpy {np.__version__}")
    random = np.random.default_rng(0)
    ramp = np.linspace(0, 900, SIDE)
    volume = (ramp[:, None, None] + ramp[:, None] + ramp + random.normal(0, 20, (SIDE,) * 3)).astype(np.int16)
    with tempfile.TemporaryDirectory() as folder:
        for end in ("nii", "nii.gz"):
            path = Path(folder) / f"{end.replace('.', '-')}.{end}"  # of a.nii.gz SimpleITK takes the voxels from a.nii, if that is there
            sitk.WriteImage(sitk.GetImageFromArray(volume), str(path))
            scan = read_scan(path)

            def theirs(path: Path = path) -> object:
                return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))

            def digest(scan: Scan = scan) -> object:
                return Scan.from_array(scan.array, scan.geometry, scan.name)

            reference, ours, hashing = best_of_each(5, theirs, lambda path=path: read_nifti(path), digest)  # type: ignore[misc]
            times = f"{ours / reference:.2f} times (at most 1.3)"
            print(f"{end:8}SimpleITK {reference:.3f} s, ours {ours:.3f} s: {times}; digest {hashing:.3f} s")


if __name__ == "__main__":
    main()
