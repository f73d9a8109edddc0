"""Seconds that reading a DICOM series takes beside SimpleITK: `python Testing/benchmarks/reading_dicom.py [FOLDER]`.

The target is 1.3 times SimpleITK's own time for a series of 300 slices. FOLDER is a series of your own; without it 300 slices of 512x512
and a file of 300 frames of 256x256 are made. Both readers take turns and the fastest turn counts; ours includes order, checks and the
scan's digest.
"""

from __future__ import annotations

import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from InvDetectLib.scans import read_scan  # noqa: E402
from Testing.support.made_dicom import CT, place, write_frames, write_image  # noqa: E402

TURNS, SLICES, STEP = 7, 300, 1.25
TARGET = " (target 1.3)"


def make(folder: Path) -> tuple[Path, Path]:
    """A series as a CT scanner writes it, and a multi-frame file of as many slices."""
    rng = np.random.default_rng(0)
    facts = {"BitsStored": 12, "HighBit": 11, "RescaleSlope": "1", "RescaleIntercept": "-1024"}
    for k in range(SLICES):
        pixels = rng.integers(0, 4095, (512, 512)).astype(np.uint16)
        write_image(folder / "series" / f"{k * 7 % SLICES:03d}.dcm", pixels, CT, ImagePositionPatient=place(STEP * k), **facts)
    frames = rng.integers(0, 4095, (SLICES, 256, 256)).astype(np.uint16)
    return folder / "series", write_frames(folder / "frames.dcm", frames, [STEP * k for k in range(SLICES)])


def series(folder: Path) -> Callable[[], np.ndarray]:
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))  # sorted in space, which is not counted

    def read() -> np.ndarray:
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(names)
        return sitk.GetArrayFromImage(reader.Execute())

    return read


def compare(what: str, theirs: Callable[[], np.ndarray], path: Path, target: str = "") -> None:
    seconds: dict[str, list[float]] = {"SimpleITK": [], "InvDetect": []}
    same = True
    for _ in range(TURNS):
        start = time.perf_counter()
        array = theirs()
        seconds["SimpleITK"].append(time.perf_counter() - start)
        start = time.perf_counter()
        scan = read_scan(path)
        seconds["InvDetect"].append(time.perf_counter() - start)
        same = same and np.array_equal(scan.array, array)
    slow, fast = min(seconds["InvDetect"]), min(seconds["SimpleITK"])
    shape = "x".join(map(str, array.shape))
    print(f"{what} of {shape}: SimpleITK {fast:.2f} s, InvDetect {slow:.2f} s, ratio {slow / fast:.2f}{target}; same values: {same}")


def main() -> None:
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, pydicom {pydicom.__version__}", end=", ")
    print(f"SimpleITK {sitk.Version.VersionString()}")
    if len(sys.argv) > 1:
        compare("series", series(Path(sys.argv[1])), Path(sys.argv[1]), TARGET)
        return
    with tempfile.TemporaryDirectory() as name:
        folder, frames = make(Path(name))
        compare("series", series(folder), folder, TARGET)
        compare("frames", lambda: sitk.GetArrayFromImage(sitk.ReadImage(str(frames))), frames)


if __name__ == "__main__":
    main()
