"""The presets: named choices of settings, and what a user may change of them."""

from __future__ import annotations

import dataclasses
from typing import Any

from ..common import WrongUse, shown
from .method_settings import (
    BASES,
    DIRECTIONS,
    Features,
    InvDetectSettings,
    Inversion,
    MatchGenSettings,
    Matching,
    Network,
    Noise,
    Normality,
    Patches,
    Reconstruction,
    Training,
    View,
    Views,
)
from .settings import PLANES, Preparation, Refinement, Settings, check_foreground, check_intensity

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
        patches=Patches(size=128, stride=32, min_foreground=0.15),
        network=Network(widths=(24, 48, 72, 96), fold=2),
        noise=Noise(scales=(1, 2, 4, 8, 16)),
        training=Training(steps=2000, batch=8, mirror=True, cosine=True, ema_decay=0.998),
        views=Views(
            sum=(
                View("noise", sigma=1.5),
                View("intensity", sigma=4.0, weight=0.5),
                View("intensity", mirror=True, sigma=4.0, weight=0.5),
            ),
            levels=(0.7,),
        ),
    ),
    refinement=Refinement(contiguity=1.0, edges="image"),
)
_FLAIR = dataclasses.replace(  # what a radiologist knows of it: lesions are bright
    _STANDARD,
    preset="flair",
    preparation=dataclasses.replace(_STANDARD.preparation, modality="MRI FLAIR"),
    invdetect=dataclasses.replace(_STANDARD.invdetect, views=dataclasses.replace(_STANDARD.invdetect.views, direction="bright")),
)
_QUICK = dataclasses.replace(
    _STANDARD,
    preset="quick",
    preparation=Preparation(grid=96, intensity="median"),
    invdetect=dataclasses.replace(
        _STANDARD.invdetect,
        patches=Patches(size=96, stride=24, min_foreground=0.15),
        network=Network(widths=(16, 24, 32, 48), fold=2),
        training=Training(steps=1000, batch=8, mirror=True, cosine=True, ema_decay=0.99),
    ),
)
_FINE = Settings(  # lesions of a few pixels in grey scans: one pass found less of them (see the study)
    preset="fine",
    preparation=Preparation(intensity="median"),
    invdetect=InvDetectSettings(
        patches=Patches(size=64, stride=32),
        network=Network(widths=(24, 48, 72, 96), fold=2),
        training=Training(steps=2500, batch=32, mirror=True, cosine=True, ema_decay=0.998),
        inversion=Inversion(solver="multistep", evaluations=12, abar=0.28),
        features=Features(kind="latent_windows", image=True, window=5, spacing=1, min_foreground=0.5),
        normality=Normality(max_samples=5000),
    ),
    refinement=Refinement(contiguity=0.25, edges="image"),
)
_FUNDUS = dataclasses.replace(  # colour photographs of the back of the eye
    _STANDARD,
    preset="fundus",
    preparation=Preparation(modality="colour fundus", grid=256, intensity="local", channels=3),
    invdetect=dataclasses.replace(
        _STANDARD.invdetect,
        patches=Patches(size=128, stride=16, min_foreground=0.5),
        noise=Noise(scales=(1, 2, 4)),
        views=Views(sum=(View("intensity", sigma=0.0), View("noise", sigma=0.0, weight=0.5)), levels=(0.8,), colour="green"),
    ),
    refinement=Refinement(contiguity=0.5, edges="image"),
)
PRESETS: dict[str, Settings] = {settings.preset: settings for settings in (_PAPER, _STANDARD, _FLAIR, _QUICK, _FINE, _FUNDUS)}
_MATCHGEN = {
    "paper": Settings(  # a threshold on the difference alone, and Algorithm 1 as it is written
        preset="paper",
        method="matchgen",
        preparation=Preparation(intensity="percentile"),
        matchgen=MatchGenSettings(training=Training(steps=20_000, batch=16), matching=Matching(way="penalty")),
        refinement=Refinement(contiguity=0.0, edges="image", unit="raw"),
    ),
    "standard": Settings(
        preset="standard",
        method="matchgen",
        preparation=Preparation(intensity="median"),
        matchgen=MatchGenSettings(training=Training(steps=4000, batch=16, mirror=True, cosine=True, ema_decay=0.998)),
        refinement=Refinement(contiguity=1.0, edges="image"),
    ),
    "quick": Settings(
        preset="quick",
        method="matchgen",
        preparation=Preparation(grid=96, intensity="median"),
        matchgen=MatchGenSettings(
            network=Reconstruction(widths=(16, 32, 64, 64), code=64),
            training=Training(steps=800, batch=16, mirror=True, cosine=True, ema_decay=0.99),
        ),
        refinement=Refinement(contiguity=1.0, edges="image"),
    ),
}
_OF_METHOD = {"invdetect": PRESETS, "matchgen": _MATCHGEN}
_LEARNING_RATES = {"ae": 1e-3, "ceae": 1e-3, "vae": 1e-3, "vae-grad": 1e-3, "dae": 1e-3, "ganomaly": 5e-4, "ddgan": 2e-4}  # of the bases
_SLENDER = {"ddgan": 2}  # by what a base's widths are divided: it goes through its network once for each denoising step


def preset(name: str, method: str = "invdetect", base: str | None = None) -> Settings:
    """The preset called `name` of a method, for `matchgen` with this base model ("dae" without one); `WrongUse` if there is none."""
    if method not in _OF_METHOD:
        raise WrongUse(f"There is no method {shown(method)}; choose one of {', '.join(_OF_METHOD)}.")
    table = _OF_METHOD[method]
    if name not in table:
        of = "" if method == "invdetect" else f" of {method}"
        raise WrongUse(f"There is no preset {shown(name)}{of}; choose one of {', '.join(table)}.")
    if method != "matchgen":
        if base is not None:
            raise WrongUse("A base model belongs to the method matchgen; choose that method too, or leave the base out.")
        return table[name]
    base = "dae" if base is None else base
    if base not in BASES:
        raise WrongUse(f"There is no base {shown(base)}; choose one of {', '.join(BASES)}.")
    made = table[name].matchgen
    network = dataclasses.replace(made.network, widths=tuple(width // _SLENDER.get(base, 1) for width in made.network.widths))
    training = dataclasses.replace(made.training, learning_rate=_LEARNING_RATES[base])
    return dataclasses.replace(table[name], matchgen=dataclasses.replace(made, base=base, network=network, training=training))


def preset_names(method: str) -> tuple[str, ...]:
    """Names of the presets of a method."""
    return tuple(_OF_METHOD[method])


def all_presets() -> dict[str, Settings]:
    """Every preset of every method by what it is called: "standard", or "matchgen dae standard"."""
    matching = {f"matchgen {base} {name}": preset(name, "matchgen", base) for base in BASES for name in _MATCHGEN}
    return {**PRESETS, **matching}


def choose_settings(
    name: str = "standard",
    *,
    method: str = "invdetect",
    base: str | None = None,
    plane: str | None = None,
    grid: int | None = None,
    spacing_mm: float | None = None,
    intensity: str | None = None,
    foreground: str | None = None,
    modality: str | None = None,
    direction: str | None = None,
    mirror: bool | None = None,
    beside: str | None = None,
) -> Settings:
    """The preset `name` of a method with a user's choices; None keeps the preset's. Grey or colour is left to the scans.

    direction  what counts as abnormal: bright, dark or both;  mirror  whether left is compared with right (None: where it can be)
    beside     a base of MatchGen whose residual is one more view
    Raises `WrongUse` for an unknown method, base, preset, plane, intensity rule, foreground rule or direction, for a direction or mirror
    that the preset has no views for, for numbers that cannot be, or for grid and spacing_mm together.
    """
    settings = preset(name, method, base)
    if direction is not None or mirror is not None:
        settings = _with_views(settings, direction, mirror)
    if grid is not None and spacing_mm is not None:
        raise WrongUse("A grid and a spacing contradict each other; give one of them.")
    if plane is not None and plane not in PLANES:
        raise WrongUse(f"There is no plane {shown(plane)}; choose one of {', '.join(PLANES)}.")
    if intensity is not None:
        check_intensity(intensity)
    if foreground is not None:
        check_foreground(foreground)
    if spacing_mm is not None and not 0 < spacing_mm < 100:
        raise WrongUse(f"A pixel of {spacing_mm:g} mm cannot be; give its size in mm.")
    size, what = settings.least_side, "a patch" if method == "invdetect" else "the smallest slice"
    if grid is not None and not size <= grid <= 4096:
        raise WrongUse(f"A grid of {shown(grid)} pixels cannot be; give one from the size of {what} ({size}) to 4096.")
    if method == "matchgen":
        if spacing_mm is not None:
            raise WrongUse("MatchGen looks at whole slices, which must have one size; give a grid instead of a spacing.")
        if grid is not None and grid % size:
            raise WrongUse(f"A grid of {grid} pixels cannot be halved as often as MatchGen's encoder does; give a multiple of {size}.")
    changes: dict[str, Any] = {"plane": plane, "intensity": intensity, "foreground": foreground, "modality": modality}
    changes = {name: value for name, value in changes.items() if value is not None} | {"channels": 0}
    if plane == "sagittal":  # there, the columns run from front to back
        if mirror:
            raise WrongUse("Left and right cannot be compared in sagittal slices; leave the mirror out, or choose another plane.")
        settings = _with_views(settings, None, False) if settings.invdetect.views.sum else settings
        own = getattr(settings, method)
        settings = dataclasses.replace(
            settings, **{method: dataclasses.replace(own, training=dataclasses.replace(own.training, mirror=False))}
        )
    if spacing_mm is not None:
        changes |= {"grid": None, "spacing_mm": float(spacing_mm)}
    elif grid is not None:
        changes |= {"grid": grid, "spacing_mm": None}
        settings = _whole_slices(settings, grid)
    if beside is not None:
        settings = _with_beside(settings, beside, None if spacing_mm is not None else grid or settings.preparation.grid)
    settings = dataclasses.replace(settings, preparation=dataclasses.replace(settings.preparation, **changes))
    settings.check()
    return settings


def _with_views(settings: Settings, direction: str | None, mirror: bool | None) -> Settings:
    views = settings.invdetect.views
    if settings.method != "invdetect" or not views.sum:
        raise WrongUse(
            f"The preset {settings.preset} of {settings.method} scores without a direction and without a mirror; leave them out, or choose "
            "standard."
        )
    if direction is not None and direction not in DIRECTIONS:
        raise WrongUse(f"There is no direction {shown(direction)}; choose one of {', '.join(DIRECTIONS)}.")
    views = dataclasses.replace(
        views, direction=direction or views.direction, mirror=views.mirror if mirror is None else "yes" if mirror else "no"
    )
    return dataclasses.replace(settings, invdetect=dataclasses.replace(settings.invdetect, views=views))


def _whole_slices(settings: Settings, grid: int) -> Settings:
    """Slices that are smaller than the pieces a network learns from are learned whole, and not in an empty frame."""
    own, multiple = settings.invdetect, settings.invdetect.network.fold * 2 ** (len(settings.invdetect.network.widths) - 1)
    if settings.method != "invdetect" or not own.views.sum or own.patches.size <= grid:
        return settings
    return dataclasses.replace(
        settings, invdetect=dataclasses.replace(own, patches=dataclasses.replace(own.patches, size=-(-grid // multiple) * multiple))
    )


def _with_beside(settings: Settings, base: str, grid: int | None) -> Settings:
    """One more view, the residual of this base, trained for as many steps as the network."""
    own = settings.invdetect
    if settings.method != "invdetect" or not own.views.sum:
        raise WrongUse(f"The preset {settings.preset} of {settings.method} sums no views, so none can be added; leave the base out.")
    if grid is None or grid > own.patches.size:
        raise WrongUse(f"A base looks at whole slices, and this model learns pieces of {own.patches.size} pixels; give no larger grid.")
    alone = dataclasses.replace(preset("standard", "matchgen", base).matchgen, matching=Matching(way="none"))
    training = dataclasses.replace(alone.training, steps=own.training.steps, mirror=own.training.mirror)
    views = dataclasses.replace(own.views, sum=(*own.views.sum, View("residual")))
    own = dataclasses.replace(own, views=views, beside=dataclasses.replace(alone, training=training))
    return dataclasses.replace(settings, invdetect=own)
