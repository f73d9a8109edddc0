"""Several processes that optimise one network, as torchrun starts them: what they tell each other, and how all end when one does."""

from __future__ import annotations

import gc
import importlib
import json
import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import numpy as np
import torch
from torch import distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ..common import Cancelled, InvDetectError, Launched, WrongUse, shown
from .tensors import find_device, to_array, to_tensor

_PATIENCE = timedelta(days=30)  # the first process prepares thousands of scans while the others wait; who is gone is noticed at once
_WHY = "why"
_LOST = ("gloo", "nccl", "onnection", "peer")  # of errors that say that another process is not there any more

State = tuple[dict[str, np.ndarray], dict[str, Any]]


class Ranks:
    """This process among those that train together; alone, nothing of all this happens. The first one leads: it alone writes and talks.

    All have to call the methods that share something in the same order.
    """

    def __init__(self, launched: Launched = Launched(), store: dist.Store | None = None) -> None:  # noqa: B008  (frozen)
        self._launched, self._store = launched, store
        self.count = launched.count
        self.leads = launched.rank == 0

    @property
    def share_a_disk(self) -> bool:
        """Whether all run on one machine."""
        return self._launched.beside == self.count

    def device(self, name: str) -> torch.device:
        """As `find_device`, but each process has a card of its own. `WrongUse` for a device that they cannot share."""
        if self.count == 1:
            return find_device(name)
        if name == "cuda" or (name == "auto" and torch.cuda.is_available()):
            device = find_device(f"cuda:{self._launched.local}")
            torch.cuda.set_device(device)
            return device
        if name == "auto":
            return find_device("cpu")
        if name != "cpu":
            raise WrongUse(f"{self.count} processes cannot compute on the one device {shown(name)}; give cuda, a card for each, or cpu.")
        return find_device(name)

    def share(self, count: int) -> slice:
        """Which of `count` things are this process's; as many as the others have, or one more."""
        if self.count == 1:
            return slice(0, count)
        ends = [count * rank // self.count for rank in (self._launched.rank, self._launched.rank + 1)]
        return slice(*ends)

    def wrap(self, network: nn.Module) -> nn.Module:
        """`network` such that its gradients are the means over all processes, and its weights those of the first one."""
        return network if self.count == 1 else DistributedDataParallel(network)

    def mean(self, value: torch.Tensor) -> torch.Tensor:
        """Of a number over all processes."""
        if self.count > 1:
            value = value.clone()
            dist.all_reduce(value)
            value /= self.count
        return value

    def any(self, wish: bool) -> bool:
        """Whether some process says so. None goes on before all have come here."""
        if self.count > 1:
            flag = torch.tensor([int(wish)])
            dist.all_reduce(flag, dist.ReduceOp.MAX)
            wish = bool(flag.item())
        return wish

    def same(self, text: bytes = b"") -> bytes:
        """What the first one says."""
        if self.count == 1:
            return text
        length = torch.tensor([len(text)])
        dist.broadcast(length, 0)
        said = to_tensor(np.frombuffer(text, np.uint8)) if self.leads else torch.zeros(int(length), dtype=torch.uint8)
        if len(said):
            dist.broadcast(said, 0)
        return to_array(said).tobytes()

    def same_state(self, state: State | None) -> State | None:
        """Arrays and facts that the first one has, or None where it has none."""
        if self.count == 1:
            return state
        from safetensors.numpy import load, save

        arrays, facts = state or ({}, None)
        told = json.loads(self.same(json.dumps(facts).encode()))
        received = load(self.same(save(arrays)))
        return None if told is None else (received, told)

    def leave(self) -> None:
        """Nothing is shared from here on; the others may end."""
        if self._store is not None and dist.is_initialized():
            gc.collect()  # wrapped networks lie in circles, and hold the group
            dist.destroy_process_group()
        self._store, self.count = None, 1

    def is_lost(self, error: BaseException) -> bool:
        """Whether `error` says that another process has ended."""
        if self.count == 1 or not isinstance(error, RuntimeError):
            return False
        return isinstance(error, dist.DistError) or any(word in str(error) for word in _LOST)

    def _explained(self, error: Exception) -> Exception:
        """What the first process is to say of an error: where another one ended first, that one's reason."""
        lost = self.is_lost(error)
        if self._store is None or not (lost or isinstance(error, Cancelled)):
            return error
        if self._store.check([_WHY]):
            kind, _, why = self._store.get(_WHY).decode().partition(" ")
            return Cancelled(why) if kind == Cancelled.__name__ else InvDetectError(why)
        if lost:  # even where torchrun has asked this one to stop since
            return InvDetectError(
                "Another process of this training has ended before its time, and so have all; add --resume (train) to go on from what was "
                "saved."
            )
        return error

    def _complain(self, error: Exception) -> None:
        """Leave word for the first one, unless that one knows before."""
        if self._store is None or self.is_lost(error):
            return
        told = str(error) if isinstance(error, InvDetectError) else f"{type(error).__name__}: {shown(error)}"
        if not isinstance(error, Cancelled):
            told += f" (process {self._launched.rank} of {self._launched.count})"
        self._store.set(_WHY, f"{type(error).__name__} {told}")


ALONE = Ranks()


@contextmanager
def together(launched: Launched) -> Iterator[Ranks]:
    """The processes that torchrun started, for the block; what ends one of them ends all, and the first one knows why.

    Raises in the first process the `InvDetectError` of the one that failed.
    """
    if launched.count == 1:
        yield ALONE
        return
    # This module takes the group of that moment for its defaults and DistributedDataParallel would load it now: the group would outlive
    # `leave`, and a thread of it that lets go of a tensor while Python ends aborts the process.
    importlib.import_module("torch.distributed.nn.functional")
    store = _store(launched)
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
    dist.init_process_group(backend, store=store, rank=launched.rank, world_size=launched.count, timeout=_PATIENCE)
    ranks = Ranks(launched, store)
    try:
        yield ranks
    except Exception as error:
        _let_go(error)
        if ranks.leads:
            raise ranks._explained(error) from error
        ranks._complain(error)
        raise
    finally:
        ranks.leave()


def _let_go(error: BaseException | None) -> None:
    """What the calls that failed still hold, lest it keep the group."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def _store(launched: Launched) -> dist.Store:
    """Where torchrun lets its processes find each other; it outlives each of them."""
    hosts = launched.rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    place = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    store = dist.TCPStore(*place, launched.count, is_master=hosts, wait_for_workers=False)
    return dist.PrefixStore(f"invdetect/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
