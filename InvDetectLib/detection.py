"""The orchestrator of detection: from a scan and a model to a `Result`, the whole way through the house."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .calibration import ScoreShift, calibration_of, unlike
from .common import Event, InvDetectError, Progress, WrongUse, shown, versions
from .computing import compute_repeatably, describe_device, find_device, thread_count
from .explanation import Explanation, Gallery, check_origin, check_scan, with_reasons
from .explanation import explain as look_again
from .methods import Scores, Slices, load_method, other_levels, random_slice, score_slices
from .models import Model, relied_on
from .refinement import Cuts
from .results import Controls, Examined, Images, OnGrid, Result, backgrounds_of, stability_of
from .scans import Foreground, Prepared, Scan, map_from_grid, midplane, prepare, pseudo_normal_from_grid, read_scan, small_changes

if TYPE_CHECKING:
    import torch

_FIXED_BATCH = 8
QUICK = 10.0  # seconds that a scan may take for its stability to be measured unasked: it takes several times as long
_SAMPLE = 8  # slices scored by `check`: enough to see that a scan is of another kind


@dataclasses.dataclass(frozen=True)
class ScoredSlice:
    """The map of one slice in the scan's own voxels, told while the others are still being scored.

    done, total  slices scored so far, this one included, and to be scored
    axis, index  which slice of the scan's array: `array.take(index, axis)`
    values       2-D float32, in the order of the remaining axes: what `Result.anomaly_map` will have there
    """

    done: int
    total: int
    axis: int
    index: int
    values: np.ndarray


@dataclasses.dataclass(frozen=True)
class _Task:
    """What is to be done: slices `wanted` of a prepared scan, at the operating point `point`; adapt  see `Detector.detect`.

    slices  all of the scan's, looked over by the method
    """

    scan: Scan
    prepared: Prepared
    slices: Slices
    wanted: range
    point: Controls
    adapt: str


class Detector:
    """A model on a device, ready for any number of scans."""

    def __init__(
        self, model: Model | str | Path, device: str = "auto", direction: str | None = None, deterministic: bool = False
    ) -> None:
        """Load `model` (a `Model`, a path, or the name of an installed one).

        direction      what counts as abnormal: "bright", "dark" or "both"; None: as the model was trained
        deterministic  one thread and a fixed batch, which keeps the last digits of maps the same wherever it runs; slower
        Raises `InvDetectError` for a file that is none, `WrongUse` for a direction that the model was not calibrated for.
        """
        self.model = model if isinstance(model, Model) else Model.load(model)
        self._card = relied_on(self.model.card)  # what is gone by; `model.card` is for people
        self._method = load_method(self.model, find_device(device))
        if deterministic:
            compute_repeatably()
            self._method.batch = _FIXED_BATCH
        own = self._method.direction
        self._method.direction = own if direction is None else direction
        self.calibration = calibration_of(self.model.calibration, own, self._method.direction)
        self._paces: dict[torch.device, float] = {}
        self._intensity = self.model.part("intensity")

    @property
    def device(self) -> torch.device:
        """What computes now: the device asked for, or the CPU once its memory was not enough."""
        return self._method.device

    @property
    def direction(self) -> str:
        """What counts as abnormal: "bright", "dark" or "both"; "" for models that do not tell them apart."""
        return self._method.direction

    @property
    def batch(self) -> int:
        """Patches taken at once."""
        return self._method.batch

    def pace(self, progress: Progress | None = None) -> float:
        """Seconds that scoring one patch (of MatchGen: one slice) takes on this device, measured once with random noise."""
        if self.device in self._paces:
            return self._paces[self.device]
        seconds = []
        sample, units = random_slice(self.model.settings)
        for _ in range(2):  # the first one also prepares the device
            started = time.perf_counter()
            list(self._method.map_and_edges(sample, progress or Progress()))
            seconds.append(time.perf_counter() - started)
        self._paces[self.device] = min(seconds) / units
        return self._paces[self.device]

    def prepare(self, scan: Scan, foreground: Foreground = None) -> Prepared:
        """The scan on the model's grid.

        foreground  (slice, row, column) bool in the scan's own voxels, or a rule ("auto", "brain", "none"); None: the model's own rule
        """
        preparation, mask = self.model.settings.preparation, None
        if isinstance(foreground, np.ndarray):
            preparation, mask = dataclasses.replace(preparation, foreground="masks"), foreground
        elif foreground is not None:
            preparation = dataclasses.replace(preparation, foreground=foreground)
        return prepare(scan, preparation, self._intensity, mask, self._method.patch_size)

    def look_over(self, prepared: Prepared) -> Slices:
        """What the method scores, with what it has to know of the whole scan beforehand."""
        return self._method.look_over(Slices(prepared.slices, prepared.foreground))

    def controls(
        self, contiguity: float = 1.0, rate: float | None = None, threshold: float | None = None, scr: bool = True
    ) -> Controls:
        """The operating point that these wishes mean for this model; raises as `Controls.choose` does for those that cannot be."""
        settings = self.model.settings.refinement
        if rate is None and threshold is None and settings.contiguity is not None and "tuned" not in self.model.card:
            rate = settings.rate  # so that the share of normal tissue flagged holds at every contiguity, and without SCR
        return Controls.choose(self.calibration, contiguity, rate, threshold, scr)

    def detect(
        self,
        scan: Scan | str | Path,
        *,
        contiguity: float = 1.0,
        rate: float | None = None,
        threshold: float | None = None,
        scr: bool = True,
        slices: tuple[int, int] | None = None,
        foreground: Foreground = None,
        series: str | None = None,
        adapt: str = "none",
        stability: bool | None = None,
        reasons: bool = True,
        progress: Progress | None = None,
        on_slice: Callable[[ScoredSlice], None] | None = None,
    ) -> Result:
        """Score one scan.

        scan        a `Scan` or the path of one; `series` picks one of several DICOM series
        contiguity, rate, threshold, scr   the operating point, see `results.Controls`
        slices      (first, last + 1) along the model's plane, counted from 0; None for all
        foreground  see `prepare`
        adapt       "scan": the scores are moved and stretched so that their median and the spread below it are those of held-out normal
                    scans, for a scanner that the model was not calibrated on; only what is small beside the scan is found then. "none": not
        stability   whether to try small changes of the scan, and of the level at which the network is asked, for `Finding.stability`; None:
                    where scoring took less than ten seconds
        reasons     whether findings get theirs, which scores the slices of their peaks once more: not for those who count findings
        on_slice    called with each slice's map as soon as it is known; with "scan" that is once all slices are scored
        Raises `InvDetectError` for a scan that cannot be used.
        """
        progress = progress or Progress()
        if adapt not in ("none", "scan"):
            raise WrongUse(f"Scores cannot be adapted to {shown(adapt)}; use none or scan.")
        point = self.controls(contiguity, rate, threshold, scr)
        started = time.monotonic()
        scan = scan if isinstance(scan, Scan) else read_scan(scan, series)
        prepared = self.prepare(scan, foreground)
        for text in (*scan.warnings, *prepared.warnings):
            progress.warn(text)
        wanted = _wanted(slices, len(prepared.slices))
        if not prepared.foreground[wanted.start : wanted.stop].any():
            raise InvDetectError(f"{scan.name}: the chosen slices hold no foreground; choose others.")
        task = _Task(scan, prepared, self.look_over(prepared), wanted, point, adapt)
        with Cuts() as cuts:  # they begin while later slices are still being scored
            scores = self._score(task, cuts, progress, on_slice)
            seconds = time.monotonic() - started
            result = self._result(task, scores, cuts, seconds, progress)
        if reasons:
            result = with_reasons(result, self._method, task.slices, self.model.settings, progress)
        if result.findings and (seconds < QUICK if stability is None else stability):
            return self._with_stability(result, task, foreground, progress)
        return result

    def _with_stability(self, result: Result, task: _Task, foreground: Foreground, progress: Progress) -> Result:
        """With that of its findings, measured on the slices that hold some; foreground  what `detect` was told."""
        started, grid = time.monotonic(), task.prepared.grid
        ends = (min(one.first_slice for one in result.findings), max(one.last_slice for one in result.findings))
        first, last = sorted(grid.first_slice_index(end) for end in ends)
        # Scores adapted to their scan are adapted to all that was asked for.
        wanted = range(first, last + 1) if task.adapt == "none" else task.wanted
        changes = small_changes(task.prepared.native_foreground, grid.slice_axis)
        own, levels = self._method.levels, other_levels(self._method.levels)

        def masks() -> Iterator[np.ndarray]:
            for number, change in enumerate(changes):
                progress.report("trying small changes", number, len(changes) + len(levels))
                scan, given = change.of(task.scan), change.there(foreground) if isinstance(foreground, np.ndarray) else foreground
                try:  # not `self.prepare`: who remembers the last scan is to remember the scan itself
                    prepared = Detector.prepare(self, scan, given)
                except InvDetectError:  # such as by the rule for brains: what cannot be examined shows no findings
                    yield np.zeros_like(result.mask)
                    continue
                again = _Task(scan, prepared, Detector.look_over(self, prepared), wanted, task.point, task.adapt)
                yield change.back(self._mask(again, progress.silent()))
            for number, level in enumerate(levels, len(changes)):
                progress.report("trying small changes", number, len(changes) + len(levels))
                try:
                    self._method.levels = level
                    mask = self._mask(dataclasses.replace(task, wanted=wanted), progress.silent())
                finally:
                    self._method.levels = own
                yield mask

        stability = stability_of(result.mask, result.findings, masks())
        names = [change.name for change in changes] + [f"level {', '.join(f'{one:g}' for one in level)}" for level in levels]
        return result.with_stability(stability, changes=names, seconds=round(time.monotonic() - started, 2))

    def _mask(self, task: _Task, progress: Progress) -> np.ndarray:
        """What of the scan is flagged, in its own voxels, (slice, row, column) bool."""
        prepared = task.prepared
        with Cuts() as cuts:
            self._score(task, cuts, progress, None)
            return prepared.grid.mask_from_grid(cuts.mask(prepared.foreground.shape)) & prepared.native_foreground

    def _result(self, task: _Task, scores: Scores, cuts: Cuts, seconds: float, progress: Progress) -> Result:
        """Put everything together; seconds  from the call of `detect` until all was scored."""
        scan, prepared = task.scan, task.prepared
        warning = unlike(self.model.settings.preparation, self._card.trained_on, self.calibration, prepared, scores)
        if warning:
            progress.warn(warning)
        shift = ScoreShift.of(scores.raw[scores.scored], self.calibration)
        if not warning and shift.is_far:
            progress.warn(shift.text)
        native, pseudo_normal = prepared.native_foreground, None
        if scores.pseudo_normal is not None:
            found = scores.pseudo_normal, scores.scored
            pseudo_normal = pseudo_normal_from_grid(prepared.grid, *found, scan.array, native, prepared.to_scan)
        preparation = self.model.settings.preparation
        background, pseudo_background = backgrounds_of(scan.array, pseudo_normal, native, prepared.grid, preparation.intensity)
        return Result.assemble(
            Examined(scan.name, scan.geometry, preparation, native),
            OnGrid(self._in_unit(scores.raw), scores.scored, scores.down, scores.right),
            self.calibration,
            task.point,
            self._provenance(task, shift, seconds, progress),
            Images(background, pseudo_normal, pseudo_background),
            cuts,
            progress,
        )

    def check(
        self, scan: Scan | str | Path, foreground: Foreground = None, progress: Progress | None = None, modality: str | None = None
    ) -> str:
        """One plain sentence when the scan is unlike what the model was trained on, else "". Scores a few slices for it.

        modality  what the user says the scan is, to be compared with what the model is for
        """
        scan = scan if isinstance(scan, Scan) else read_scan(scan)
        prepared = self.prepare(scan, foreground)
        filled = np.flatnonzero(prepared.foreground.any(axis=(1, 2)))
        chosen = filled[:: max(1, -(-len(filled) // _SAMPLE))]
        sample = self.look_over(prepared).part(chosen)
        scores = score_slices(self._method, sample, self._card.mean_neighbour_distance, "relative", progress or Progress())
        return unlike(self.model.settings.preparation, self._card.trained_on, self.calibration, prepared, scores, modality)

    def explain(self, result: Result, scan: Scan | str | Path, gallery: bool = False, progress: Progress | None = None) -> Explanation:
        """Why the findings of `result`, which this model found in `scan` in this direction, are findings; to be read and drawn.

        gallery  the normal patches nearest each finding are wanted; they are shown in any case where the model holds such
        Raises `InvDetectError` for the result of another model, direction or scan, and for a gallery that the model does not have.
        """
        kept = Gallery.of(self.model, gallery)
        check_origin(result, self.model, self.direction)
        scan = scan if isinstance(scan, Scan) else read_scan(scan)
        check_scan(result, scan)
        prepared = self.prepare(scan, result.foreground)
        rule = self.model.settings.preparation.intensity
        greys = backgrounds_of(scan.array, result.pseudo_normal, result.foreground, prepared.grid, rule)
        result = dataclasses.replace(result, background=greys[0], pseudo_background=greys[1])
        slices = self.look_over(prepared)
        return look_again(result, self._method, slices, self.model.settings, kept, progress or Progress())

    def _score(self, task: _Task, cuts: Cuts, progress: Progress, on_slice: Callable[[ScoredSlice], None] | None) -> Scores:
        """Score the wanted slices; each is cut, and told, as soon as it is scored."""
        prepared, wanted, point = task.prepared, task.wanted, task.point
        settings, grid, axis = self.model.settings.refinement, prepared.grid, prepared.grid.slice_axis

        def tell(number: int, scores: Scores) -> None:
            raw, scored = scores.raw[number], scores.scored[number]
            if scored.any():
                weight = point.weight(self.calibration)
                cuts.add(number, self._in_unit(raw), scores.down[number], scores.right[number], weight, point.threshold, scored)
            if on_slice is None:
                return
            index = grid.first_slice_index(number)
            foreground = prepared.native_foreground.take([index], axis)
            values = map_from_grid(grid, self._in_unit(raw)[None], scored[None], foreground, self.calibration.floor)
            on_slice(ScoredSlice(number - wanted.start + 1, len(wanted), axis, index, values.take(0, axis)))

        distance = self._card.mean_neighbour_distance
        if task.adapt == "none":
            return score_slices(self._method, task.slices, distance, settings.edges, progress, wanted, on_slice=tell)
        scores = score_slices(self._method, task.slices, distance, settings.edges, progress, wanted)
        if scores.scored.any():
            shift = ScoreShift.of(scores.raw[scores.scored], self.calibration)
            scores = dataclasses.replace(scores, raw=np.where(scores.scored, shift.undone(scores.raw), 0))
        for number in wanted:
            tell(number, scores)
        return scores

    def _in_unit(self, raw: np.ndarray) -> np.ndarray:
        """Raw scores in the unit of the map."""
        return (raw - np.float32(self.calibration.offset)) / np.float32(self.calibration.scale)

    def _provenance(self, task: _Task, shift: ScoreShift, seconds: float, progress: Progress) -> dict[str, Any]:
        settings, wanted = self.model.settings, task.wanted
        slices = {"slices": len(task.prepared.slices), "first_slice": wanted.start, "slices_scored": len(wanted)}
        return {
            "model": {"checksum": self.model.checksum, "preset": settings.preset, "modality": settings.preparation.modality},
            "scan": {"digest": task.scan.digest, **slices},
            "settings": settings.as_dict(),
            "score_unit": self.calibration.unit,
            **({"direction": self.direction} if self.direction else {}),
            **self._midline(task),
            "adapted": task.adapt,
            "score_shift": shift.as_dict(),
            "seed": self._card.seed,
            "device": describe_device(self.device),
            "threads": thread_count(),
            "batch": self.batch,
            "versions": versions(),
            "seconds": round(seconds, 2),
            "warnings": list(progress.warnings),
        }

    def _midline(self, task: _Task) -> dict[str, Any]:
        """Where left was told from right, where that was done at one plane; see `scans.midplane`."""
        lines = task.slices.midlines
        found = None if lines is None else midplane(task.prepared.grid, task.scan.geometry, lines.angle, lines.offset)
        return {} if found is None else {"midline": found}


def detect(
    scan: Scan | str | Path,
    model: Model | str | Path,
    *,
    device: str = "auto",
    on_progress: Callable[[Event], None] | None = None,
    **options: Any,
) -> Result:
    """Score one scan with a model; `options` are those of `Detector.detect`. For many scans keep a `Detector`."""
    return Detector(model, device).detect(scan, progress=Progress(on_progress), **options)


def explain(
    result: Result | str | Path,
    scan: Scan | str | Path,
    model: Model | str | Path,
    *,
    device: str = "auto",
    gallery: bool = False,
    progress: Progress | None = None,
) -> Explanation:
    """Why the findings of a result (or of the NAME.result.json at a path) are findings; see `Detector.explain`."""
    result = result if isinstance(result, Result) else Result.load(result)
    model = model if isinstance(model, Model) else Model.load(model)
    direction = result.provenance.get("direction")
    check_origin(result, model, direction or "")  # before that direction is asked of another model
    return Detector(model, device, direction).explain(result, scan, gallery, progress)


def _wanted(slices: tuple[int, int] | None, count: int) -> range:
    if slices is None:
        return range(count)
    first, end = slices
    if not 0 <= first < end <= count:
        raise WrongUse(f"Slices {first}:{end} are not in this scan, which has slices 0:{count} along the model's plane.")
    return range(first, end)
