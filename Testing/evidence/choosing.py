"""Does rehearsal choose as real lesions would? Settings that share the network of `standard`, by made lesions and by real ones."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from scipy.stats import spearmanr

from InvDetectLib.calibration import refit
from InvDetectLib.common import WrongUse, write_whole
from InvDetectLib.computing import find_device
from InvDetectLib.detection import Detector
from InvDetectLib.methods import Slices
from InvDetectLib.methods.invdetect.inverter import Inverter
from InvDetectLib.methods.invdetect.once import NoiseSeen
from InvDetectLib.metrics.resampling import patient_bootstrap
from InvDetectLib.models import Model, View, Views, with_views
from InvDetectLib.rehearsal import compare as rehearse_side_by_side
from InvDetectLib.scans import Candidate, prepare, read_mask, read_scan, survey

from .figures import Scored, comparable, plain
from .invdetect_rows import STANDARD, mapped
from .maps import Mapped
from .running import hardware, write_json
from .sets import HALVES, Case
from .study import SEED, Study

_WEIGHTS = {"mirror": (0.0, 0.25, 1.0), "intensity": (0.0, 1.0), "noise": (0.0, 0.25, 1.0)}
_SIGMA = 2.0
_EVERY = 2  # of the real scans of settings with one slice a patient (stroke) every other one: hundreds are enough to rank
_MANY = 100
_FEWEST = 2  # scans to rehearse on
_DRAWS = 2000
_REAL = ("dice", "ap")


def candidates(views: Views) -> dict[str, Views]:
    """By name, the first as given: other levels, weights, sigmas, directions, and views by themselves; each once."""
    found = {"standard": views}
    found |= {f"level {level:g}": dataclasses.replace(views, levels=(level,)) for level in (0.6, 0.7, 0.8, 0.9)}
    for kind in _WEIGHTS:
        found |= {f"{kind} {weight:g}": _weighed(views, kind, weight) for weight in _WEIGHTS[kind]}
    for kind in ("noise", "intensity"):
        alone = tuple(one for one in views.sum if _called(one) == kind)
        found[f"{kind} alone"] = dataclasses.replace(views, sum=alone)
    sigmas = (dataclasses.replace(one, sigma=_SIGMA) if _called(one) == "intensity" else one for one in views.sum)
    found[f"intensity, sigma {_SIGMA:g}"] = dataclasses.replace(views, sum=tuple(sigmas))
    for direction in ("both",) if views.direction != "both" else ("bright", "dark"):
        found[f"direction {direction}"] = dataclasses.replace(views, direction=direction)
    return {name: one for number, (name, one) in enumerate(found.items()) if one.sum and one not in list(found.values())[:number]}


def _called(view: View) -> str:
    return "mirror" if view.mirror else view.kind


def _weighed(views: Views, kind: str, weight: float) -> Views:
    """With another weight of one view, which leaves at 0."""
    every = (dataclasses.replace(one, weight=weight) if _called(one) == kind else one for one in views.sum)
    return dataclasses.replace(views, sum=tuple(one for one in every if one.weight > 0))


def compare(begin: Callable[[str], tuple[Study, Path]]) -> None:
    """Rehearse every candidate on validation scans, score it on the real lesions of both halves, and write OUT/results.json and table.md.

    begin  from a half to its run and its folder
    """
    studies = {half: begin(half) for half in HALVES}
    study, out = studies["quoted"]
    base = STANDARD.model(study)
    if not base.settings.invdetect.views.sum:
        raise WrongUse(f"The preset of {study.setting.name} sums no views, so nothing can be chosen; take another setting.")
    with _asked_once():
        models = _fitted(study, base)
        part, normals = _normals(study, base)
        made = rehearse_side_by_side(list(models.values()), normals, study.device, SEED, study.progress)
        rows = []
        for (name, model), one in zip(models.items(), made, strict=True):
            study.progress.report("scoring real lesions", len(rows), len(models))
            real = {half: _real(run, model) for half, (run, _) in studies.items()}
            rows.append({"name": name, **dataclasses.asdict(one), **real})
    result = {
        "setting": study.setting.name,
        "rehearsed_on": part,
        "scans": len(normals),
        "rows": rows,
        "spearman": {half: {name: _agreement(rows, half, name) for name in _REAL} for half in HALVES},
        "hardware": hardware(study.device),
    }
    write_json(out / "results.json", result)
    write_whole(out / "table.md", markdown(result).encode(), "table")
    print(markdown(result))


def _agreement(rows: list[dict[str, Any]], half: str, name: str) -> dict[str, float]:
    return rank_agreement([row["detection"] for row in rows], [row[half][name]["mean"] for row in rows])


def rank_agreement(made: list[float], real: list[float]) -> dict[str, float]:
    """Spearman's rank correlation, with the 95 % interval over draws of the candidates with replacement; NaN where all are alike."""
    pairs, rng = np.array([made, real]), np.random.default_rng(SEED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a draw of candidates that are all alike has no ranks, and is left out
        draws = [spearmanr(*pairs[:, rng.integers(0, len(made), len(made))]).statistic for _ in range(_DRAWS)]
        value = float(spearmanr(*pairs).statistic)
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return {"rho": round(value, 3), "low": round(float(low), 3), "high": round(float(high), 3), "candidates": len(made)}


def markdown(result: Mapping[str, Any]) -> str:
    """One line a candidate, as they rank by made lesions, and the correlations."""
    columns = [(half, name) for half in HALVES for name in _REAL]
    head = ["candidate", "made lesions found", "false findings a scan", "at rate", *(f"{name}, {half}" for half, name in columns)]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for row in sorted(result["rows"], key=lambda row: -row["detection"]):
        made = f"{row['detection']:.3f} | {row['false_findings']:.2f} | {row['rate']:.4f}"
        real = " | ".join(f"{row[half][name]['mean']:.3f}" for half, name in columns)
        lines.append(f"| {row['name']} | {made} | {real} |")
    for half, by_name in result["spearman"].items():
        for name, one in by_name.items():
            told = f"{one['rho']:.2f} ({one['low']:.2f} to {one['high']:.2f}), {one['candidates']} candidates"
            lines += ["", f"Spearman with {name}, {half}: {told}"]
    return "\n".join([*lines, "", f"Rehearsed on {result['scans']} scans of {result['rehearsed_on']}. {result['hardware']}", ""])


def _fitted(study: Study, base: Model) -> dict[str, Model]:
    """A model for each candidate, calibrated on the scans that calibrate `standard`."""
    training, held_out, grids = [], [], []
    trained = set(base.card["trained_on"]["digests"])
    for case in study.data.train + study.data.calibration:
        scan = read_scan(case.scan)
        calibrates = case in study.data.calibration
        if not calibrates and (scan.digest not in trained or base.settings.refinement.edges == "image"):
            continue
        mask = None if case.field is None else read_mask(case.field, scan.geometry)
        found = prepare(scan, base.settings.preparation, base.part("intensity"), mask, base.settings.least_side)
        (held_out if calibrates else training).append(Slices(found.slices, found.foreground))
        if calibrates:
            grids.append(found.grid)
    gapless = base.calibration["peak_unit"] == "scan"
    device, models = find_device(study.device), {}
    for name, views in candidates(base.settings.invdetect.views).items():
        study.progress.report(f"{name}: calibrating", len(models))
        settings = with_views(base.settings, views)
        models[name] = refit(base, settings, training, held_out, grids, gapless, device, SEED, study.progress)
    return models


def _normals(study: Study, base: Model) -> tuple[str, list[Candidate]]:
    """What to rehearse on: the scans that validated `standard`, or, where those are too few, the ones that calibrated it; and which."""
    trained = set(base.card["trained_on"]["digests"])
    validating = [one for one in _surveyed(study, base, study.data.train) if one.digest not in trained]
    if len(validating) < _FEWEST:
        return "calibration", _surveyed(study, base, study.data.calibration)
    return "validation", validating


def _surveyed(study: Study, base: Model, cases: list[Case]) -> list[Candidate]:
    masks = cases[0].field.parent if cases[0].field else None
    settings = base.settings
    return list(survey([case.scan for case in cases], settings.preparation, settings.least_side, masks, study.progress).candidates)


def _real(study: Study, model: Model) -> dict[str, Any]:
    """Dice at the model's own operating point, with SCR, and AP, on the lesions of a run."""
    detector = Detector(model, study.device)
    (cases,) = study.data.abnormal.values()
    scored = []
    for case in cases[:: _EVERY if len(cases) > _MANY else 1]:
        found = _detected(study, detector, case)
        scored.append(found.scored(case.patient, study.truth(case)))
    return {name: plain(patient_bootstrap(metric)) for name, metric in comparable(Scored(scored, [], [])).items()}


def _detected(study: Study, detector: Detector, case: Case) -> Mapped:
    scan = read_scan(case.scan)
    foreground = None if case.field is None else read_mask(case.field, scan.geometry)
    return mapped(detector.detect(scan, foreground=foreground, stability=False, reasons=False, progress=study.progress.silent()))


@contextmanager
def _asked_once() -> Iterator[None]:
    """What the one network says of a slice at a level is computed once, whichever candidate asks."""
    known: dict[tuple[Any, ...], torch.Tensor] = {}
    ask = NoiseSeen.__call__

    def remembered(self: NoiseSeen, inverter: Inverter, slices: torch.Tensor) -> torch.Tensor:
        keys = [(tuple(self._levels), hash(one.cpu().numpy().tobytes())) for one in slices]
        missing = [number for number, key in enumerate(keys) if key not in known]
        if missing:
            for number, found in zip(missing, ask(self, inverter, slices[missing])):
                known[keys[number]] = found.half()
        return torch.stack([known[key] for key in keys]).float()

    with mock.patch.object(NoiseSeen, "__call__", remembered):
        yield
