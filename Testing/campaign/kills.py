"""Processes that are killed (kill -9), anywhere in what they do: the same command, called again, ends as if nothing had been.

`saving`, `overwriting` and `model` die before a random call into compiled code; `cohort`, `replacing`, `reader` and `training` at a random
instant of the shell command; the worker, whoever started it, or both as in `worker_kills`.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from InvDetectLib.models import Model, load_model
from InvDetectLib.results import Result, fault, recover
from Testing.campaign import shells, worker_kills
from Testing.campaign.bases import GOLDEN
from Testing.campaign.comparing import age, content, same
from Testing.campaign.trying import Failure, Limit, Record, Trial, children, generator
from Testing.support.made_results import blob, make_result

_REAL = 4  # one in so many commands is started as users start it
_MODEL = GOLDEN / "invdetect.invdetect"


def campaign(seed: int, limit: Limit, record: Record) -> None:
    """Kill until the limit."""
    shells.try_all(again, seed, limit, record)


def again(seed: int, number: int, record: Record, work: Path) -> None:
    """The trial of this number, in the folder `work`, which keeps what undisturbed runs make."""
    rng = generator("kills", seed, number)
    name = _kind(number)
    folder = work / "trial"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    words = ""
    try:
        _KINDS[name](folder, work, rng)
        if left := [path.name for path in folder.rglob(".invdetect-*")]:
            raise Failure(f"half of something is left: {left[0]}")
    except Failure as failure:
        words = str(failure)
    record.add(Trial("kills", number, name, words))


# Files that are being written


@cache
def _results() -> tuple[Result, Result]:
    """Two results of one name that differ."""
    result = make_result(blob())
    return result, result.refine(scr=False)


@cache
def _models() -> tuple[Model, Model]:
    model = load_model(_MODEL)
    other = Model(model.settings, {name: values * 0 for name, values in model.arrays.items()}, model.calibration, model.card)
    return model, other


def _saving(folder: Path, work: Path, rng: np.random.Generator) -> None:
    first, _ = _results()
    begin = lambda: shutil.rmtree(folder / "out", ignore_errors=True)  # noqa: E731
    _die_in(begin, lambda: first.save(folder / "out"), lambda: first.save(work / "counted", overwrite=True), folder, rng)
    if (folder / "out").is_dir():
        recover(folder / "out")
    if not (folder / "out" / "jane-doe.result.json").exists():
        first.save(folder / "out")
    first.save(folder / "whole")
    same(folder / "out", folder / "whole")


def _overwriting(folder: Path, work: Path, rng: np.random.Generator) -> None:
    first, second = _results()
    begin = lambda: first.save(folder / "out", True)  # noqa: E731
    _die_in(begin, lambda: second.save(folder / "out", True), lambda: second.save(work / "counted", overwrite=True), folder, rng)
    recover(folder / "out")
    path = folder / "out" / "jane-doe.result.json"
    if broken := fault(path, verify=True):
        raise Failure(f"neither the older nor the newer result: {broken}")
    Result.load(path)
    second.save(folder / "out", True)
    second.save(folder / "whole")
    same(folder / "out", folder / "whole")


def _model(folder: Path, work: Path, rng: np.random.Generator) -> None:
    first, second = _models()
    path = folder / "a.invdetect"
    _die_in(lambda: first.save(path), lambda: second.save(path), lambda: second.save(work / "b.invdetect"), folder, rng)
    if load_model(path).checksum not in (first.checksum, second.checksum):
        raise Failure("neither the older nor the newer model")
    second.save(path)
    if path.read_bytes() != (work / "b.invdetect").read_bytes():
        raise Failure("another model than of an undisturbed run")


def _die_in(
    begin: Callable[[], object], work: Callable[[], object], like: Callable[[], object], folder: Path, rng: np.random.Generator
) -> None:
    """Let `work` be killed in a process of its own before a random call.

    begin  puts everything as it was before;  like  does as much as `work`, to be counted
    """
    calls = shells.calls_of(like)
    while True:
        begin()
        status = shells.forked(shells.dying(work, int(rng.integers(1, calls + 1))))
        if status == -9:
            break
        if status:
            raise Failure(f"saving ended with {status}")
        calls = max(1, int(calls * 0.95))  # it was done with fewer calls
    age(folder)


# Commands


def cohort_words(out: Path, *more: str) -> list[str]:
    """The command that examines three scans."""
    scans = [str(GOLDEN / "scan.nii.gz"), *(str(GOLDEN / "normal" / f"head-000{k}.nii.gz") for k in range(2))]
    return ["detect", *scans, "-m", str(_MODEL), "-o", str(out), "--device", "cpu", *more]


def undisturbed(name: str, words: Callable[[Path], list[str]], work: Path) -> tuple[Path, float]:
    """What a command makes that nobody disturbs, and the seconds that it takes; done once."""
    out, told = work / name / "out", work / name / "seconds"
    if not told.exists():
        started = time.monotonic()
        shells.invdetect(words(out), work / name / "said").check(0)
        told.write_text(str(time.monotonic() - started))
    return out, float(told.read_text())


def _cohort(folder: Path, work: Path, rng: np.random.Generator, *more: str) -> None:
    real = int(rng.integers(_REAL)) == 0
    whole, seconds = undisturbed("cohort" + "".join(more), lambda out: cohort_words(out, *more), work)

    def begin() -> shells.Shell:
        shutil.rmtree(folder / "out", ignore_errors=True)
        if more:  # older results lie there
            shutil.copytree(undisturbed("cohort", cohort_words, work)[0], folder / "out")
        return shells.Shell(cohort_words(folder / "out", *more), folder / "said", real=real)

    _kill_within((seconds + 3) if real else seconds, begin, folder, rng)
    shells.invdetect(cohort_words(folder / "out", *more), folder / "again").check(0)
    same(folder / "out", whole, without_pictures=real)


def _replacing(folder: Path, work: Path, rng: np.random.Generator) -> None:
    _cohort(folder, work, rng, "--overwrite", "--no-scr")


def _reader(folder: Path, work: Path, rng: np.random.Generator) -> None:
    whole, seconds = undisturbed("cohort", cohort_words, work)
    command = shells.Shell(cohort_words(folder / "out"), folder / "said")
    until = time.monotonic() + rng.uniform(0, seconds)
    while not (found := children(command.pid)) and time.monotonic() < until + 5:
        time.sleep(0.005)
    time.sleep(max(0.0, until - time.monotonic()))
    for pid in found:
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            pass
    command.wait().check(0, 1)
    shells.invdetect(cohort_words(folder / "out"), folder / "again").check(0)
    same(folder / "out", whole)


def training_words(target: Path) -> list[str]:
    """The command that trains a model, or goes on with it."""
    return ["train", str(GOLDEN / "normal"), "--preset", "tiny", "-o", str(target), "--device", "cpu", "--resume"]


def _training(folder: Path, work: Path, rng: np.random.Generator) -> None:
    whole, seconds = undisturbed("training", lambda out: training_words(out / "a.invdetect"), work)
    target = folder / "a.invdetect"

    def begin() -> shells.Shell:
        target.unlink(missing_ok=True)
        return shells.Shell(training_words(target), folder / "said")

    _kill_within(seconds, begin, folder, rng)
    done = target.exists()
    shells.invdetect(training_words(target), folder / "again").check(0, *([2] if done else []))  # which would be a second model
    if content(target) != content(whole / "a.invdetect"):
        raise Failure("another model than of an undisturbed run")
    if left := [path.name for path in folder.iterdir() if path.name not in (target.name, "said", "again")]:
        raise Failure(f"left behind: {left}")


def _kill_within(seconds: float, begin: Callable[[], shells.Shell], folder: Path, rng: np.random.Generator) -> None:
    """Kill what begins at a random instant of so many seconds; it begins anew when it had ended before."""
    while True:
        command = begin()
        time.sleep(rng.uniform(0, seconds))
        command.kill()
        if command.wait().status == -9:
            break
        seconds *= 0.8
    age(folder)


def _kind(number: int) -> str:
    turn, place = divmod(number, len(_TURN) + 1)
    return _TURN[place] if place < len(_TURN) else _LAST[turn % len(_LAST)]


# How each kind is tried: (an empty folder, one that all trials share, random numbers).
_KINDS: dict[str, Callable[[Path, Path, np.random.Generator], None]] = {
    "saving": _saving,
    "overwriting": _overwriting,
    "model": _model,
    "cohort": _cohort,
    "replacing": _replacing,
    "reader": _reader,
    "training": _training,
    "worker": lambda folder, work, rng: worker_kills.kill("worker", folder, work, rng),
    "parent": lambda folder, work, rng: worker_kills.kill("parent", folder, work, rng),
    "both": lambda folder, work, rng: worker_kills.kill("both", folder, work, rng),
}
# In this order, again and again: of what takes a twentieth of a second much, of what takes half a minute little, and late.
_TURN = (
    "saving overwriting model saving overwriting cohort saving overwriting model saving overwriting reader saving overwriting model cohort "
    "saving overwriting training model saving overwriting cohort replacing"
).split()
_LAST = ("worker", "parent", "both")  # of each turn, by turns
