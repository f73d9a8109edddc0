"""Pausing and cancelling from another thread, and what a pause does to the time that is left."""

from __future__ import annotations

import threading
import time

import pytest

from InvDetectLib.common.errors import Cancelled
from InvDetectLib.common.progress import Event, Progress


def test_work_waits_while_paused_and_the_pause_is_no_part_of_its_pace() -> None:
    events: list[Event] = []
    progress = Progress(events.append)
    part = progress.part()
    part.report("scoring", 0, 4)
    time.sleep(0.05)
    part.report("scoring", 1, 4)
    progress.pause()
    threading.Timer(0.5, progress.resume).start()
    before = time.monotonic()
    part.report("scoring", 2, 4)
    assert 0.4 < time.monotonic() - before < 2
    assert events[-1].seconds_left is not None and events[-1].seconds_left < 0.4


def test_a_stage_says_how_many_it_does_a_second_once_it_knows() -> None:
    assert str(Event("training", 40, 100, 6.0)) == "training 40/100, 10 a second, 6 s left"
    assert str(Event("training", 0, 100)) == "training 0/100" and Event("training", 100, 100, 0.0).pace == 0


def test_paused_work_can_be_cancelled_and_what_is_cancelled_cannot_be_paused() -> None:
    progress = Progress()
    progress.pause()
    threading.Timer(0.2, progress.cancel).start()
    with pytest.raises(Cancelled):
        progress.check()
    progress.pause()
    with pytest.raises(Cancelled):
        progress.check()


def test_of_silent_work_nothing_is_told_and_it_can_still_be_stopped() -> None:
    events: list[Event] = []
    progress = Progress(events.append)
    silent = progress.silent()
    silent.report("scoring", 1, 4)
    silent.warn("the scan looks odd")
    assert events == [] and progress.warnings == []
    progress.cancel()
    with pytest.raises(Cancelled):
        silent.report("scoring", 2, 4)
