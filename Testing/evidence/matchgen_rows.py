"""MatchGen's rows: each base model by itself, and matched, over one and the same network."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

from InvDetectLib.computing.tensors import find_device
from InvDetectLib.methods.matchgen.method import MatchGen
from InvDetectLib.models.method_settings import Matching
from InvDetectLib.models.model import Model
from InvDetectLib.models.presets import BASES, choose_settings
from InvDetectLib.models.settings import Settings

from .invdetect_rows import Preset, fitted_again
from .rows import Row
from .study import RATE, Study

_THRESHOLDED = {"scr": False, "rate": RATE}  # as the paper has it
_STEPS = {"small": 1000}  # of training, where the preset's are too many for two cores
_TINY = {"grid": 32, "widths": (8, 16), "steps": 40, "most_steps": 10}


@dataclass
class Alone(Preset):
    """A base model without MatchGen: the difference between a slice and what the base makes of it."""

    name: str = ""

    def library_settings(self, study: Study) -> Settings:
        return settings(study, self.name, Matching(way="none"))


@dataclass
class Matched(Preset):
    """MatchGen over the network of a base model, with an epsilon and a calibration of its own."""

    alone: Alone | None = None
    matching: Matching = field(default_factory=Matching)

    def library_settings(self, study: Study) -> Settings:
        assert self.alone is not None
        return settings(study, self.alone.name, self.matching)

    def _make(self, study: Study) -> Model:
        assert self.alone is not None
        base, wanted = self.alone.model(study), self.library_settings(study)
        preparation = wanted.preparation
        assert preparation.grid is not None
        method = MatchGen(wanted.matchgen, preparation.channels, preparation.grid, find_device(study.device))
        return fitted_again(study, base, wanted, method, lambda parts: method.refit(base.arrays, parts.validation, study.progress))


def settings(study: Study, base: str, matching: Matching) -> Settings:
    """Of the preset `standard` for one base in this study; whole slices of 128 pixels, as the paper has them, whatever InvDetect's grid."""
    setting = study.setting
    foreground = "masks" if setting.fields else None
    chosen = choose_settings(
        "standard", method="matchgen", base=base, plane=setting.plane, modality=setting.modality, foreground=foreground
    )
    preparation = dataclasses.replace(chosen.preparation, channels=3 if setting.colour else 1)
    if setting.colour:
        preparation = dataclasses.replace(preparation, intensity="channels")
    own = chosen.matchgen
    training = dataclasses.replace(own.training, steps=_STEPS.get(study.size, own.training.steps))
    if study.size == "tiny":
        preparation = dataclasses.replace(preparation, grid=_TINY["grid"])
        training = dataclasses.replace(training, steps=_TINY["steps"], batch=8, ema_decay=0.9)
        own = dataclasses.replace(own, network=dataclasses.replace(own.network, widths=_TINY["widths"], code=16))
        matching = dataclasses.replace(matching, most_steps=_TINY["most_steps"])
    own = dataclasses.replace(own, training=training, matching=matching)
    return dataclasses.replace(chosen, preset="custom", preparation=preparation, matchgen=own)


def pair(base: str) -> tuple[Alone, Matched]:
    """A base by itself, and matched."""
    alone = Alone("standard", _rows(base, base, "the base model alone"), (_THRESHOLDED, {}), base)
    return alone, _matched(f"{base}-matchgen", f"{base} + MatchGen", alone, Matching())


def _matched(key: str, title: str, alone: Alone, matching: Matching) -> Matched:
    return Matched("standard", _rows(key, title, "its pseudo-normal slice matched to the scan"), (_THRESHOLDED, {}), alone, matching)


def _rows(key: str, title: str, what: str) -> tuple[Row, Row]:
    return (
        Row(key, title, f"{what}, the difference thresholded by the 1 % rule", "invdetect"),
        Row(f"{key}-scr", f"{title}, SCR", f"{what}, the difference cut by SCR along the edges of the slice", "invdetect"),
    )


PAIRS = {base: pair(base) for base in BASES}
WAYS = {  # other ways to match the best base
    "dae-moved": _matched("dae-moved", "dae + MatchGen, skips moved", PAIRS["dae"][0], Matching(skips="moved")),
    "dae-penalty": _matched("dae-penalty", "dae + MatchGen, penalty method", PAIRS["dae"][0], Matching(way="penalty")),
}
