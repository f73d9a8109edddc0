"""How often intervals of a rehearsal hold the truth, and what it costs: `python Testing/benchmarks/rehearsal.py [MODEL.invdetect]`.

Lesions are drawn as a rehearsal draws them and found by a known law; scans may differ from each other, as those of several scanners do.
Then a model of preset `standard`, trained for a few steps (which changes scores and not times), is rehearsed on made heads: slices of
240x240, and volumes of 155 of them. With `coverage` instead of a model no time is measured.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT)]

from Testing.benchmarks.detecting import VOLUME, train_shortly  # noqa: E402
from Testing.support.hardware import processor  # noqa: E402

TARGETS = {"slices": 120.0, "volumes": 300.0}  # seconds
_REPEATS, _DIFFER = 500, 0.7  # standard deviation of the logit between scans that differ
_SIZES, _CONTRASTS = (3.0, 30.0), (0.05, 1.0)
_PLACES = [(size, contrast) for size in (5, 10, 20) for contrast in (0.1, 0.25, 0.6)]


def law(size: float, contrast: float) -> float:
    """The logit of what is found: half at 10 mm and 25 %."""
    return 1.5 * float(np.log2(size / 10)) + 1.5 * float(np.log2(contrast / 0.25))


def coverage(lesions: int, scans: int, differ: float) -> tuple[float, float, float]:
    """Share of intervals that hold the truth: of the probability, on average and at the worst place; of the size found half the time."""
    from InvDetectLib.rehearsal import Lesion, fit

    rng = np.random.default_rng([lesions, scans])
    nodes, weights = np.polynomial.hermite_e.hermegauss(31)
    truth = np.array([weights @ expit(law(*place) + differ * nodes) / weights.sum() for place in _PLACES])
    held, sizes = np.zeros(len(_PLACES)), 0
    for _ in range(_REPEATS):
        places = np.exp(rng.uniform(*np.log([_SIZES, _CONTRASTS]).T, (lesions, 2)))
        own = rng.normal(0, differ, scans)
        chance = expit(np.array([law(*place) for place in places]) + own[np.arange(lesions) % scans])
        surface = fit([Lesion("bright", *place) for place in places], list(rng.random(lesions) < chance), [1.0] * lesions)
        ends = np.array([surface.probability(*place) for place in _PLACES])
        held += (ends[:, 1] <= truth) & (truth <= ends[:, 2])
        low, high = surface.size_interval(0.5, 0.25) or (0.0, 0.0)
        sizes += low <= 10 <= high
    return float(held.mean()) / _REPEATS, float(held.min()) / _REPEATS, sizes / _REPEATS


def expit(value: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-value)))


def seconds(model: Path, folder: Path, scans: int, size: tuple[int, int, int]) -> tuple[float, float, str]:
    """(passed, computing of all threads, words) of a rehearsal on made heads."""
    import InvDetectLib as invdetect
    from InvDetectLib.scans.phantoms import write_phantoms

    write_phantoms(folder, scans, first_seed=400, size=size)
    start, computing = time.perf_counter(), time.process_time()
    told = invdetect.rehearse(model, folder, device="cpu")
    return time.perf_counter() - start, time.process_time() - computing, told.words()


def main() -> None:
    """Measure and print."""
    print(f"{processor()}; intervals of 95 % hold the truth in so many of 100 ({_REPEATS} rehearsals):")
    for lesions in (60, 40):
        for scans, differ in ((20, 0.0), (20, _DIFFER), (5, _DIFFER), (2, _DIFFER)):
            mean, least, sizes = (100 * share for share in coverage(lesions, scans, differ))
            alike = "alike" if not differ else f"that differ by {differ} in the logit"
            print(f"  {lesions} lesions in {scans} scans {alike}: {mean:.1f} (worst place {least:.1f}); size of half {sizes:.1f}")
    if sys.argv[1:] == ["coverage"]:
        return
    with tempfile.TemporaryDirectory() as folder:
        model = Path(sys.argv[1]) if len(sys.argv) > 1 else train_shortly(Path(folder))
        for name, scans, size in (("slices", 30, (1, *VOLUME[1:])), ("volumes", 4, VOLUME)):
            passed, computing, words = seconds(model, Path(folder) / name, scans, size)
            print(f"{name} of {size[1]}x{size[2]}: {passed:.0f} s passed (target {TARGETS[name]:.0f} s), {computing:.0f} s computing")
            print(f"  {words}")


if __name__ == "__main__":
    main()
