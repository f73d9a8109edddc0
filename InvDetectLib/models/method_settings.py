"""The choices of the two methods, as frozen dataclasses; `settings` puts those of one of them into a model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from .ranges import Lengths, OneOf, Range, Share

DIRECTIONS = ("bright", "dark", "both")
BASES = ("ae", "ceae", "vae", "vae-grad", "dae", "ganomaly", "ddgan")  # of MatchGen

# What a file may ask for: far beyond every preset, and not so far that memory or time could not follow.
Side = Annotated[int, Range(1, 4096)]
Widths = Annotated[tuple[Annotated[int, Range(1, 8192)], ...], Lengths(1, 10)]
Rate = Annotated[float, Range(0.0, 100.0)]
Passages = Annotated[int, Range(0, 10_000)]  # through a network, of one patch
Most = Annotated[int, Range(0, 100_000_000)]


@dataclass(frozen=True)
class Patches:
    """Square patches of `size` pixels every `stride` pixels.

    min_foreground  share (0 to 1) of a patch that must be foreground for it to be used; 0: any pixel
    """

    size: Side = 32
    stride: Side = 16
    min_foreground: Share = 0.05


@dataclass(frozen=True)
class Network:
    """Time-conditioned U-Net noise predictor.

    widths     channels of the encoder stages, each half the size of the one before; the decoder mirrors them
    fold       pixels a side that become channels before the first stage (1: none): large patches at the cost of small ones
    timesteps  T of the noise schedule
    """

    widths: Widths = (32, 64, 96, 128)
    fold: Annotated[int, Range(1, 64)] = 1
    timesteps: Annotated[int, Range(2, 10_000)] = 1000


@dataclass(frozen=True)
class Noise:
    """The noise of the diffusion: a sum of scales, of variance 1 (see `methods.invdetect.noise`).

    scales   sides of the cells of noise in pixels; 1 is white noise (the paper)
    weights  of their amplitudes, as many; none: all alike
    """

    scales: Annotated[tuple[Side, ...], Lengths(1, 32)] = (1,)
    weights: Annotated[tuple[Annotated[float, Range(0.0, 1e6)], ...], Lengths(0, 32)] = ()


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

    steps: Most = 20_000
    batch: Annotated[int, Range(1, 65_536)] = 64
    learning_rate: Rate = 1e-3
    ema_decay: Share = 0.999
    mirror: bool = False
    cosine: bool = False
    validation: Share = 0.1
    calibration: Share = 0.2


@dataclass(frozen=True)
class Inversion:
    """The deterministic way from a patch to its noise latent.

    solver  "ddim": every step of the grid; "multistep": the first `first_steps` DDIM steps, then second order in log s
    steps   DDIM steps from t = 0 to T - 1 (the grid, whatever the depth)
    evaluations, first_steps   of the multistep solver: network passes in all, and those spent on plain DDIM steps
    abar    depth: inversion stops at the grid time whose abar is nearest, as a ratio; 0 is the full depth of the paper
    """

    solver: Annotated[str, OneOf(("ddim", "multistep"))] = "ddim"
    steps: Annotated[int, Range(1, 10_000)] = 200
    evaluations: Passages = 22
    first_steps: Passages = 4
    abar: Share = 0.0


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

    kind: Annotated[str, OneOf(("latent", "latent_windows", "trajectory_windows"))] = "latent"
    statistics: Annotated[tuple[Annotated[str, OneOf(("mean", "log_energy"))], ...], Lengths(1, 2)] = ("mean", "log_energy")
    image: bool = False
    window: Side = 16
    spacing: Side = 4
    min_foreground: Share | None = None


@dataclass(frozen=True)
class Normality:
    """The one-class model; `nu` is the share of normals left outside.

    estimator  "svm" (RBF, gamma = 1 / (dim * variance)), "gaussian", or "tails" (how far out on either side, feature by feature)
    At most `max_samples` features are fitted, drawn without replacement by the model's seed.
    """

    estimator: Annotated[str, OneOf(("svm", "gaussian", "tails"))] = "svm"
    nu: Annotated[float, Range(1e-6, 1.0)] = 0.1
    max_samples: Most = 10_000


@dataclass(frozen=True)
class View:
    """One of the maps that a score is the sum of, each smoothed and in its own unit of held-out normals.

    kind    "noise": the noise that the network sees in a clean slice, one pass at each level, averaged; "intensity": the slice itself;
            "one-class": the score of the one-class model over latent windows; "residual": the difference from what a base of MatchGen,
            trained beside it, makes of the slice. These two have no direction and no mirror
    mirror  not the map, but its difference from its own reflection at the midline: left against right
    sigma   of the Gaussian that smooths it inside the foreground, in pixels; 0: none
    weight  in the sum
    """

    kind: Annotated[str, OneOf(("noise", "intensity", "one-class", "residual"))] = "noise"
    mirror: bool = False
    sigma: Annotated[float, Range(0.0, 1000.0)] = 1.5
    weight: Annotated[float, Range(-1e6, 1e6)] = 1.0


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

    sum: Annotated[tuple[View, ...], Lengths(0, 32)] = ()
    levels: Annotated[tuple[Annotated[float, Range(1e-9, 1.0)], ...], Lengths(1, 100)] = (0.7,)
    direction: Annotated[str, OneOf(DIRECTIONS)] = "both"
    colour: Annotated[str, OneOf(("all", "red", "green", "blue"))] = "all"
    mirror: Annotated[str, OneOf(("auto", "yes", "no"))] = "auto"


@dataclass(frozen=True)
class Reconstruction:
    """The backbone of a base model of MatchGen.

    widths  channels of the encoder stages, each half the size of the one before; the decoder mirrors them
    code    numbers of a dense code, for bases that have one
    """

    widths: Widths = (32, 64, 128, 128)
    code: Annotated[int, Range(1, 65_536)] = 128


@dataclass(frozen=True)
class Matching:
    """How MatchGen moves the code of a slice (Eq. 1, 2).

    way            "projection": back on to the ball after each step; "penalty": the paper's; "none": the base alone
    epsilon        radius of the ball around the code; None: by the elbow of the residual on held-out normal slices
    learning_rate  of Adam in the penalty method; projection follows the radius
    tolerance      it ends when the objective changes by less, relative to itself, over ten steps; most_steps  or after so many
    skips          "held" or "moved": what becomes of skip connections, in bases that have them
    """

    way: Annotated[str, OneOf(("projection", "penalty", "none"))] = "projection"
    epsilon: Annotated[float, Range(0.0, 1e9)] | None = None
    learning_rate: Rate = 1e-3
    tolerance: Rate = 1e-3
    most_steps: Annotated[int, Range(0, 1_000_000)] = 500
    skips: Annotated[str, OneOf(("held", "moved"))] = "held"


@dataclass(frozen=True)
class MatchGenSettings:
    """The method `matchgen`; `base` is the name of its base model (see `methods.matchgen.base`)."""

    base: Annotated[str, OneOf(BASES)] = "dae"
    network: Reconstruction = field(default_factory=Reconstruction)
    training: Training = field(default_factory=Training)
    matching: Matching = field(default_factory=Matching)


def _alone() -> MatchGenSettings:
    return MatchGenSettings(matching=Matching(way="none"))


@dataclass(frozen=True)
class InvDetectSettings:
    """The method `invdetect`.

    beside  the base that is trained beside the network where a view is its "residual"
    """

    patches: Patches = field(default_factory=Patches)
    network: Network = field(default_factory=Network)
    noise: Noise = field(default_factory=Noise)
    training: Training = field(default_factory=Training)
    inversion: Inversion = field(default_factory=Inversion)
    features: Features = field(default_factory=Features)
    normality: Normality = field(default_factory=Normality)
    views: Views = field(default_factory=Views)
    beside: MatchGenSettings = field(default_factory=_alone)

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
