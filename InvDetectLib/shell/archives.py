"""What `--dicom` adds to a detection: objects for an archive beside each result, and a word where there can be none."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..common import WrongUse

if TYPE_CHECKING:
    from ..cohort import More, Outcome


def objects_wanted(options: argparse.Namespace) -> More | None:
    """What makes the further files of each result, if they are wanted. `InvDetectError`, before any work, where it cannot run."""
    if not options.dicom and not options.store:
        return None
    if options.bids is not None:
        raise WrongUse("Objects for archives are made of DICOM series, which BIDS datasets do not hold; leave out --dicom or --bids.")
    from ..dicom import check_available, more_files

    check_available()
    return more_files


def without_objects(outcomes: Sequence[Outcome], out: Path) -> dict[Path, str]:
    """By the scan, why its result below `out` has no or not all objects, as `dicom.lacking` tells it."""
    from ..cohort import Asked
    from ..dicom import lacking
    from ..scans import ForegroundChoice

    asked = Asked(out, {}, ForegroundChoice(None))
    done = [outcome.found for outcome in outcomes if outcome.status != "failed"]
    return {entry.path: why for entry in done if (why := lacking(asked.target(entry)))}
