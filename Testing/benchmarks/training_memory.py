"""What training on many volumes takes: `python Testing/benchmarks/training_memory.py [VOLUMES=300] [STEPS=200]`.

Made heads of 155 slices of 240x240, a few drawn and the others the same with other noise, are trained on by the preset `standard` for a
bounded number of steps. Prints the peak of resident memory and by which stage it was reached, the bytes of the prepared slices on the disk,
and steps a second with slices from the file beside steps with all of them in memory as tensors, in turns in one process. In memory are as
many as two gigabytes hold; the file has all.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from Testing.support.hardware import processor  # noqa: E402

VOLUME = (155, 240, 240)
_DRAWN = 3  # heads; a volume takes some seconds to draw
_IN_MEMORY = 150  # volumes as float32 tensors on a grid of 128: 1.5 GB
_TURNS, _A_TURN = 8, 10  # of each way, and steps in one


def make(folder: Path, volumes: int) -> None:
    """Volumes as uncompressed NIfTI files of bytes, 9 MB each."""
    import SimpleITK as sitk

    from InvDetectLib.scans import write_phantoms

    drawn = [sitk.ReadImage(str(path)) for path in write_phantoms(folder / "drawn", _DRAWN, size=VOLUME)]
    (folder / "normals").mkdir()
    rng = np.random.default_rng(0)
    for number in range(volumes):
        image = drawn[number % _DRAWN]
        values = sitk.GetArrayFromImage(image).astype(np.float32)
        values = 200 * values / np.percentile(values, 99.5) + 4 * rng.standard_normal(values.shape, np.float32)
        other = sitk.GetImageFromArray(np.clip(values, 0, 255).astype(np.uint8))
        other.CopyInformation(image)
        sitk.WriteImage(other, str(folder / "normals" / f"head-{number:04d}.nii"))


def train(folder: Path, steps: int) -> None:
    """In a process of its own: seconds and the peak of memory by stage, as JSON on standard output."""
    from InvDetectLib import training
    from InvDetectLib.common import Event

    stages: dict[str, dict[str, float]] = {}

    def hear(event: Event) -> None:
        if event.stage not in stages and stages:
            print(f"  {list(stages)[-1]}: {_peak() / 1e6:.0f} MB so far", file=sys.stderr)
        now = stages.setdefault(event.stage, {"from": time.monotonic()})
        now |= {"to": time.monotonic(), "peak": _peak()}

    training.train(
        folder / "normals", settings=_settings(steps), device="cpu", checkpoint=folder / "x.checkpoint", rehearse=False, on_progress=hear
    )
    print(json.dumps({name: {"seconds": stage["to"] - stage["from"], "peak": stage["peak"]} for name, stage in stages.items()}))


def pace(folder: Path, volumes: int) -> None:
    """In a process of its own: bytes of the file, and seconds a step from it and from memory, (passed, computing), as JSON."""
    import torch

    from InvDetectLib.common import Progress, scratch
    from InvDetectLib.methods import KEPT, KeptSlices, Slices
    from InvDetectLib.methods.invdetect import NoiseTrainer, PatchPool
    from InvDetectLib.methods.invdetect.patches import cut
    from InvDetectLib.scans import learn_intensity, measure_intensity, prepare, read_scan

    class InMemory(PatchPool):
        """As pools were before slices were kept in a file."""

        def __init__(self, slices: list[Slices]) -> None:
            super().__init__(slices, settings.patches, device)
            self._tensors = [torch.from_numpy(scan.values) for scan in slices]

        def take(self, numbers: np.ndarray) -> torch.Tensor:
            places = self.places[numbers].astype(np.int64)
            return torch.cat([cut(self._tensors[place[0]], place[None, 1:], self._size) for place in places])

    whole, device, rng = _settings(10_000), torch.device("cpu"), np.random.default_rng(0)
    settings, rule = whole.invdetect, whole.preparation
    drawn = []
    for path in sorted((folder / "normals").iterdir())[:_DRAWN]:
        scan = read_scan(path)
        found = prepare(scan, rule, learn_intensity(rule, [measure_intensity(scan, rule)]))
        drawn.append(Slices(found.slices, found.foreground))
    with scratch(folder, KEPT, 0) as file:
        kept, held = KeptSlices(file), []
        for number in range(volumes):
            one = drawn[number % _DRAWN]
            values = np.clip(one.values + 0.02 * rng.standard_normal(one.values.shape, np.float32), -1, 1)
            kept.append(Slices(values, one.foreground))
            if number < _IN_MEMORY:
                held.append(Slices(values, one.foreground))
        size = file.path.stat().st_size
        pools = {"file": PatchPool(kept, settings.patches, device), "memory": InMemory(held)}
        trainer = NoiseTrainer(settings, 1, 0, device)
        spent: dict[str, list[tuple[float, float]]] = {name: [] for name in pools}
        for turn in range(_TURNS + 1):
            for name, pool in pools.items():
                start = time.perf_counter(), time.process_time()
                for _ in range(_A_TURN):
                    trainer._step(pool, Progress())
                    trainer.step += 1
                if turn:  # the first one also prepares the device
                    spent[name].append(((time.perf_counter() - start[0]) / _A_TURN, (time.process_time() - start[1]) / _A_TURN))
    medians = {name: np.median(values, axis=0).tolist() for name, values in spent.items()}
    print(json.dumps({"bytes": size, **medians}))


def main(volumes: int, steps: int) -> None:
    """Print a table."""
    with tempfile.TemporaryDirectory(prefix="training-memory-", dir=ROOT.parent) as name:
        folder = Path(name)
        make(folder, volumes)
        print(f"{processor()}; {volumes} volumes of {' x '.join(map(str, VOLUME))}, preset standard, {steps} steps")
        measured = _apart("pace", folder, volumes)
        print(f"prepared slices on the disk      {measured['bytes'] / 1e9:.2f} GB")
        for number, clock in enumerate(("passed", "computing")):
            own, before = (1 / measured[way][number] for way in ("file", "memory"))
            beside = f"{before:.2f} from memory, ratio {own / before:.2f} (target 0.9)"
            print(f"steps a second, {clock:<10}       {own:.2f} from the file, {beside}")
        stages = _apart("train", folder, steps)
        for stage, told in stages.items():
            print(f"  {stage:<40} {told['seconds']:7.1f} s   peak so far {told['peak'] / 1e6:6.0f} MB")
        print(f"peak of resident memory          {max(told['peak'] for told in stages.values()) / 1e6:.0f} MB (target 2000)")


def _apart(part: str, folder: Path, count: int) -> Any:
    command = [sys.executable, __file__, "--part", part, str(folder), str(count)]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def _settings(steps: int) -> Any:
    from InvDetectLib.models import choose_settings

    settings = choose_settings("standard")
    own = settings.invdetect
    own = dataclasses.replace(own, training=dataclasses.replace(own.training, steps=steps))
    return dataclasses.replace(settings, invdetect=own, preparation=dataclasses.replace(settings.preparation, channels=1))


def _peak() -> float:
    """Bytes. Not of `resource`, which counts what the process was that started this one, too."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * float(status.split("VmHWM:")[1].split()[0])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--part"]:
        work = {"train": train, "pace": pace}[sys.argv[2]]
        work(Path(sys.argv[3]), int(sys.argv[4]))
    else:
        main(*(int(text) for text in (*sys.argv[1:], *("300", "200")[len(sys.argv) - 1 :])))
