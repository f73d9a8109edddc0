"""Cohorts, remedies, and scans whose axes are stored in another order."""

from __future__ import annotations

import csv
import re
import shutil
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from Testing.cases.trying import MODEL, Check, Wrong, detected, in_the_world, invdetect, running


def two_runs(case: Path, work: Path) -> str:
    for name in ("a/x1", "b/y1"):
        (work / name).parent.mkdir()
        shutil.copy(case / "base.nii.gz", work / f"{name}.nii.gz")
    with running("detect", work / "a", "-m", MODEL, "-o", work / "out") as one:
        with running("detect", work / "b", "-m", MODEL, "-o", work / "out") as other:
            one.communicate(), other.communicate()
    with (work / "out" / "findings.csv").open(newline="") as file:
        scans = {row["scan"] for row in csv.DictReader(file)}
    if (one.returncode, other.returncode, scans) != (0, 0, {"x1.nii.gz", "y1.nii.gz"}):
        raise Wrong(f"the table has {sorted(scans)}")
    return "right: the table has the findings of both runs"


def missing_option(case: Path, work: Path) -> str:
    run = invdetect("train", case, "-o", work / "m.invdetect", "--dry-run")
    known = set(re.findall(r"--[a-z][-a-z]+", invdetect("train", "--help").out))
    named = re.findall(r"(--[a-z][-a-z]+)(?![-a-z])(?! [A-Z#]+ \(detect, evaluate\))", run.err)
    if run.status != 1 or (lacking := set(named) - known):
        raise Wrong(f"status {run.status}; options that train lacks: {lacking}")
    return f"refused: {run.err.strip().splitlines()[-1].removeprefix('invdetect: ')}"


def axis_order(case: Path, work: Path) -> str:
    maps, masks = [], []
    for name in ("ijk", "kji"):
        out = detected(case / f"{name}.nii.gz", work / name)
        maps.append(in_the_world(out / f"{name}.anomaly.nii.gz"))
        sitk.WriteImage(sitk.ReadImage(str(out / f"{name}.mask.seg.nrrd")), str(work / f"{name}.nii.gz"))
        masks.append(in_the_world(work / f"{name}.nii.gz")[0])
    assert np.allclose(maps[0][1], maps[1][1], atol=1e-3)
    apart, voxels = float(np.abs(maps[0][0] - maps[1][0]).max()), int((masks[0] != masks[1]).sum())
    if apart > 1e-4 or voxels:
        raise Wrong(f"maps differ by up to {apart:g}, masks in {voxels} voxels")
    return f"right: the maps differ by {apart:g}, the masks in {voxels} voxels"


CASES: dict[str, Check] = {
    "17-table-of-last-run-only": two_runs,
    "18-train-names-an-option-it-lacks": missing_option,
    "19-axis-order": axis_order,
}
