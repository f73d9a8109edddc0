"""Cuts of many slices at once: the same masks as one by one, in order; errors come out, and nothing goes on after leaving."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from InvDetectLib.refinement import cutting as room
from InvDetectLib.refinement.cutting import Cuts, cut
from InvDetectLib.refinement.minimum_cut import minimum_cut


def slices(count: int, side: int = 24) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    return [
        {
            "anomaly_map": rng.normal(size=(side, side)).astype(np.float32),
            "down": rng.uniform(size=(side - 1, side)).astype(np.float16),
            "right": rng.uniform(size=(side, side - 1)).astype(np.float16),
            "contiguity": 0.7,
            "threshold": 0.25,
            "scored": rng.random((side, side)) < 0.9,
        }
        for _ in range(count)
    ]


def test_masks_come_in_the_order_of_the_slices_and_are_those_of_single_cuts() -> None:
    many = slices(12)
    with Cuts() as cuts:
        for number, one in enumerate(many):
            cuts.add(100 - number, **one)
        found = list(cuts.masks())
    assert len(cuts) == 12 and [number for number, _ in found] == [100 - number for number in range(12)]
    for (_, mask), one in zip(found, many):
        shifted = one["anomaly_map"] - np.float32(0.25)
        alone = minimum_cut(shifted, one["down"].astype(np.float32), one["right"].astype(np.float32), 0.7, valid=one["scored"])
        assert np.array_equal(mask, alone) and np.array_equal(mask, cut(**one)) and mask.any()


def test_what_a_cut_raises_reaches_the_caller() -> None:
    (broken,) = slices(1)
    broken["anomaly_map"][0, 0], broken["scored"][0, 0] = np.nan, True
    with Cuts() as cuts, pytest.raises(ValueError, match="finite"):
        cuts.add(0, **broken)
        list(cuts.masks())


def test_cuts_go_on_beside_the_caller_and_stop_when_it_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, may_end = threading.Semaphore(0), threading.Event()
    done: list[int] = []

    def slow(anomaly_map: np.ndarray, *_: Any, **__: Any) -> np.ndarray:
        begun.release()
        may_end.wait(30)
        done.append(1)
        return anomaly_map > 0

    monkeypatch.setattr(room, "minimum_cut", slow)
    with pytest.raises(KeyboardInterrupt), Cuts() as cuts:
        for number, one in enumerate(slices(200)):
            cuts.add(number, **one)
        assert begun.acquire(timeout=30)  # although nobody has asked for a mask
        may_end.set()
        raise KeyboardInterrupt
    assert len(done) < 200  # those that had not begun never will
