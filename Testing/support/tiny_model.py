"""What the end-to-end tests share: made heads, a model trained on them in seconds, and the shell command, here or as a process.

Run as a program this file is `invdetect` with two more presets, "tiny" and "tiny-whole".
With TINY_SIGNAL="20:KILL" it saves its first checkpoint after 20
optimiser steps and then sends that signal to itself, so that tests can stop a real process at a known place; "20:FAIL" raises an error
there, "20:ABOVE" sends SIGINT to who started it. With TINY_RANK="1" only that one does of what torchrun starts (see `several`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))

import numpy as np  # noqa: E402  (run as a program, this file must find the library first)
import SimpleITK as sitk  # noqa: E402

from InvDetectLib.common import InvDetectError  # noqa: E402
from InvDetectLib.models import method_settings, presets, settings  # noqa: E402
from InvDetectLib.scans.phantoms import write_phantoms  # noqa: E402
from InvDetectLib.shell import cli  # noqa: E402

SIZE = (3, 64, 64)  # slices, rows, columns
STEPS = 80
TINY = settings.Settings(
    preset="tiny",
    preparation=settings.Preparation(grid=64),
    invdetect=method_settings.InvDetectSettings(
        patches=method_settings.Patches(size=16, stride=8),
        network=method_settings.Network(widths=(8, 8)),
        training=method_settings.Training(steps=STEPS, batch=16, learning_rate=5e-3, ema_decay=0.9, cosine=True),
        inversion=method_settings.Inversion(solver="multistep", evaluations=5, first_steps=2, abar=0.3),
        features=method_settings.Features(kind="latent_windows", window=8),
        normality=method_settings.Normality(max_samples=400),
    ),
)

WHOLE = settings.Settings(  # whole slices, scored as a sum of views
    preset="tiny-whole",
    preparation=settings.Preparation(grid=64, intensity="median"),
    invdetect=method_settings.InvDetectSettings(
        patches=method_settings.Patches(size=64, stride=32),
        network=method_settings.Network(widths=(8, 16, 16), fold=2),
        noise=method_settings.Noise(scales=(1, 2, 4, 8)),
        training=method_settings.Training(steps=60, batch=8, learning_rate=5e-3, ema_decay=0.9, mirror=True, cosine=True),
        views=method_settings.Views(sum=(method_settings.View("noise"), method_settings.View("intensity", sigma=2.0))),
    ),
    refinement=settings.Refinement(contiguity=1.0, edges="image"),
)
DIRECTED = dataclasses.replace(  # the same, which compares left with right, too
    WHOLE,
    preset="directed",
    preparation=dataclasses.replace(WHOLE.preparation, modality="made heads"),
    invdetect=dataclasses.replace(
        WHOLE.invdetect,
        views=method_settings.Views(
            sum=(*WHOLE.invdetect.views.sum, method_settings.View("intensity", mirror=True, sigma=2.0)),
            mirror="yes",
        ),
    ),
)


@dataclass(frozen=True)
class Run:
    """How a shell command ended: exit status, standard output, standard error."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one object on standard output."""
        return json.loads(self.out)


@dataclass(frozen=True)
class World:
    """Everything lies below `folder`, and no test changes it.

    normals  8 usable normal heads in nested folders (NIfTI, NRRD, MetaImage, DICOM); beside them what has to be left out
    left_out file name -> a part of the reason
    scans    two heads with lesions, in nested folders;  masks  theirs
    model    trained on `normals`;  card  its card;  progress  what training said on standard error
    """

    folder: Path
    normals: Path
    left_out: dict[str, str]
    scans: Path
    masks: Path
    model: Path
    card: dict[str, Any]
    progress: str


def shell(*words: str | Path) -> Run:
    """`invdetect` in this process. No command may ever show a traceback."""
    out, err = io.StringIO(), io.StringIO()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), _preset():
        try:
            status = cli.main([str(word) for word in words])
        except SystemExit as end:
            status = int(end.code or 0)
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
    return Run(status, out.getvalue(), err.getvalue())


def process(*words: str | Path, **environment: str) -> Run:
    """`invdetect` as a process of its own."""
    command = [sys.executable, str(Path(__file__).resolve()), *map(str, words)]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=300)
    assert "Traceback" not in done.stderr, done.stderr
    return Run(done.returncode, done.stdout, done.stderr)


@contextlib.contextmanager
def several(count: int, program: Path, *words: str | Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """`program` as `count` processes that torchrun starts on this machine, during the block, and ends after it if they still go on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(count), "--master-addr", "127.0.0.1"]
    command += ["--master-port", str(port), str(program), *map(str, words)]
    around = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    with subprocess.Popen(command, env=around, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        try:
            yield started
        finally:
            started.terminate()  # torchrun takes its processes along


def processes(count: int, *words: str | Path, **environment: str) -> Run:
    """`invdetect` as `count` processes together. Standard error is what they said themselves, without torchrun's own report."""
    with several(count, Path(__file__).resolve(), *words, **environment) as started:
        out, err = started.communicate(timeout=300)
    return Run(started.returncode, out, own_words(err))


def own_words(err: str) -> str:
    """Of what torchrun's processes left on standard error, the lines that are not torchrun's."""
    head, _, report = err.partition("Traceback (most recent call last)")
    assert "InvDetectLib" not in report, report
    return "\n".join(line for line in head.splitlines() if not re.match(r"[WEI]\d{4} |\S*warning", line, re.IGNORECASE))


@contextlib.contextmanager
def running(*words: str | Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """`invdetect` as a process that goes on during the block, and is killed at its end if it still does."""
    command = [sys.executable, str(Path(__file__).resolve()), *map(str, words)]
    with subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as started:
        try:
            yield started
        finally:
            started.kill()


def wait_for(reached: Callable[[], object], patience: float = 60.0) -> None:
    """Until something is so."""
    end = time.monotonic() + patience
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.05)


@contextlib.contextmanager
def full_disk(limit: int) -> Iterator[None]:
    """No file can grow beyond `limit` bytes, as if the disk were full."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def build(folder: Path) -> World:
    """The whole world, in some seconds."""
    normals = folder / "normals"
    heads = write_phantoms(normals / "mueller", 8, size=SIZE)
    left_out = _mix(normals, heads)
    drawn = write_phantoms(folder / "scans", 2, first_seed=1000, size=SIZE, lesions=1)
    scans, masks = folder / "scans", folder / "scans-masks"
    (scans / "ward" / "night").mkdir(parents=True)
    drawn[1].rename(scans / "ward" / "night" / drawn[1].name)
    model = folder / "tiny.invdetect"
    done = shell("train", normals, "-o", model, "--preset", "tiny", "--modality", "made heads", "--no-rehearsal", "--json")
    assert done.status == 0, done.err
    return World(folder, normals, left_out, scans, masks, model, done.json["card"], done.err)


def build_directed(folder: Path) -> Path:
    """A model of the settings `DIRECTED`, trained in some seconds on normal heads in `folder` / normals that are nearly symmetric."""
    from InvDetectLib.training import train

    for path in write_phantoms(folder / "normals", 7, size=SIZE):
        rewrite(path, path, nearly_symmetric)
    model = train(folder / "normals", settings=DIRECTED, device="cpu", rehearse=False)
    model.save(folder / "directed.invdetect")
    return folder / "directed.invdetect"


def nearly_symmetric(array: np.ndarray) -> np.ndarray:
    """(slice, row, column) of a head, most of it the mean of itself and its reflection."""
    return 0.6 * array + 0.4 * array[..., ::-1]


def head(path: Path, seed: int = 2000, lesions: int = 0) -> Path:
    """A made head at `path`, in the format that its ending says."""
    drawn = write_phantoms(path.parent / ".drawn", 1, seed, SIZE, lesions)[0]
    image = _read(drawn)
    shutil.rmtree(drawn.parent)
    shutil.rmtree(path.parent / ".drawn-masks", ignore_errors=True)
    sitk.WriteImage(image, str(path))
    return path


def rewrite(source: Path, target: Path, change: Any) -> Path:
    """The scan at `source` with its array changed, as float32 in the same place."""
    image = sitk.ReadImage(str(source))
    array = np.asarray(change(sitk.GetArrayFromImage(image).astype(np.float32)), np.float32)
    changed = sitk.GetImageFromArray(array)
    if changed.GetSize() == image.GetSize():
        changed.CopyInformation(image)
    target.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(changed, str(target))
    return target


def of_one_name(folder: Path) -> tuple[Path, Path]:
    """Two scans called p1/flair and p2/flair, and masks of the same names: half of the columns, the first ones in p1, the others in p2."""
    scans, masks = folder / "scans", folder / "masks"
    left = np.zeros(SIZE, bool)
    left[..., : SIZE[2] // 2] = True
    for seed, (patient, half) in enumerate({"p1": left, "p2": ~left}.items(), 2000):
        (scans / patient).mkdir(parents=True)
        scan = head(scans / patient / "flair.nii.gz", seed)
        rewrite(scan, masks / patient / "flair_mask.nii.gz", lambda _, half=half: half)
    return scans, masks


def _read(path: Path) -> sitk.Image:
    """Without the fields of its old format, of which SimpleITK complains when it writes another."""
    image = sitk.ReadImage(str(path))
    for key in image.GetMetaDataKeys():
        image.EraseMetaData(key)
    return image


def _mix(normals: Path, heads: list[Path]) -> dict[str, str]:
    """Spread the heads over folders and formats, and put things between them that cannot be used."""
    nested = normals / "2019" / "maria lopez"
    nested.mkdir(parents=True)
    for path, ending in zip(heads[3:6], (".nrrd", ".mha", ".nii")):
        sitk.WriteImage(_read(path), str(nested / path.name.replace(".nii.gz", ending)))
        path.unlink()
    _series(_read(heads[6]), normals / "dicom" / "series-7")
    heads[6].unlink()
    shutil.copy(heads[0], nested / "zz-again.nii.gz")
    (normals / "notes.txt").write_text("remember the milk")
    (normals / "words.nii.gz").write_text("remember the milk")
    content = heads[1].read_bytes()
    (normals / "half.nii.gz").write_bytes(content[: len(content) // 2])
    rng = np.random.default_rng(0)
    sitk.WriteImage(sitk.GetImageFromArray(rng.integers(0, 255, (64, 64, 3), np.uint8), isVector=True), str(normals / "colour.png"))
    sitk.WriteImage(sitk.GetImageFromArray(rng.integers(0, 255, (12, 64), np.uint8)), str(normals / "narrow.png"))
    return {
        heads[0].name: "same content as zz-again.nii.gz",
        "notes.txt": "not a supported format",
        "words.nii.gz": "no NIfTI file",
        "half.nii.gz": "cut off",
        "colour.png": "colour, and the model is to be grey",
        "narrow.png": "12 x 64 pixels",
    }


def _series(image: sitk.Image, folder: Path) -> None:
    """A DICOM series of one file a slice."""
    folder.mkdir(parents=True)
    axes = np.reshape(image.GetDirection(), (3, 3))
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    tags = {"0020|000e": "1.2.3.4", "0020|000d": "1.2.3", "0008|0060": "MR", "0008|0016": "1.2.840.10008.5.1.4.1.1.4"}
    tags["0020|0037"] = "\\".join(f"{value:.9f}" for value in (*axes[:, 0], *axes[:, 1]))
    for k in range(image.GetDepth()):
        piece = image[:, :, k : k + 1]
        place = "\\".join(f"{value:.6f}" for value in image.TransformIndexToPhysicalPoint((0, 0, k)))
        for key, value in {**tags, "0020|0032": place, "0008|0018": f"1.2.3.4.{k + 1}", "0020|0013": str(k + 1)}.items():
            piece.SetMetaData(key, value)
        writer.SetFileName(str(folder / f"slice{k}.dcm"))
        writer.Execute(piece)


@contextlib.contextmanager
def _preset() -> Iterator[None]:
    own = {"tiny": TINY, "tiny-whole": WHOLE}
    presets.PRESETS.update(own)
    try:
        yield
    finally:
        for name in own:
            del presets.PRESETS[name]


def _stop_at(step: int, how: str) -> None:
    """Let the checkpoint be due after `step` optimiser steps, and send this process a signal, or raise, as soon as it is saved."""
    from InvDetectLib import training

    class Stopping(training.Checkpoint):
        steps = 0

        def due(self) -> bool:
            self.steps += 1
            return self.steps == step

        def save(self, arrays: dict[str, np.ndarray], facts: dict[str, Any]) -> None:
            super().save(arrays, facts)
            if self.steps == step:
                self.steps += 1  # stopping saves again
                if how == "FAIL":
                    raise InvDetectError("Something is wrong here")
                if how == "ABOVE":
                    os.kill(os.getppid(), signal.SIGINT)
                    time.sleep(1)
                else:
                    os.kill(os.getpid(), getattr(signal, f"SIG{how}"))

    training.Checkpoint = Stopping  # type: ignore[misc]


if __name__ == "__main__":
    asked, own = os.environ.get("TINY_SIGNAL"), os.environ.get("RANK")
    if asked and os.environ.get("TINY_RANK", own) == own:
        step, _, name = asked.partition(":")
        _stop_at(int(step), name)
    with _preset():
        sys.exit(cli.program())
