"""Training, and adapting what was trained, without a panel, in a worker of its own. For the wizard and for scripts; no Qt, no torch."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from InvDetectLib.common import Event, InvDetectError, check_writable, write_whole
from InvDetectLib.models import resolve_model

from .worker import KeptTraining, OnFailed, OnProgress, OnText, Run, Store, TrainingChoices, WorkerClient, WorkerLogic, given


class TrainingLogic(WorkerLogic):
    """Looks at folders, previews, estimates and trains. An example to paste into Slicer's Python console:

        from InvDetectSlicerLib.training_logic import TrainingChoices, TrainingLogic
        logic = TrainingLogic()
        choices = TrainingChoices(folder="C:/normal heads", name="my-heads", preset="quick", modality="MRI T1")
        print(logic.inspect(choices)["problem"] or "fine")
        facts = logic.train(choices, onProgress=print)                   # waits; with onFinished it calls back from `poll`
        print(facts["model"], facts["card"]["normal_area"])
        logic.adapt("my-heads", "C:/of another scanner", "my-heads-2")   # from some normal scans of it: minutes, no training
        logic.close()

    With `onFinished` each question returns what is under way, see `WorkerLogic`.
    """

    def __init__(
        self, client: WorkerClient | None = None, executable: str | os.PathLike[str] | None = None, store: Store | None = None
    ) -> None:
        """store: where an unfinished training is remembered, see `KeptTraining`."""
        super().__init__(client, executable)
        self.kept = KeptTraining(store)

    def inspect(
        self,
        choices: TrainingChoices,
        onFinished: Callable[[dict[str, Any]], None] | None = None,
        onFailed: OnFailed | None = None,
        onProgress: OnProgress | None = None,
    ) -> Any:
        """What lies in the folder of normal scans: {scans, left_out, preparation, problem} as the worker's `inspect`, each thumbnail an
        array, (row, column) or (row, column, 3) uint8."""
        command = {"command": "inspect", "folder": _folder(choices), "seed": choices.seed, **choices.scans()}

        def with_thumbnails(facts: dict[str, Any]) -> dict[str, Any]:
            for row in facts["scans"]:
                row["thumbnail"] = self.client.take(row["thumbnail"])
            return facts

        return self._ask(command, onFinished, onFailed, onProgress, pick=with_thumbnails)

    def preview(
        self,
        choices: TrainingChoices,
        scanPath: str | os.PathLike[str],
        sliceNumber: int | None = None,
        onFinished: Callable[[dict[str, Any]], None] | None = None,
        onFailed: OnFailed | None = None,
    ) -> Any:
        """One slice of a scan as the model would see it: see `InvDetectLib.scans.Preview`; image and foreground are arrays.

        sliceNumber  None: the slice with most foreground
        """
        folder = os.path.abspath(choices.folder) if choices.folder else None
        command = {"command": "preview", "scan": os.path.abspath(scanPath), **choices.scans(), **given(folder=folder, slice=sliceNumber)}

        def with_arrays(facts: dict[str, Any]) -> dict[str, Any]:
            return {**facts, **{name: self.client.take(facts[name]) for name in ("image", "foreground")}}

        return self._ask(command, onFinished, onFailed, pick=with_arrays)

    def estimate(
        self,
        choices: TrainingChoices,
        slices: int,
        onFinished: Callable[[dict[str, Any]], None] | None = None,
        onFailed: OnFailed | None = None,
    ) -> Any:
        """What training from so many slices will cost on the chosen device: {seconds, slices, patches, memory_bytes}."""
        settings = choices.settings().as_dict()
        command = {"command": "estimate_training", "settings": settings, "device": choices.device, "slices": slices}
        return self._ask(command, onFinished, onFailed)

    def train(
        self,
        choices: TrainingChoices,
        resume: bool = False,
        onFinished: Callable[[dict[str, Any]], None] | None = None,
        onFailed: OnFailed | None = None,
        onProgress: OnProgress | None = None,
        onWarning: OnText | None = None,
    ) -> Any:
        """Train a model into the models folder: {model, card, seconds, warnings}. With `onFinished` a `TrainingRun`.

        resume  go on from the checkpoint of these very choices (see `unfinished`); else there must be neither checkpoint nor model
        Until it has finished it is remembered, so that it can be resumed when it was cancelled, killed, or Slicer was closed.
        """
        target, checkpoint = choices.target(), choices.checkpoint()
        if os.path.exists(checkpoint) and not resume:  # of a name that is too long `Path` would raise
            raise InvDetectError(f"{checkpoint.name} is left from a training that did not finish; go on with it, or give another name.")
        if os.path.exists(target) and not os.path.exists(checkpoint):
            raise InvDetectError(f"There is a model called {target.stem} already; give the new one another name.")
        check_writable(target.parent, "model", checkpoint.name)
        command = {
            "command": "train",
            "normals": _folder(choices),
            "out": str(target),
            "checkpoint": str(checkpoint),
            "resume": resume,
            "device": choices.device,
            "seed": choices.seed,
            "licence": choices.licence,
            "card": choices.texts,
            **choices.scans(),
        }

        def finished(facts: dict[str, Any]) -> None:
            self.kept.forget()
            if onFinished is not None:
                onFinished(facts)

        self.kept.remember(choices)
        run = TrainingRun(self.client, finished, onFailed, onProgress, onWarning)
        return self._begin(run, command, onFinished is None)

    def adapt(
        self,
        modelPath: str | os.PathLike[str],
        folder: str | os.PathLike[str],
        name: str,
        *,
        masks: str | os.PathLike[str] = "",
        device: str = "auto",
        onFinished: Callable[[dict[str, Any]], None] | None = None,
        onFailed: OnFailed | None = None,
        onProgress: OnProgress | None = None,
        onWarning: OnText | None = None,
    ) -> Any:
        """Adapt a model to another scanner by normal scans of it, into the models folder: {model, card, seconds, warnings}.

        modelPath  a path, or the name of an installed model, which stays as it is;  folder  of two normal scans or more
        name       of the new model;  masks  folder of foreground masks, for a model with the foreground rule "masks"
        Nothing is kept of what was cancelled or failed. See `InvDetectLib.adaptation.adapt`.
        """
        target = TrainingChoices(name=name).target()
        if os.path.exists(target):
            raise InvDetectError(f"There is a model called {target.stem} already; give the new one another name.")
        check_writable(target.parent, "model", target.name)
        command = {
            "command": "calibrate",
            "model": os.path.abspath(resolve_model(modelPath)),
            "normals": os.path.abspath(folder),
            "out": str(target),
            "device": device,
            **given(masks=os.path.abspath(masks) if masks else None),
        }
        return self._ask(command, onFinished, onFailed, onProgress, onWarning)

    def unfinished(self) -> TrainingChoices | None:
        """The training that was begun and can be gone on with: `train(it, resume=True)`. Looks at files only."""
        return self.kept.unfinished()

    def discard(self, choices: TrainingChoices) -> None:
        """Give up an unfinished training: delete its checkpoint. Raises InvDetectError when that cannot be."""
        try:
            choices.checkpoint().unlink(missing_ok=True)
        except OSError as error:
            raise InvDetectError(f"{choices.checkpoint()} cannot be deleted ({error.strerror or error}); delete it by hand.") from error
        self.kept.forget()

    @staticmethod
    def copyModel(modelPath: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
        """Write a model to another place, whole or not at all, over an older file. Raises InvDetectError."""
        try:
            content = Path(modelPath).read_bytes()
        except OSError as error:
            raise InvDetectError(f"The model {modelPath} cannot be read: {error.strerror or error}.") from error
        write_whole(Path(target), content, "model")


class TrainingRun(Run):
    """A training on its way. Beside what a `Run` has:

    losses  (optimiser step, loss) as they came;  paused  whether it was told to wait
    event   the latest progress, None before
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.losses: list[tuple[int, float]] = []
        self.event: Event | None = None
        self.paused = False

    def pause(self) -> None:
        """Let it wait at the next safe place."""
        self.paused = True
        super().pause()

    def resume(self) -> None:
        """Let it go on."""
        self.paused = False
        super().resume()

    def _progressed(self, event: Event) -> None:
        self.event = event
        if "loss" in event.facts:
            self.losses.append((event.done, event.facts["loss"]))
        super()._progressed(event)


def _folder(choices: TrainingChoices) -> str:
    if not choices.folder or not os.path.isdir(choices.folder):
        raise InvDetectError("Choose the folder that holds your normal scans.")
    return os.path.abspath(choices.folder)
