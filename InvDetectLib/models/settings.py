"""Every choice that shapes a model, as frozen dataclasses.

The whole `Settings` object is stored in the model file and in every result; nothing else decides how a scan is scored.
"""

from __future__ import annotations

import dataclasses
import math
import typing
from dataclasses import dataclass, field
from typing import Any

from ..common import InvDetectError, WrongUse
from .method_settings import (
    InvDetectSettings,
    MatchGenSettings,
    Training,
)

METHODS = ("invdetect", "matchgen")
_LATER = ("noise", "views", "beside")  # parts of `InvDetectSettings`
DIRECTIONS = ("bright", "dark", "both")
PLANES = ("axial", "coronal", "sagittal")
FOREGROUNDS = ("auto", "brain", "none")  # rules that need no mask
INTENSITIES = ("median", "landmarks", "percentile", "window:LO,HI", "full", "channels", "local")


def check_intensity(rule: str) -> None:
    """Raise `WrongUse` for an intensity rule that does not exist or a window that cannot be."""
    if rule.startswith("window:"):
        intensity_window(rule)
    elif rule not in INTENSITIES:
        raise WrongUse(f"There is no intensity rule {rule!r}; use median, landmarks, percentile, window:LO,HI, full, channels or local.")


def check_foreground(rule: str) -> None:
    """Raise `WrongUse` for a foreground rule that does not exist; "masks" is one."""
    if rule not in (*FOREGROUNDS, "masks"):
        raise WrongUse(f"There is no foreground rule {rule!r}; use {', '.join(FOREGROUNDS)}, or give masks.")


def intensity_window(rule: str) -> tuple[float, float]:
    """(LO, HI) of the rule "window:LO,HI"; `WrongUse` for ends that are no numbers or enclose nothing."""
    try:
        low, high = (float(part) for part in rule.partition(":")[2].split(","))
    except ValueError:
        raise WrongUse(f"The intensity rule {rule!r} is not window:LO,HI with two numbers, such as window:-100,300.") from None
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise WrongUse(f"The window of {rule!r} is empty; LO must be below HI.")
    return low, high


def contradict(said: str | None, meant: str) -> bool:
    """Whether what a user says a scan is differs from what a model is for; capitals and spaces do not count, nor what is not known."""
    return bool(said) and meant != "unknown" and " ".join(str(said).split()).casefold() != " ".join(meant.split()).casefold()


@dataclass(frozen=True)
class Preparation:
    """From a scan to slices on the model's grid (wing `scans`).

    modality    free text such as "MRI FLAIR"; compared with what the user says of a scan, never guessed
    plane       slicing plane: axial, coronal or sagittal
    grid        pixels along the longer in-plane side; None when `spacing_mm` decides
    spacing_mm  in-plane pixel size in mm; None when `grid` decides
    intensity   median | landmarks | percentile | window:LO,HI | full | channels | local (see `scans.intensity`)
    foreground  auto | brain | none (see `scans.foreground`, `scans.brain`) | masks (one mask a scan, given by the user)
    channels    1 (grey) or 3 (colour)
    """

    modality: str = "unknown"
    plane: str = "axial"
    grid: int | None = 128
    spacing_mm: float | None = None
    intensity: str = "landmarks"
    foreground: str = "auto"
    channels: int = 1


@dataclass(frozen=True)
class Refinement:
    """SCR, Eq. 2 to 4.

    contiguity  lambda in the units of the map; None: the smallest that keeps the flagged share of held-out normals below `rate`
    edges       "paper": alpha = exp(-d / m^2); "relative": alpha = exp(-0.1 d / m); d the squared distance between what is scored, m
                its mean on normals; "image": alpha = exp(-d / m), d between the slice's own values (see `refinement.edges`)
    unit        "raw": A = s; "calibrated": A = (s - q90) / (q99 - q50) of held-out normal foreground
    rate        share of held-out normal tissue that the default operating point flags
    """

    contiguity: float | None = 0.5
    edges: str = "relative"
    unit: str = "calibrated"
    rate: float = 0.01


@dataclass(frozen=True)
class Settings:
    """Everything. `preset` is the name it started from, or "custom"; of the methods' settings, those of `method` count."""

    preset: str = "custom"
    method: str = "invdetect"
    preparation: Preparation = field(default_factory=Preparation)
    invdetect: InvDetectSettings = field(default_factory=InvDetectSettings)
    matchgen: MatchGenSettings = field(default_factory=MatchGenSettings)
    refinement: Refinement = field(default_factory=Refinement)

    @property
    def training(self) -> Training:
        """How the method's network is trained."""
        return self.matchgen.training if self.method == "matchgen" else self.invdetect.training

    @property
    def least_side(self) -> int:
        """The smallest side a slice may have, in pixels: a patch, or what an encoder halves to one pixel."""
        return 2 ** len(self.matchgen.network.widths) if self.method == "matchgen" else self.invdetect.least_side

    @property
    def direction(self) -> str:
        """What counts as abnormal: "bright", "dark" or "both"; "" for what does not tell them apart."""
        return self.invdetect.direction if self.method == "invdetect" else ""

    @property
    def whole_slices(self) -> bool:
        """Whether the method looks at whole slices, and not at patches."""
        return self.method == "matchgen" or bool(self.invdetect.views.sum)

    def as_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, numbers and strings, ready for JSON; without the settings of methods that do not count, and without parts
        that came later and say nothing, so that what was begun or written before goes on being the same."""
        values = dataclasses.asdict(self)
        own = {name: value for name, value in values.items() if name not in METHODS or name == self.method}
        silent = InvDetectSettings()
        for name in _LATER:
            if self.method == "invdetect" and getattr(self.invdetect, name) == getattr(silent, name):
                del own["invdetect"][name]
        return own

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Settings:
        """The inverse of `as_dict`, also after JSON turned tuples into lists. Unknown or ill-typed entries raise `InvDetectError`."""
        return typing.cast(Settings, _build(cls, values, "settings"))


def _build(cls: type, values: Any, where: str) -> Any:
    """One dataclass from plain values, field by field, so that a damaged file is told apart from a bug."""
    if not isinstance(values, dict):
        raise InvDetectError(f"The {where} are not a table of names and values; the file is damaged or foreign.")
    hints = typing.get_type_hints(cls)
    unknown = set(values) - set(hints)
    if unknown:
        raise InvDetectError(f"Unknown entries in the {where}: {', '.join(sorted(unknown))}. A newer InvDetect may have written them.")
    return cls(**{name: _convert(hints[name], value, f"{where}.{name}") for name, value in values.items()})


def _convert(kind: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(kind):
        return _build(typing.cast(type, kind), value, where)
    if typing.get_origin(kind) is tuple:
        item = typing.get_args(kind)[0]
        if not isinstance(value, (list, tuple)):
            raise InvDetectError(f"{where} must be a list, not {value!r}.")
        return tuple(_convert(item, entry, where) for entry in value)
    allowed = typing.get_args(kind) or (kind,)
    if isinstance(value, int) and not isinstance(value, bool) and float in allowed and int not in allowed:
        return float(value)
    if type(value) not in allowed:
        raise InvDetectError(f"{where} must be {' or '.join(a.__name__ for a in allowed)}, not {value!r}.")
    return value
