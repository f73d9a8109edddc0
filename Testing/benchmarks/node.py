"""Whether the DICOM node's memory stays flat, and what a series costs: `python Testing/benchmarks/node.py [SERIES]` (200 without a number).

A node runs as a process of its own with a model of seconds' training; made series of three slices are sent to it one after the other, and
what it finds goes to a real Orthanc where there is one, else into a folder. Memory is the node's resident memory, with the process that
reads files beside it, before the first series, after the first twenty, and at the end; the target is 10 % between the last two.
"""

from __future__ import annotations

import platform
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from Testing.support.dicom_node import Served, send, series, serving, study_of  # noqa: E402
from Testing.support.orthanc import Orthanc, orthanc  # noqa: E402
from Testing.support.tiny_model import build, wait_for  # noqa: E402

FIRST, HOURS = 20, 3600.0


def memory(pid: int) -> float:
    """Resident MB of a process and of what it has started."""
    total = 0.0
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            facts = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
        except OSError:  # it has ended
            continue
        if pid in (int(facts["Pid"]), int(facts["PPid"])):
            total += int(facts.get("VmRSS", "0 kB").split()[0]) / 1024
    return total


def run(node: Served, scans: list[Path]) -> None:
    assert node.process is not None
    start, first = memory(node.process.pid), 0.0
    began = time.perf_counter()
    for done, scan in enumerate(scans, 1):
        assert send(node.port, [scan]) == [0] * 3
        if done == FIRST:
            wait_for(lambda: node.counts() == {"done": FIRST}, HOURS)
            first = memory(node.process.pid)
    wait_for(lambda: node.counts() == {"done": len(scans)}, HOURS)
    seconds = time.perf_counter() - began
    end = memory(node.process.pid)
    print(f"{len(scans)} series of 3 slices in {seconds:.0f} s, {len(scans) / seconds:.2f} a second")
    print(f"memory before the first {start:.0f} MB, after {FIRST} {first:.0f} MB, at the end {end:.0f} MB")
    print(f"{end / first - 1:+.1%} between these two (target 10 %)")


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        place = Path(folder)
        world = build(place / "world")
        scans = [series(place / "scans" / str(number), number) for number in range(1, count + 1)]
        archive: Orthanc | None = None
        words: list[str] = []
        if shutil.which("Orthanc", path="/usr/sbin:/usr/bin:/usr/local/sbin"):
            archive = stack.enter_context(orthanc(place / "archive", aet="ARCHIVE"))
            words = ["--send-to", f"ARCHIVE@127.0.0.1:{archive.dicom_port}"]
        node = stack.enter_context(serving(place / "node", world.model, *words))
        run(node, scans)
        if archive is not None:
            studies = [archive.series(study_of(number)) for number in range(1, count + 1)]
            kinds = [[one["MainDicomTags"]["Modality"] for one in study] for study in studies]
            complete = sum(set(one) >= {"OT", "SR"} and len(one) == len(set(one)) for one in kinds)
            found = sum("SEG" in one for one in kinds)
            print(f"Orthanc holds map and report of {complete} of {count}, each once, and {found} segmentations")


if __name__ == "__main__":
    main()
