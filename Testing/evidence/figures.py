"""Columns of the table: the metrics of METHOD.md 9 from scored scans, each with its interval over patients."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from InvDetectLib.metrics.agreement import (
    ScoredScan,
    lesion_sensitivity,
    normal_area,
    oracle_dice,
    ranking,
    slice_dice,
    slice_precision,
    volume_dice,
)
from InvDetectLib.metrics.resampling import Averaged, Pooled, patient_bootstrap

from .maps import Mapped

Triple = dict[str, float | None]

COLUMNS = {
    "dice": "Dice",
    "dice_oracle": "oracle Dice",
    "precision": "precision",
    "ap": "AP",
    "auroc": "AUROC",
    "normal_area": "area on normals",
    "sensitivity_1": "lesions at 1 false",
    "sensitivity_3": "lesions at 3 false",
    "volume_dice": "volume Dice",
    "lesion_free_area": "area, lesion-free slices",
    "bright_area": "area, bright scans",
    "seconds_a_slice": "s a slice",
}
_QUARTERS = 4
_FEWEST = 40  # scans: quarters of fewer than ten patients say nothing


@dataclass(frozen=True)
class Scored:
    """One part of a run under one row.

    abnormal, normal  scans with and without lesion;  maps  where the time was measured, one each scan of `abnormal`
    bright            scans that are neither (`sets.Data.bright`)
    """

    abnormal: Sequence[ScoredScan]
    normal: Sequence[ScoredScan]
    maps: Sequence[Mapped]
    bright: Sequence[ScoredScan] = ()


def figures(scored: Scored) -> dict[str, Triple]:
    """By column: {"mean", "low", "high"}, None where a figure is not defined."""
    ranks = ranking(scored.abnormal)
    free = [_lesion_free(scan) for scan in scored.abnormal]
    metrics: dict[str, Callable[[], Averaged | Pooled]] = {
        "dice": lambda: slice_dice(scored.abnormal),
        "dice_oracle": lambda: oracle_dice(scored.abnormal),
        "precision": lambda: slice_precision(scored.abnormal),
        "ap": lambda: ranks["ap"],
        "auroc": lambda: ranks["auroc"],
        "normal_area": lambda: normal_area(scored.normal),
        "sensitivity_1": lambda: lesion_sensitivity(scored.abnormal, 1),
        "sensitivity_3": lambda: lesion_sensitivity(scored.abnormal, 3),
        "volume_dice": lambda: volume_dice(scored.abnormal),
        "lesion_free_area": lambda: normal_area(free),
        "bright_area": lambda: normal_area(scored.bright),
        "seconds_a_slice": lambda: Averaged.collect(
            (scan.patient, one.seconds, one.slices) for scan, one in zip(scored.abnormal, scored.maps)
        ),
    }
    return {name: plain(patient_bootstrap(metric())) for name, metric in metrics.items()}


def by_lesion_size(scored: Scored) -> list[dict[str, Any]]:
    """Dice of each quarter of the scans by the share of the foreground that is lesion, smallest lesions first.

    Of each quarter {"from", "to": the shares, "scans": how many, "dice": as in `figures`}. Empty where scans have several slices or
    patients several scans, since a quarter is one of patients then no longer, or where fewer than 40 scans have a lesion.
    """
    scans = [scan for scan in scored.abnormal if scan.per_slice(scan.truth).any()]
    single = all(scan.mask.shape[scan.axis] == 1 for scan in scans) and len({scan.patient for scan in scans}) == len(scans)
    if not single or len(scans) < _FEWEST:
        return []
    shares = np.array([scan.per_slice(scan.truth).sum() / scan.foreground.sum() for scan in scans])
    return [
        {
            "from": round(float(shares[quarter[0]]), 5),
            "to": round(float(shares[quarter[-1]]), 5),
            "scans": len(quarter),
            "dice": plain(patient_bootstrap(slice_dice(scans[number] for number in quarter))),
        }
        for quarter in np.array_split(np.argsort(shares, kind="stable"), _QUARTERS)
    ]


def per_patient(scored: Scored) -> dict[str, dict[str, float | None]]:
    """Patient -> Dice over slices, Dice over the volume, AP of that patient alone."""
    dice, volume = slice_dice(scored.abnormal), volume_dice(scored.abnormal)
    table: dict[str, dict[str, float | None]] = {}
    for name, metric in (("dice", dice), ("volume_dice", volume)):
        for patient, total, count in zip(metric.patients, metric.totals, metric.counts):
            table.setdefault(patient, {})[name] = round(float(total / count), 5)
    for patient in table:
        value = ranking([scan for scan in scored.abnormal if scan.patient == patient])["ap"].value
        table[patient]["ap"] = None if math.isnan(value) else round(value, 5)
    return table


def comparable(scored: Scored) -> dict[str, Averaged | Pooled]:
    """The metrics that are compared pairwise."""
    return {"ap": ranking(scored.abnormal)["ap"], "dice": slice_dice(scored.abnormal)}


def plain(values: dict[str, Any]) -> dict[str, Any]:
    """For JSON: NaN becomes None, floats keep five digits."""
    return {
        name: (None if math.isnan(value) else round(value, 5)) if isinstance(value, float) else value for name, value in values.items()
    }


def _lesion_free(scan: ScoredScan) -> ScoredScan:
    """The slices of a patient on which no lesion is drawn: for reporting only, tissue beside a lesion is seldom normal."""
    shape = [1, 1, 1]
    shape[scan.axis] = -1
    free = (scan.per_slice(scan.truth) == 0).reshape(shape)
    return ScoredScan(scan.patient, scan.anomaly, scan.mask, scan.truth, scan.foreground & free, scan.axis)
