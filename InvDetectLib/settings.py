"""Every choice that shapes a model, as frozen dataclasses, and the presets, which are named instances of them.

The whole `Settings` object is stored in the model file and in every result; nothing else decides how a scan is scored.
"""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass, field
from typing import Any

from .errors import InvDetectError, WrongUse

PLANES = ("axial", "coronal", "sagittal")
INTENSITIES = ("median", "landmarks", "percentile", "window:LO,HI", "full", "channels", "local")


@dataclass(frozen=True)
class Preparation:
    """From a scan to slices on the model's grid (room `scans`).

    modality    free text such as "MRI FLAIR"; compared with what the user says of a scan, never guessed
    plane       slicing plane: axial, coronal or sagittal
    grid        pixels along the longer in-plane side; None when `spacing_mm` decides
    spacing_mm  in-plane pixel size in mm; None when `grid` decides
    intensity   median | landmarks | percentile | window:LO,HI | full | channels | local (see `scans.intensity`)
    foreground  auto | none | masks (one mask a scan, given by the user)
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
class Training:
    """How the noise predictor is trained.

    steps, batch   optimiser steps and patches in each
    learning_rate  of Adam
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
class InvDetectSettings:
    """The method `invdetect`."""

    patches: Patches = field(default_factory=Patches)
    network: Network = field(default_factory=Network)
    training: Training = field(default_factory=Training)
    inversion: Inversion = field(default_factory=Inversion)
    features: Features = field(default_factory=Features)
    normality: Normality = field(default_factory=Normality)

    @property
    def window_foreground(self) -> float:
        """Share of a window that must be foreground for it to be scored."""
        own = self.features.min_foreground
        return self.patches.min_foreground if own is None else own


@dataclass(frozen=True)
class Refinement:
    """SCR, Eq. 2 to 4.

    contiguity  lambda in the units of the map; None: the smallest that keeps the flagged share of held-out normals below `rate`
    edges       "paper": alpha = exp(-d / m^2); "relative": alpha = exp(-0.1 d / m); d the squared distance between what is scored, m
                its mean on normals; "image": alpha = exp(-d / m), d between the slice's own values (see `edges`)
    unit        "raw": A = s; "calibrated": A = (s - q90) / (q99 - q50) of held-out normal foreground
    rate        share of held-out normal tissue that the default operating point flags
    """

    contiguity: float | None = 0.5
    edges: str = "relative"
    unit: str = "calibrated"
    rate: float = 0.01


@dataclass(frozen=True)
class Settings:
    """Everything. `preset` is the name it started from, or "custom"."""

    preset: str = "custom"
    method: str = "invdetect"
    preparation: Preparation = field(default_factory=Preparation)
    invdetect: InvDetectSettings = field(default_factory=InvDetectSettings)
    refinement: Refinement = field(default_factory=Refinement)

    def as_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, numbers and strings, ready for JSON."""
        return dataclasses.asdict(self)

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
    size = settings.invdetect.patches.size
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
