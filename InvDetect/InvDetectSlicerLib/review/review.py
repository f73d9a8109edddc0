"""What a reviewer does with findings: accept, dismiss, comment, undo, step to the next one, and export the outcome."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import slicer

from InvDetectLib.common import InvDetectError, WrongUse
from InvDetectLib.results import write_findings, write_segmentation

from ..scene import (
    DISMISSED,
    OPEN,
    STATES,
    ResultNodes,
    Review,
    add_finding,
    array_in,
    findings_of,
    geometry_in,
    remove_finding,
    reviews_of,
    write_reviews,
)


class Reviewing:
    """The review of one result. States and comments live in the table node; only the history for `undo` lives here."""

    def __init__(self, nodes: ResultNodes) -> None:
        """The table must be there; without segmentation only table and CSV change."""
        self._nodes = nodes
        self._history: list[tuple[int, Review]] = []
        self._history_of = ""

    def reviews(self) -> dict[int, Review]:
        """Number of the finding -> its review."""
        return reviews_of(self._nodes.table)

    def set_state(self, number: int, state: str) -> None:
        """Opens, accepts or dismisses a finding. A dismissed one leaves the mask; any other state brings it back as it was detected.

        Raises InvDetectError when its voxels cannot come back because the scene was saved without them.
        """
        if state not in STATES:
            raise WrongUse(f"There is no state {state!r}; choose one of {', '.join(STATES)}.")
        self._change(number, replace(self._review(number), state=state))

    def set_comment(self, number: int, comment: str) -> None:
        """Says something of a finding; the text is kept as it is."""
        self._change(number, replace(self._review(number), comment=comment))

    def undo(self) -> int | None:
        """Takes back the last change of a state or comment; returns the finding's number, None when there is nothing to take back.

        The history ends where the mask is refined, because findings are numbered anew then.
        """
        self._renew_history()
        if not self._history:
            return None
        number, before = self._history.pop()
        self._apply(number, before)
        return number

    def next_open(self, number: int | None = None, step: int = 1) -> int | None:
        """The next open finding after `number` (None: from the start), or the one before with step -1, round the end; None without any."""
        reviews = self.reviews()
        numbers = sorted(reviews, reverse=step < 0)
        if number in numbers:
            place = numbers.index(number) + 1
            numbers = numbers[place:] + numbers[:place]
        return next((one for one in numbers if reviews[one].state == OPEN), None)

    def export_csv(self, path: Path) -> None:
        """All findings, also dismissed ones, as the library's CSV with the columns "state" and "comment". Positions are the scan's own.

        An older file at `path` is replaced only when the new one is complete. Raises InvDetectError when it cannot be written.
        """
        table, reviews = self._nodes.table, self.reviews()
        findings = findings_of(table)
        more = {
            "state": [reviews[finding.label].state for finding in findings],
            "comment": [" ".join(reviews[finding.label].comment.split()) for finding in findings],
        }
        _write_whole(path, ".csv", lambda part: write_findings(part, findings, geometry_in(table), more))

    def export_mask(self, path: Path) -> None:
        """The mask without dismissed findings as NAME.seg.nrrd, one segment a finding, in the scan's own place (no parent transform).

        With no finding left, one empty segment. Raises InvDetectError when it cannot be written.
        """
        segmentation, geometry = self._nodes.segmentation, geometry_in(self._nodes.table)
        if not path.name.endswith(".seg.nrrd"):
            raise WrongUse(f"{path.name} must end in .seg.nrrd, or it is no segmentation. Choose such a name.")
        if segmentation is None:
            raise InvDetectError("The segmentation of this result is no longer in the scene. Detect again to export a mask.")

        def write(part: Path) -> None:
            if not segmentation.GetSegmentation().GetNumberOfSegments():
                write_segmentation(part, np.zeros(geometry.shape, bool), geometry)
                return
            storage = slicer.vtkMRMLSegmentationStorageNode()
            storage.SetFileName(str(part))
            if not storage.WriteData(segmentation):
                raise OSError("the segmentation could not be written; the disk may be full")

        _write_whole(path, ".seg.nrrd", write)

    def _review(self, number: int) -> Review:
        reviews = self.reviews()
        if number not in reviews:
            raise WrongUse(f"There is no finding {number}; there are {len(reviews)}.")
        return reviews[number]

    def _change(self, number: int, review: Review) -> None:
        before = self._review(number)
        if review != before:
            self._apply(number, review)
            self._renew_history()
            self._history.append((number, before))

    def _apply(self, number: int, review: Review) -> None:
        segmentation, labels = self._nodes.segmentation, self._nodes.labels
        before = self._review(number)
        if segmentation is not None and review.state == DISMISSED:
            remove_finding(segmentation, number)
        elif segmentation is not None and before.state == DISMISSED:
            if labels is None or labels.GetImageData() is None:
                raise InvDetectError(f"The voxels of finding {number} were not saved with the scene. Detect again to bring it back.")
            geometry = geometry_in(self._nodes.table)
            add_finding(segmentation, geometry, array_in(labels, geometry), number)
        write_reviews(self._nodes.table, {**self.reviews(), number: review})

    def _renew_history(self) -> None:
        now = self._nodes.table.GetAttribute("InvDetect.Findings")
        if now != self._history_of:
            self._history, self._history_of = [], now


def _write_whole(path: Path, ending: str, write: Callable[[Path], None]) -> None:
    """Writes beside `path` first, so that no half file stays there."""
    try:
        with tempfile.TemporaryDirectory(prefix=".invdetect-", dir=path.parent) as folder:
            part = Path(folder) / f"part{ending}"
            write(part)
            os.replace(part, path)
    except OSError as error:
        raise InvDetectError(
            f"{path} cannot be written ({error.strerror or error}). Free some space or choose a folder that can be written."
        ) from error
