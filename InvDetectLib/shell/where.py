"""Where a command computes: in this process, or on workers (`--scheduler`, `--workers`, `--slurm`, `--ship`)."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..common import Progress, WrongUse

if TYPE_CHECKING:
    from ..cluster import Cluster
    from ..cohort import Engine
    from ..detection import Detector
    from ..evaluation import Engine as ScoringEngine
    from ..rehearsal import Engine as RehearsingEngine
    from ..scans import Surveyor


class Where:
    """The detector of a command, and who does its work: None is this process."""

    def __init__(self, options: argparse.Namespace, cluster: Cluster | None) -> None:
        self._options, self._cluster = options, cluster
        self._detector: Detector | None = None

    def detector(self) -> Detector:
        """The same one at every call; one that only workers compute with lies on the CPU here."""
        if self._detector is None:
            from ..detection import Detector

            options, here = self._options, self._cluster is None
            direction = getattr(options, "direction", None)
            self._detector = Detector(options.model, options.device if here else "cpu", direction, here and self._deterministic)
        return self._detector

    def engine(self) -> Engine | None:
        """For `detect_cohort`."""
        if self._cluster is None:
            return None
        return self._cluster.engine(self.detector(), self._options.device, self._deterministic, self._options.ship)

    def scoring(self) -> ScoringEngine | None:
        """For `evaluate`."""
        return None if self._cluster is None else self._cluster.scoring(self.detector(), self._options.device, self._options.ship)

    def rehearsing(self) -> RehearsingEngine | None:
        """For `rehearse`."""
        return None if self._cluster is None else self._cluster.rehearsing(self.detector(), self._options.device)

    def surveyor(self) -> Surveyor | None:
        """For `survey`."""
        return None if self._cluster is None else self._cluster.surveyor(self._options.ship)

    @property
    def _deterministic(self) -> bool:
        return getattr(self._options, "deterministic", False)


@contextmanager
def computing(options: argparse.Namespace, progress: Progress) -> Iterator[Where]:
    """Where the options say, for the block."""
    if options.scheduler is None and options.workers is None and options.slurm is None:
        if options.ship:
            raise WrongUse("--ship sends scans to workers; say which, by --scheduler, --workers or --slurm.")
        yield Where(options, None)
        return
    from ..cluster import connect

    with connect(options.scheduler, options.workers, options.slurm, progress) as cluster:
        yield Where(options, cluster)


def add_words(parser: argparse.ArgumentParser) -> None:
    """The words of a command that can compute elsewhere."""
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--scheduler", metavar="ADDRESS", help="compute on the workers of a Dask scheduler, such as tcp://host:8786")
    place.add_argument("--workers", metavar="N", help="compute in N processes of this computer; gpus: in one for each card")
    place.add_argument(
        "--slurm", metavar="WORDS", help='compute in jobs of Slurm, such as "partition=gpu,cores=8,memory=32GB,gres=gpu:1,jobs=4"'
    )
    parser.add_argument("--ship", action="store_true", help="send scans to workers that do not see the folders of this computer")
