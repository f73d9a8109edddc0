"""What each size changes. `full` changes nothing; `small` fits a setting into 90 minutes on two cores; `tiny` is for tests on phantoms."""

from __future__ import annotations

import dataclasses
from typing import Any

from InvDetectLib.models.settings import Settings

SIZES = ("full", "small", "tiny")

# Row -> dotted setting below `Settings.invdetect` -> value; "*" holds for every row, before its own entry.
_CHANGES: dict[str, dict[str, dict[str, Any]]] = {
    "full": {},
    "small": {
        "paper": {
            "network.widths": (16, 32, 48, 64),
            "training.steps": 1500,
            "inversion.solver": "multistep",
            "normality.max_samples": 3000,
        },
        "latents-full": {"inversion.steps": 100},
    },
    "tiny": {
        "*": {
            "patches.size": 32,
            "patches.stride": 16,
            "network.widths": (8, 8),
            "network.fold": 1,
            "training.steps": 60,
            "training.batch": 16,
            "training.learning_rate": 5e-3,
            "training.ema_decay": 0.9,
            "inversion.steps": 20,
            "inversion.evaluations": 5,
            "inversion.first_steps": 2,
            "features.window": 8,
            "normality.max_samples": 300,
        },
    },
}


@dataclasses.dataclass(frozen=True)
class Budget:
    """What a size means for rows that are no preset.

    released_steps, released_inversion   optimiser steps, and inversion steps of the released code's setting (100 as published)
    samples   patches that PCA and nearest neighbours learn from;  bank  features in PatchCore's memory, of which `coreset` are kept
    images    slices that PatchCore and PaDiM learn from
    every     only every so many-th slice of T1's calibration and test volumes is scored
    """

    released_steps: int = 20_000
    released_inversion: int = 100
    samples: int = 20_000
    bank: int = 40_000
    coreset: int = 4_000
    images: int = 1_000
    every: int = 1


BUDGETS = {
    "full": Budget(),
    "small": Budget(1_000, 25, 10_000, 20_000, 2_000, 500, 5),
    "tiny": Budget(30, 5, 300, 400, 40, 20, 1),
}


def sized(settings: Settings, row: str, size: str) -> Settings:
    """The settings of a row at a size."""
    changes = _CHANGES[size]
    method: Any = settings.invdetect
    for place, value in {**changes.get("*", {}), **changes.get(row, {})}.items():
        part, name = place.split(".")
        method = dataclasses.replace(method, **{part: dataclasses.replace(getattr(method, part), **{name: value})})
    return dataclasses.replace(settings, invdetect=method)
