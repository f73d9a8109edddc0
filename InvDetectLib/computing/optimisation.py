"""What every training of a network has in common: steps that can be stopped, resumed, paced and taken in portions where memory is short."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from torch import nn

from ..common import Cancelled, InvDetectError, OutOfMemory, Progress, WrongUse, is_shortage
from ..models import Count, Training, from_values
from .checkpoint import Checkpoint
from .memory import halved, release
from .ranks import ALONE, Ranks
from .tensors import describe_device, to_array, to_tensor
from .weights import unfit

_REPORT = 20  # steps between two reports: a loss averaged over fewer is mostly noise
_KEEP = 100  # steps between two losses that the card keeps
_LEAST_PORTION = 2  # of a batch, where memory is short
Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class _Facts:
    """What a checkpoint says beside its arrays: steps done, and the losses so far."""

    step: Count
    losses: tuple[float, ...]


class Pool(Protocol):
    """What is trained on, on the device."""

    def __len__(self) -> int: ...

    def take(self, numbers: np.ndarray) -> torch.Tensor:
        """Those of the given numbers, (N, channel, row, column)."""
        ...


class Trainer(Generic[Network]):
    """A network in training, and the moving average of its weights, which is what a model keeps.

    Batches depend on the seed and the step alone, so a resumed run sees what the unbroken one would have seen. Each step optimises the
    parts of the network in turn. Subclasses say what the loss of a part is (`_portions`) and how good the average is (`loss`). Several
    processes (`ranks`) each take a share of every batch and average their gradients, so that together they do what one does alone, but for
    rounding; a network that they share has one part.

    raw, average   the weights that Adam moves; their average
    portion        how many of a batch are looked at together; fewer after memory was short
    """

    def __init__(
        self,
        network: Network,
        training: Training,
        seed: int,
        device: torch.device,
        what: str,
        parts: Sequence[Sequence[nn.Parameter]] | None = None,
        betas: tuple[float, float] = (0.9, 0.999),
        ranks: Ranks = ALONE,
    ) -> None:
        """what: the batch's contents in a warning, such as "patches"; parts: of `network`, all of it when None; betas: Adam's.

        Raises `WrongUse` where a batch has fewer of them than there are processes.
        """
        if training.batch < ranks.count:
            most = f"start at most {training.batch}"
            raise WrongUse(f"A batch of {training.batch} {what} cannot be shared among {ranks.count} processes; {most}.")
        self.raw: Network = network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.raw).requires_grad_(False).eval()
        self._training, self._seed, self._device, self._what, self._ranks = training, seed, device, what, ranks
        self._shared: nn.Module = self.raw  # what a batch goes through
        self._parts = [list(part) for part in parts or [list(self.raw.parameters())]]
        self._optimizers = [torch.optim.Adam(part, lr=training.learning_rate, betas=betas) for part in self._parts]
        self.portion = training.batch
        self.step = 0
        self.losses: list[float] = []

    def train(self, pool: Any, validation: Any, checkpoint: Checkpoint, progress: Progress) -> dict[str, Any]:
        """Train to the end, from the checkpoint if there is one; returns losses for the card.

        Where memory is short, a batch goes through the network in portions. Raises `Cancelled`, and the device's own error when its
        memory is not enough for portions either, both after saving a checkpoint; `InvDetectError` when the loss is no longer a number.
        Of several processes the first one alone has a checkpoint, and only that one gets losses: at the end they part.
        """
        self._resume(checkpoint)
        self._shared = self._ranks.wrap(self.raw)
        recent: list[torch.Tensor] = []
        try:
            while self.step < self._training.steps:
                recent.append(self._step(pool, progress))
                self.step += 1
                if self._ranks.any(progress.is_cancelled):
                    progress.cancel()  # here too, lest one stops while others wait for it
                if self.step % _REPORT == 0 or self.step == self._training.steps:
                    loss = self._mean(recent[-_REPORT:])
                    if not math.isfinite(loss):
                        raise InvDetectError("The training diverged (the loss is no longer a number); use a smaller learning rate.")
                    progress.report("training", self.step, self._training.steps, loss=loss, samples=self.step * self._training.batch)
                progress.check()
                if self.step % _KEEP == 0:
                    self.losses.append(self._mean(recent[-_KEEP:]))
                    recent = recent[-_REPORT:]
                if checkpoint.due():
                    self._save(checkpoint)
        except (Cancelled, OutOfMemory, RuntimeError, MemoryError) as error:
            if isinstance(error, (Cancelled, OutOfMemory)) or is_shortage(error) or self._ranks.is_lost(error):
                self._save(checkpoint)
            raise
        self._save(checkpoint)
        self._ranks.leave()
        if not self._ranks.leads:
            return {}
        return {"losses": self.losses, "loss_every": _KEEP, "validation_loss": self.loss(validation), "steps": self.step}

    def pace(self, pool: Any, progress: Progress) -> float:
        """Seconds that a step takes with this pool, the better of two. The network is then no longer good for training."""
        seconds = []
        for _ in range(3):  # the first one also prepares the device
            progress.check()
            started = time.perf_counter()
            float(self._step(pool, progress))  # waits for the device
            seconds.append(time.perf_counter() - started)
        return min(seconds[1:])

    def loss(self, pool: Any) -> float:
        """How far the average is from perfect, on a fixed draw."""
        raise NotImplementedError

    def _portions(self, pool: Any, part: int) -> Iterator[tuple[torch.Tensor, int]]:
        """This step's batch, portion by portion: the mean loss of part number `part`, and of how many it is the mean."""
        raise NotImplementedError

    def _mean(self, losses: Sequence[torch.Tensor]) -> float:
        return float(self._ranks.mean(torch.stack(list(losses)).mean()))

    def _draw(self, pool: Pool, count: int, step: int) -> tuple[torch.Tensor, np.random.Generator]:
        """What one step sees, mirrored by chance where the settings say so, and the generator of its further draws.

        Of several processes each draws for the whole batch, and takes its share.
        """
        rng = np.random.default_rng([self._seed, step % 2**32])
        mine = self._ranks.share(count)
        taken = pool.take(rng.integers(len(pool), size=count)[mine])
        if self._training.mirror:
            mirrored = to_tensor(rng.random(count)[mine] < 0.5, self._device)
            taken = torch.where(mirrored[:, None, None, None], taken.flip(3), taken)
        return taken, rng

    def _step(self, pool: Any, progress: Progress) -> torch.Tensor:
        """One step of every part; the mean loss of the first part on its batch."""
        first = None
        for part in range(len(self._parts)):
            loss = self._optimise(pool, part, progress)
            first = loss if first is None else first
        decay = min(self._training.ema_decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for average, value in zip(self.average.parameters(), self.raw.parameters()):
                average.lerp_(value, 1 - decay)
        assert first is not None
        return first

    def _optimise(self, pool: Any, part: int, progress: Progress) -> torch.Tensor:
        """One optimiser step of a part; the others stand still and need no gradients."""
        for number, parameters in enumerate(self._parts):
            for parameter in parameters:
                parameter.requires_grad_(number == part)
        optimizer = self._optimizers[part]
        for group in optimizer.param_groups:
            group["lr"] = self._learning_rate()
        loss = None
        while loss is None:
            optimizer.zero_grad(set_to_none=True)
            try:
                loss = self._gradients(pool, part)
            except (RuntimeError, MemoryError) as error:
                if not is_shortage(error) or self.portion <= _LEAST_PORTION:
                    raise
                if self._ranks.count > 1:  # the others have done their step
                    raise OutOfMemory(
                        f"The memory of {describe_device(self._device)} was not enough for its share of a batch; start more processes, or "
                        "use a smaller grid."
                    ) from error
            if loss is None:
                release(self._device)
                self.portion //= 2
                progress.warn(halved(self._device, self.portion, self._what))
        optimizer.step()
        return loss

    def _gradients(self, pool: Any, part: int) -> torch.Tensor:
        """Add the gradients of this step's batch, portion by portion; returns its mean loss, or what has that mean over the processes."""
        total = torch.zeros((), device=self._device)
        for mean, count in self._portions(pool, part):
            loss = mean * (count * self._ranks.count / self._training.batch)  # shares need not be of one size
            loss.backward()
            total += loss.detach()
        return total

    def _learning_rate(self) -> float:
        rate, steps = self._training.learning_rate, self._training.steps
        if not self._training.cosine:
            return rate
        warmup = max(1, min(200, steps // 20))
        if self.step < warmup:
            return rate * (self.step + 1) / warmup
        return rate * 0.5 * (1 + math.cos(math.pi * (self.step - warmup) / max(1, steps - warmup)))

    def _save(self, checkpoint: Checkpoint) -> None:
        arrays = {f"raw/{name}": to_array(value) for name, value in self.raw.state_dict().items()}
        arrays |= {f"average/{name}": to_array(value) for name, value in self.average.state_dict().items()}
        first = 0
        for part, optimizer in zip(self._parts, self._optimizers):
            for number, state in optimizer.state_dict()["state"].items():
                arrays |= {f"adam/{first + number}/{name}": to_array(state[name]) for name in ("exp_avg", "exp_avg_sq")}
            first += len(part)
        checkpoint.save(arrays, {"step": self.step, "losses": self.losses})

    def _shapes(self, step: int) -> dict[str, tuple[int, ...]]:
        """The arrays that `_save` writes at a step."""
        networks = (("raw/", self.raw), ("average/", self.average))
        shapes = {prefix + name: tuple(value.shape) for prefix, network in networks for name, value in network.state_dict().items()}
        moved = [parameter for part in self._parts for parameter in part] if step else []
        for number, parameter in enumerate(moved):
            shapes |= {f"adam/{number}/{name}": tuple(parameter.shape) for name in ("exp_avg", "exp_avg_sq")}
        return shapes

    def _resume(self, checkpoint: Checkpoint) -> None:
        saved = self._ranks.same_state(checkpoint.load())
        if saved is None:
            return
        arrays, told = saved
        try:
            facts = from_values(_Facts, told, "facts")
        except InvDetectError as error:
            raise checkpoint.damaged(str(error).rstrip(".")) from None
        if facts.step > self._training.steps:
            raise checkpoint.damaged(f"it is said to be at step {facts.step} of {self._training.steps}")
        if misfit := unfit(arrays, self._shapes(facts.step)):
            raise checkpoint.damaged(misfit)
        for prefix, network in (("raw/", self.raw), ("average/", self.average)):
            network.load_state_dict({name: to_tensor(arrays[prefix + name]) for name in network.state_dict()})
        self.step, self.losses = facts.step, list(facts.losses)
        first = 0
        for part, optimizer in zip(self._parts, self._optimizers):
            state = optimizer.state_dict()
            for number, parameter in enumerate(part if self.step else []):
                moments = {name: to_tensor(arrays[f"adam/{first + number}/{name}"], self._device) for name in ("exp_avg", "exp_avg_sq")}
                moments = {name: value.reshape(parameter.shape) for name, value in moments.items()}
                state["state"][number] = {"step": torch.tensor(float(self.step)), **moments}
            if self.step:
                optimizer.load_state_dict(state)
            first += len(part)
