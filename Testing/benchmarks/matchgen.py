"""MatchGen's cost: `python Testing/benchmarks/matchgen.py [MODEL.invdetect]`; without a model a short training on made heads (minutes).

Prints, with hardware and versions: milliseconds a slice of the base alone; seconds a slice and steps of MatchGen to convergence by
projection and by the paper's penalty method, with their objectives; the peak memory for few and for many slices. Targets: 20 ms, 3 s,
objectives within 1 %, memory that does not grow.
"""

from __future__ import annotations

import platform
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from InvDetectLib.common.progress import Progress  # noqa: E402
from InvDetectLib.computing.tensors import to_tensor  # noqa: E402
from InvDetectLib.methods.choosing import make_method  # noqa: E402
from InvDetectLib.methods.contract import Slices  # noqa: E402
from InvDetectLib.methods.matchgen.base import Base, make_base, to_images  # noqa: E402
from InvDetectLib.methods.matchgen.matching import match  # noqa: E402
from InvDetectLib.models.model import Model  # noqa: E402
from InvDetectLib.models.presets import preset  # noqa: E402
from InvDetectLib.scans import learn_intensity, measure_intensity, prepare, read_scan  # noqa: E402
from InvDetectLib.scans.phantoms import write_phantoms  # noqa: E402
from InvDetectLib.training import train  # noqa: E402
from Testing.support.hardware import processor  # noqa: E402

STEPS = 200  # of the training without a model
SLICES = 12
BATCH = 8


def trained(folder: Path) -> Path:
    """A model of the preset `standard`, base dae, trained shortly."""
    write_phantoms(folder / "normal", 8)
    chosen = preset("standard", "matchgen", "dae")
    settings = replace(chosen, matchgen=replace(chosen.matchgen, training=replace(chosen.training, steps=STEPS)))
    train(folder / "normal", settings=settings, rehearse=False).save(folder / "heads.invdetect")
    return folder / "heads.invdetect"


def images_for(model: Model, folder: Path) -> torch.Tensor:
    """Slices of a made head with lesions, as the model sees them, spread over the head."""
    scan = read_scan(write_phantoms(folder / "sick", 1, first_seed=900, size=(24, 128, 128), lesions=2)[0])
    preparation = model.settings.preparation
    found = prepare(scan, preparation, learn_intensity(preparation, [measure_intensity(scan, preparation)]))
    chosen = np.linspace(4, len(found.slices) - 5, SLICES).round().astype(int)
    assert preparation.grid is not None
    return to_images(found.slices[chosen], preparation.grid, torch.device("cpu")).contiguous(memory_format=torch.channels_last)


def base_of(model: Model) -> Base:
    """The model's base, ready."""
    settings = model.settings
    assert settings.preparation.grid is not None
    base = make_base(settings.matchgen, settings.preparation.channels, settings.preparation.grid)
    base.load_state_dict({name: to_tensor(model.arrays[f"base/{name}"]) for name in base.state_dict()})
    placed: Base = base.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return placed.requires_grad_(False).eval()


def speed(model: Model, images: torch.Tensor) -> None:
    base, matching = base_of(model), replace(model.settings.matchgen.matching, most_steps=5000)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        with torch.no_grad():
            base.decode(base.encode(images))
        seconds.append(time.perf_counter() - start)
    print(f"{'base alone':42}{1000 * min(seconds) / len(images):9.1f} ms a slice  (target 20)")
    objectives = {}
    for way in ("projection", "penalty"):
        start, steps, found = time.perf_counter(), [], []
        for part in images.split(BATCH):
            matched = match(base, part, replace(matching, way=way), model.card["epsilon"], lambda: None)
            steps += matched.steps.tolist()
            found += matched.objective.tolist()
        objectives[way] = float(np.mean(found))
        each = (time.perf_counter() - start) / len(images)
        told = f"{np.median(steps):.0f} steps, at most {max(steps)}"
        print(f"{f'MatchGen to convergence, {way}':42}{each:9.2f} s a slice   (target 3), {told}")
    print(f"{'objective, projection over penalty':42}{objectives['projection'] / objectives['penalty']:9.4f}     (target 0.99 to 1.01)")


def detection(path: str, count: int) -> None:
    """Run in a process of its own: peak resident memory never falls again."""
    model = Model.load(path)
    matching = replace(model.settings.matchgen.matching, most_steps=2)  # memory does not depend on their number
    settings = replace(model.settings, matchgen=replace(model.settings.matchgen, matching=matching))
    method = make_method(settings, torch.device("cpu"))
    method.load_arrays(model.arrays)
    side, channels = settings.preparation.grid, settings.preparation.channels
    one = np.random.default_rng(0).uniform(-1, 1, (1, side, side, channels)).astype(np.float32)
    values = np.broadcast_to(one, (count, side, side, channels))
    for _ in method.map_and_edges(Slices(values, np.ones((count, side, side), bool)), Progress()):
        pass
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3))


def memory(path: Path) -> None:
    peaks = {}
    for count in (16, 128):
        answer = subprocess.run([sys.executable, __file__, str(path), str(count)], stdout=subprocess.PIPE, text=True, check=True)
        peaks[count] = float(answer.stdout)
        print(f"{f'peak memory, {count} slices':42}{peaks[count]:9.0f} MB")
    print(f"{'growth from 16 to 128 slices':42}{peaks[128] - peaks[16]:9.0f} MB  (target 0)")


def main() -> None:
    if len(sys.argv) == 3:
        detection(sys.argv[1], int(sys.argv[2]))
        return
    machine = f"{processor() or platform.machine()}, {torch.get_num_threads()} threads"
    print(f"{machine}, torch {torch.__version__}, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory() as made:
        path = Path(sys.argv[1]) if len(sys.argv) > 1 else trained(Path(made))
        model = Model.load(path)
        print(f"{model.settings.matchgen.base}, {model.card['steps']} steps of training, epsilon {model.card['epsilon']:.3g}")
        speed(model, images_for(model, Path(made)))
        memory(path)


if __name__ == "__main__":
    main()
