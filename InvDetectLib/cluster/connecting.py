"""Ways to workers: a scheduler that runs already, processes of this computer, or jobs of Slurm."""

from __future__ import annotations

import gc
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from ..common import InvDetectError, Progress, WrongUse, shown
from .cluster import Cluster
from .slurm import slurm_cluster

_ANSWER = 10.0  # seconds for a scheduler to answer
_WORKERS = 30.0  # and for workers to be there
_ADDRESS = re.compile(r"(tcp|tls)://\S+:\d+")
_CONFIGURATION: dict[str, Any] = {
    "distributed.scheduler.http.routes": [],  # nobody looks at its pages
    "distributed.worker.http.routes": [],
    # Without what Dask has for arrays that come and go: giving memory back at once costs a small scan a tenth of a second.
    "distributed.nanny.pre-spawn-environ": {"OMP_NUM_THREADS": 1, "MKL_NUM_THREADS": 1, "OPENBLAS_NUM_THREADS": 1},
}
_NO_PAGES = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}
_LOUD = ("distributed", "dask", "dask_jobqueue", "tornado", "asyncio")


@contextmanager
def connect(
    address: str | None = None, workers: int | str | None = None, slurm: str | None = None, progress: Progress | None = None
) -> Iterator[Cluster]:
    """The workers to compute with, for the block; exactly one of the first three says which.

    address  of a Dask scheduler, such as "tcp://host:8786"; certificates for "tls://" come from Dask's own configuration
    workers  so many processes of this computer, which share its cores; "gpus": one for each of its cards. They end with the block
    slurm    jobs of Slurm, such as "partition=gpu,cores=8,memory=32GB,gres=gpu:1,jobs=4"; see `slurm_cluster`
    Nobody has greeted a worker yet when the block begins. Raises `WrongUse` for words that cannot be, `InvDetectError` when the packages of
    the extra `cluster` are missing or no scheduler answers within 10 s.
    """
    given = [one for one in (address, workers, slurm) if one is not None]
    if len(given) != 1:
        raise WrongUse("Where to compute is one of: a scheduler's address, a number of workers, or jobs of Slurm.")
    progress = progress or Progress()
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")  # of Dask, on the size of what is sent
        for module in ("distributed", *(("dask_jobqueue",) if slurm is not None else ())):
            _load(module)
        import dask

        stack.enter_context(_quiet())
        stack.enter_context(dask.config.set({**_CONFIGURATION, "distributed.comm.timeouts.connect": f"{_ANSWER:.0f}s"}))
        patience: float | None = _WORKERS
        if slurm is not None:
            place, patience = stack.enter_context(slurm_cluster(slurm, _NO_PAGES)), None  # jobs may wait for hours
        elif workers is not None:
            place = stack.enter_context(_local(workers))
        else:
            place = address
        cluster = Cluster(stack.enter_context(_client(place)), patience, progress)
        stack.callback(cluster.close)
        yield cluster


@contextmanager
def _client(place: Any) -> Iterator[Any]:
    """A `distributed.Client` of an address or a cluster."""
    from distributed import Client, Security

    if isinstance(place, str) and not _ADDRESS.fullmatch(place):
        raise WrongUse(f"{shown(place)} is no address of a scheduler; one looks like tcp://host:8786.")
    if isinstance(place, str) and place.startswith("tls:") and not Security().get_connection_args("client").get("ssl_context"):
        raise InvDetectError(f"{place} wants certificates; name them in Dask's own configuration, under distributed.comm.tls.")
    try:
        client = Client(place, timeout=_ANSWER, set_as_default=False)
    except Exception as error:
        where = place if isinstance(place, str) else "its address"
        raise InvDetectError(
            f"No Dask scheduler answers at {where} ({shown(error)}). Start one with: dask scheduler, or check the address."
        ) from error
    try:
        yield client
    finally:
        client.close(timeout=_ANSWER)


@contextmanager
def _local(workers: int | str) -> Iterator[Any]:
    """Processes of this computer and their scheduler, which listens on the loopback address alone."""
    from dask.system import CPU_COUNT
    from distributed import Nanny, Scheduler, SpecCluster

    if workers == "gpus":
        places = [{"CUDA_VISIBLE_DEVICES": card} for card in _cards()]
    elif str(workers).isdecimal() and int(workers) > 0:
        places = [{} for _ in range(int(workers))]
    else:
        raise WrongUse(f"Workers are a number of 1 or more, or gpus; not {shown(workers)}.")
    threads = max(1, CPU_COUNT // len(places))
    here = {"host": "127.0.0.1", **_NO_PAGES}
    spec = {
        number: {"cls": Nanny, "options": {**here, "nthreads": threads, "memory_limit": 0, "env": place, "silence_logs": logging.CRITICAL}}
        for number, place in enumerate(places)
    }
    scheduler = {"cls": Scheduler, "options": {**here, "port": 0}}
    try:
        cluster = SpecCluster(workers=spec, scheduler=scheduler, silence_logs=False)
    except Exception as error:
        raise InvDetectError(
            f"Workers could not be started on this computer ({shown(error)}). A Python program that asks for them must be a file, and do "
            'its work below: if __name__ == "__main__"'
        ) from error
    with cluster:
        yield cluster


def _cards() -> list[str]:
    """What CUDA_VISIBLE_DEVICES is to be for each card."""
    import os

    from ..computing import list_devices

    count = sum(name.startswith("cuda") for name in list_devices())
    if not count:
        raise InvDetectError("This computer has no card that can be computed on; give a number of workers instead of gpus.")
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return allowed.split(",") if allowed else [str(number) for number in range(count)]


def _load(module: str) -> None:
    import importlib

    try:
        importlib.import_module(module)
    except Exception as error:
        raise InvDetectError(
            f'Workers need packages that are not installed here, or are broken ({shown(error)}): pip install "invdetect[cluster]"'
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Dask's own lines go nowhere: what there is to say is said by us."""
    names = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] in _LOUD]
    loggers = [logging.getLogger(name) for name in {*names, *_LOUD}]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        gc.collect()  # Dask's tasks that were cut off complain when they vanish
        for logger, level in zip(loggers, before):
            logger.setLevel(level)
