"""What a cohort on Dask's workers costs beside one process: overhead a scan, two workers against one, and a plan of 100,000 scans.

    python Testing/benchmarks/cluster.py            # all three
    python Testing/benchmarks/cluster.py plan       # the plan alone: 200 workers and 100,000 things to do in this process
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import shutil  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from InvDetectLib.cluster import Cluster, connect  # noqa: E402
from InvDetectLib.common import Progress  # noqa: E402

RUNS = 3
FEW, SCANS, LARGE_SCANS, LARGE = 5, 30, 8, (40, 128, 128)
WORKERS, MANY = 200, 100_000


def main(words: list[str]) -> None:
    if words[:1] != ["plan"]:
        with tempfile.TemporaryDirectory() as folder:
            overhead(Path(folder) / "small")
            two_workers(Path(folder) / "large")
    plan(int(words[1]) if words[1:] else MANY)


def overhead(folder: Path) -> None:
    """Seconds a scan by one process, and by one worker, which loads the model beforehand."""
    from InvDetectLib.detection import Detector
    from Testing.support.tiny_model import build, head

    world = build(folder)
    detector = Detector(world.model, "cpu")
    one = head(folder / "one.nii.gz", 3000)
    counts = FEW, FEW + SCANS
    scans = {count: copies(one, folder / f"{count}", count) for count in counts}

    def seconds(called: str, cluster: Cluster | None, ship: bool = False) -> tuple[float, float]:
        """Of a scan, and of what comes once a cohort."""
        few, many = (
            min(timed(scans[count], detector, folder / f"{called}-{count}-{run}", cluster, ship) for run in range(RUNS)) for count in counts
        )
        a_scan = (many - few) / SCANS
        return a_scan, few - FEW * a_scan

    here = seconds("here", None)
    with connect(workers=1) as cluster:
        timed(scans[FEW], detector, folder / "warm", cluster)
        there, shipped = seconds("there", cluster), seconds("shipped", cluster, ship=True)
    print(f"a tiny scan: {1e3 * here[0]:.0f} ms here; overhead of a worker {1e3 * (there[0] - here[0]):.1f} ms a scan, ", end="")
    print(f"shipped {1e3 * (shipped[0] - here[0]):.1f} ms; once a cohort {there[1] - here[1]:.1f} s", flush=True)


def two_workers(folder: Path) -> None:
    """One worker against two, of one thread each, on scans of half a second or more."""
    from InvDetectLib.detection import Detector
    from InvDetectLib.scans import write_phantoms
    from Testing.support.tiny_model import build

    world = build(folder)
    detector = Detector(world.model, "cpu")
    scans = copies(write_phantoms(folder / "drawn", 1, 3000, LARGE, 0)[0], folder / "large", LARGE_SCANS)
    seconds = {}
    for count in (1, 2):
        with connect(workers=count) as cluster:
            cluster.describe()
            timed(scans, detector, folder / f"warm-{count}", cluster)
            seconds[count] = min(timed(scans, detector, folder / f"{count}-{run}", cluster) for run in range(RUNS))
    print(f"{LARGE_SCANS} scans: one worker {seconds[1]:.1f} s, two {seconds[2]:.1f} s, {seconds[1] / seconds[2]:.2f} times", flush=True)


def plan(count: int) -> None:
    """Workers that are threads of this process, and things to do that are nothing: what submission and bookkeeping take."""
    import resource

    import dask
    from distributed import Client, LocalCluster

    from InvDetectLib.cluster.dispatching import Dispatcher
    from InvDetectLib.cluster.errands import Errand

    dask.config.set(  # what 200 processes do beside their work takes all of one
        {
            "distributed.admin.system-monitor.interval": "1h",
            "distributed.admin.tick.interval": "1h",
            "distributed.worker.profile.enabled": False,
            "distributed.scheduler.worker-ttl": None,
            "distributed.scheduler.http.routes": [],
            "distributed.worker.http.routes": [],
        }
    )
    options = {"processes": False, "n_workers": WORKERS, "threads_per_worker": 1, "dashboard_address": None, "memory_limit": 0}
    with LocalCluster(**options, silence_logs=50) as cluster, Client(cluster, set_as_default=False) as client:
        scheduler = cluster.scheduler
        most = kept = done = 0
        before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
        for _ in Dispatcher(client, 30.0).carry_out(Errand(nothing), range(count), Progress()):
            done += 1
            most = max(most, len(scheduler.tasks))
            if done % 2000 == 0:
                kept = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
                print(f"{done}: {done / (time.perf_counter() - started):.0f} a second, {kept / 1024:.0f} MiB more", flush=True)
        seconds = time.perf_counter() - started
    print(f"{count} things on {WORKERS} workers: {seconds:.0f} s, {count / seconds:.0f} a second; the scheduler knew {most} tasks at most")


def nothing(item: Any, shared: Any, progress: Progress) -> Any:
    """Work that is none."""
    return item


def timed(scans: Path, detector: Any, out: Path, cluster: Cluster | None, ship: bool = False) -> float:
    """Seconds for a cohort."""
    from InvDetectLib.cohort import detect_cohort

    engine = None if cluster is None else cluster.engine(detector, "cpu", ship=ship)
    started = time.perf_counter()
    outcomes = detect_cohort(scans, detector, out, engine=engine)
    seconds = time.perf_counter() - started
    assert all(outcome.status == "done" for outcome in outcomes), outcomes
    return seconds


def copies(scan: Path, folder: Path, count: int) -> Path:
    """A folder of so many copies of a scan."""
    folder.mkdir(parents=True)
    for number in range(count):
        shutil.copy(scan, folder / f"{number}.nii.gz")
    return folder


if __name__ == "__main__":
    main(sys.argv[1:])
