"""What looks at a folder or a server again and again: it lives on whatever a look finds, and tells a problem once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from InvDetectLib.common import Cancelled
from InvDetectLib.dicom.node import Looking
from Testing.support.tiny_model import wait_for


def looking(looks: Iterator[Exception | None], told: list[str]) -> tuple[Looking, Callable[[], bool]]:
    """What goes on through these looks, each of which finds nothing or raises; and whether it has had them all."""
    over: list[bool] = []

    def look() -> None:
        found = next(looks, over)
        if found is over:
            over.append(True)
        elif found is not None:
            raise found

    return Looking("looking", look, lambda error: f"{type(error).__name__}: {error}", 0.01, told.append), lambda: bool(over)


def test_a_problem_is_told_once_until_a_look_goes_well_or_another_comes() -> None:
    told: list[str] = []
    away, odd = OSError("away"), TypeError("odd")
    one, is_over = looking(iter([away, away, odd, odd, None, odd, away]), told)
    one.start()
    wait_for(is_over)
    one.stop(5)
    assert told == ["OSError: away", "TypeError: odd", "TypeError: odd", "OSError: away"]


def test_it_ends_when_it_is_stopped_and_when_a_look_was_given_up() -> None:
    told: list[str] = []
    one, is_over = looking(iter([Cancelled("given up"), TypeError("odd")]), told)
    one.start()
    time.sleep(0.1)
    one.stop(5)
    assert told == [] and not is_over()
