"""What the tests of MatchGen share: made heads, settings that train in seconds, and a model trained with them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from InvDetectLib.models.method_settings import MatchGenSettings, Matching, Reconstruction, Training
from InvDetectLib.models.settings import Preparation, Refinement, Settings
from InvDetectLib.scans.phantoms import write_phantoms
from InvDetectLib.training import train

TINY = Settings(
    method="matchgen",
    preparation=Preparation(grid=32),
    matchgen=MatchGenSettings(
        base="ae",
        network=Reconstruction((8, 16), 16),
        training=Training(steps=80, batch=8, learning_rate=3e-3, ema_decay=0.9, cosine=True),
        matching=Matching(learning_rate=1e-2, most_steps=40),
    ),
    refinement=Refinement(contiguity=1.0, edges="image"),
)


@dataclass(frozen=True)
class TinyWorld:
    """Five made heads in the folder `heads`, and the file of a model that learned from them."""

    heads: Path
    model: Path


def tiny_world(folder: Path, settings: Settings, size: tuple[int, int, int]) -> TinyWorld:
    """Heads of `size` (slice, row, column) and a model with these settings, in `folder`."""
    write_phantoms(folder / "heads", 5, size=size)
    train(folder / "heads", settings=settings, rehearse=False).save(folder / "heads.invdetect")
    return TinyWorld(folder / "heads", folder / "heads.invdetect")


def changed(settings: Settings = TINY, *, steps: int | None = None, intensity: str | None = None, **matching: Any) -> Settings:
    """Settings with other steps of training, another intensity rule, and other values of `Matching`."""
    method = settings.matchgen
    training = method.training if steps is None else dataclasses.replace(method.training, steps=steps)
    method = dataclasses.replace(method, training=training, matching=dataclasses.replace(method.matching, **matching))
    preparation = settings.preparation if intensity is None else dataclasses.replace(settings.preparation, intensity=intensity)
    return dataclasses.replace(settings, matchgen=method, preparation=preparation)
