"""Commands that are carried out by the workers of a Dask scheduler. Scans are sent to them and results come back: no folder need be shared.

  scheduler  {address} -> {text, address, workers, cores, cards, versions}: `text` says the rest in a sentence, see `Cluster.describe`
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ..cluster import connect
from ..cohort import Engine, detect_cohort
from ..common import InvDetectError
from ..detection import Detector
from ..results import Result, write_segmentation
from ..scans import Foreground, Scan, stem
from .jobs import Job


def scheduler(job: Job) -> dict[str, Any]:
    """`scheduler`"""
    with connect(job.text("address"), progress=job.progress) as cluster:
        facts = cluster.describe()
    return {"text": _words(facts), **facts}


def address_in(job: Job) -> str | None:
    """The scheduler that a command names where others name a device; None where it names none."""
    device = job.maybe("device", str) or ""
    return device if "://" in device else None


@contextmanager
def engine_at(address: str | None, detector: Detector, job: Job) -> Iterator[Engine | None]:
    """For `detect_cohort`: the workers of a scheduler, or None for this process."""
    if address is None:
        yield None
        return
    with connect(address, progress=job.progress) as cluster:
        yield cluster.engine(detector, ship=True)


def detect_at(address: str, detector: Detector, scan: Scan, foreground: Foreground, options: dict[str, Any], job: Job) -> Result:
    """The result of one scan, which is a file of its own; options as for `Detector.detect`, but for what is told meanwhile."""
    path = job.path("scan")
    with TemporaryDirectory(dir=job.folder) as folder:
        if isinstance(foreground, np.ndarray):
            masks = Path(folder, "masks")
            masks.mkdir()
            write_segmentation(masks / f"{stem(path)}.seg.nrrd", foreground, scan.geometry)
            foreground = str(masks)
        job.progress.report("computing elsewhere")
        out = Path(folder, "results")
        with engine_at(address, detector, job) as engine:
            # Silent, for what is told of one of many scans leads with its path; what concerns this one lies in its result.
            (outcome,) = detect_cohort(
                path,
                detector,
                out,
                options=options,
                foreground=foreground,
                engine=engine,
                progress=job.progress.silent(),
            )
        if outcome.status == "failed":
            raise InvDetectError(outcome.reason)
        (file,) = out.glob("*.result.json")
        result = Result.load(file)
    for text in result.provenance.get("warnings", ()):
        job.progress.warn(text)
    return result


def _words(facts: dict[str, Any]) -> str:
    """What a user wants to know before scans are sent there."""
    workers, cores, cards = facts["workers"], facts["cores"], facts["cards"]
    text = f"{workers} worker{'s' if workers != 1 else ''} with {cores} core{'s' if cores != 1 else ''}"
    text += f" and {len(cards)} card{'s' if len(cards) != 1 else ''} ({', '.join(sorted(set(cards)))})" if cards else ""
    return f"{text}. {facts['versions']}".strip()
