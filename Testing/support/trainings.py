"""What tests of training in Slicer share: a preset of any length, waiting while worker and Qt work, and a training under way."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from InvDetectLib.models import settings

from .slicer_host.qt_host import process_events
from .tiny_model import TINY
from .worker_clients import PATIENCE

if TYPE_CHECKING:
    from InvDetectSlicerLib.logic import RunFailed
    from InvDetectSlicerLib.training_logic import TrainingLogic
    from InvDetectSlicerLib.worker.training_choices import TrainingChoices


def with_steps(steps: int) -> settings.Settings:
    """The tiny preset with another number of steps."""
    method = TINY.invdetect
    return replace(TINY, invdetect=replace(method, training=replace(method.training, steps=steps)))


def poll_until(logic: Any, what: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """Poll a logic and let Qt work until it is so."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "it did not happen in time"
        logic.poll()
        process_events()
        time.sleep(0.005)
    return found


def begin(logic: TrainingLogic, choices: TrainingChoices) -> tuple[Any, list[RunFailed]]:
    """A training that has told its first loss, and the failures that will be told of it."""
    failures: list[RunFailed] = []
    run = logic.train(choices, onFinished=lambda facts: pytest.fail("it has ended"), onFailed=failures.append)
    poll_until(logic, lambda: run.losses or failures)
    assert not failures
    return run, failures
