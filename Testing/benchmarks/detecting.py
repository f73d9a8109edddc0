"""Seconds and memory of detection by the preset `standard`, from file to files: `python Testing/benchmarks/detecting.py [MODEL.invdetect]`.

A made head of 155 slices of 240x240 is read, scored and written, by a model with the preset's own settings; without one given it is
trained for a few steps only, which changes scores and not times. Prints seconds by part, memory, how soon a worker that is warm tells of
its first slice, what a slice of 256x256 takes, and what training takes. Each part has two figures: seconds that passed, and seconds of
computing of the thread that does it, which is all of it where torch has one thread (OMP_NUM_THREADS=1), and which others on the machine
hardly change.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "InvDetect")]

from Testing.support.hardware import processor  # noqa: E402

VOLUME = (155, 240, 240)
TARGETS = {"all": 12.0, "network": 4.0}
_HEADS, _STEPS = 8, 20  # of the model trained here


class Parts:
    """Seconds of each part of a run, without those of parts inside it: (passed, computing of the thread)."""

    def __init__(self) -> None:
        self.seconds: dict[str, np.ndarray] = {}
        self._inside = [np.zeros(2)]

    def watch(self, owner: Any, name: str, part: str) -> None:
        """Let every call of a function count."""
        work = getattr(owner, name)

        def watched(*arguments: Any, **named: Any) -> Any:
            return self.of(part, lambda: work(*arguments, **named))

        setattr(owner, name, watched)

    def of(self, part: str, work: Callable[[], Any]) -> Any:
        """Do the work, and count it."""
        start = _clocks()
        self._inside.append(np.zeros(2))
        try:
            return work()
        finally:
            whole, inner = _clocks() - start, self._inside.pop()
            self._inside[-1] += whole
            self.seconds[part] = self.seconds.get(part, np.zeros(2)) + whole - inner


def detection(model: Path, scan: Path, out: Path) -> None:
    """In a process of its own: seconds by part, and the peak of memory, as JSON on standard output."""
    from InvDetectLib import detection as walk
    from InvDetectLib.methods import scoring
    from InvDetectLib.methods.invdetect import method, once, views
    from InvDetectLib.refinement import cutting
    from InvDetectLib.results import Result

    detector = walk.Detector(model, "cpu")
    detector.pace()  # warm, as a worker is
    parts, first = Parts(), []
    cuts: list[float] = []  # of their own threads
    places = [
        (walk, "read_scan", "read"),
        (walk, "prepare", "prepare"),
        (method, "find_midlines", "midlines"),
        (once.NoiseSeen, "__call__", "network"),
        (method, "raw_views", "views"),
        (views.Sum, "score", "views"),
        (scoring, "_distances", "edges"),
        (scoring, "edge_weights", "edges"),
        (Result, "_with_cuts", "waiting for cuts, findings"),
        (Result, "assemble", "assemble"),
        (walk, "backgrounds_of", "assemble"),
    ]
    for owner, name, part in places:
        parts.watch(owner, name, part)
    cut = cutting.cut

    def timed(*arguments: Any) -> np.ndarray:
        start = time.thread_time()
        mask = cut(*arguments)
        cuts.append(time.thread_time() - start)
        return mask

    cutting.cut = timed
    start, computing = time.perf_counter(), time.process_time()
    result = parts.of("other", lambda: detector.detect(scan, stability=False, on_slice=lambda _: first.append(time.perf_counter() - start)))
    parts.of("files", lambda: result.save(out, overwrite=True))
    whole = time.perf_counter() - start, time.process_time() - computing
    told = {name: seconds.tolist() for name, seconds in parts.seconds.items()}
    facts = {"all": whole, "first": first[0], "peak": _peak(), "findings": len(result.findings)}
    print(json.dumps({"parts": told, "cuts": sum(cuts), **facts}))


def worker(model: Path, scan: Path) -> tuple[float, float]:
    """Seconds from a command to the first slice's message, in a worker that is warm: for a new scan, and for one that it has looked at."""
    from InvDetectSlicerLib.worker.client import WorkerClient

    client = WorkerClient(sys.executable, environment={**os.environ, "PYTHONPATH": str(ROOT)})
    asked = {"model": str(model), "device": "cpu", "scan": str(scan)}
    found = []
    try:
        for before in ("load", "check"):
            for command in dict.fromkeys(("load", before)):
                client.wait(client.send({**asked, "command": command}))
            if before == "load":  # the device too is warm once it has scored something
                client.wait(client.send({"command": "estimate", "model": str(model), "device": "cpu"}))
            seen: list[float] = []
            start = time.perf_counter()

            def hear(message: dict[str, Any], seen: list[float] = seen) -> None:
                if message["message"] == "slice" and not seen:
                    seen.append(time.perf_counter())

            job = client.send({**asked, "command": "detect"}, hear)
            while not seen and not job.finished:
                client.poll()
                time.sleep(0.002)
            found.append(seen[0] - start)
            client.wait(job)
    finally:
        client.stop()
    return found[0], found[1]


def train_shortly(folder: Path) -> Path:
    """A model with the settings of `standard`, whose network has hardly learned anything."""
    from InvDetectLib import train
    from InvDetectLib.models import choose_settings
    from InvDetectLib.scans.phantoms import write_phantoms

    settings = choose_settings("standard")
    own = settings.invdetect
    settings = dataclasses.replace(
        settings, invdetect=dataclasses.replace(own, training=dataclasses.replace(own.training, steps=_STEPS))
    )
    write_phantoms(folder / "normals", _HEADS, 1)
    path = folder / "model.invdetect"
    train(folder / "normals", settings=settings, device="cpu", rehearse=False).save(path)
    return path


def training() -> tuple[int, float, float]:
    """Steps of `standard`, and what one takes: seconds that pass, and seconds of computing on all threads."""
    import torch

    from InvDetectLib.common import Progress
    from InvDetectLib.methods.contract import Slices
    from InvDetectLib.methods.invdetect import NoiseTrainer, PatchPool
    from InvDetectLib.models import choose_settings

    own, device = choose_settings("standard").invdetect, torch.device("cpu")
    values = np.random.default_rng(0).uniform(-1, 1, (8, 128, 128, 1)).astype(np.float32)
    pool = PatchPool([Slices(values, np.ones(values.shape[:3], bool))], own.patches, device)
    trainer = NoiseTrainer(own, 1, 0, device)
    trainer.pace(pool, Progress())
    start = time.process_time()
    pace = min(trainer.pace(pool, Progress()) for _ in range(3))
    return own.training.steps, pace, (time.process_time() - start) / 9


def main() -> None:
    if sys.argv[1:2] == ["detection"]:
        detection(*map(Path, sys.argv[2:5]))
        return
    import torch

    from InvDetectLib.common import versions
    from InvDetectLib.scans.phantoms import write_phantoms

    print(f"{processor()}, {os.cpu_count()} cores, torch on {torch.get_num_threads()} threads, {versions()}\n")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        model = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else train_shortly(folder)
        scan = write_phantoms(folder / "scans", 1, 100, VOLUME, 2)[0]
        command = [sys.executable, __file__, "detection", model, scan, folder / "out"]
        found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
        print(f"{'x'.join(map(str, VOLUME))}, file to files".ljust(42) + "   passed  computing")
        for name, (passed, computing) in found["parts"].items():
            print(f"{name:42}{passed:7.2f} s {computing:8.2f} s" + _target(name))
        print(f"{'cuts, on threads beside':42}{'':9} {found['cuts']:8.2f} s")
        print(f"{'all':42}{found['all'][0]:7.2f} s {found['all'][1]:8.2f} s" + _target("all"))
        print(f"{'first slice told after':42}{found['first']:7.2f} s")
        print(f"{'peak memory':42}{found['peak']:7.0f} MB ({found['findings']} findings)")
        new, looked_at = worker(model, scan)
        print(f"{'first slice from a warm worker, new scan':42}{new:7.2f} s")
        print(f"{'the same, scan checked before':42}{looked_at:7.2f} s (target 0.5)")
    steps, passed, computing = training()
    print(f"{'a step of training':42}{passed:7.3f} s {computing:8.3f} s")
    print(f"{f'{steps} steps':42}{steps * passed / 60:7.1f} min {steps * computing / 60:6.1f} min (target 20 min)")


def _target(name: str) -> str:
    return f" (target {TARGETS[name]:g} s)" if name in TARGETS else ""


def _peak() -> float:
    """Memory of this process at its highest, in MB; `getrusage` would tell that of its parent, too. NaN where the system does not say."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        lines = []
    return next((int(line.split()[1]) / 1000 for line in lines if line.startswith("VmHWM")), float("nan"))


def _clocks() -> np.ndarray:
    return np.array([time.perf_counter(), time.thread_time()])


if __name__ == "__main__":
    main()
