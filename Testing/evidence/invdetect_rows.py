"""InvDetect's own rows: presets trained by the library, and variants that share the network of another row."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from InvDetectLib.calibration.held_out import calibrate_method
from InvDetectLib.computing.tensors import find_device
from InvDetectLib.detection import Detector
from InvDetectLib.methods.choosing import suited
from InvDetectLib.methods.contract import Method, Slices
from InvDetectLib.methods.invdetect.method import InvDetect
from InvDetectLib.methods.scoring import mean_neighbour_distance
from InvDetectLib.models.method_settings import View
from InvDetectLib.models.model import Model
from InvDetectLib.models.settings import Settings
from InvDetectLib.results.result import Result
from InvDetectLib.scans import SliceGrid, prepare, read_mask, read_scan
from InvDetectLib.training import train

from .maps import Mapped
from .rows import NotRun, Row
from .sets import Case
from .sizes import sized
from .study import RATE, SEED, Study


@dataclass
class Preset:
    """A preset, trained by the library.

    points  how each of `rows` is read off the scored scan: arguments of `Result.refine`, none for the model's own operating point
    """

    preset: str
    rows: tuple[Row, ...]
    points: tuple[dict[str, Any], ...] = ({},)
    detector: Detector | None = field(default=None, init=False)

    @property
    def key(self) -> str:
        """Of the model's file, and of what a size changes."""
        return self.rows[0].key

    def library_settings(self, study: Study) -> Settings:
        """What the model is trained with."""
        return study.settings(self.preset, self.key)

    def settings(self, study: Study) -> dict[str, Any]:
        return {"model": self.library_settings(study).as_dict(), "points": list(self.points)}

    def fit(self, study: Study) -> dict[str, Any]:
        model, facts = self._model(study)
        self.detector = Detector(model, study.device)
        card = model.card
        facts |= {"epsilon": card["epsilon"]} if card.get("epsilon") is not None else {}
        return {**facts, "device": card["device"], "threshold": card["default_threshold"], "lambda": card["contiguity"]}

    def score(self, study: Study, case: Case) -> tuple[Mapped, ...]:
        assert self.detector is not None
        scan = read_scan(case.scan)
        foreground = None if case.field is None else read_mask(case.field, scan.geometry)
        result = self.detector.detect(scan, foreground=foreground, stability=False, reasons=False, progress=study.progress.part())
        return tuple(mapped(result.refine(**point) if point else result) for point in self.points)

    def model(self, study: Study) -> Model:
        """The trained model, from its file when there is one."""
        return self._model(study)[0]

    def _model(self, study: Study) -> tuple[Model, dict[str, Any]]:
        path = study.work / "models" / f"{self.key}-{study.fingerprint(self.library_settings(study).as_dict())}.invdetect"
        if not path.exists():
            self._make(study).save(path)
            path.with_suffix(".checkpoint").unlink(missing_ok=True)
        model = Model.load(path)
        resumed = bool(model.card.get("resumed", False))
        return model, {"training_seconds": model.card["seconds"], "resumed": resumed}

    def _make(self, study: Study) -> Model:
        settings = self.library_settings(study)
        checkpoint = study.work / "models" / f"{self.key}-{study.fingerprint(settings.as_dict())}.checkpoint"
        resumed = checkpoint.exists()
        if resumed:
            study.progress.report(f"going on with the training of {self.key}")
        model = train(
            [case.scan for case in study.data.train],
            settings=settings,
            normals_test=[case.scan for case in study.data.calibration],
            masks=study.data.train[0].field.parent if study.data.train[0].field else None,
            seed=SEED,
            device=study.device,
            licence=study.setting.licence,
            checkpoint=checkpoint,
            rehearse=False,  # the study has lesions of its own
            progress=study.progress.part(),
        )
        model.card["resumed"] = resumed  # then "seconds" leaves out what was done before
        return model


@dataclass
class Variant(Preset):
    """The network of another job, with other views, inversion, features or one-class model, fitted and calibrated anew.

    base     whose network;  changes  of `Settings.invdetect`, as dotted names
    views    of the base's views, those that stay; None: all. The row is not run where none would stay, or all
    """

    base: Preset | None = None
    changes: dict[str, Any] = field(default_factory=dict)
    views: Callable[[View], bool] | None = None

    def library_settings(self, study: Study) -> Settings:
        assert self.base is not None
        settings = _changed(self.base.library_settings(study), self.changes)
        if self.views is not None:
            settings = _changed(settings, {"views.sum": tuple(filter(self.views, settings.invdetect.views.sum))})
        return sized(dataclasses.replace(settings, preset="custom"), self.key, study.size)

    def fit(self, study: Study) -> dict[str, Any]:
        assert self.base is not None
        if self.views is not None:
            both = self.base.library_settings(study), self.library_settings(study)
            before, left = (with_mirror(one, one.invdetect.views.mirror).invdetect.views.sum for one in both)
            if not left or left == before:
                raise NotRun(f"not run: of the views of {self.base.rows[0].title} it has {'all' if left else 'none'} in this setting")
        return super().fit(study)

    def _make(self, study: Study) -> Model:
        assert self.base is not None
        base, settings = self.base.model(study), self.library_settings(study)
        settled = base.settings.invdetect.views.mirror
        settings = with_mirror(settings, "no" if settings.invdetect.views.mirror == "no" else settled)
        method = InvDetect(settings.invdetect, settings.preparation.channels, find_device(study.device))
        return fitted_again(study, base, settings, method, lambda part: method.refit(base.arrays, part.training, SEED, study.progress))


def _changed(settings: Settings, changes: dict[str, Any]) -> Settings:
    """Settings with other values of `Settings.invdetect`, by dotted names."""
    method: Any = settings.invdetect
    for place, value in changes.items():
        part, name = place.split(".")
        method = dataclasses.replace(method, **{part: dataclasses.replace(getattr(method, part), **{name: value})})
    return dataclasses.replace(settings, invdetect=method)


def with_mirror(settings: Settings, mirror: str) -> Settings:
    """Settings as a trained model has them, whose `views.mirror` is known: where it is "no", no view compares left with right."""
    known = _changed(settings, {"views.mirror": mirror})
    return suited(known, [])[0] if mirror == "no" else known


@dataclass(frozen=True)
class Parts:
    """Slices of the normal scans of a run, one entry a scan: those that trained a base model, those it was validated on, and the others,
    with the grids of these."""

    training: list[Slices]
    validation: list[Slices]
    held_out: list[Slices]
    grids: list[SliceGrid]


def fitted_again(study: Study, base: Model, settings: Settings, method: Method, fit: Callable[[Parts], dict[str, Any]]) -> Model:
    """A model that shares the network of `base`, made as `train` does after the network is trained, on the very scans that trained it.

    fit  fits what is new in `method`, and returns facts for the card
    """
    started = time.monotonic()
    learned = {name: values for name, values in base.arrays.items() if name.startswith("intensity/")}
    trained_on, parts = set(base.card["trained_on"]["digests"]), Parts([], [], [], [])
    for case in study.data.train + study.data.calibration:
        scan = read_scan(case.scan)
        mask = None if case.field is None else read_mask(case.field, scan.geometry)
        rule = {name.removeprefix("intensity/"): values for name, values in learned.items()}
        found = prepare(scan, settings.preparation, rule, mask, settings.least_side)
        kept = parts.held_out if case in study.data.calibration else parts.training if scan.digest in trained_on else parts.validation
        kept.append(Slices(found.slices, found.foreground))
        if kept is parts.held_out:
            parts.grids.append(found.grid)
    facts = fit(parts)
    method.settle(parts.held_out, study.progress)
    distance = mean_neighbour_distance(method, parts.training, settings.refinement.edges, study.progress)
    calibration, calibrated = calibrate_method(
        method, parts.held_out, parts.grids, distance, False, settings.refinement, study.progress
    )
    card = {**base.card, **facts, "seconds": round(base.card["seconds"] + time.monotonic() - started, 1), **calibrated}
    return Model(settings, method.arrays() | learned, calibration, card)


def mapped(result: Result) -> Mapped:
    """What the study keeps of a result."""
    grid = SliceGrid.for_scan(result.geometry, result.preparation)
    seconds, slices = float(result.provenance["seconds"]), int(result.provenance["scan"]["slices_scored"])
    return Mapped(result.anomaly_map, result.mask, result.foreground, grid.slice_axis, seconds, slices)


_MA = "Ma et al., InvDetect"
_NO_SCR = {"scr": False, "rate": RATE}

STANDARD = Preset(
    "standard",
    (
        Row("standard", "InvDetect standard", "the library's preset `standard` at its own operating point", "invdetect"),
        Row("standard-no-scr", "standard, no SCR", "the same map, thresholded at the 1 % rule instead of cut", "invdetect"),
    ),
    ({}, _NO_SCR),
)
QUICK = Preset("quick", (Row("quick", "InvDetect quick", "the library's preset `quick` at its own operating point", "invdetect"),))
PAPER = Preset(
    "paper",
    (
        Row("paper", "InvDetect paper", f"the paper to the letter ({_MA}): threshold 0, the smallest lambda below 1 %", "invdetect"),
        Row("paper-no-scr", "paper, no SCR", "the same map, thresholded at the 1 % rule instead of cut", "invdetect"),
    ),
    ({}, _NO_SCR),
)
NOISE_ALONE = Variant(
    "standard",
    (Row("standard-noise", "standard, predicted noise alone", "the view of standard that is predicted noise, and no other", "invdetect"),),
    base=STANDARD,
    views=lambda view: view.kind == "noise" and not view.mirror,
)
NO_NETWORK = Variant(
    "standard",
    (
        Row(
            "standard-no-network",
            "standard without its network",
            "the views that standard takes of the slices themselves, left against right included, and nothing that the network says",
            "invdetect",
        ),
    ),
    base=STANDARD,
    views=lambda view: view.kind == "intensity",
)
NO_MIRROR = Variant(
    "standard",
    (Row("standard-no-mirror", "standard, no mirror", "standard without what compares left with right", "invdetect"),),
    base=STANDARD,
    views=lambda view: not view.mirror,
)
JOBS = (STANDARD, QUICK, PAPER, NOISE_ALONE, NO_NETWORK, NO_MIRROR)
