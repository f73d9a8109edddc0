"""The training wizard with a worker that answers when the test says so: its pages in real Qt, and no process behind them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .silent_worker import SilentWorker
from .slicer_host.qt_host import Settings, process_events, start_qt, true_properties

start_qt()
true_properties(__name__)

from InvDetectSlicerLib.training_logic import TrainingLogic  # noqa: E402  (the host must be there first)
from InvDetectSlicerLib.wizard import TrainingWidget  # noqa: E402

PREVIEW = {
    "image": "image",
    "foreground": "foreground",
    "patches": [],
    "patch_size": 0,
    "slice": 0,
    "slices": 3,
    "pixel": 1.0,
    "unit": "mm",
    "warnings": [],
}


@contextmanager
def quiet_wizard(worker: SilentWorker) -> Iterator[TrainingWidget]:
    """A wizard that is shown, at the size of Slicer's module panel."""
    wizard = TrainingWidget(TrainingLogic(worker, store=Settings()), lambda name: None)  # type: ignore[arg-type]
    wizard.widget.resize(400, 760)
    wizard.widget.show()
    process_events()
    try:
        yield wizard
    finally:
        wizard.cleanup()
        wizard.widget.hide()


def with_scans(worker: SilentWorker, folder: Path) -> None:
    """The worker answers the last question about a folder: one scan, and it can be used."""
    row = {"path": str(folder / "a.nii"), "file": "a.nii", "problem": "", "size": [64, 64, 3], "spacing": [1.0, 1.0, 1.0]}
    row |= {"orientation": "RAS", "range": [0, 9], "kind": "grey", "thumbnail": "thumbnail-0"}
    worker.of("inspect")[-1].answer(scans=[row], left_out=[], problem="")


def fill(wizard: TrainingWidget, worker: SilentWorker, folder: Path) -> None:
    """The first page with the scan of a folder, and Next on."""
    wizard.ui.folderPath.currentPath = str(folder)
    wait_for(lambda: worker.of("inspect"))
    with_scans(worker, folder)
    assert wizard.ui.scansTable.rowCount == 1 and wizard.ui.nextButton.enabled


def let_time_pass(seconds: float) -> None:
    """While Qt works."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        process_events()
        time.sleep(0.005)


def wait_for(what: Callable[[], Any], seconds: float = 10.0) -> None:
    """Until it is so."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen in time"
        process_events()
        time.sleep(0.005)
