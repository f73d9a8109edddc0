"""The detector before the sum of views, held fast: latents of patches, inverted step by step, and a one-class model over windows of them.

What `standard`, `quick`, `fundus` and `fine` were is written out here, so that no change of today's presets moves these rows, and what
comes after can be held against them in pairs. (`fine` still is what it was.)
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from InvDetectLib.models.method_settings import Features, InvDetectSettings, Inversion, Network, Normality, Patches, Training
from InvDetectLib.models.model import Model
from InvDetectLib.models.settings import Preparation, Refinement, Settings

from .invdetect_rows import STANDARD, Preset
from .rows import Row
from .study import Study

_STANDARD = Settings(
    preparation=Preparation(grid=128, intensity="median"),
    invdetect=InvDetectSettings(
        patches=Patches(size=64, stride=32, min_foreground=0.05),
        network=Network(widths=(24, 48, 72, 96), fold=2),
        training=Training(steps=2500, batch=32, mirror=True, cosine=True, ema_decay=0.998),
        inversion=Inversion(solver="multistep", evaluations=12, first_steps=4, abar=0.28),
        features=Features(kind="latent_windows", statistics=("mean",), window=12, spacing=4),
        normality=Normality(estimator="svm", max_samples=5000),
    ),
    refinement=Refinement(contiguity=1.0, edges="image"),
)
_QUICK = dataclasses.replace(
    _STANDARD,
    preparation=Preparation(grid=96, intensity="median"),
    invdetect=InvDetectSettings(
        patches=Patches(size=48, stride=24, min_foreground=0.05),
        network=Network(widths=(16, 24, 32, 48)),
        training=Training(steps=800, batch=32, mirror=True, cosine=True, ema_decay=0.99),
        inversion=Inversion(solver="multistep", evaluations=8, first_steps=3, abar=0.28),
        features=Features(kind="latent_windows", statistics=("mean",), window=9, spacing=3),
        normality=Normality(estimator="svm", max_samples=3000),
    ),
)
_FINE = dataclasses.replace(
    _STANDARD,
    invdetect=dataclasses.replace(
        _STANDARD.invdetect,
        features=Features(
            kind="latent_windows", statistics=("mean", "log_energy"), image=True, window=5, spacing=1, min_foreground=0.5
        ),
    ),
    refinement=Refinement(contiguity=0.25, edges="image"),
)
_FUNDUS = dataclasses.replace(
    _STANDARD,
    preparation=Preparation(grid=256, intensity="local", channels=3),
    invdetect=dataclasses.replace(
        _STANDARD.invdetect,
        patches=Patches(size=64, stride=32, min_foreground=0.2),
        inversion=Inversion(solver="multistep", evaluations=10, first_steps=4, abar=0.52),
        features=Features(
            kind="latent_windows", statistics=("mean", "log_energy"), image=True, window=3, spacing=1, min_foreground=0.9
        ),
        normality=Normality(estimator="tails", max_samples=20_000),
    ),
    refinement=Refinement(contiguity=0.25, edges="image"),
)
SETTINGS = {"standard": _STANDARD, "quick": _QUICK, "fine": _FINE, "fundus": _FUNDUS}


@dataclass
class Latents(Preset):
    """What a preset was; "standard" stands for the setting's best preset, as it does in `Study.settings`.

    Where that still is what it was, the model is that of the row `standard`.
    """

    def library_settings(self, study: Study) -> Settings:
        name = study.setting.preset if self.preset == "standard" else self.preset
        wanted = study.suited(SETTINGS[name], self.key)
        if wanted.preparation.plane != "sagittal":
            return wanted
        own = wanted.invdetect  # there, the columns run from front to back
        own = dataclasses.replace(own, training=dataclasses.replace(own.training, mirror=False))
        return dataclasses.replace(wanted, invdetect=own)

    def _model(self, study: Study) -> tuple[Model, dict[str, Any]]:
        today = dataclasses.replace(STANDARD.library_settings(study), preset="custom")
        return STANDARD._model(study) if today == self.library_settings(study) else super()._model(study)


LATENTS = Latents(
    "standard",
    (Row("latents", "latents", "`standard` before it summed views: a one-class model over latent windows of patches", "invdetect"),),
)
LATENTS_QUICK = Latents(
    "quick", (Row("latents-quick", "latents, quick", "`quick` as it was then: `latents`, smaller in everything", "invdetect"),)
)
