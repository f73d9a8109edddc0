"""Commands on machines that run short or are disturbed: each ends in time with a sentence, and the next run as if nothing had been."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from Testing.campaign import shells
from Testing.campaign.bases import GOLDEN
from Testing.campaign.comparing import age, same
from Testing.campaign.trying import Failure, Limit, Record, Trial, generator

_MODEL = GOLDEN / "invdetect.invdetect"
Words = Callable[[Path, Path], list[str]]


def campaign(seed: int, limit: Limit, record: Record) -> None:
    """Disturb commands until the limit."""
    shells.try_all(again, seed, limit, record)


def again(seed: int, number: int, record: Record, work: Path) -> None:
    """The trial of this number, in the folder `work`, which keeps what undisturbed runs make."""
    pairs = _pairs()
    order = generator("faults", seed, 2**31).permutation(len(pairs))
    command, fault = pairs[int(order[number % len(pairs)])]
    folder = work / "trial"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    words = ""
    try:
        _try(command, fault, folder, work, generator("faults", seed, number))
    except Failure as failure:
        words = str(failure)
    record.add(Trial("faults", number, f"{command} {fault}", words))


# Commands: (folder with the inputs, folder for the outputs) -> words


def _train(inputs: Path, out: Path) -> list[str]:
    return ["train", str(inputs / "normal"), "--preset", "tiny", "-o", str(out / "a.invdetect"), "--device", "cpu", "--resume"]


def _detect(inputs: Path, out: Path) -> list[str]:
    return ["detect", str(inputs / "scans" / "scan.nii.gz"), "-m", str(inputs / "a.invdetect"), "-o", str(out), "--device", "cpu"]


def _cohort(inputs: Path, out: Path) -> list[str]:
    return ["detect", str(inputs / "scans"), "-m", str(inputs / "a.invdetect"), "-o", str(out), "--device", "cpu"]


def _evaluate(inputs: Path, out: Path) -> list[str]:
    scan = str(inputs / "scans" / "scan.nii.gz")
    return ["evaluate", scan, str(inputs / "masks"), "-m", str(inputs / "a.invdetect"), "--device", "cpu", "--json"]


def _calibrate(inputs: Path, out: Path) -> list[str]:
    return ["calibrate", str(inputs / "a.invdetect"), str(inputs / "normal"), "-o", str(out / "b.invdetect"), "--device", "cpu"]


def _info(inputs: Path, out: Path) -> list[str]:
    return ["info", str(inputs / "a.invdetect")]


def _demo(inputs: Path, out: Path) -> list[str]:
    return ["demo", "-o", str(out), "--device", "cpu"]


_COMMANDS: dict[str, Words] = {
    "train": _train, "detect": _detect, "cohort": _cohort, "evaluate": _evaluate, "calibrate": _calibrate, "info": _info, "demo": _demo,
}  # fmt: skip
_WRITE = ("train", "detect", "cohort", "calibrate")


def _inputs(folder: Path) -> Path:
    """Sound inputs of every command, made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("scans", "masks"):
        (folder / name).mkdir(parents=True)
    shutil.copytree(GOLDEN / "normal", folder / "normal")
    shutil.copy(_MODEL, folder / "a.invdetect")
    shutil.copy(GOLDEN / "scan.nii.gz", folder / "scans")
    for name in ("head-0000.nii.gz", "head-0001.nii.gz"):
        shutil.copy(GOLDEN / "normal" / name, folder / "scans")
    shutil.copy(GOLDEN / "result-invdetect" / "scan.mask.seg.nrrd", folder / "masks" / "scan.seg.nrrd")
    return folder


# Faults


@dataclass
class _Disturbance:
    """What is done to a command.

    before  in its process, first;  later  while it runs, at a random instant: (command, inputs, outputs)
    out, err  descriptors that it gets, -1 for a closed one;  heard  whether its standard error can be read
    right   the statuses with which it may end;  place  where it writes instead
    """

    before: Callable[[], None] = lambda: None
    later: Callable[[shells.Shell, Path, Path], None] | None = None
    out: int | None = None
    err: int | None = None
    real: bool = False
    heard: bool = True
    right: tuple[int, ...] = (0, 1, 2)
    place: Path | None = None


def _limited(name: str, most: Callable[[], int]) -> Callable[[], None]:
    def limit() -> None:
        import resource

        resource.setrlimit(getattr(resource, name), (most(), resource.getrlimit(getattr(resource, name))[1]))

    return limit


def _address_space() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def _sent(number: int, times: int = 1) -> Callable[[shells.Shell, Path, Path], None]:
    def send(command: shells.Shell, inputs: Path, out: Path) -> None:
        for turn in range(times):
            time.sleep(0.1 + 0.2 * turn)  # a program that has hardly begun does not listen yet
            command.kill(number)

    return send


def _full(rng: np.random.Generator, folder: Path) -> _Disturbance:
    most = int(rng.integers(3000, 60_000))
    return _Disturbance(_limited("RLIMIT_FSIZE", lambda: most))


def _full_output(rng: np.random.Generator, folder: Path) -> _Disturbance:
    return _Disturbance(out=os.open("/dev/full", os.O_WRONLY), right=(1, 2))


def _full_errors(rng: np.random.Generator, folder: Path) -> _Disturbance:
    return _Disturbance(err=os.open("/dev/full", os.O_WRONLY), heard=False)


def _closed_output(rng: np.random.Generator, folder: Path) -> _Disturbance:
    return _Disturbance(out=-1, real=True, right=(1, 2))


def _closed_errors(rng: np.random.Generator, folder: Path) -> _Disturbance:
    return _Disturbance(err=-1, real=True, heard=False)


def _closed_input(rng: np.random.Generator, folder: Path) -> _Disturbance:
    return _Disturbance(lambda: os.close(0), real=True)


def _head(rng: np.random.Generator, folder: Path) -> _Disturbance:
    reading, writing = os.pipe()
    os.close(reading)  # as after `| head -1`, whose end comes before the rest of the output
    return _Disturbance(out=writing, heard=False)  # what nobody wants to read ends without a word


def _no_writing(rng: np.random.Generator, folder: Path) -> _Disturbance:
    (folder / "file").touch()
    places = (Path("/proc/campaign"), folder / "file", folder / "file" / "below", Path("/dev/null/below"), Path("/sys/campaign"))
    return _Disturbance(place=places[int(rng.integers(len(places)))], right=(1, 2))


def _inputs_gone(rng: np.random.Generator, folder: Path) -> _Disturbance:
    victim = ("scans", "normal", "a.invdetect", "masks", ".")[int(rng.integers(5))]

    def remove(command: shells.Shell, inputs: Path, out: Path) -> None:
        path = inputs / victim
        path.unlink() if path.is_file() else shutil.rmtree(path, ignore_errors=True)

    return _Disturbance(later=remove)


def _outputs_gone(rng: np.random.Generator, folder: Path) -> _Disturbance:
    return _Disturbance(later=lambda command, inputs, out: shutil.rmtree(out, ignore_errors=True))


def _memory(rng: np.random.Generator, folder: Path) -> _Disturbance:
    """Below Python, linear algebra, the loader of libraries and torch end a process that has no memory by exit or signal, without a word:
    it has to be told before."""
    more = int(rng.integers(32, 400)) << 20
    return _Disturbance(_limited("RLIMIT_AS", lambda: _address_space() + more), right=(0, 1))  # 0: a card needs little


def _descriptors(rng: np.random.Generator, folder: Path) -> _Disturbance:
    most = int(rng.integers(8, 30))
    return _Disturbance(_limited("RLIMIT_NOFILE", lambda: most))


_FAULTS: dict[str, Callable[[np.random.Generator, Path], _Disturbance]] = {
    "full disk": _full, "full output": _full_output, "full errors": _full_errors, "closed output": _closed_output,
    "closed errors": _closed_errors, "closed input": _closed_input, "head -1": _head, "no writing": _no_writing,
    "inputs gone": _inputs_gone, "outputs gone": _outputs_gone, "little memory": _memory, "few descriptors": _descriptors,
    "SIGTERM": lambda rng, folder: _Disturbance(later=_sent(signal.SIGTERM)),
    "SIGINT": lambda rng, folder: _Disturbance(later=_sent(signal.SIGINT)),
    "SIGINT twice": lambda rng, folder: _Disturbance(later=_sent(signal.SIGINT, 2)),
    "SIGHUP": lambda rng, folder: _Disturbance(later=_sent(signal.SIGHUP), right=(0, 1, -signal.SIGHUP)),
}  # fmt: skip


def _pairs() -> list[tuple[str, str]]:
    """Every command with every fault that it can meet; of the demo, which takes a minute, those that end it at once."""
    writing = ("full disk", "no writing", "outputs gone")
    pairs = [
        (command, fault) for command in _COMMANDS if command != "demo" for fault in _FAULTS if command in _WRITE or fault not in writing
    ]
    return [*pairs, ("demo", "no writing"), ("demo", "SIGTERM"), ("demo", "SIGINT twice")]


def _try(command: str, fault: str, folder: Path, work: Path, rng: np.random.Generator) -> None:
    words, disturbance = _COMMANDS[command], _FAULTS[fault](rng, folder)
    inputs, out = _inputs(folder / "in"), folder / "out"
    out.mkdir()
    whole, seconds = _undisturbed(command, work) if command != "demo" else (None, 3.0)
    target = out if disturbance.place is None else disturbance.place
    shell = shells.Shell(words(inputs, target), folder / "said", disturbance.before, disturbance.real, disturbance.out, disturbance.err)
    for descriptor in (disturbance.out, disturbance.err):
        if descriptor is not None and descriptor >= 0:
            os.close(descriptor)
    if disturbance.later is not None:
        time.sleep(rng.uniform(0, seconds))
        disturbance.later(shell, inputs, out)
    shell.wait().check(*disturbance.right, heard=disturbance.heard)
    if whole is None or command not in _WRITE:
        return
    age(folder)
    done = any(out.glob("*.invdetect"))
    out.mkdir(exist_ok=True)
    shells.invdetect(words(_inputs(folder / "in"), out), folder / "again").check(0, *([2] if done else []))
    if left := [path.name for path in folder.rglob(".invdetect-*")]:
        raise Failure(f"half of something is left: {left[0]}")
    same(out, whole, without_pictures=True)


def _undisturbed(command: str, work: Path) -> tuple[Path, float]:
    """What a command makes that nobody disturbs, and the seconds that it takes; done once."""
    folder = work / command
    if not (folder / "seconds").exists():
        (folder / "out").mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        shells.invdetect(_COMMANDS[command](_inputs(folder / "in"), folder / "out"), folder / "said").check(0)
        (folder / "seconds").write_text(str(time.monotonic() - started))
    return folder / "out", float((folder / "seconds").read_text())
