"""The shell command in a process of its own, forked from this one, which has everything loaded, or started as users start it.

POSIX alone. This process must have no threads at work when it forks.
"""

from __future__ import annotations

import atexit
import dataclasses
import io
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from InvDetectLib.computing import Checkpoint
from InvDetectLib.models import presets
from InvDetectLib.shell import cli
from Testing.campaign.trying import UNFORESEEN, Failure, Limit, Record, one_sentence
from Testing.support import REPOSITORY, tiny_model


@dataclass(frozen=True)
class Ended:
    """A command that has ended: its status (minus the number of the signal that killed it), and what it said."""

    status: int
    out: str
    err: str

    def check(self, *right: int, heard: bool = True) -> None:
        """Raise `Failure` unless it ended with one of these statuses, and said why in one foreseen sentence where it failed.

        heard  it had a standard error to say so
        """
        if self.status not in right:
            raise Failure(f"status {self.status}: {self.out[-300:]} {self.err[-600:]}")
        if UNFORESEEN.search(self.out + self.err):
            raise Failure(f"nobody foresaw it: {self.out[-300:]} {self.err[-600:]}")
        said = [line.removeprefix("invdetect: ") for line in self.err.splitlines() if line.startswith("invdetect: ")]
        said += [line for line in self.out.splitlines() if line.startswith("failed ")]
        for line in said:
            one_sentence(line)
        if heard and self.status in (1, 2) and not said:
            raise Failure(f"status {self.status} without a word: {self.out[-300:]} {self.err[-300:]}")


class Shell:
    """One command at work.

    words   those behind `invdetect`;  place  an empty folder for what it says
    before  called in the new process first: limits, signals
    real    started as users start it, rather than forked
    out, err  descriptors instead of files in `place`, -1 for a closed one (only of a real one)
    """

    def __init__(
        self, words: list[str], place: Path, before: Callable[[], None] = lambda: None, real: bool = False, out: int | None = None,
        err: int | None = None,
    ) -> None:  # fmt: skip
        place.mkdir(parents=True, exist_ok=True)
        self._said = place / "out", place / "err"
        given = (out, err)
        opened = [os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND) for path in self._said]
        streams = [own if descriptor is None else descriptor for own, descriptor in zip(opened, given)]
        if real:
            environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}

            def prepare() -> None:
                for number, descriptor in zip((1, 2), given):
                    if descriptor == -1:
                        os.close(number)
                before()

            command = [sys.executable, "-m", "Testing.campaign.shells", *words]
            plain = [own if descriptor == -1 else descriptor for own, descriptor in zip(opened, streams)]
            started = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=plain[0], stderr=plain[1], env=environment, start_new_session=True,
                preexec_fn=prepare,
            )  # fmt: skip
            self.pid, started.returncode = started.pid, 0  # this class waits for it, and not subprocess
        else:
            sys.stdout.flush()
            self.pid = os.fork()
            if not self.pid:
                _be(words, streams, before)
        for descriptor in opened:
            os.close(descriptor)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send the process, and it alone, a signal."""
        os.kill(self.pid, number)

    def wait(self, patience: float = 120.0) -> Ended:
        """Its end. `Failure` when there is none in time, or when others that it has started outlive it."""
        deadline = time.monotonic() + patience
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > deadline:
                self._end_group()
                os.waitpid(self.pid, 0)
                raise Failure(f"it did not end within {patience:.0f} s")
            time.sleep(0.005)
        deadline = time.monotonic() + 10
        while group(self.pid):
            if time.monotonic() > deadline:
                self._end_group()
                raise Failure("processes that it has started outlive it")
            time.sleep(0.02)
        out, err = (path.read_text(encoding="utf-8", errors="replace") for path in self._said)
        return Ended(os.waitstatus_to_exitcode(status), out, err)

    def _end_group(self) -> None:
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def invdetect(words: list[str], place: Path) -> Ended:
    """A command that nobody disturbs."""
    return Shell(words, place).wait()


def forked(work: Callable[[], object]) -> int:
    """Do something in a process of its own; its status, 0 when it ended well."""
    sys.stdout.flush()
    pid = os.fork()
    if not pid:
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def dying(work: Callable[[], object], last: int) -> Callable[[], None]:
    """The same work, ended as by kill -9 just before so many calls into compiled code, wherever that is."""

    def die() -> None:
        calls = 0

        def count(frame: object, event: str, argument: object) -> None:
            nonlocal calls
            calls += event == "c_call"
            if calls == last:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.setprofile(count)
        work()
        sys.setprofile(None)

    return die


def calls_of(work: Callable[[], object]) -> int:
    """How many calls into compiled code the work makes."""
    calls = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event == "c_call"

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return calls


def group(number: int) -> list[int]:
    """The living processes of a process group (Linux)."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, its = stat.read_text().rpartition(")")[2].split()[:3]
        except (OSError, ValueError):
            continue
        if int(its) == number and state not in "ZX":
            found.append(int(stat.parent.name))
    return found


def warm_up() -> None:
    """Load what commands need, so that forked ones begin at once."""
    import matplotlib.backends.backend_agg  # noqa: F401
    import matplotlib.figure  # noqa: F401
    import sklearn.svm  # noqa: F401
    import torch
    import torch._dynamo  # by optimisers, when the first is made

    import InvDetectLib.adaptation
    import InvDetectLib.cohort
    import InvDetectLib.evaluation
    import InvDetectLib.shell.commands
    import InvDetectLib.shell.demo  # noqa: F401
    from InvDetectLib.methods.invdetect import method  # noqa: F401

    torch.set_num_threads(1)


def _make_brief() -> None:
    """One more preset, "tiny", that trains in a second or two, and checkpoints at every other step."""
    from InvDetectLib import training

    tiny = tiny_model.TINY
    steps = dataclasses.replace(tiny.invdetect.training, steps=24)
    presets.PRESETS["tiny"] = dataclasses.replace(tiny, invdetect=dataclasses.replace(tiny.invdetect, training=steps))
    training.Checkpoint = _Often  # type: ignore[misc]


class _Often(Checkpoint):
    """A checkpoint that is saved every other step instead of every half minute."""

    _calls = 0

    def due(self) -> bool:
        self._calls += 1
        return self._calls % 2 == 0


def _be(words: list[str], streams: list[int], before: Callable[[], None]) -> NoReturn:
    """The forked process: `invdetect` as `tiny_model` has it, with two presets that train in seconds."""
    status = 99
    try:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDONLY)
        for descriptor, number in zip((nothing, *streams), range(3)):
            os.dup2(descriptor, number)
        sys.stdin = io.TextIOWrapper(io.FileIO(0, closefd=False))
        sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), encoding="utf-8")
        sys.stderr = io.TextIOWrapper(io.FileIO(2, "w", closefd=False), encoding="utf-8", line_buffering=True)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        atexit._clear()
        from InvDetectLib.results import canvas

        _make_brief()
        canvas.available = lambda: False  # type: ignore[assignment]  # they take longer than all the rest; real processes draw them
        before()
        try:
            status = cli.main(words)
        except SystemExit as end:
            status = int(end.code or 0)
        sys.stdout.flush()
    except BaseException:
        import traceback

        traceback.print_exc()
        status = 1
    finally:
        os._exit(status)


if __name__ == "__main__":
    _make_brief()
    sys.exit(cli.program())


def try_all(again: Callable[[int, int, Record, Path], None], seed: int, limit: Limit, record: Record) -> None:
    """Trial after trial until the limit, with a warm process and in one folder, which keeps what undisturbed runs make.

    again  does one: from seed, number, record and that folder
    """
    warm_up()
    with tempfile.TemporaryDirectory(prefix="campaign-") as work:
        while (number := limit.next()) is not None:
            again(seed, number, record, Path(work))
