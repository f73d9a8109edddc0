"""What the worker's commands about models and scans do. Every value comes from a `Job`, and each returns what its `done` message says.

  selfcheck  {} -> {versions}: everything can be imported, and arrays cross between numpy and torch
  devices    {} -> {devices: {name: description}, graph_cut}
  load       {model, device, direction?} -> {card, device, warm, seconds}
  check      {model, device, direction?, scan, modality?, foreground?} -> {warning}: "" or a sentence
  estimate   {model, device, direction?, scan?, slices?, foreground?} -> {seconds, slices, patches, memory_bytes}
  detect     {model, device, direction?, scan, foreground?, slices?, adapt?, stability?, rate? | threshold?, contiguity?, scr?}, with a
             `slice` message for each slice -> {result, map, mask, pseudo_normal, findings, seconds, device, warm, warnings}
  detect_folder  {model, device, direction?, scans, out, foreground?, slices?, adapt?, stability?, overwrite?, rate? | threshold?,
             contiguity?, scr?}: all scans of a folder -> {scans: [{scan, status, findings, strongest, reason}], table, warnings}; status,
             table as of `cohort`, strongest: the highest peak
  explain    {model, device, direction?, scan, result, rate? | threshold?, contiguity?, scr?} -> {picture, words}: why the findings of a
             result, refined where that is asked for, are findings; `picture` is a .png in the private folder, words: {label: sentence}
  chart      {model, dark?, width?} -> {picture, words}: what a model can see of made lesions, by its card; `picture` as of explain, `width`
             pixels, for a light ground unless dark; an error for a model that was not rehearsed
  dicom      {result, source, out, name, model_name?, decisions?, rate? | threshold?, contiguity?, scr?} -> {files, warning}: DICOM objects
             of a result, refined where that is asked for, as NAME.seg.dcm, NAME.map.dcm and NAME.sr.dcm in the folder `out`, none of
             which may be there. source: paths of the series' files; decisions: {label: [state, comment]}; warning: "" or a sentence
  refine     {result, rate? | threshold?, contiguity?, scr?} -> {result, mask, findings, seconds}

model is a path or the name of an installed model; device as for `find_device` ("auto" without one), or the address of a Dask scheduler,
whose workers then detect (see `elsewhere`; no `slice` messages), while all else is computed here; direction, adapt and stability as for
`Detector` (without them the model's own, "none", and for quick scans; a model calibrated for no other direction refuses). scan is an
absolute path or a file in the private folder; foreground "auto", "brain", "none", or a file there (.npy or .nrrd, above 0 inside). slices
are [first, last + 1] along the model's plane. `result` is the NAME of NAME.result.json and NAME.refine.npz there, for `Result.load`; refine
also takes the absolute path of such a .json. map, mask and pseudo_normal (None from methods without one) are .npy files, float32, uint8,
and as `Result.pseudo_normal`, in the scan's own voxels. warm: nothing had to be loaded.
"""

from __future__ import annotations

import dataclasses
import os
import time
from typing import Any

import numpy as np

from ..cohort import TABLE, detect_cohort
from ..common import InvDetectError
from ..computing import describe_device, find_device, list_devices, to_array, to_tensor
from ..detection import Detector, ScoredSlice
from ..estimates import cost_of_detection
from ..models import FOREGROUNDS, NOT_REHEARSED, ContrastDetail, read_header, resolve_model
from ..refinement import solver_name
from ..remembering import Remembering
from ..results import Result
from ..scans import Foreground, Scan, read_mask, read_scan
from .elsewhere import address_in, detect_at, engine_at
from .jobs import Job
from .protocol import inside


class _Warm:
    """What stays in memory between commands: one model on its device, and the last result."""

    def __init__(self) -> None:
        self._key: tuple[object, ...] = ()
        self._detector: Remembering | None = None
        self._result: Result | None = None

    def detector(self, job: Job) -> tuple[Detector, bool]:
        """The model that a command asks for, in the direction that it asks for, and whether it was there already."""
        path = resolve_model(job.text("model"))
        device = find_device("auto" if address_in(job) else job.maybe("device", str) or "auto")
        try:
            facts = path.stat()
        except OSError as error:
            raise InvDetectError(f"The model {path} cannot be read: {error.strerror}. Check that the file is there.") from error
        direction = job.maybe("direction", str)
        key = (path.resolve(), facts.st_mtime_ns, facts.st_size, device, direction)
        # A detector that had to leave its device is not kept: there may be room again.
        if self._detector is not None and key == self._key and self._detector.device == device:
            return self._detector, True
        self._detector = None  # before the next one needs its memory
        self._detector, self._key = Remembering(path, str(device), direction), key
        return self._detector, False

    def keep(self, result: Result) -> None:
        """Remember a result by its name."""
        self._result = result

    def result(self, job: Job) -> Result:
        """The result that a command names."""
        name = job.text("result")
        if self._result is not None and self._result.name == name:
            return self._result
        return Result.load(name if os.path.isabs(name) else inside(job.folder, f"{name}.result.json"))


_warm = _Warm()


def selfcheck(job: Job) -> dict[str, Any]:
    """`selfcheck`"""
    import sklearn.svm  # noqa: F401  (whether it can be imported is the question)
    from safetensors import safe_open  # noqa: F401

    from ..common import versions

    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    if not np.array_equal(to_array(to_tensor(values)), values):
        raise InvDetectError("Arrays do not cross between numpy and torch unharmed; install another torch.")
    return {"versions": versions()}


def devices(job: Job) -> dict[str, Any]:
    """`devices`"""
    return {"devices": {name: describe_device(find_device(name)) for name in list_devices()}, "graph_cut": solver_name()}


def load(job: Job) -> dict[str, Any]:
    """`load`"""
    started = time.monotonic()
    detector, warm = _warm.detector(job)
    seconds = round(time.monotonic() - started, 3)
    return {"card": detector.model.card, "device": describe_device(detector.device), "warm": warm, "seconds": seconds}


def check(job: Job) -> dict[str, Any]:
    """`check`"""
    detector, _ = _warm.detector(job)
    scan = _scan(job)
    return {"warning": detector.check(scan, _foreground(job, scan), job.progress, job.maybe("modality", str))}


def estimate(job: Job) -> dict[str, Any]:
    """`estimate`"""
    detector, _ = _warm.detector(job)
    scan = _scan(job) if job.maybe("scan", str) else None
    foreground = None if scan is None else _foreground(job, scan)
    return dataclasses.asdict(cost_of_detection(detector, scan, job.pair("slices"), foreground, job.progress))


def detect(job: Job) -> dict[str, Any]:
    """`detect`"""
    started = time.monotonic()
    detector, warm = _warm.detector(job)
    scan = _scan(job)

    def tell(found: ScoredSlice) -> None:
        file = job.store(f"slice-{found.index}", found.values)
        job.send("slice", number=found.done, of=found.total, slice_axis=found.axis, index=found.index, file=file)

    options = {**job.operating_point(), **job.options(adapt=(str,), stability=(bool,)), "slices": job.pair("slices")}
    foreground, address = _foreground(job, scan), address_in(job)
    if address is None:
        result = detector.detect(scan, **options, foreground=foreground, progress=job.progress, on_slice=tell)
    else:
        result = detect_at(address, detector, scan, foreground, options, job)
    return {
        **_handed_over(job, result),
        "map": job.store("map", result.anomaly_map),
        "pseudo_normal": None if result.pseudo_normal is None else job.store("pseudo-normal", result.pseudo_normal),
        "seconds": round(time.monotonic() - started - result.provenance.get("stability", {}).get("seconds", 0), 3),
        "device": describe_device(detector.device) if address is None else address,
        "warm": warm,
        "warnings": job.progress.warnings,
    }


def detect_folder(job: Job) -> dict[str, Any]:
    """`detect_folder`"""
    detector, _ = _warm.detector(job)
    out, options = job.path("out"), {**job.operating_point(), **job.options(adapt=(str,), stability=(bool,))}
    slices = job.pair("slices")
    with engine_at(address_in(job), detector, job) as engine:
        outcomes = detect_cohort(
            job.path("scans"),
            detector,
            out,
            options=options if slices is None else {**options, "slices": slices},
            foreground=job.maybe("foreground", str),
            overwrite=bool(job.maybe("overwrite", bool)),
            engine=engine,
            progress=job.progress,
        )
    rows = [
        {
            "scan": str(outcome.found.relative),
            "status": outcome.status,
            "findings": None if outcome.findings is None else len(outcome.findings),
            "strongest": max((finding.peak for finding in outcome.findings or ()), default=None),
            "reason": outcome.reason,
        }
        for outcome in outcomes
    ]
    return {"scans": rows, "table": str(out / TABLE), "warnings": job.progress.warnings}


def explain(job: Job) -> dict[str, Any]:
    """`explain`"""
    detector, _ = _warm.detector(job)
    result, point = _warm.result(job), job.operating_point()
    result = result.refine(**point, progress=job.progress) if point else result
    found = detector.explain(result, _scan(job), progress=job.progress)
    picture = f"{job.id}-why.png"
    found.picture(inside(job.folder, picture))
    words = {str(finding.label): finding.reasons.words() for finding in found.findings if finding.reasons is not None}
    return {"picture": picture, "words": words}


def chart(job: Job) -> dict[str, Any]:
    """`chart`"""
    from ..rehearsal import draw_chart

    detail = ContrastDetail.of_card(read_header(resolve_model(job.text("model")))["card"])
    if detail is None:
        raise InvDetectError(NOT_REHEARSED)
    picture = f"{job.id}-chart.png"
    draw_chart(detail, inside(job.folder, picture), dark=bool(job.maybe("dark", bool)), **job.options(width=(int,)))
    return {"picture": picture, "words": detail.words()}


def dicom(job: Job) -> dict[str, Any]:
    """`dicom`"""
    from ..dicom import Decision, dicom_objects

    result, point = _warm.result(job), job.operating_point()
    result = result.refine(**point, progress=job.progress) if point else result
    source, told = job.maybe("source", list) or [], job.maybe("decisions", dict)
    if not all(isinstance(path, str) for path in source):
        raise InvDetectError("The source of DICOM objects is a list of paths.")
    try:
        decisions = None if told is None else {int(label): Decision(str(state), str(words)) for label, (state, words) in told.items()}
    except (TypeError, ValueError) as error:
        raise InvDetectError("The decisions on findings are no table of labels, states and comments.") from error
    objects = dicom_objects(result, source, model_name=job.maybe("model_name", str) or "", decisions=decisions)
    job.progress.check()
    out, name = job.path("out"), job.text("name")
    inside(out, name)
    return {"files": [str(path) for path in objects.write(out, name)], "warning": objects.lacking}


def refine(job: Job) -> dict[str, Any]:
    """`refine`"""
    started = time.monotonic()
    result = _warm.result(job).refine(**job.operating_point(), progress=job.progress)
    return {**_handed_over(job, result), "seconds": round(time.monotonic() - started, 3)}


def _handed_over(job: Job, result: Result) -> dict[str, Any]:
    """Write a result into the private folder, and remember it. Its files never have the scan's name."""
    result = dataclasses.replace(result, name=f"result-{job.id}")
    result.save_for_loading(job.folder)
    _warm.keep(result)
    return {"result": result.name, "mask": job.store("mask", result.mask.astype(np.uint8)), "findings": len(result.findings)}


def _scan(job: Job) -> Scan:
    scan = read_scan(job.path("scan"))
    job.progress.check()
    return scan


def _foreground(job: Job, scan: Scan) -> Foreground:
    given = job.maybe("foreground", str)
    if given in (None, *FOREGROUNDS):
        return given
    path = job.path("foreground")
    if path.suffix != ".npy":
        return read_mask(path, scan.geometry)
    try:
        mask = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InvDetectError(f"The foreground mask cannot be read ({error}); draw the region again.") from error
    if not isinstance(mask, np.ndarray) or mask.shape != scan.geometry.shape:
        raise InvDetectError(f"The foreground mask is not of the scan's size {scan.geometry.shape}; draw the region on the scan itself.")
    return mask > 0
