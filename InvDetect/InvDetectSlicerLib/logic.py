"""Detection without a panel: for the panel, the Python console and scripts. Knows no Qt, loads no torch."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import slicer
import vtk

from InvDetectLib.calibration import calibration_of
from InvDetectLib.common import InvDetectError
from InvDetectLib.models import FOREGROUNDS, Settings, read_header, resolve_model
from InvDetectLib.scans import SliceGrid

from .review import Refinement, Refining
from .scene import MISSING, ResultNodes, dicom_files, geometry_of, how_made, is_kept, is_own, reviews_of
from .worker import (
    Detection,
    Drawing,
    Examined,
    HandingOver,
    Lending,
    OnFailed,
    OnProgress,
    OnText,
    RunFailed,
    ScanQueue,
    WorkerClient,
    WorkerLogic,
    given,
    lent,
    model_of,
)

__all__ = ["Examined", "InvDetectLogic", "ResultNodes", "RunFailed"]


class InvDetectLogic(WorkerLogic):
    """Detects, refines and batches. An example to paste into Slicer's Python console:

        from InvDetectSlicerLib.logic import InvDetectLogic
        from InvDetectSlicerLib.sample_data import add_made_head
        logic = InvDetectLogic()
        scan = add_made_head()                                         # or slicer.util.getNode("name of a volume")
        nodes = logic.detect(scan, "made-heads", onWarning=print)      # waits; the name of an installed model, or a path
        print(nodes.table.GetNumberOfRows(), "findings")
        slicer.util.setSliceViewerLayers(background=scan, foreground=nodes.map, foregroundOpacity=0.6)
        logic.refine(nodes, rate=0.005)                                # a stricter mask, with no new inference
        for one in logic.detectScans([scan], "made-heads"):            # several scans of the scene, each for itself
            print(one.name, one.error or one.nodes.table.GetName())
        logic.detectFolder("C:/scans", "made-heads", "C:/results")     # many files, without the scene
        logic.close()

    Every question to the worker waits for its answer, and raises `InvDetectError` when there is none; or, given `onFinished`, returns
    what is under way (with `running`, `cancel()` and `error`) and calls back from `poll`, which a timer has to call some ten times a
    second. A panel's callbacks: onProgress(an `InvDetectLib.common.Event`), onWarning(sentence), onFailed(RunFailed).
    """

    def __init__(self, client: WorkerClient | None = None, executable: str | os.PathLike[str] | None = None) -> None:
        """See `WorkerLogic`."""
        super().__init__(client, executable)
        self._handing_over: HandingOver | None = None
        self._refining = Refining()
        self._lendings = 0

    # Detecting

    def detect(
        self,
        volumeNode: Any,
        modelPath: str | os.PathLike[str],
        *,
        device: str = "auto",
        slices: tuple[int, int] | None = None,
        foregroundNode: Any = None,
        rate: float | None = None,
        contiguity: float = 1.0,
        threshold: float | None = None,
        scr: bool = True,
        direction: str | None = None,
        adapt: str = "none",
        nodes: ResultNodes | None = None,
        interactive: bool = False,
        onProgress: OnProgress | None = None,
        onSlice: Callable[[int, int, int, int], None] | None = None,
        onWarning: OnText | None = None,
        onFinished: Callable[[ResultNodes], None] | None = None,
        onFailed: OnFailed | None = None,
    ) -> Any:
        """Score a volume. Returns `ResultNodes`, or with `onFinished` the run, see the class.

        slices          (first, last + 1) along the model's plane, see `grid`; None for all
        foregroundNode  a segmentation whose shown segments are looked at, or "auto", "brain" or "none"; None: the model's own rule
        rate, contiguity, threshold, scr   the operating point, see `InvDetectLib.results.Controls`
        direction       what counts as abnormal: "bright", "dark" or "both"; None: the model's own. It must be calibrated for it
        adapt           "scan": scores are recentred by the scan's own, see `InvDetectLib.detection.Detector.detect`; "none": not
        nodes           map, segmentation and table to be overwritten, as far as they are given; else all are made anew
        interactive     lay the map over the scan in the slice views, keep the windows alive while waiting, and show a wait cursor
                        where they cannot be
        onSlice         called with: slices shown, slices in all, axis and index of the latest in the scan's array

        Without a result, nothing of the run stays in the scene. InvDetectError for what cannot start, also with `onFinished`.
        """
        header = read_header(resolve_model(modelPath))
        own = Settings.from_dict(header["settings"]).direction
        calibration = calibration_of(header["calibration"], own, own if direction is None else direction)
        if nodes is not None and any(node is volumeNode for node in nodes.made()):
            raise InvDetectError(f'"{volumeNode.GetName()}" is the scan itself and cannot take up a result. Choose another output.')
        command = {
            **self._asked(volumeNode, modelPath, device, slices, foregroundNode, direction),
            "command": "detect",
            **given(rate=rate, contiguity=contiguity, threshold=threshold, scr=scr, adapt=adapt),
        }
        callbacks = {"onFinished": onFinished, "onFailed": onFailed, "onProgress": onProgress, "onWarning": onWarning}
        entering = slicer.util.WaitCursor if interactive and "qt" in sys.modules else nullcontext
        run = Detection(self.client, volumeNode, calibration, nodes, interactive, onSlice, self._refining.keep, entering, **callbacks)
        return self._begin(run, command, onFinished is None, interactive)

    def detectScans(
        self,
        volumeNodes: Sequence[Any],
        modelPath: str | os.PathLike[str],
        *,
        interactive: bool = False,
        onScan: Callable[[int, int, Examined], None] | None = None,
        onResult: Callable[[Examined], None] | None = None,
        onWarning: OnText | None = None,
        onFinished: Callable[[list[Examined]], None] | None = None,
        **options: Any,
    ) -> Any:
        """Score several volumes of the scene, one after the other, each into nodes of its own.

        interactive  keep the windows alive while waiting; the slice views stay as they are
        onScan       called with the number of the scan that begins (from 1), how many there are, and which it is
        onResult     called with each scan that is done, or failed
        onWarning    called with sentences that begin with the name of the scan
        options      as for `detect`: device, rate, contiguity, threshold, scr, direction, adapt, onProgress (of the scan under way)

        Returns a list of `Examined`: the scan, its `ResultNodes`, or why there are none. A scan that fails costs only itself. With
        `onFinished`, which gets that list, returns the queue: `cancel()` takes out all that have no result yet, `skip(volume)` one.
        """
        if not volumeNodes or None in volumeNodes:
            raise InvDetectError("There is no scan to examine. Choose one or more.")

        def begin(volume: Any, finished: Callable[[ResultNodes], None], failed: OnFailed) -> Any:
            name = volume.GetName()
            said = None if onWarning is None else lambda text: onWarning(f"{name}: {text}")
            return self.detect(volume, modelPath, onWarning=said, onFinished=finished, onFailed=failed, **options)

        def nothing(*_: Any) -> None:
            pass

        queue = ScanQueue(volumeNodes, begin, onScan or nothing, onResult or nothing, onFinished or nothing)
        self._runs.append(queue)
        return queue if onFinished is not None else self._wait(queue, interactive).outcomes

    def detectFolder(
        self,
        folder: str | os.PathLike[str],
        modelPath: str | os.PathLike[str],
        outFolder: str | os.PathLike[str],
        *,
        device: str = "auto",
        foreground: str | os.PathLike[str] | None = None,
        rate: float | None = None,
        contiguity: float = 1.0,
        threshold: float | None = None,
        scr: bool = True,
        direction: str | None = None,
        adapt: str = "none",
        overwrite: bool = False,
        onProgress: OnProgress | None = None,
        onWarning: OnText | None = None,
        onFinished: Callable[[dict[str, Any]], None] | None = None,
        onFailed: OnFailed | None = None,
    ) -> Any:
        """Score all scans of a folder and write results into another, without the scene. Scans that have theirs already are skipped.

        foreground  "auto", "brain", "none", or a folder of masks; None: the model's own rule
        direction, adapt   as for `detect`
        Returns {"scans": [{scan, status ("done", "skipped", "failed"), findings, strongest, reason}], "table": path of findings.csv,
        "warnings": [...]}, or with `onFinished` the run. Its progress of the stage "scans" counts scans.
        """
        command = {
            "command": "detect_folder",
            "scans": os.path.abspath(folder),
            "model": self._model(modelPath),
            "device": device,
            "out": os.path.abspath(outFolder),
            **given(rate=rate, contiguity=contiguity, threshold=threshold, scr=scr, direction=direction, adapt=adapt, overwrite=overwrite),
        }
        if foreground is not None:
            command["foreground"] = str(foreground) if str(foreground) in FOREGROUNDS else os.path.abspath(foreground)
        return self._ask(command, onFinished, onFailed, onProgress, onWarning)

    # Questions before a run

    def check(
        self,
        volumeNode: Any,
        modelPath: str | os.PathLike[str],
        *,
        device: str = "auto",
        foregroundNode: Any = None,
        modality: str | None = None,
        direction: str | None = None,
        onFinished: Callable[[str], None] | None = None,
        onFailed: OnFailed | None = None,
    ) -> Any:
        """One sentence when the scan is unlike what the model was trained on, else "". Scores a few slices for it."""
        command = {**self._asked(volumeNode, modelPath, device, None, foregroundNode, direction), "command": "check"}
        command |= given(modality=modality)
        return self._ask(command, onFinished, onFailed, pick=lambda facts: facts["warning"])

    def estimate(
        self,
        volumeNode: Any,
        modelPath: str | os.PathLike[str],
        device: str = "auto",
        slices: tuple[int, int] | None = None,
        onFinished: Callable[[dict[str, Any]], None] | None = None,
        onFailed: OnFailed | None = None,
        *,
        foregroundNode: Any = None,
        direction: str | None = None,
    ) -> Any:
        """What detecting will cost on that device: {seconds, slices, patches, memory_bytes}."""
        command = {**self._asked(volumeNode, modelPath, device, slices, foregroundNode, direction), "command": "estimate"}
        return self._ask(command, onFinished, onFailed)

    def load(
        self,
        modelPath: str | os.PathLike[str],
        device: str = "auto",
        onFinished: Callable[[dict[str, Any]], None] | None = None,
        onFailed: OnFailed | None = None,
        *,
        direction: str | None = None,
    ) -> Any:
        """Let the worker load a model, so that the next run in that direction starts at once: {card, device, warm, seconds}."""
        command = {"command": "load", "model": self._model(modelPath), "device": device, **given(direction=direction)}
        return self._ask(command, onFinished, onFailed)

    def grid(self, volumeNode: Any, modelPath: str | os.PathLike[str]) -> SliceGrid:
        """How a scan meets a model: `slice_axis` of its array, `shape[0]` slices, `first_slice_index(number)` between both counts.

        Raises InvDetectError for a scan that does not fit the model at all.
        """
        settings = Settings.from_dict(read_header(resolve_model(modelPath))["settings"])
        return SliceGrid.for_scan(geometry_of(volumeNode), settings.preparation, settings.least_side)

    @staticmethod
    def shownIndex(volumeNode: Any, axis: int, sliceNode: Any) -> int | None:
        """Which slice along an axis of the volume's array a slice view shows at its centre; None outside of the volume."""
        columns, rows, _ = sliceNode.GetDimensions()
        place = sliceNode.GetXYToRAS().MultiplyPoint((columns / 2, rows / 2, 0.0, 1.0))
        local = [0.0, 0.0, 0.0]
        volumeNode.TransformPointFromWorld(place[:3], local)
        matrix = vtk.vtkMatrix4x4()
        volumeNode.GetRASToIJKMatrix(matrix)
        index = round(matrix.MultiplyPoint((*local, 1.0))[2 - axis])
        return index if 0 <= index < volumeNode.GetImageData().GetDimensions()[2 - axis] else None

    # Refining

    def prepareRefining(self, nodes: ResultNodes) -> bool:
        """Bring a result from the scene into memory, for sliders that follow at once. False: it will be there after some `poll`.

        Raises InvDetectError when the scene does not keep what sliders need; they should be off then, with that sentence.
        """
        return self._refining.prepare(nodes)

    def refineSlice(
        self,
        nodes: ResultNodes,
        axis: int,
        index: int,
        contiguity: float | None = None,
        rate: float | None = None,
        threshold: float | None = None,
        scr: bool | None = None,
    ) -> bool:
        """Show the mask of one slice at other controls, at once: `index` along `axis` of the scan's array. `refine` has to follow.

        None keeps what is. False: it is shown by a later `poll`, because the result has to be loaded first, or, for a slice across the
        model's plane, only by `refine`.
        """
        return self._refining.show_slice(nodes, axis, index, given(contiguity=contiguity, rate=rate, threshold=threshold, scr=scr))

    def refine(
        self,
        nodes: ResultNodes,
        contiguity: float | None = None,
        rate: float | None = None,
        threshold: float | None = None,
        scr: bool | None = None,
        onFinished: Callable[[list[str]], None] | None = None,
        onFailed: OnFailed | None = None,
        onProgress: OnProgress | None = None,
    ) -> Any:
        """The same result at other controls, with no network: mask, findings and reviews anew. None keeps what is.

        Returns sentences on reviews that could not follow their findings, or with `onFinished` what is under way. A newer call takes the
        place of one that is not done, whose callbacks are not called.
        """
        wishes = given(contiguity=contiguity, rate=rate, threshold=threshold, scr=scr)
        wish = Refinement(nodes, wishes, onFinished, onFailed, onProgress)
        self._refining.refine(wish)
        return wish if onFinished is not None else self._wait(wish).said

    # Explaining

    def explain(
        self,
        nodes: ResultNodes,
        modelPath: str | os.PathLike[str] | None = None,
        *,
        device: str = "auto",
        onFinished: Callable[[bytes], None] | None = None,
        onFailed: OnFailed | None = None,
    ) -> Any:
        """Why the findings of a result are findings, as the content of a PNG; or with `onFinished`, which gets that, the run.

        modelPath  the model that found it; None: the one among the installed models that did
        Raises InvDetectError when scan, model or what refining needs is gone.
        """
        if not is_kept(nodes):
            raise InvDetectError(MISSING)
        command = self._asked(nodes.input, modelPath or model_of(nodes), device, None, None, how_made(nodes)[0] or None)
        self._lendings += 1
        result, files = lent(nodes, self.client.folder, f"explained-{self._lendings}")
        run = Drawing(self.client, files, onFinished=onFinished, onFailed=onFailed)
        return self._begin(run, {**command, **result, "command": "explain"}, onFinished is None)

    # Exporting

    def writeDicom(
        self,
        nodes: ResultNodes,
        outFolder: str | os.PathLike[str],
        *,
        onFinished: Callable[[dict[str, Any]], None] | None = None,
        onFailed: OnFailed | None = None,
    ) -> Any:
        """Write a result with its review as DICOM objects of the series that its scan was loaded from, invdetect.*.dcm in a folder.

        Returns {"files": paths, "warning": "" or what there could not be}, or with `onFinished`, which gets that, the run.
        Raises InvDetectError when what refining needs, or a file of the series, is gone.
        """
        if not (source := dicom_files(nodes.input)):
            raise InvDetectError("The scan was not loaded from DICOM, or its files are no longer in Slicer's DICOM database.")
        self._lendings += 1
        result, files = lent(nodes, self.client.folder, f"exported-{self._lendings}")
        said = {str(number): [review.state, review.comment] for number, review in reviews_of(nodes.table).items()}
        command = {"command": "dicom", "source": source, "out": os.path.abspath(outFolder), "name": "invdetect", "decisions": said}
        run = Lending(self.client, files, onFinished=onFinished, onFailed=onFailed)
        return self._begin(run, {**command, **result}, onFinished is None)

    # What a panel and a loop call

    def poll(self) -> None:
        """See `WorkerLogic.poll`; refining goes on here too."""
        super().poll()
        self._refining.poll()

    def close(self) -> None:
        """See `WorkerLogic.close`; what is being refined stays as it was."""
        super().close()
        self._handing_over = None
        self._refining.close()

    def _asked(
        self,
        volume: Any,
        model: str | os.PathLike[str],
        device: str,
        slices: tuple[int, int] | None,
        region: Any,
        direction: str | None,
    ) -> dict[str, Any]:
        """What all questions about a scan have in common."""
        if is_own(volume):
            raise InvDetectError(f'"{volume.GetName()}" was made by InvDetect and is no scan. Choose the scan itself.')
        if self._handing_over is None:
            self._handing_over = HandingOver(self.client)
        path = self._model(model)
        scan = self._handing_over.scan(volume)
        foreground = self._handing_over.region(region, volume)
        wanted = None if slices is None else [int(slices[0]), int(slices[1])]
        return {"scan": scan, "model": path, "device": device, **given(slices=wanted, foreground=foreground, direction=direction)}

    @staticmethod
    def _model(model: str | os.PathLike[str]) -> str:
        return str(Path(resolve_model(model)).absolute())
