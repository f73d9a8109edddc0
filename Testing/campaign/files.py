"""Damaged files: each is read by a process that is kept, to a sound object or one sentence, in time and with little memory.

Run as a program this file is that process: `python -m Testing.campaign.files SEED FOLDER` tries the numbers that it is told.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from InvDetectLib.common import InvDetectError
from Testing.campaign.bases import GOLDEN, Base, every_base
from Testing.campaign.trying import MEMORY, SECONDS, Failure, Limit, Record, Trial, children, generator, one_sentence
from Testing.support import REPOSITORY

_AT_ONCE = 2
_LIMIT = 4 << 30  # bytes of address space beyond those of the beginning, so that no trial takes the machine with it
_WHOLE_TRAININGS = 8  # one in so many checkpoints that can be read is gone on with


def campaign(seed: int, limit: Limit, record: Record) -> None:
    """Try damaged files until the limit, in two processes."""
    with tempfile.TemporaryDirectory(prefix="campaign-") as work:
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            for done in [threads.submit(_ask, seed, limit, record, Path(work) / str(k)) for k in range(_AT_ONCE)]:
                done.result()


def again(seed: int, number: int, files: dict[str, bytes], record: Record) -> None:
    """Try kept files once more, as the trial of this number; without any they are made anew."""
    with tempfile.TemporaryDirectory(prefix="campaign-") as work:
        for name, content in files.items():
            (Path(work) / "kept" / name).parent.mkdir(parents=True, exist_ok=True)
            (Path(work) / "kept" / name).write_bytes(content)
        reader = _Subject(seed, Path(work))
        base = _base(number)
        record.add(Trial("files", number, base.name, reader.tried(number), files or base.damaged(generator("files", seed, number))))
        reader.end()


def _ask(seed: int, limit: Limit, record: Record, work: Path) -> None:
    work.mkdir()
    subject = _Subject(seed, work)
    while (number := limit.next()) is not None:
        base = _base(number)
        words = subject.tried(number)
        record.add(Trial("files", number, base.name, words, base.damaged(generator("files", seed, number)) if words else {}))
    subject.end()


class _Subject:
    """The process that reads, from the side of the campaign; it starts again after one that was not survived."""

    def __init__(self, seed: int, work: Path) -> None:
        self._command = [sys.executable, "-m", "Testing.campaign.files", str(seed), str(work)]
        self._process: subprocess.Popen[bytes] | None = None

    def tried(self, number: int) -> str:
        """What went wrong with the trial of this number, "" when it was survived."""
        if self._process is None:
            self._process = subprocess.Popen(
                self._command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                start_new_session=True, env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)},
            )  # fmt: skip
            self._line(120.0)  # it is ready
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(b"%d\n" % number)
            self._process.stdin.flush()
            words = self._line(SECONDS)
        except OSError:
            words = None
        if words is None:
            code = self._process.poll()
            self.end()
            return f"it did not end within {SECONDS:.0f} s" if code is None else f"the process broke off ({code})"
        if "memory" in words:
            self.end()  # whatever it has left there shall not be the next trial's
        return words

    def _line(self, seconds: float) -> str | None:
        """The next line; None when the process ends before it, or is too slow."""
        assert self._process is not None and self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], seconds)[0]:
            return None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            return None
        return str(json.loads(line))

    def end(self) -> None:
        """End the process, and those that it has started."""
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):  # it has broken off, and left nobody
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


_bases: list[Base] = []


def _base(number: int) -> Base:
    if not _bases:
        _bases.extend(every_base())
    return _bases[number % len(_bases)]


# The process that reads.


def _sound_scan(path: Path, folder: Path, rng: np.random.Generator) -> None:
    from InvDetectLib.models import Preparation
    from InvDetectLib.scans import learn_intensity, measure_intensity, prepare, read_scan

    scan = read_scan(path)
    geometry = scan.geometry
    _check(scan.array.shape[:3] == geometry.shape and min(scan.array.shape) > 0, f"shapes {scan.array.shape} and {geometry.shape}")
    _check(all(np.isfinite(value) and value > 0 for value in geometry.spacing), f"spacing {geometry.spacing}")
    _check(bool(np.isfinite([*geometry.origin, *geometry.direction]).all()), "no place")
    for text in scan.warnings:
        one_sentence(text)
    in_mm = geometry.unit == "mm" and rng.integers(2) == 0
    preparation = Preparation(channels=scan.channels, **({"spacing_mm": 1.5, "grid": None} if in_mm else {"grid": 16}))
    measured = measure_intensity(scan, preparation)
    learned = learn_intensity(preparation, [measured])
    prepared = prepare(scan, preparation, learned)
    _check(bool(np.isfinite(prepared.slices).all()), "slices that are not finite")


def _sound_mask(path: Path, folder: Path, rng: np.random.Generator) -> None:
    from InvDetectLib.scans import read_mask, read_scan, read_truth

    geometry = read_scan(folder / "scan.nii").geometry
    for read in (read_mask, read_truth):
        mask = read(path, geometry)
        _check(mask.shape == geometry.shape and mask.dtype == bool, f"a mask of {mask.shape} {mask.dtype}")


def _sound_masks(path: Path, folder: Path, rng: np.random.Generator) -> None:
    from InvDetectLib.scans import ForegroundChoice, read_scan

    scan = read_scan(folder / "scan.nii")
    mask = ForegroundChoice(path).of(scan, folder / "scan.nii")
    _check(isinstance(mask, np.ndarray) and mask.shape == scan.geometry.shape, "no mask of the scan's size")


def _sound_model(path: Path, folder: Path, rng: np.random.Generator) -> None:
    from InvDetectLib.detection import Detector
    from InvDetectLib.models import Model, check_whole, describe, read_header
    from InvDetectLib.scans import read_scan

    header = read_header(path)
    list(describe(header["card"], header["calibration"]))
    check_whole(path)
    result = Detector(Model.load(path), "cpu").detect(read_scan(folder / "scan.nii.gz"))
    _check(bool(np.isfinite(result.anomaly_map).all()), "a map that is not finite")
    result.save(folder / "out")


def _sound_result(path: Path, folder: Path, rng: np.random.Generator) -> None:
    from InvDetectLib.results import Result, fault, read_findings

    fault(path, verify=True)
    read_findings(path)
    result = Result.load(path).refine(contiguity=0.5)
    _check(bool(np.isfinite(result.anomaly_map).all()), "a map that is not finite")
    result.save(folder / "out")


def _sound_checkpoint(path: Path, folder: Path, rng: np.random.Generator) -> None:
    from safetensors import safe_open

    from InvDetectLib.computing import Checkpoint
    from InvDetectLib.models import load_model
    from InvDetectLib.training import train

    with safe_open(str(GOLDEN / path.name), framework="numpy") as file:
        fingerprint = file.metadata()["fingerprint"]
    Checkpoint(path, fingerprint).load()
    if rng.integers(_WHOLE_TRAININGS) == 0:
        model = train(GOLDEN / "normal", settings=load_model(GOLDEN / "invdetect.invdetect").settings, checkpoint=path, device="cpu")
        bad = [name for name, values in model.arrays.items() if values.dtype.kind == "f" and not np.isfinite(values).all()]
        _check(not bad, f"a model whose {bad[:1]} is not finite")


def _sound_card(path: Path, folder: Path, rng: np.random.Generator) -> None:
    from InvDetectLib.models import read_texts

    for text in read_texts(path).values():
        _check("\n" not in text and 0 < len(text) <= 2000, "a text that no card takes")


_ROOMS: dict[str, Callable[[Path, Path, np.random.Generator], None]] = {
    "scan": _sound_scan, "mask": _sound_mask, "masks": _sound_masks, "model": _sound_model, "result": _sound_result,
    "checkpoint": _sound_checkpoint, "card": _sound_card,
}  # fmt: skip


def _check(right: bool, otherwise: str) -> None:
    if not right:
        raise Failure(f"an object that is not sound: {otherwise}")


def _try(seed: int, number: int, work: Path, started_with: dict[int, int]) -> str:
    """One trial in this process: what went wrong, or ""."""
    base, folder, kept = _base(number), work / "trial", work / "kept"
    shutil.rmtree(folder, ignore_errors=True)
    rng = generator("files", seed, number)
    for name, content in base.damaged(rng).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        source = kept / name
        (folder / name).write_bytes(source.read_bytes() if source.exists() else content)
    _forget_peaks()
    try:
        _ROOMS[base.room](folder / base.entry if base.entry else folder, folder, rng)
    except InvDetectError as error:
        try:
            one_sentence(str(error))
        except Failure as failure:
            return str(failure)
    except Failure as failure:
        return str(failure)
    except MemoryError:
        return "more memory than it may take"
    except BaseException as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {str(error)[:200]} ({Path(where.filename).name}:{where.lineno})"
    for pid, peak in _peaks().items():
        if peak - started_with.setdefault(pid, min(peak, 1 << 29)) > MEMORY:
            return f"it took {peak >> 20} MiB of memory"
    if left := [path.name for path in folder.rglob(".invdetect-*")]:
        return f"half of something is left: {left[0]}"
    return ""


def _peaks() -> dict[int, int]:
    """Bytes that this process and the one that reads have had at most, since they were last forgotten (Linux)."""
    found = {}
    for pid in (os.getpid(), *children(os.getpid())):
        try:
            text = Path(f"/proc/{pid}/status").read_text()
            found[pid] = int(text.partition("VmHWM:")[2].split()[0]) << 10
        except (OSError, IndexError, ValueError):
            pass
    return found


def _forget_peaks() -> None:
    for pid in (os.getpid(), *children(os.getpid())):
        try:
            Path(f"/proc/{pid}/clear_refs").write_text("5")
        except OSError:
            pass


def _serve(seed: int, work: Path) -> None:
    """Answer each number on standard input by a line, until there are no more."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import sklearn.svm  # noqa: F401  (loaded now, not within the first trial)
    import torch

    import InvDetectLib.training  # noqa: F401
    from InvDetectLib.results import canvas
    from InvDetectLib.scans import get_ready

    canvas.available = lambda: False  # type: ignore[assignment]  # it takes longer than all the rest
    torch.set_num_threads(1)
    get_ready()
    _base(0)
    try:
        import resource

        used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (used + _LIMIT, resource.getrlimit(resource.RLIMIT_AS)[1]))
    except (ImportError, OSError):
        pass
    started_with = _peaks()

    def answer(words: Any) -> None:
        answers.write(json.dumps(words) + "\n")
        answers.flush()

    answer("")
    for line in sys.stdin:
        answer(_try(seed, int(line), work, started_with))


if __name__ == "__main__":
    _serve(int(sys.argv[1]), Path(sys.argv[2]))
