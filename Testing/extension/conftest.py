"""The logic of detection with its real worker, and what it is compared with; imported late, because without slicer-core the tests skip."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pytest
import SimpleITK as sitk

if TYPE_CHECKING:
    from InvDetectSlicerLib.logic import InvDetectLogic

    from InvDetectLib.detection import Detector
    from Testing.support.tiny_model import World


@pytest.fixture(scope="module")
def shared_logic() -> Iterator[InvDetectLogic]:
    """One worker for all tests of a file that do not harm it."""
    from InvDetectSlicerLib.logic import InvDetectLogic

    logic = InvDetectLogic()
    yield logic
    logic.close()


@pytest.fixture
def logic(shared_logic: InvDetectLogic) -> Iterator[InvDetectLogic]:
    """The same, left with nothing to do for the next test."""
    from Testing.support.worker_clients import until

    yield shared_logic
    until(lambda: not shared_logic.client.busy, shared_logic)
    until(lambda: not left_behind(shared_logic), shared_logic)  # a result that nobody wants any more may still be read to its end


def left_behind(logic: InvDetectLogic) -> list[str]:
    """Files of runs that are over; a region of interest stays for the next one."""
    names = [path.name for path in logic.client.folder.iterdir() if path.suffix in (".npy", ".npz", ".json")]
    return [name for name in names if not name.startswith("region")]


@pytest.fixture(scope="module")
def detector(world: World) -> Detector:
    """The library's own, with the tiny model."""
    from InvDetectLib.detection import Detector

    return Detector(world.model)


@pytest.fixture(scope="module")
def head(world: World) -> np.ndarray:
    """(slice, row, column) of a head with a lesion."""
    return sitk.GetArrayFromImage(sitk.ReadImage(str(world.scans / "head-1000.nii.gz")))
