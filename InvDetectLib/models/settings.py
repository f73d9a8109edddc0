"""Every choice that shapes a model, as frozen dataclasses.

The whole `Settings` object is stored in the model file and in every result; nothing else decides how a scan is scored.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from ..common import InvDetectError, WrongUse, shown
from .method_settings import InvDetectSettings, MatchGenSettings, Training
from .ranges import Lengths, OneOf, Passes, Range, Share, check_ranges, from_values, to_values

METHODS = ("invdetect", "matchgen")
_LATER = ("noise", "views", "beside")  # parts of `InvDetectSettings`
PLANES = ("axial", "coronal", "sagittal")
FOREGROUNDS = ("auto", "brain", "none")  # rules that need no mask
INTENSITIES = ("median", "landmarks", "percentile", "window:LO,HI", "full", "channels", "local")
_FURTHEST = 1e9  # ends of a window: beyond what any scanner writes, and far from where float32 ends


def check_intensity(rule: str) -> None:
    """Raise `WrongUse` for an intensity rule that does not exist or a window that cannot be."""
    if rule.startswith("window:"):
        intensity_window(rule)
    elif rule not in INTENSITIES:
        known = "median, landmarks, percentile, window:LO,HI, full, channels or local"
        raise WrongUse(f"There is no intensity rule {shown(rule)}; use {known}.")


def check_foreground(rule: str) -> None:
    """Raise `WrongUse` for a foreground rule that does not exist; "masks" is one."""
    if rule not in (*FOREGROUNDS, "masks"):
        raise WrongUse(f"There is no foreground rule {shown(rule)}; use {', '.join(FOREGROUNDS)}, or give masks.")


def intensity_window(rule: str) -> tuple[float, float]:
    """(LO, HI) of the rule "window:LO,HI"; `WrongUse` for ends that are no numbers or enclose nothing."""
    try:
        low, high = (float(part) for part in rule.partition(":")[2].split(","))
    except ValueError:
        raise WrongUse(f"The intensity rule {shown(rule)} is not window:LO,HI with two numbers, such as window:-100,300.") from None
    if not -_FURTHEST <= low < high <= _FURTHEST:
        raise WrongUse(f"The window of {shown(rule)} is empty or endless; LO must be below HI, and both within {_FURTHEST:g} of 0.")
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

    modality: Annotated[str, Lengths(0, 1000)] = "unknown"
    plane: Annotated[str, OneOf(PLANES)] = "axial"
    grid: Annotated[int, Range(1, 4096)] | None = 128
    spacing_mm: Annotated[float, Range(1e-6, 1000.0)] | None = None
    intensity: Annotated[str, Passes(check_intensity)] = "landmarks"
    foreground: Annotated[str, Passes(check_foreground)] = "auto"
    channels: Annotated[int, OneOf((0, 1, 3))] = 1  # 0: not known yet


@dataclass(frozen=True)
class Refinement:
    """SCR, Eq. 2 to 4.

    contiguity  lambda in the units of the map; None: the smallest that keeps the flagged share of held-out normals below `rate`
    edges       "paper": alpha = exp(-d / m^2); "relative": alpha = exp(-0.1 d / m); d the squared distance between what is scored, m
                its mean on normals; "image": alpha = exp(-d / m), d between the slice's own values (see `refinement.edges`)
    unit        "raw": A = s; "calibrated": A = (s - q90) / (q99 - q50) of held-out normal foreground
    rate        share of held-out normal tissue that the default operating point flags
    """

    contiguity: Annotated[float, Range(0.0, 1e6)] | None = 0.5
    edges: Annotated[str, OneOf(("paper", "relative", "image"))] = "relative"
    unit: Annotated[str, OneOf(("raw", "calibrated"))] = "calibrated"
    rate: Share = 0.01


@dataclass(frozen=True)
class Settings:
    """Everything. `preset` is the name it started from, or "custom"; of the methods' settings, those of `method` count."""

    preset: Annotated[str, Lengths(0, 200)] = "custom"
    method: Annotated[str, OneOf(METHODS)] = "invdetect"
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
        values = to_values(self)
        own = {name: value for name, value in values.items() if name not in METHODS or name == self.method}
        silent = InvDetectSettings()
        for name in _LATER:
            if self.method == "invdetect" and getattr(self.invdetect, name) == getattr(silent, name):
                del own["invdetect"][name]
        return own

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Settings:
        """The inverse of `as_dict`, also after JSON turned tuples into lists.

        Raises `InvDetectError` for entries that are unknown, of another type, or out of the range that their field declares.
        """
        made = from_values(cls, values, "settings")
        if made.preparation.grid is None and made.preparation.spacing_mm is None:
            raise InvDetectError("The settings give neither a grid nor a spacing; the file is damaged or foreign.")
        return made

    def check(self) -> None:
        """Raise `WrongUse` for settings that `from_dict` would not take from a file, before anything is trained with them."""
        try:
            check_ranges(self, "settings")
        except InvDetectError as error:
            raise WrongUse(str(error)) from error
