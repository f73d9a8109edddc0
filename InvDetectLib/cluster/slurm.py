"""Workers as jobs of Slurm, by dask-jobqueue."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..common import InvDetectError, WrongUse, shown

_WORD = re.compile(r"[a-z][a-z-]*")
_VALUE = re.compile(r"[\w.:/@%+-]+(,[\w.:/@%+-]+)*")
_OURS = {"partition": "queue", "account": "account", "time": "walltime", "memory": "memory", "interface": "interface"}
_NUMBERS = ("cores", "processes", "jobs")


def parse_slurm(words: str) -> tuple[dict[str, Any], int]:
    """The options of a `SLURMCluster`, and how many jobs to ask for.

    words  NAME=VALUE with "," between them: partition, account, time, cores, memory, processes (workers a job), interface (of the network
           on which workers reach this computer), jobs (default 1); every other name goes to sbatch as --NAME=VALUE, such as gres=gpu:1
    Raises `WrongUse` for anything else.
    """
    options: dict[str, Any] = {}
    directives: list[str] = []
    for word in re.split(r",(?=[a-z][a-z-]*=)", words):  # a value may hold commas of its own
        name, equals, value = word.partition("=")
        if not (equals and _WORD.fullmatch(name) and _VALUE.fullmatch(value)):
            raise WrongUse(f'{shown(word)} is not NAME=VALUE, as in "partition=gpu,cores=8,memory=32GB,gres=gpu:1,jobs=4".')
        if name in _NUMBERS:
            if not value.isdecimal() or int(value) < 1:
                raise WrongUse(f"{name} is a number of 1 or more, not {shown(value)}.")
            options[name] = int(value)
        elif name in _OURS:
            options[_OURS[name]] = value
        else:
            directives.append(f"--{name}={value}")
    jobs = options.pop("jobs", 1)
    return {"processes": 1, **options, "job_extra_directives": directives}, jobs


@contextmanager
def slurm_cluster(words: str, pages: dict[str, Any]) -> Iterator[Any]:
    """A scheduler in this process, and jobs that start workers for it; they end with the block.

    words  see `parse_slurm`; what they leave out is as the user's configuration of dask-jobqueue has it
    pages  what the scheduler is told of those that it could show
    """
    from dask_jobqueue import SLURMCluster

    options, jobs = parse_slurm(words)
    try:
        cluster = SLURMCluster(**options, n_workers=0, scheduler_options=pages, silence_logs=False)
    except Exception as error:
        raise InvDetectError(f"Slurm cannot be asked for workers ({shown(error)}). Give at least cores and memory.") from error
    with cluster:
        try:
            cluster.scale(jobs=jobs)
            cluster.sync(lambda: cluster)
        except Exception as error:
            raise InvDetectError(f"Slurm gives no jobs ({shown(error)}).") from error
        yield cluster
