"""DICOM series of every make that objects are written of, made in a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from InvDetectLib.scans import read_scan
from Testing.support.made_dicom import CLASSES, WHOLE, write_frames, write_image, write_series

PIXELS = np.random.default_rng(0).integers(0, 500, (6, 20, 24)).astype(np.uint16)
_NOWHERE: dict[str, Any] = {"ImagePositionPatient": None, "ImageOrientationPatient": None, "FrameOfReferenceUID": None}


def oblique_with_gaps(folder: Path) -> Path:
    return write_series(folder, PIXELS, SliceThickness="2", SpacingBetweenSlices="3")


def upside_down(folder: Path) -> Path:
    """Rows run upwards, so that the normal points to the feet."""
    return write_series(
        folder, PIXELS, ImageOrientationPatient=["1", "0", "0", "0", "-1", "0"], ImagePositionPatient=lambda k: ["5", "-7", str(4 * k)]
    )


def sagittal(folder: Path) -> Path:
    return write_series(
        folder, PIXELS, ImageOrientationPatient=["0", "1", "0", "0", "0", "-1"], ImagePositionPatient=lambda k: [str(4 * k), "1", "2"]
    )


def enhanced_shuffled(folder: Path) -> Path:
    order = [3, 0, 5, 1, 4, 2]
    return write_frames(_in(folder), PIXELS[order], [3.0 * k for k in order], **WHOLE)


def two_multiframe_files(folder: Path) -> Path:
    for name, frames in {"b": [0, 1, 2], "a": [3, 4, 5]}.items():
        write_frames(_in(folder, f"{name}.dcm"), PIXELS[frames], [3.0 * k for k in frames], **WHOLE)
    return folder


def one_slice(folder: Path) -> Path:
    return write_image(_in(folder), PIXELS[0], **WHOLE)


def radiograph(folder: Path) -> Path:
    return write_image(_in(folder), PIXELS[0], CLASSES + "1", **(WHOLE | _NOWHERE | {"Modality": "CR"}))


def fundus(folder: Path) -> Path:
    colours = np.random.default_rng(1).integers(0, 255, (20, 24, 3)).astype(np.uint8)
    eye = {"Modality": "OP", "SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0, "Laterality": "L"}
    return write_image(_in(folder), colours, CLASSES + "77.1.5.1", **(WHOLE | _NOWHERE | eye | {"PixelSpacing": None}))


PLACED: list[Callable[[Path], Path]] = [oblique_with_gaps, upside_down, sagittal, enhanced_shuffled, two_multiframe_files, one_slice]
FLAT: list[Callable[[Path], Path]] = [radiograph, fundus]


def as_series(nifti: Path, folder: Path) -> Path:
    """A scan as a DICOM series."""
    scan = read_scan(nifti)
    axes = np.reshape(scan.geometry.direction, (3, 3))
    values = np.round((scan.array - scan.array.min()) / np.ptp(scan.array) * 4000).astype(np.uint16)
    x, y, z = scan.geometry.spacing
    return write_series(
        folder,
        values,
        ImagePositionPatient=lambda k: [f"{value:.6f}" for value in np.array(scan.geometry.origin) + k * z * axes[:, 2]],
        ImageOrientationPatient=[f"{value:.6f}" for value in axes[:, :2].T.ravel()],
        PixelSpacing=[f"{y:.6f}", f"{x:.6f}"],
        SliceThickness=f"{z:.6f}",
    )


def _in(folder: Path, name: str = "frames.dcm") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name
