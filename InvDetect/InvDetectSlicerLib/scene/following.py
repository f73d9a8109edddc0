"""Reviews follow their findings when the mask is refined and the findings are numbered anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from InvDetectLib.results import Finding

from .findings_table import DISMISSED, SET_ASIDE, Review
from .nodes import damaged, read_facts, write_facts

_SAME_SIZE = (0.8, 1.25)  # of the voxels: a review that was set aside returns only to a finding that is about as large


@dataclass(frozen=True)
class Followed:
    """reviews: number of the new finding -> its review;  said: sentences for the user;  aside: reviews that wait for their finding."""

    reviews: dict[int, Review]
    said: list[str]
    aside: list[dict[str, Any]]

    def remember(self, table: Any) -> None:
        """Keeps the reviews that wait, for the next `follow`."""
        write_facts(table, SET_ASIDE, self.aside)


def follow(
    table: Any, before: Sequence[Finding], reviews: Mapping[int, Review], old: np.ndarray, findings: Sequence[Finding], new: np.ndarray
) -> Followed:
    """The reviews of the new findings. `old` and `new` hold the number of the finding at each voxel of the scan, 0 outside.

    A new finding takes the review of the old one that it shares most voxels with. A dismissal holds only where the old finding makes
    up at least half of the new one, or tissue that nobody looked at would vanish with it. Reviews without a finding are set aside in the
    table and return when a finding of about that size lies at their place again, so that a slider may be moved back.
    """
    shared, size = _shared(old, new, len(before), len(findings))
    result, aside = _returned(table, new, size)
    taken: set[int] = set()
    said: list[str] = []
    for number in (finding.label for finding in findings if finding.label not in result):
        source = int(shared[:, number].argmax())
        if not shared[source, number]:
            continue
        review = reviews[source]
        taken.add(source)
        if review.state == DISMISSED and 2 * shared[source, number] < size[number]:
            said.append(f"Finding {number} is much larger than the dismissed finding {source} that is now part of it; it is open again.")
            review = Review(comment=review.comment)
        result[number] = review
    for finding in before:
        review = reviews[finding.label]
        if finding.label in taken or review == Review():
            continue
        parts = shared[finding.label]
        into = f"now part of finding {int(parts.argmax())}" if parts.any() else "no longer in the mask"
        said.append(f"Finding {finding.label} ({review.state}) is {into}; its review comes back when the finding does.")
        voxels = int((old == finding.label).sum())
        aside.append({"place": list(finding.peak_index), "voxels": voxels, "state": review.state, "comment": review.comment})
    return Followed(result, said, aside)


def _shared(old: np.ndarray, new: np.ndarray, before: int, after: int) -> tuple[np.ndarray, np.ndarray]:
    """(before + 1, after + 1) voxels that an old and a new finding share, 0 for number 0; and (after + 1,) voxels of the new ones."""
    inside = np.flatnonzero(new)
    numbers = new.ravel()[inside].astype(np.int64)
    pairs = old.ravel()[inside].astype(np.int64) * (after + 1) + numbers
    shared = np.bincount(pairs, minlength=(before + 1) * (after + 1)).reshape(before + 1, after + 1)
    shared[0] = 0
    return shared, np.bincount(numbers, minlength=after + 1)


def _returned(table: Any, new: np.ndarray, size: np.ndarray) -> tuple[dict[int, Review], list[dict[str, Any]]]:
    """Reviews that waited, by the numbers of the new findings at their places; and those that go on waiting."""
    result: dict[int, Review] = {}
    waiting: list[dict[str, Any]] = []
    try:
        for entry in read_facts(table, SET_ASIDE) or []:
            number = int(new[tuple(int(i) for i in entry["place"])])
            low, high = (share * int(entry["voxels"]) for share in _SAME_SIZE)
            if number and number not in result and low <= size[number] <= high:
                result[number] = Review(str(entry["state"]), str(entry["comment"]))
            else:
                waiting.append(entry)
    except (TypeError, ValueError, KeyError, IndexError) as error:
        raise damaged(table) from error
    return result, waiting
