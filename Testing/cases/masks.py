"""Masks, label maps and pairs."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from Testing.cases.trying import MODEL, Check, Wrong, invdetect, refused


def mask_name(case: Path, work: Path) -> str:
    run = invdetect("evaluate", case / "scans", case / "masks", "-m", MODEL, "--json")
    if run.status:
        raise Wrong(run.err.strip().splitlines()[-1])
    mask = work / "mask_case01.nii.gz"
    shutil.copy(case / "masks" / "case01_mask.nii.gz", mask)
    other = invdetect("evaluate", case / "scans", work, "-m", MODEL, "--json")
    assert _ap(other.json) == _ap(run.json)
    return f"right: case01_mask and mask_case01 belong to case01, AP {_ap(run.json):.3f}"


def all_lesion(case: Path, work: Path) -> str:
    labels = refused(invdetect("evaluate", case / "scans", case / "masks-12", "-m", MODEL), "calls every voxel of its scan a lesion")
    fractions = refused(invdetect("evaluate", case / "scans", case / "masks-prob", "-m", MODEL), "labels are whole", "--truth-at 0.5")
    cut = invdetect("evaluate", case / "scans", case / "masks-prob", "-m", MODEL, "--truth-at", "0.5", "--json")
    assert cut.status == 0 and _ap(cut.json) < 0.99
    return f"{labels}; {fractions}; right with --truth-at 0.5: AP {_ap(cut.json):.3f}"


def label_maps(case: Path, work: Path) -> str:
    run = invdetect("train", case, "-o", work / "m.invdetect", "--dry-run", "--preset", "quick", "--json")
    assert [row["scan"] for row in run.json["scans"]] == ["BraTS20_000/BraTS20_000_flair.nii.gz"], run.json["scans"]
    reasons = {Path(row["file"]).name: row["reason"] for row in run.json["left_out"]}
    maps = {name: reason for name, reason in reasons.items() if name.endswith("_seg.nii.gz")}
    assert len(maps) == 4 and all("label map" in reason for reason in maps.values())
    return f"right: one scan used, {len(maps)} left out: {next(iter(maps.values()))}"


def same_place(case: Path, work: Path) -> str:
    tables = {}
    for kind in ("ref", "perm", "flip", "crop"):
        run = invdetect("evaluate", case / "scans", case / kind, "-m", MODEL, "--json")
        if run.status:
            raise Wrong(f"{kind}: {run.err.strip().splitlines()[-1]}")
        tables[kind] = _ap(run.json)
    assert np.ptp(list(tables.values())) == 0, tables
    return f"right: the same table four times, AP {tables['ref']:.6f}"


def _ap(table: dict) -> float:
    return float(table["rows"][0]["ap"]["mean"])


CASES: dict[str, Check] = {
    "08-evaluate-mask-name": mask_name,
    "09-evaluate-all-lesion": all_lesion,
    "10-label-maps-as-normal-scans": label_maps,
    "16-mask-same-place": same_place,
}
