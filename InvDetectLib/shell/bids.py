"""What `--bids` means for the words of a command: its folders of scans are BIDS datasets, and detection writes a derivative."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..common import WrongUse

if TYPE_CHECKING:
    from ..cohort import More

_FOLDERS = ("scans", "normals", "normals_test")  # words that stand for scans, whichever command has them
_DERIVATIVE = Path("derivatives", "invdetect")


def take_datasets(options: argparse.Namespace) -> None:
    """Put `BidsFolder`s in the place of folders, and say where `detect` writes. Raises `WrongUse` for filters that cannot be."""
    filters = getattr(options, "bids", None)
    if filters is not None:
        from ..scans import BidsFolder

        for name in _FOLDERS:
            given = getattr(options, name, None)
            if isinstance(given, list):
                setattr(options, name, [BidsFolder(Path(one), filters) for one in given])
            elif given is not None:
                setattr(options, name, BidsFolder(Path(given), filters))
    if options.command != "detect":
        return
    if filters is not None and len(options.scans) != 1:  # none, where a DICOMweb server was named
        raise WrongUse("A derivative is of one BIDS dataset; give one, or detect them one after the other.")
    if options.output is None:
        if filters is None:
            raise WrongUse("The following is required: -o OUT, the folder for the results; only with --bids it may be left out.")
        options.output = str(options.scans[0].root / _DERIVATIVE)


def derivative(options: argparse.Namespace) -> More | None:
    """What makes the files of a result that belong into a derivative; None without `--bids`."""
    if options.bids is None:
        return None
    from ..results import derivative_files

    return derivative_files


def begin(options: argparse.Namespace) -> Callable[[], None] | None:
    """What makes the output of `detect --bids` a derivative; None without `--bids`."""
    if options.bids is None:
        return None
    from ..cohort import TABLE
    from ..results import begin_derivative

    (dataset,) = options.scans
    return lambda: begin_derivative(dataset, Path(options.output), TABLE)
