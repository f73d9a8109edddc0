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

METHODS = ("invdetect", "matchgen")
_LATER = ("noise", "views")  # parts of `InvDetectSettings`
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
class Patches:
    """Square patches of `size` pixels every `stride` pixels.

    min_foreground  share (0 to 1) of a patch that must be foreground for it to be used; 0: any pixel
    """

    size: int = 32
    stride: int = 16
    min_foreground: float = 0.05


@dataclass(frozen=True)
class Network:
    """Time-conditioned U-Net noise predictor.

    widths     channels of the encoder stages, each half the size of the one before; the decoder mirrors them
    fold       pixels a side that become channels before the first stage (1: none): large patches at the cost of small ones
    timesteps  T of the noise schedule
    """

    widths: tuple[int, ...] = (32, 64, 96, 128)
    fold: int = 1
    timesteps: int = 1000


@dataclass(frozen=True)
class Noise:
    """The noise of the diffusion: a sum of scales, of variance 1 (see `methods.invdetect.noise`).

    scales   sides of the cells of noise in pixels; 1 is white noise (the paper)
    weights  of their amplitudes, as many; none: all alike
    """

    scales: tuple[int, ...] = (1,)
    weights: tuple[float, ...] = ()


@dataclass(frozen=True)
class Training:
    """How the noise predictor is trained.

    steps, batch   optimiser steps and patches in each
    learning_rate  of Adam in the penalty method; projection follows the radius
    ema_decay      of the exponential moving average of the weights, which is what the model keeps
    mirror         half of the patches, drawn at random, are shown with left and right exchanged
    cosine         short linear warm-up, then cosine decay to zero; False: constant, as in the paper
    validation, calibration   share of the scans held out for each (at least one scan each)
    """

    steps: int = 20_000
    batch: int = 64
    learning_rate: float = 1e-3
    ema_decay: float = 0.999
    mirror: bool = False
    cosine: bool = False
    validation: float = 0.1
    calibration: float = 0.2


@dataclass(frozen=True)
class Inversion:
    """The deterministic way from a patch to its noise latent.

    solver  "ddim": every step of the grid; "multistep": the first `first_steps` DDIM steps, then second order in log s
    steps   DDIM steps from t = 0 to T - 1 (the grid, whatever the depth)
    evaluations, first_steps   of the multistep solver: network passes in all, and those spent on plain DDIM steps
    abar    depth: inversion stops at the grid time whose abar is nearest; 0 is the full depth of the paper
    """

    solver: str = "ddim"
    steps: int = 200
    evaluations: int = 22
    first_steps: int = 4
    abar: float = 0.0


@dataclass(frozen=True)
class Features:
    """What the one-class model sees of an inverted patch.

    kind        "latent": the whole latent, one sample a patch (paper);
                "latent_windows": statistics of the latent in windows inside the patch;
                "trajectory_windows": the same statistics of the predicted noise at every evaluation
    statistics  "mean", "log_energy" (log of the mean square), each per channel
    image       of windows: the same statistics of the slice itself beside them
    window, spacing   side of a window and distance between windows, in pixels
    min_foreground    share (0 to 1) of a window that must be foreground; None: as for patches. Higher, the rim is left to windows inside
    """

    kind: str = "latent"
    statistics: tuple[str, ...] = ("mean", "log_energy")
    image: bool = False
    window: int = 16
    spacing: int = 4
    min_foreground: float | None = None


@dataclass(frozen=True)
class Normality:
    """The one-class model; `nu` is the share of normals left outside.

    estimator  "svm" (RBF, gamma = 1 / (dim * variance)), "gaussian", or "tails" (how far out on either side, feature by feature)
    At most `max_samples` features are fitted, drawn without replacement by the model's seed.
    """

    estimator: str = "svm"
    nu: float = 0.1
    max_samples: int = 10_000


@dataclass(frozen=True)
class View:
    """One of the maps that a score is the sum of, each smoothed and in its own unit of held-out normals.

    kind    "noise": the noise that the network sees in a clean slice, one pass at each level, averaged; "intensity": the slice itself;
            "one-class": the score of the one-class model over latent windows, which has no direction
    mirror  not the map, but its difference from its own reflection at the midline: left against right
    sigma   of the Gaussian that smooths it inside the foreground, in pixels; 0: none
    weight  in the sum
    """

    kind: str = "noise"
    mirror: bool = False
    sigma: float = 1.5
    weight: float = 1.0


@dataclass(frozen=True)
class Views:
    """The score of whole slices as a sum of views.

    sum        the views; none: the one-class model alone, on patches (the paper)
    levels     abar at which the network is told that the clean slice is, for the view "noise"
    direction  "bright", "dark", or "both": the larger of the two sums
    colour     of colour scans: the "red", "green" or "blue" channel, or "all": the root mean square over them
    mirror     "auto": views of left against right count where the normal scans are symmetric; "yes": they must be; "no": such views do not
               count. A trained model has "yes" or "no"
    """

    sum: tuple[View, ...] = ()
    levels: tuple[float, ...] = (0.7,)
    direction: str = "both"
    colour: str = "all"
    mirror: str = "auto"


@dataclass(frozen=True)
class InvDetectSettings:
    """The method `invdetect`."""

    patches: Patches = field(default_factory=Patches)
    network: Network = field(default_factory=Network)
    noise: Noise = field(default_factory=Noise)
    training: Training = field(default_factory=Training)
    inversion: Inversion = field(default_factory=Inversion)
    features: Features = field(default_factory=Features)
    normality: Normality = field(default_factory=Normality)
    views: Views = field(default_factory=Views)

    @property
    def least_side(self) -> int:
        """The smallest side a slice may have, in pixels: a patch; of whole slices what the stages halve to one pixel."""
        return self.network.fold * 2 ** len(self.network.widths) if self.views.sum else self.patches.size

    @property
    def direction(self) -> str:
        """What counts as abnormal: "bright", "dark" or "both"; "" without views, which alone tell them apart."""
        return self.views.direction if self.views.sum else ""

    @property
    def one_class(self) -> bool:
        """Whether there is a one-class model over latents."""
        return not self.views.sum or any(view.kind == "one-class" for view in self.views.sum)

    @property
    def window_foreground(self) -> float:
        """Share of a window that must be foreground for it to be scored."""
        own = self.features.min_foreground
        return self.patches.min_foreground if own is None else own


@dataclass(frozen=True)
class Reconstruction:
    """The backbone of a base model of MatchGen.

    widths  channels of the encoder stages, each half the size of the one before; the decoder mirrors them
    code    numbers of a dense code, for bases that have one
    """

    widths: tuple[int, ...] = (32, 64, 128, 128)
    code: int = 128


@dataclass(frozen=True)
class Matching:
    """How MatchGen moves the code of a slice (Eq. 1, 2).

    way            "projection": back on to the ball after each step; "penalty": the paper's; "none": the base alone
    epsilon        radius of the ball around the code; None: by the elbow of the residual on held-out normal slices
    learning_rate  of Adam in the penalty method; projection follows the radius
    tolerance      it ends when the objective changes by less, relative to itself, over ten steps; most_steps  or after so many
    skips          "held" or "moved": what becomes of skip connections, in bases that have them
    """

    way: str = "projection"
    epsilon: float | None = None
    learning_rate: float = 1e-3
    tolerance: float = 1e-3
    most_steps: int = 500
    skips: str = "held"


@dataclass(frozen=True)
class MatchGenSettings:
    """The method `matchgen`; `base` is the name of its base model (see `methods.matchgen.base`)."""

    base: str = "dae"
    network: Reconstruction = field(default_factory=Reconstruction)
    training: Training = field(default_factory=Training)
    matching: Matching = field(default_factory=Matching)


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
