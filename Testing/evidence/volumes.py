"""Volumes that the study writes for itself: whole or not at all, and only once."""

from __future__ import annotations

import os
from pathlib import Path

import SimpleITK as sitk


def write(image: sitk.Image, target: Path) -> Path:
    """Write a NIfTI file through a temporary one beside it; returns `target`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{os.getpid()}-{target.name}")
    sitk.WriteImage(image, str(draft), useCompression=True)
    os.replace(draft, target)
    return target


def thin(source: Path, target: Path, every: int) -> Path:
    """Every so many-th slice along the file's third axis, from the first on, in its place in space; an existing `target` is kept."""
    return target if target.exists() else write(sitk.ReadImage(str(source))[:, :, ::every], target)
