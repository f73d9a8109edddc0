"""What the worker's commands about making models do.

  inspect            {folder, settings | options, masks?, seed?} -> {scans, left_out, preparation, problem}
                     scans: a table of all that could be read, {path, file, problem, size, spacing, orientation, range, kind, thumbnail},
                     with an empty problem where a scan can be used; size and spacing along column, row, slice (spacing None: unknown);
                     left_out: the other files, {path, file, problem}; problem: why the whole folder cannot be trained on, or ""
  preview            {scan, settings | options, masks?, folder?, slice?}; folder: what was inspected, which tells apart scans of one name
                     -> {image, foreground, patches, patch_size, slice, slices, pixel, unit, warnings}: see `scans.Preview`, `patches_of`
  estimate_training  {settings | options, device, slices?} -> {seconds, slices, patches, memory_bytes}
  train              {normals, settings | options, normals_test?, masks?, out, checkpoint?, resume?, device, seed?, licence?, card?}
                     -> {model, card, seconds, warnings}; progress of the stage "training" carries loss and samples
  calibrate          {model, normals, out, masks?, modality?, device} -> {model, card, seconds, warnings}: a model adapted to another
                     scanner by normal scans of it, see `adaptation.adapt`; model is a path or the name of an installed one

settings is `Settings.as_dict()`; options are those of `choose_settings`: preset, method, base, plane, grid, spacing_mm, intensity,
foreground, modality, direction, mirror, beside.
folder, normals, masks, out and checkpoint are absolute paths (normals may be a list of them). Looking at a folder needs no torch. A model
is written whole or not at all, and never over another one.
"""

from __future__ import annotations

import dataclasses
import os
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from ..common import InvDetectError, WrongUse, check_writable, shown
from ..methods import patches_of
from ..models import Settings, check_texts, choose_settings, output_path
from ..scans import ForegroundChoice, Found, Geometry, Scan, find_scans, read_scan, split, survey, thumbnail
from ..scans import preview as draw_preview
from .jobs import Job

_KINDS = {1: "grey", 3: "colour"}


def inspect(job: Job) -> dict[str, Any]:
    """`inspect`"""
    folder, settings = _absolute(job, "folder"), _settings(job)
    scans: list[dict[str, Any]] = []
    left_out: list[dict[str, str]] = []

    def tell(entry: Found, shown: tuple[np.ndarray, dict[str, Any]] | None, problem: str) -> None:
        row = {"path": str(entry.path), "file": str(entry.relative), "problem": problem}
        if shown is None:
            left_out.append(row)
            return
        picture, appearance = shown
        scans.append({**row, **appearance, "thumbnail": job.store(f"thumbnail-{len(scans)}", picture)})

    minimum, masks = settings.least_side, _masks(job)
    preparation, problem = settings.preparation, ""
    try:
        show = partial(_shown, plane=preparation.plane)
        found = survey(folder, preparation, minimum, masks, job.progress, show=show, on_scan=tell)
        preparation = found.preparation
        known = {row["path"] for row in (*scans, *left_out)}
        others = [entry for entry in found.left_out if str(entry.path) not in known]
        left_out += [{"path": str(e.path), "file": os.path.relpath(e.path, folder), "problem": e.reason} for e in others]
        split(len(found.candidates), settings.training, job.whole("seed") or 0, calibration_apart=False)
    except InvDetectError as error:
        job.progress.check()  # to have been stopped is no problem of the folder
        problem = str(error)
    return {"scans": scans, "left_out": left_out, "preparation": dataclasses.asdict(preparation), "problem": problem}


def preview(job: Job) -> dict[str, Any]:
    """`preview`"""
    settings, masks = _settings(job), _masks(job)
    path = job.path("scan")
    scan = read_scan(path)
    job.progress.check()
    mask = None
    if settings.preparation.foreground == "masks" and masks is not None:
        among = find_scans(_absolute(job, "folder"))[0] if job.maybe("folder", str) else ()
        mask = ForegroundChoice(masks).among(among).mask(scan, path)
    shown = draw_preview(scan, settings, mask, job.whole("slice"))
    patches, size = patches_of(settings, shown.foreground)
    return {
        "image": job.store("image", shown.image),
        "foreground": job.store("foreground", shown.foreground.astype(np.uint8)),
        "patches": patches.tolist(),
        "patch_size": size,
        "slice": shown.number,
        "slices": shown.slices,
        "pixel": shown.pixel,
        "unit": shown.unit,
        "warnings": [*scan.warnings, *shown.warnings],
    }


def estimate_training(job: Job) -> dict[str, Any]:
    """`estimate_training`"""
    from ..estimates import cost_of_training

    device, slices = job.maybe("device", str) or "auto", job.whole("slices") or 0
    return dataclasses.asdict(cost_of_training(_settings(job), device, slices, job.progress))


def train(job: Job) -> dict[str, Any]:
    """`train`"""
    from ..computing import is_left
    from ..training import train as run_training

    started = time.monotonic()
    target = output_path(_absolute(job, "out"))
    named = job.maybe("checkpoint", str)
    checkpoint = _absolute(job, "checkpoint") if named else target.with_name(target.name + ".checkpoint")
    for file in (target, checkpoint):
        check_writable(file.parent, "model", file.name)
    left = is_left(checkpoint)
    if left and not job.maybe("resume", bool):
        raise WrongUse(f"{checkpoint} is left from a training that did not finish; resume it, or delete that file to start anew.")
    if target.exists() and not left:
        raise WrongUse(f"{target} exists already; give another name, or delete it first.")
    texts = check_texts(job.maybe("card", dict) or {})
    settings = _settings(job)
    model = run_training(
        _normals(job),
        settings=settings,
        normals_test=_absolute(job, "normals_test") if job.maybe("normals_test", str) else None,
        masks=_masks(job),
        seed=job.whole("seed") or 0,
        device=job.maybe("device", str) or "auto",
        licence=job.maybe("licence", str) or "",
        card=texts,
        checkpoint=checkpoint,
        progress=job.progress,
    )
    model.save(target)
    checkpoint.unlink(missing_ok=True)
    seconds = round(time.monotonic() - started, 1)
    return {"model": str(target), "card": model.card, "seconds": seconds, "warnings": job.progress.warnings}


def calibrate(job: Job) -> dict[str, Any]:
    """`calibrate`"""
    from ..adaptation import adapt

    started = time.monotonic()
    target = output_path(_absolute(job, "out"))
    check_writable(target.parent, "model", target.name)
    if target.exists():
        raise WrongUse(f"{target} exists already; give another name, or delete it first.")
    model = adapt(
        job.text("model"),
        _normals(job),
        masks=_masks(job),
        modality=job.maybe("modality", str),
        device=job.maybe("device", str) or "auto",
        progress=job.progress,
    )
    job.progress.check()
    model.save(target)
    seconds = round(time.monotonic() - started, 1)
    return {"model": str(target), "card": model.card, "seconds": seconds, "warnings": job.progress.warnings}


def _settings(job: Job) -> Settings:
    whole = job.maybe("settings", dict)
    if whole is not None:
        return Settings.from_dict(whole)
    texts = ("method", "base", "plane", "intensity", "foreground", "modality", "direction", "beside")
    wishes = job.options(**{name: (str,) for name in texts}) | job.options(grid=(int,), spacing_mm=(int, float), mirror=(bool,))
    return choose_settings(job.maybe("preset", str) or "standard", **wishes)


def _absolute(job: Job, name: str) -> Path:
    return _checked(job.text(name), name)


def _checked(given: str, name: str) -> Path:
    if not os.path.isabs(given):
        raise WrongUse(f"{shown(given)} is no absolute path, and {name} must be one.")
    return Path(given)


def _masks(job: Job) -> Path | None:
    return _absolute(job, "masks") if job.maybe("masks", str) else None


def _normals(job: Job) -> list[str | Path]:
    given = job.maybe("normals", str, list)
    paths = given if isinstance(given, list) else [job.text("normals")]
    if not paths or not all(isinstance(path, str) for path in paths):
        raise WrongUse("normals must be an absolute path, or a list of them.")
    return [_checked(path, "normals") for path in paths]


def _shown(scan: Scan, plane: str) -> tuple[np.ndarray, dict[str, Any]]:
    """What a user sees of a scan in a table: a picture, and how it looks from outside."""
    return thumbnail(scan, plane), _appearance(scan)


def _appearance(scan: Scan) -> dict[str, Any]:
    """How a scan looks from outside, for a table."""
    geometry = scan.geometry
    finite = scan.array[np.isfinite(scan.array)] if np.issubdtype(scan.array.dtype, np.floating) else scan.array
    return {
        "size": list(geometry.shape[::-1]) if geometry.dimension == 3 else list(geometry.shape[:0:-1]),
        "spacing": [round(length, 4) for length in geometry.spacing[: geometry.dimension]] if geometry.unit == "mm" else None,
        "orientation": _orientation(geometry),
        "range": [float(finite.min()), float(finite.max())] if finite.size else None,
        "kind": _KINDS[scan.channels],
    }


def _orientation(geometry: Geometry) -> str:
    """Three letters, where columns, rows and slices run to, such as "LPS"; "" for pictures."""
    if geometry.dimension == 2:
        return ""
    return str(sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(geometry.direction))
