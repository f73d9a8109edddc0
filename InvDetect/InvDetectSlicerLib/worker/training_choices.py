"""All that a user chooses in the training wizard, as plain values: for the worker, and to be kept when Slicer is closed."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from InvDetectLib.common import InvDetectError
from InvDetectLib.models import SUFFIX, Settings, choose_settings, models_folder

from ..models import checked_name


@dataclass(frozen=True)
class TrainingChoices:
    """One training.

    folder      of the normal scans;  masks  of their foreground masks, for the foreground rule "masks"
    preset      a name of `InvDetectLib.models.presets.PRESETS`, or with the method "matchgen" one of its presets
    method, base   as for `choose_settings`
    modality    what the scans are, in the user's words; "" when it was not said
    plane, grid, spacing_mm, intensity, foreground, direction   as for `choose_settings`; None: as the preset has it
    name        of the model to be;  device, seed  of the training
    licence, texts   for the model's card
    """

    folder: str = ""
    masks: str = ""
    preset: str = "standard"
    method: str = "invdetect"
    base: str | None = None
    modality: str = ""
    plane: str | None = None
    grid: int | None = None
    spacing_mm: float | None = None
    intensity: str | None = None
    foreground: str | None = None
    direction: str | None = None
    name: str = ""
    device: str = "auto"
    seed: int = 0
    licence: str = ""
    texts: dict[str, str] = field(default_factory=dict)

    def settings(self) -> Settings:
        """As the library takes them. Raises InvDetectError for what cannot be."""
        names = ("method", "base", "plane", "grid", "spacing_mm", "intensity", "foreground", "direction")
        chosen = {name: getattr(self, name) for name in names}
        settings = choose_settings(self.preset, modality=" ".join(self.modality.split()) or None, **chosen)
        if settings.preparation.foreground == "masks" and not self.masks:
            raise InvDetectError("Choose the folder with the masks of the foreground, or another rule for it.")
        return settings

    def target(self) -> Path:
        """The file of the model to be, in the models folder. Raises InvDetectError for a name that cannot be one."""
        return models_folder() / (checked_name(self.name) + SUFFIX)

    def checkpoint(self) -> Path:
        """What a training that did not finish goes on from."""
        target = self.target()
        return target.with_name(target.name + ".checkpoint")

    def scans(self) -> dict[str, Any]:
        """What the worker's questions about the scans have in common. Raises InvDetectError as `settings`."""
        common: dict[str, Any] = {"settings": self.settings().as_dict()}
        return {**common, "masks": os.path.abspath(self.masks)} if self.masks else common

    def changed(self, **values: Any) -> TrainingChoices:
        """With other values."""
        return dataclasses.replace(self, **values)

    def readAsPreset(self) -> TrainingChoices:
        """The same, but for how scans are read: that is as the preset has it."""
        return self.changed(masks="", plane=None, grid=None, spacing_mm=None, intensity=None, foreground=None)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Any) -> TrainingChoices:
        """The inverse of `as_dict`. Raises InvDetectError for anything else."""
        kinds = {one.name: one.type for one in dataclasses.fields(cls)}
        if not isinstance(values, dict) or set(values) - set(kinds):
            raise InvDetectError("What was kept of the last training is damaged; start a new one.")
        numbers = ("grid", "spacing_mm", "seed")
        for name, value in values.items():
            kind: Any = dict if name == "texts" else (int, float) if name in numbers else str
            if not (isinstance(value, kind) or (value is None and "None" in str(kinds[name]))):
                raise InvDetectError("What was kept of the last training is damaged; start a new one.")
        return cls(**values)


def slices_along(row: dict[str, Any], plane: str) -> int:
    """How many slices a scan of the worker's `inspect` has in a plane; 1 for a picture."""
    letters = {"axial": "SI", "coronal": "AP", "sagittal": "LR"}[plane]
    return next((size for size, letter in zip(row["size"], row["orientation"]) if letter in letters), 1)
