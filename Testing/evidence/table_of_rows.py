"""Every row of the study, in the order of the table."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from InvDetectLib.common.errors import WrongUse
from InvDetectLib.computing.tensors import find_device

from . import invdetect_rows as own
from . import plain
from .baselines import Baseline, Compared
from .imagenet_rows import PaDiM, PatchCore
from .latents import LATENTS, LATENTS_QUICK
from .peers.listed import JOBS as PEERS
from .raw_patches import NearestPatch, Reconstruction
from .released import Released
from .rows import Job, Row
from .study import Study

_UNCLIPPED = "percentile"
_WORDS = {"peers": PEERS}  # for --rows: every row of these


def _baseline(key: str, title: str, what: str, make: Callable[[Study], Baseline], grey: str | None = None) -> Compared:
    return Compared((Row(key, title, what, "baseline"),), make, grey)


def _with_scr(key: str, title: str, what: str, make: Callable[[Study], Baseline]) -> Compared:
    cut = Row(f"{key}-scr", f"{title} + SCR", "the same, cut by SCR with flat edge weights, for fairness", "baseline")
    return Compared((Row(key, title, what, "baseline"), cut), make)


def _plain(key: str, title: str, measure: Callable[[np.ndarray], np.ndarray]) -> Compared:
    """A grey scan is scaled by its 99.5th percentile here: `median` cuts off more than 1 % of normal tissue, which no threshold orders."""
    assert measure.__doc__
    return _baseline(key, title, measure.__doc__.rstrip("."), lambda study: plain.Plain(measure), _UNCLIPPED)


def _released(study: Study) -> Baseline:
    paper, budget = study.settings("paper", "paper").invdetect, study.budget
    patches, samples = paper.patches, paper.normality.max_samples  # its whole latents are the paper's
    name = study.fingerprint({"released": [budget.released_steps, patches.size, patches.stride]})
    checkpoint = study.work / "models" / f"released-{name}.checkpoint"
    steps = budget.released_steps, budget.released_inversion
    return Released(patches, *steps, samples, find_device(study.device), checkpoint, study.progress)


RELEASED = Compared(
    (Row("released", "released code's setting", "T = 100, four convolutions, plain averaging, no SCR (METHOD.md 7.3)", "invdetect"),),
    _released,
)
INTENSITY = _plain("intensity", "plain intensity", plain.brightness)
SMOOTHED = Compared(
    (
        Row("smoothed", "smoothed intensity", "intensity smoothed by a Gaussian of 2 pixels", "baseline"),
        Row("smoothed-scr", "smoothed intensity + SCR", "the same, cut by SCR with flat edge weights, for fairness", "baseline"),
    ),
    lambda study: plain.Smoothed(),
)
COLOUR = (
    _plain("green", "green brightness", plain.green),
    _plain("green-dark", "green darkness", plain.green_darkness),
)
OTHERS = (
    _plain("dark", "plain darkness", plain.darkness),
    _baseline("two-sided", "plain intensity, two-sided", "|z| against all normal tissue", lambda study: plain.TwoSided(), _UNCLIPPED),
    _baseline("patch-mean", "patch mean", "mean intensity of windows of 16 pixels", lambda study: plain.PatchMean()),
    _plain("contrast", "local contrast", plain.local_contrast),
    _baseline(
        "pca", "PCA reconstruction", "error of raw patches of 16 pixels in 90 % of the variance", lambda s: Reconstruction(s.budget.samples)
    ),
    _baseline("knn", "kNN, raw patches", "distance to the nearest normal patch of 16 pixels", lambda s: NearestPatch(s.budget.samples)),
    _with_scr(
        "patchcore",
        "PatchCore",
        "Roth et al. 2022, over EfficientNet-Lite0 with ImageNet weights",
        lambda s: PatchCore(s.budget.images, s.budget.bank, s.budget.coreset, find_device(s.device)),
    ),
    _with_scr(
        "padim",
        "PaDiM",
        "Defard et al. 2021, over EfficientNet-Lite0 with ImageNet weights",
        lambda s: PaDiM(s.budget.images, find_device(s.device)),
    ),
)
# What is quick comes first, so that an interrupted study has most of its table.
_BEFORE = (LATENTS, LATENTS_QUICK)
_ALL: tuple[Job, ...] = (INTENSITY, SMOOTHED, *COLOUR, *OTHERS, *own.JOBS, RELEASED, *_BEFORE, *PEERS)
# The order of the table.
ORDER = [row.key for job in (*own.JOBS, *_BEFORE, RELEASED, INTENSITY, SMOOTHED, *COLOUR, *OTHERS, *PEERS) for row in job.rows]


def every(colour: bool) -> list[Job]:
    """All jobs that suit a setting, of colour scans or grey ones, in the order in which they run."""
    return [job for job in _ALL if colour or job not in COLOUR]


def choose(wanted: list[str] | None, colour: bool, size: str = "full") -> list[Job]:
    """The jobs behind the wanted rows, in the order in which they run; `WrongUse` for unknown rows.

    wanted  keys, or "peers" for all of these; None: all that suit the setting but the peers, below size full also without the detector
            before: their trainings are long
    """
    jobs = every(colour)
    if wanted is None:
        left_out: tuple[Job, ...] = PEERS if size == "full" else (*PEERS, *_BEFORE)
        return [job for job in jobs if job not in left_out]
    keys = {row.key for word in wanted for job in _WORDS.get(word, ()) for row in job.rows} | set(wanted) - set(_WORDS)
    known = {row.key for job in jobs for row in job.rows}
    if unknown := [key for key in wanted if key in keys - known]:
        choices = ", ".join([*(key for key in ORDER if key in known), *_WORDS])
        raise WrongUse(f"There is no row {', '.join(unknown)} here; choose from {choices}.")
    return [job for job in jobs if {row.key for row in job.rows} & keys]
