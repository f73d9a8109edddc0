"""Seconds and memory of the engine outside the network: `python Testing/benchmarks/engine.py`.

Prints, with hardware and versions: start-up, scoring 1,000 latents against 2,000 support vectors and beside scikit-learn, fitting the
one-class SVM on 10,000 latents, and the peak memory of detection for 16 and for 128 slices. Targets are those of the project's plan.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from Testing.support.hardware import processor  # noqa: E402


def best_of(count: int, work: Callable[[], object]) -> float:
    """Seconds of the fastest of `count` runs."""
    seconds = []
    for _ in range(count):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def start_up() -> None:
    commands = {"import InvDetectLib": ["-c", "import InvDetectLib"], "invdetect --help": ["-m", "InvDetectLib.shell.cli", "--help"]}
    for what, arguments in commands.items():
        command = [sys.executable, *arguments]
        bare = best_of(5, lambda: subprocess.run([sys.executable, "-c", "pass"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL))
        ours = best_of(5, lambda: subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL))  # noqa: B023
        print(f"{what:42}{ours:9.3f} s   (target 0.3; bare Python {bare:.3f})")


def normality() -> None:
    from sklearn.svm import OneClassSVM as Reference

    from InvDetectLib.computing.tensors import to_array, to_tensor
    from InvDetectLib.methods.invdetect.normality import OneClassSVM

    rng = np.random.default_rng(0)
    latents = rng.normal(size=(10_000, 1024)).astype(np.float32)
    start = time.perf_counter()
    OneClassSVM.fit(latents, 0.1)
    print(f"{'SVM fit on 10,000 latents of 1,024':42}{time.perf_counter() - start:9.1f} s   (target 180)")

    new = rng.normal(size=(1000, 1024)).astype(np.float32) * 1.05
    few, tensor = latents[:2000], to_tensor(new)
    large = OneClassSVM(few, np.full(2000, 0.5), 1.0, 1 / 1024)
    large.score(tensor)
    ours = best_of(5, lambda: large.score(tensor))
    print(f"{'scoring 1,000 latents, 2,000 vectors':42}{ours:9.3f} s   (target 0.2)")

    model = OneClassSVM.fit(few, 0.1)
    reference = Reference(kernel="rbf", nu=0.1, gamma=model.gamma).fit(few.astype(np.float64))
    ours, theirs = best_of(5, lambda: model.score(tensor)), best_of(3, lambda: reference.decision_function(new))
    decision = reference.decision_function(new.astype(np.float64))
    difference = np.abs(to_array(model.score(tensor)) + decision).max() / decision.std()
    print(f"{f'scoring 1,000 latents, {len(model.vectors)} vectors':42}{ours:9.3f} s   (scikit-learn {theirs:.3f})")
    print(f"{'largest difference, of decision values std':42}{difference:9.1e}     (target 1e-4)")


def detection(slices: int) -> None:
    """Run in a process of its own: peak resident memory never falls again."""
    import torch

    from InvDetectLib.common.progress import Progress
    from InvDetectLib.methods.contract import Slices
    from InvDetectLib.methods.invdetect.method import InvDetect
    from InvDetectLib.methods.invdetect.unet import UNet
    from InvDetectLib.methods.scoring import score_slices
    from InvDetectLib.models.presets import PRESETS

    settings = PRESETS["quick"].invdetect
    method = InvDetect(settings, 1, torch.device("cpu"))
    rng = np.random.default_rng(0)
    normal = Slices(rng.uniform(-1, 1, (2, 96, 96, 1)).astype(np.float32), np.ones((2, 96, 96), bool))
    network = UNet(1, settings.network).state_dict()  # a fresh one sees no noise anywhere
    weights = {f"network/{name}": rng.normal(0, 0.1, value.shape).astype(np.float32) for name, value in network.items()}
    method.refit(weights, [normal], 0, Progress())
    method.settle([normal], Progress())
    values = np.broadcast_to(normal.values[:1], (slices, 96, 96, 1))
    scores = score_slices(method, Slices(values, np.ones((slices, 96, 96), bool)), 1.0, "relative", Progress())
    results = sum(array.nbytes for array in (scores.raw, scores.scored, scores.down, scores.right)) / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    print(f"{peak:.1f} {results:.1f}")


def memory() -> None:
    peaks = {}
    for slices in (16, 128):
        answer = subprocess.run([sys.executable, __file__, str(slices)], stdout=subprocess.PIPE, text=True, check=True)
        peaks[slices], results = map(float, answer.stdout.split())
        print(f"{f'peak memory, {slices} slices of 96x96':42}{peaks[slices]:9.0f} MB  (of which results {results:.1f})")
    print(f"{'growth beyond the results, 16 to 128 slices':42}{peaks[128] - peaks[16] - results:9.0f} MB")


def main() -> None:
    if len(sys.argv) == 2:
        detection(int(sys.argv[1]))
        return
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "numpy", "scikit-learn"))
    print(f"{processor()}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, {versions}\n")
    start_up()
    normality()
    memory()


if __name__ == "__main__":
    main()
