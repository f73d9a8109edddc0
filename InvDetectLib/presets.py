"""The presets: named choices of settings, and what a user may change of them."""

from __future__ import annotations

import dataclasses
from typing import Any

from .errors import WrongUse
from .settings import (
    PLANES,
    Features,
    InvDetectSettings,
    Inversion,
    Network,
    Normality,
    Patches,
    Preparation,
    Refinement,
    Settings,
    Training,
)

_PAPER = Settings(
    preset="paper",
    preparation=Preparation(intensity="percentile"),
    invdetect=InvDetectSettings(patches=Patches(min_foreground=0.0)),
    refinement=Refinement(contiguity=None, edges="paper", unit="raw", rate=0.01),
)
_STANDARD = Settings(
    preset="standard",
    preparation=Preparation(intensity="median"),
    invdetect=InvDetectSettings(
        patches=Patches(size=64, stride=32),
        network=Network(widths=(24, 48, 72, 96), fold=2),
        training=Training(steps=2500, batch=32, mirror=True, cosine=True, ema_decay=0.998),
        inversion=Inversion(solver="multistep", evaluations=12, abar=0.28),
        features=Features(kind="latent_windows", statistics=("mean",), window=12),
        normality=Normality(max_samples=5000),
    ),
    refinement=Refinement(contiguity=1.0, edges="image"),
)
_QUICK = dataclasses.replace(
    _STANDARD,
    preset="quick",
    preparation=Preparation(grid=96, intensity="median"),
    invdetect=dataclasses.replace(
        _STANDARD.invdetect,
        patches=Patches(size=48, stride=24),
        network=Network(widths=(16, 24, 32, 48)),
        training=Training(steps=800, batch=32, mirror=True, cosine=True, ema_decay=0.99),
        inversion=Inversion(solver="multistep", evaluations=8, first_steps=3, abar=0.28),
        features=Features(kind="latent_windows", statistics=("mean",), window=9, spacing=3),
        normality=Normality(max_samples=3000),
    ),
)
_FINE = dataclasses.replace(  # lesions of a few pixels in grey scans
    _STANDARD,
    preset="fine",
    invdetect=dataclasses.replace(
        _STANDARD.invdetect,
        features=Features(kind="latent_windows", image=True, window=5, spacing=1, min_foreground=0.5),
    ),
    refinement=Refinement(contiguity=0.25, edges="image"),
)
_FUNDUS = dataclasses.replace(  # colour photographs of the back of the eye
    _STANDARD,
    preset="fundus",
    preparation=Preparation(modality="colour fundus", grid=256, intensity="local", channels=3),
    invdetect=dataclasses.replace(
        _STANDARD.invdetect,
        patches=Patches(size=64, stride=32, min_foreground=0.2),
        inversion=Inversion(solver="multistep", evaluations=10, abar=0.52),
        features=Features(kind="latent_windows", image=True, window=3, spacing=1, min_foreground=0.9),
        normality=Normality(estimator="tails", max_samples=20_000),
    ),
    refinement=Refinement(contiguity=0.25, edges="image"),
)
PRESETS: dict[str, Settings] = {settings.preset: settings for settings in (_PAPER, _STANDARD, _QUICK, _FINE, _FUNDUS)}


def preset(name: str) -> Settings:
    """The preset called `name`; `WrongUse` if there is none."""
    if name not in PRESETS:
        raise WrongUse(f"There is no preset {name!r}; choose one of {', '.join(PRESETS)}.")
    return PRESETS[name]


def choose_settings(
    name: str = "standard",
    *,
    plane: str | None = None,
    grid: int | None = None,
    spacing_mm: float | None = None,
    intensity: str | None = None,
    foreground: str | None = None,
    modality: str | None = None,
) -> Settings:
    """The preset `name` with a user's choices for the preparation; None keeps the preset's. Grey or colour is left to the scans.

    Raises `WrongUse` for an unknown preset, plane or intensity rule, for numbers that cannot be, or for grid and spacing_mm together.
    """
    settings = preset(name)
    if grid is not None and spacing_mm is not None:
        raise WrongUse("A grid and a spacing contradict each other; give one of them.")
    if plane is not None and plane not in PLANES:
        raise WrongUse(f"There is no plane {plane!r}; choose one of {', '.join(PLANES)}.")
    if intensity is not None:
        from .scans.intensity import check_rule  # brings SimpleITK, which settings alone do not need

        check_rule(intensity)
    if spacing_mm is not None and not 0 < spacing_mm < 100:
        raise WrongUse(f"A pixel of {spacing_mm:g} mm cannot be; give its size in mm.")
    size = settings.least_side
    if grid is not None and not size <= grid <= 4096:
        raise WrongUse(f"A grid of {grid} pixels cannot be; give one from the patch size ({size}) to 4096.")
    changes: dict[str, Any] = {"plane": plane, "intensity": intensity, "foreground": foreground, "modality": modality}
    changes = {name: value for name, value in changes.items() if value is not None} | {"channels": 0}
    if plane == "sagittal":  # there, the columns run from front to back
        training = dataclasses.replace(settings.invdetect.training, mirror=False)
        settings = dataclasses.replace(settings, invdetect=dataclasses.replace(settings.invdetect, training=training))
    if spacing_mm is not None:
        changes |= {"grid": None, "spacing_mm": float(spacing_mm)}
    elif grid is not None:
        changes |= {"grid": grid, "spacing_mm": None}
    return dataclasses.replace(settings, preparation=dataclasses.replace(settings.preparation, **changes))
