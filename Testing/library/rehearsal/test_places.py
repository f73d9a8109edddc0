"""Places of made lesions: inside the foreground, apart from each other, and not where the model flags something anyway."""

from __future__ import annotations

import numpy as np
import pytest

from InvDetectLib.rehearsal.places import Places


def disc(radius: float = 40, side: int = 100) -> np.ndarray:
    rows, columns = np.indices((side, side)) - side // 2
    return (np.hypot(rows, columns) <= radius)[None]


def drawn(inside: np.ndarray, flagged: np.ndarray, radius: float, count: int, step: float = 1.0) -> np.ndarray:
    """(place, 3) indices of as many lesions as there is room for."""
    places, rng = Places(inside, flagged, (step,) * 3), np.random.default_rng(0)
    found = [places.draw(radius, rng) for _ in range(count)]
    return np.array([place for place in found if place is not None]).reshape(-1, 3)


@pytest.mark.parametrize("step", [0.5, 1.0])
def test_lesions_lie_deep_in_the_foreground_and_apart(step: float) -> None:
    found = drawn(disc(), np.zeros((1, 100, 100), bool), 6 * step, 6, step)
    assert len(found) > 3 and (np.hypot(*(found[:, 1:] - 50).T) <= 40 - 6 + 1.5).all()
    gaps = np.hypot(*(found[:, None, 1:] - found[None, :, 1:]).transpose(2, 0, 1)) + 1e9 * np.eye(len(found))
    assert gaps.min() > 18


def test_a_lesion_that_reaches_the_edge_anyway_lies_as_deep_as_half_its_radius_and_else_nowhere() -> None:
    nothing = np.zeros((1, 100, 100), bool)
    assert len(drawn(disc(10), nothing, 16, 1)) == 1 and len(drawn(disc(10), nothing, 30, 1)) == 0


def test_what_is_flagged_in_the_untouched_scan_is_avoided() -> None:
    flagged = np.zeros((1, 100, 100), bool)
    flagged[:, :, :50] = True
    found = np.concatenate([drawn(disc(), flagged, radius, 3) for radius in (2, 4, 8)])
    assert len(found) > 3 and (found[:, 2] >= 50).all()
    assert len(drawn(disc(), disc(), 6, 1)) == 0


def test_places_in_large_volumes_are_found_in_time_and_in_their_own_voxels() -> None:
    inside = np.zeros((60, 240, 240), bool)
    inside[10:50, 100:200, 20:90] = True
    found = drawn(inside, np.zeros_like(inside), 5, 8)
    assert len(found) == 8 and all(inside[tuple(place)] for place in found)
