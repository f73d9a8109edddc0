"""Scans with known lesions, scored and compared: the rows of METHOD.md's section 9, always beside a plain baseline."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from .common import Event, InvDetectError, Progress, WrongUse, reason
from .detection import Detector
from .metrics import (
    Averaged,
    ScoredScan,
    intensity_score,
    normal_area,
    oracle_dice,
    patient_bootstrap,
    ranking,
    slice_dice,
    slice_precision,
    threshold_at_rate,
)
from .models import Model, relied_on
from .results import Result
from .scans import (
    Case,
    ForegroundChoice,
    Geometry,
    OtherMaps,
    Paths,
    Prepared,
    annotated_cases,
    find_scans,
    read_scan,
    read_truth,
)

COLUMNS = ("dice", "dice_oracle", "precision", "ap", "auroc", "normal_area", "seconds")
ROWS = {
    "map": "the anomaly map above 0, no contiguity refinement",
    "scr": "the same after spatial contiguity refinement",
    "calibrated": "the operating point asked for (default: the model's own)",
    "intensity": "smoothed plain intensity, at the threshold that flags as much held-out normal tissue",
}
AGAINST = "against"
_AGAINST_MEANS = "the maps of the other tool, at the threshold that flags {rate:.2%} of the tissue of these normal scans"
_MUCH_OUTSIDE = 0.01  # of the lesion voxels
_MUCH_LESS = 0.5  # of the rate asked for
_EXCHANGED = "exchanged"  # the row of the other tool with rows and columns exchanged, where nothing but lesions can tell that they are
_MUCH_BETTER = 0.1  # AUROC
_UNDEFINED = {"mean": math.nan, "low": math.nan, "high": math.nan}


@dataclass(frozen=True)
class Table:
    """Metrics of each row: {"mean", "low", "high"} each, the interval over 1000 resamples of the scans.

    rows    by name (`ROWS`, and "against" where there is another tool), then by column (`COLUMNS`); NaN where a metric is not defined
    scans   how many were scored;  failed  (path, reason) of those that were not
    against what the row of the other tool says
    """

    rows: dict[str, dict[str, dict[str, float]]]
    scans: int
    normals: int
    failed: list[tuple[str, str]] = field(default_factory=list)
    against: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON: `rows` as a list with names, NaN as None."""

        def plain(triple: dict[str, float]) -> dict[str, float | None]:
            return {name: None if math.isnan(value) else value for name, value in triple.items()}

        rows = [{"name": name, **{column: plain(row[column]) for column in COLUMNS}} for name, row in self.rows.items()]
        told = {"against": self.against} if self.against else {}
        return {"rows": rows, "scans": self.scans, "normals": self.normals, "failed": self.failed, **told}

    def text(self) -> str:
        """For people: one line a row, mean and 95 % interval."""
        lines = [f"{'':<11}" + "".join(f"{column:>20}" for column in COLUMNS)]
        for name, row in self.rows.items():
            lines.append(f"{name:<11}" + "".join(f"{_shown(row[column]):>20}" for column in COLUMNS))
        lines += [f"{name}: {meaning}" for name, meaning in {**ROWS, AGAINST: self.against}.items() if name in self.rows]
        lines.append(f"{self.scans} scans, {self.normals} normal scans")
        lines.append("dice_oracle uses the best threshold for these very scans: a bound, not a result")
        return "\n".join(lines + [f"failed: {path}: {reason}" for path, reason in self.failed])


@dataclass(frozen=True)
class Judged:
    """How scans are judged; it can be pickled. All as for `evaluate`."""

    series: str | None
    truth_at: float | None
    foreground: ForegroundChoice
    controls: dict[str, Any]


@dataclass(frozen=True)
class Scored:
    """What became of one scan: its rows, or `why` it could not be evaluated, as a phrase.

    geometry, box  of the scan, and what of its array, (slice, row, column), the rows hold: all of its foreground
    """

    case: Case
    rows: dict[str, ScoredScan] | None = None
    geometry: Geometry | None = None
    box: tuple[slice, slice, slice] | None = None
    seconds: float = 0.0
    why: str = ""


# Scores scans and tells of each, in any order; progress on "scans" is told by who asks.
Engine = Callable[[Sequence[Case], Judged, Progress], Iterable[Scored]]


def evaluate(
    scans: Paths,
    masks: Paths,
    model: Model | str | Path | Detector,
    *,
    normals: Paths | None = None,
    device: str = "auto",
    direction: str | None = None,
    foreground: str | Path | None = None,
    series: str | None = None,
    truth_at: float | None = None,
    against: Paths | None = None,
    against_normals: Paths | None = None,
    engine: Engine | None = None,
    on_progress: Callable[[Event], None] | None = None,
    progress: Progress | None = None,
    **controls: Any,
) -> Table:
    """Score scans whose lesions are known, and compare.

    model     or a `Detector`, in which case `device` and `direction` are its own
    masks     one a scan, named like it (see `scans.match_mask`); whole numbers, above 0 is lesion
    truth_at  lesion is what is at least this in the masks, which may then hold fractions
    normals   normal scans on which the flagged share (`normal_area`) is told; they must not be those the model was trained on
    against   anomaly maps of another tool, one a scan and named like it (see `scans.OtherMaps`), the higher the less normal: a row of its
              own, at the smallest threshold that flags at most the rate asked for (default: the model's) of the normals' foreground
    against_normals  that tool's maps of the normals; None: they are among the others
    direction what counts as abnormal, see `Detector`
    engine    who scores the scans; None: this process, one after the other (see `score`)
    controls  contiguity, rate, threshold, scr: of the row "calibrated" (see `results.Controls`); and `adapt`, see `Detector.detect`
    Every scan counts as a patient of its own. A scan that fails is told in `Table.failed`; `InvDetectError` when all do.
    """
    progress = progress or Progress(on_progress)
    detector = model if isinstance(model, Detector) else Detector(model, device, direction)
    point = detector.controls(**{name: value for name, value in controls.items() if name != "adapt"})
    if relied_on(detector.model.card).intensity_threshold is None:
        raise InvDetectError("The card of the model lacks intensity_threshold, which plain intensity is compared at; train it again.")
    if against is None and against_normals is not None:
        raise WrongUse("Maps of normal scans alone say nothing; give those of the scans with --against.")
    if against is not None and normals is None:
        raise WrongUse("The threshold of another tool's maps comes from normal scans; give such with --normals, and its maps of them.")
    cases = annotated_cases(scans, masks, progress.warn)
    normal_cases = [] if normals is None else [Case(entry) for entry in find_scans(normals)[0]]
    tool = None if against is None else OtherMaps(cases, against, normal_cases, against_normals)
    masked = ForegroundChoice(foreground).among([case.found for case in cases]).among([case.found for case in normal_cases])
    judged = Judged(series, truth_at, masked, controls)
    failed: list[tuple[str, str]] = []

    def all_of(cases: Sequence[Case]) -> list[Scored]:
        scored: dict[Case, Scored] = {}
        for one in _with_maps(cases, tool, judged, engine or _here(detector), progress):
            scored[one.case] = one
            if one.why:
                progress.warn(f"{one.case.found.path}: {one.why}")
            progress.report("scans", len(scored), len(cases))
        failed.extend((str(case.found.path), scored[case].why) for case in cases if scored[case].why)
        return [scored[case] for case in cases if not scored[case].why]

    abnormal = all_of(cases)
    if not abnormal:
        raise InvDetectError(f"None of the scans could be evaluated ({failed[0][1]})")
    normal = all_of(normal_cases)
    seconds = [(str(one.case.found.path), one.seconds, 1.0) for one in abnormal]
    rows = {name: _metrics(_row(abnormal, name), _row(normal, name), seconds) for name in ROWS}
    if tool is None:
        return Table(rows, len(abnormal), len(normal), failed)
    if not normal:
        raise InvDetectError(f"None of the normal scans could be evaluated, so the other tool has no threshold ({failed[-1][1]})")
    rate = point.rate if point.rate is not None else detector.model.settings.refinement.rate
    rows[AGAINST] = _at_rate(_row(abnormal, AGAINST), _row(normal, AGAINST), rate, progress)
    _tell_if_exchanged(abnormal, rows[AGAINST]["auroc"]["mean"], progress)
    return Table(rows, len(abnormal), len(normal), failed, _AGAINST_MEANS.format(rate=rate))


def _with_maps(cases: Sequence[Case], tool: OtherMaps | None, judged: Judged, engine: Engine, progress: Progress) -> Iterator[Scored]:
    """Each scan scored, with the row of the other tool where there is one; what lacks a map is not computed."""
    if tool is None:
        yield from engine(cases, judged, progress)
        return
    lacking = {case: why for case in cases if not case.lacking and (why := tool.lacking(case))}
    for case, why in lacking.items():
        yield Scored(case, why=why)
    for one in engine([case for case in cases if case not in lacking], judged, progress):
        yield _beside(one, tool, progress)


def _beside(one: Scored, tool: OtherMaps, progress: Progress) -> Scored:
    """A scored scan with the other tool's row, in which nothing is flagged yet; with `why` where the map does not fit."""
    if one.rows is None or one.geometry is None or one.box is None:
        return one
    ours = one.rows["map"]
    try:
        anomaly = tool.read(one.case, one.geometry)
    except Exception as error:
        return Scored(one.case, why=reason(error, one.case.found.path))
    theirs = replace(ours, anomaly=anomaly[one.box], mask=np.zeros_like(ours.mask))
    inside = theirs.anomaly[ours.foreground]
    if inside.min() == inside.max():
        progress.warn(f"{one.case.found.path}: the other tool's map is {inside[0] + 0.0:g} everywhere")
    rows = {**one.rows, AGAINST: theirs}
    if tool.may_be_exchanged(one.case, one.geometry):
        rows[_EXCHANGED] = replace(theirs, anomaly=anomaly.swapaxes(1, 2)[one.box])
    return replace(one, rows=rows)


def _at_rate(abnormal: list[ScoredScan], normal: list[ScoredScan], rate: float, progress: Progress) -> dict[str, dict[str, float]]:
    """The metrics at the smallest threshold that flags at most `rate` of the normal scans' foreground; tells when maps hardly can be so."""
    threshold = threshold_at_rate([scan.anomaly for scan in normal], [scan.foreground for scan in normal], rate)
    flagged = [[replace(scan, mask=(scan.anomaly > threshold) & scan.foreground) for scan in scans] for scans in (abnormal, normal)]
    metrics = _metrics(flagged[0], flagged[1], [])
    share, auroc = metrics["normal_area"]["mean"], metrics["auroc"]["mean"]
    if share < _MUCH_LESS * rate:
        progress.warn(
            f"At {rate:.2%} the other tool's maps flag only {share:.2%} of the tissue of these normal scans, because so much of it has the "
            f"score {threshold:g}. Give maps that are not cut at a threshold nor rounded, or compare at another --rate."
        )
    if auroc < 0.5:
        progress.warn(
            f"The other tool's maps are lower in lesions than beside them (AUROC {auroc:.2f}). Turn their sign if low means less normal."
        )
    return metrics


def _tell_if_exchanged(abnormal: Sequence[Scored], ranked: float, progress: Progress) -> None:
    """Tells when the other tool's maps, of the AUROC `ranked`, would have a much higher one with rows and columns exchanged."""
    turned = [one for one in abnormal if one.rows is not None and _EXCHANGED in one.rows]
    if len(turned) == len(abnormal) and (other := ranking(_row(turned, _EXCHANGED))["auroc"].value) > ranked + _MUCH_BETTER:
        progress.warn(
            f"With rows and columns exchanged the other tool's maps would have an AUROC of {other:.2f}, and not {ranked:.2f}. Save them "
            "with columns first, as NIfTI and NRRD hold pictures, if they have rows first."
        )


def score(case: Case, judged: Judged, detector: Detector, progress: Progress) -> Scored:
    """Score one scan. Only `Cancelled` is raised."""
    try:
        return _scored(case, judged, detector, progress)
    except Exception as error:
        return Scored(case, why=reason(error, case.found.path))


def _here(detector: Detector) -> Engine:
    """This process, one scan after the other."""

    def engine(cases: Sequence[Case], judged: Judged, progress: Progress) -> Iterator[Scored]:
        for case in cases:
            yield score(case, judged, detector, progress)

    return engine


def _scored(case: Case, judged: Judged, detector: Detector, progress: Progress) -> Scored:
    path, card = case.found.path, relied_on(detector.model.card)
    scan, mask = read_scan(path, judged.series), case.wanted_mask()
    truth = np.zeros(scan.geometry.shape, bool) if mask is None else read_truth(mask, scan.geometry, judged.truth_at)
    if scan.digest in card.trained_on.digests:
        progress.warn(f"{path}: the model was trained on this very scan, which flatters it")
    rule = judged.foreground.of(scan, path)
    prepared = detector.prepare(scan, rule)
    if mask is not None and truth[prepared.native_foreground].all():
        raise InvDetectError(f"{mask} calls the whole foreground of its scan a lesion. Give a mask that is 0 where there is none.")
    result = detector.detect(scan, foreground=rule, stability=False, reasons=False, progress=progress.part(path), **judged.controls)
    outside = float((truth & ~result.foreground).sum() / max(int(truth.sum()), 1))
    if outside > _MUCH_OUTSIDE:
        progress.warn(f"{path}: {outside:.0%} of the lesions lie outside the foreground and do not count")
    assert card.intensity_threshold is not None  # seen to before any scan
    box = _box(result.foreground)
    rows = _rows(truth, prepared, result, card.intensity_threshold, box)
    return Scored(case, rows, scan.geometry, box, result.provenance["seconds"])


def _row(scored: Sequence[Scored], name: str) -> list[ScoredScan]:
    """One row of every scan, each a patient of its own."""
    return [replace(one.rows[name], patient=str(one.case.found.path)) for one in scored if one.rows is not None]


def _box(foreground: np.ndarray) -> tuple[slice, slice, slice]:
    """The smallest part of an array that holds all of its foreground."""
    slices, rows, columns = (np.flatnonzero(foreground.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1)))
    return slice(slices[0], slices[-1] + 1), slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _rows(
    truth: np.ndarray, prepared: Prepared, result: Result, intensity: float, box: tuple[slice, slice, slice]
) -> dict[str, ScoredScan]:
    """One scan under each row, cropped to `box`."""
    brightness = prepared.grid.from_grid(intensity_score(prepared.slices, prepared.foreground))
    masks = {
        "map": result.refine(threshold=0.0, scr=False).mask,
        "scr": result.refine(threshold=0.0, contiguity=1.0, scr=True).mask,
        "calibrated": result.mask,
        "intensity": (brightness > intensity) & result.foreground,
    }
    inside, known = result.foreground[box], truth[box]
    maps = {name: brightness[box] if name == "intensity" else result.anomaly_map[box] for name in ROWS}
    return {name: ScoredScan("", maps[name], masks[name][box], known, inside, prepared.grid.slice_axis) for name in ROWS}


def _metrics(abnormal: list[ScoredScan], normal: list[ScoredScan], seconds: list[tuple[str, float, float]]) -> dict[str, dict[str, float]]:
    ranks = ranking(abnormal)
    return {
        "dice": patient_bootstrap(slice_dice(abnormal)),
        "dice_oracle": patient_bootstrap(oracle_dice(abnormal)),
        "precision": patient_bootstrap(slice_precision(abnormal)),
        "ap": patient_bootstrap(ranks["ap"]),
        "auroc": patient_bootstrap(ranks["auroc"]),
        "normal_area": patient_bootstrap(normal_area(normal)) if normal else _UNDEFINED,
        "seconds": patient_bootstrap(Averaged.collect(seconds)),
    }


def _shown(triple: dict[str, float]) -> str:
    mean, low, high = (triple[name] for name in ("mean", "low", "high"))
    if math.isnan(mean):
        return "-"
    return f"{mean:.3f}" if math.isnan(low) else f"{mean:.3f} ({low:.2f}-{high:.2f})"
