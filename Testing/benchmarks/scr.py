"""Seconds and memory of SCR (Eq. 2 to 4) on a 512x512 slice with white latents of 1,024 numbers: `python Testing/benchmarks/scr.py`.

The target is 0.5 s and 200 MB with PyMaxflow on two cores, from latents to mask. Each solver runs in a process of its own, because
the peak of resident memory, which also counts what C++ code takes, never falls again.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from InvDetectLib.refinement.minimum_cut import edge_weights, latent_distances, minimum_cut, solver_name  # noqa: E402

LENGTH, SIZE, STRIDE, DIMENSION, REPEATS = 512, 32, 16, 1024, 5
POSITIONS = list(range(0, LENGTH - SIZE + 1, STRIDE))
# name, contiguity, share of the pixels above the threshold: the more pixels are in dispute, the more flow there is to find
SETTINGS = [("default", 0.5, 0.01), ("paper, 10 % outside", 25.0, 0.1), ("half above threshold", 2.0, 0.5)]


def smooth_map(rng: np.random.Generator, share: float) -> np.ndarray:
    """Random patch scores put together as in Eq. 1, unit spread, shifted so that `share` of it is positive, with a little noise."""
    offset = np.arange(LENGTH)[:, None] - np.array(POSITIONS)
    window = np.exp(-(((offset - (SIZE - 1) / 2) / (SIZE / 4)) ** 2)) * ((offset >= 0) & (offset < SIZE))
    window /= window.sum(axis=1, keepdims=True)
    values = window @ rng.normal(size=(len(POSITIONS),) * 2) @ window.T
    values = values / values.std() + rng.normal(scale=0.2, size=values.shape)
    return (values - np.quantile(values, 1 - share)).astype(np.float32)


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def measure(solver: str) -> dict[str, dict[str, float]]:
    rng = np.random.default_rng(0)
    count = len(POSITIONS) ** 2
    latents, present = rng.normal(size=(count, DIMENSION)).astype(np.float32), np.ones(count, bool)
    # load the solver before anything is counted
    minimum_cut(np.ones((2, 2)), np.ones((1, 2)), np.ones((2, 1)), 1.0, solver=solver)
    maps = [smooth_map(rng, share) for _, _, share in SETTINGS]
    before, rows = peak_megabytes(), {}
    for (name, contiguity, _), anomaly_map in zip(SETTINGS, maps, strict=True):
        seconds = []
        for _ in range(REPEATS):
            start = time.perf_counter()
            down, right = latent_distances(latents, present, POSITIONS, POSITIONS, SIZE, (LENGTH, LENGTH))
            mean = float((down.mean() + right.mean()) / 2)  # in use, it comes with the model
            down, right = edge_weights(down, mean, "relative"), edge_weights(right, mean, "relative")
            edges = time.perf_counter() - start
            mask = minimum_cut(anomaly_map, down, right, contiguity, solver=solver)
            seconds.append((time.perf_counter() - start, edges))
        total, edges = np.median(seconds, axis=0)
        rows[name] = {"seconds": total, "edges": edges, "flagged": float(mask.mean()), "megabytes": peak_megabytes() - before}
    return rows


def main() -> None:
    if len(sys.argv) == 2:
        print(json.dumps(measure(sys.argv[1])))
        return
    cpu = next((line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), platform.processor())
    print(f"{cpu}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}", end="")
    for package in ("numpy", "scipy", "PyMaxflow"):
        try:
            print(f", {package} {importlib.metadata.version(package)}", end="")
        except importlib.metadata.PackageNotFoundError:
            print(f", no {package}", end="")
    print(f"\n{LENGTH}x{LENGTH} pixels, {len(POSITIONS) ** 2} latents of {DIMENSION}; median of {REPEATS} runs;", end=" ")
    print("peak of the process so far, above the inputs\n")
    print(f"{'solver':9}{'setting':21}{'lambda':>7}{'flagged':>9}{'edges s':>9}{'cut s':>8}{'total s':>9}{'peak MB':>9}")
    for solver in ["maxflow", "scipy"] if solver_name() == "maxflow" else ["scipy"]:
        answer = subprocess.run([sys.executable, __file__, solver], stdout=subprocess.PIPE, text=True, check=True)
        for (name, contiguity, _), row in zip(SETTINGS, json.loads(answer.stdout).values(), strict=True):
            cut = row["seconds"] - row["edges"]
            print(f"{solver:9}{name:21}{contiguity:7g}{row['flagged']:9.4f}{row['edges']:9.3f}{cut:8.3f}", end="")
            print(f"{row['seconds']:9.3f}{row['megabytes']:9.0f}")


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


if __name__ == "__main__":
    main()
