"""Pictures for the README: the panel in several states, light and dark, and the slice view, with a made head and the model that fits it.

    .venv/bin/python Testing/slicer_host/screenshots.py            # into Resources/Screenshots

The panel is drawn by Qt with look-alikes of Slicer's widgets, at the width of Slicer's module panel; the views by slicer-core, off-screen.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "Testing"), str(REPOSITORY), str(REPOSITORY / "InvDetect")]
os.environ["INVDETECT_MODELS"] = "/home/you/.local/share/invdetect/models"  # of nobody: the shipped models alone, and no name of a machine

from slicer_host.pictures import slice_picture, view_picture  # noqa: E402  (run as a program, this file must find the host first)
from slicer_host.qt_host import dark, load_module, process_events, start_qt, true_properties  # noqa: E402

true_properties(__name__)
HOST = start_qt()

from InvDetectSlicerLib import sample_data  # noqa: E402
from InvDetectSlicerLib.scene import finding_place  # noqa: E402

WIDTH = 400


def main() -> int:
    """Write all pictures into the folder that is named, else into Resources/Screenshots; the exit status."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else REPOSITORY / "Resources" / "Screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    widget = load_module("InvDetect")
    widget.parent.show()
    panel = widget.panel
    panel.enter()
    panel.models.choose(sample_data.MODEL)
    _both(widget, folder / "panel-empty")
    volume = sample_data.add_made_head()
    panel.ui.scanSelector.setCurrentNode(volume)
    _wait(lambda: "about" in panel.ui.costLabel.text)
    _both(widget, folder / "panel-ready")
    panel.ui.aboutButton.collapsed = panel.ui.optionsButton.collapsed = panel.ui.advancedButton.collapsed = False
    _both(widget, folder / "panel-options")
    panel.ui.aboutButton.collapsed = panel.ui.optionsButton.collapsed = True
    panel.ui.applyButton.click()
    _wait(lambda: panel.ui.progressBar.value >= 2)
    _both(widget, folder / "panel-running")
    _wait(lambda: not panel.run.running)
    panel.ui.displayButton.collapsed = panel.ui.exportButton.collapsed = False
    panel.findings.choose(1)
    panel.ui.acceptButton.click()
    if panel.ui.findingsTable.rowCount > 2:
        panel.findings.choose(3)
        panel.ui.dismissButton.click()
    panel.findings.choose(1)
    panel.findings._reviewing.set_comment(1, "hyperintense, left frontal")
    panel.findings.refresh()
    _both(widget, folder / "panel-findings")
    panel.ui.findingsButton.collapsed = panel.ui.displayButton.collapsed = panel.ui.exportButton.collapsed = True
    panel.ui.batchSection.collapsed = panel.ui.installSection.collapsed = False
    _both(widget, folder / "panel-more")
    slice_picture(HOST, folder / "slice.png", ras=finding_place(panel.result.table, 0))
    panel.ui.show3DCheck.checked = True
    view_picture(HOST, folder / "surface.png")
    widget.cleanup()
    return 0


def _both(widget: Any, path: Path) -> None:
    """The panel as it is, in light and in dark colours, as high as its content."""
    for name, colours in (("light", None), ("dark", dark)):
        if colours is None:
            _shot(widget, path.with_name(f"{path.name}-{name}.png"))
        else:
            with colours():
                _shot(widget, path.with_name(f"{path.name}-{name}.png"))


def _shot(widget: Any, path: Path) -> None:
    parent = widget.parent
    for _ in range(6):  # labels that wrap know their height only after the width is set, and each level tells the next one
        layout = parent.layout()
        parent.resize(WIDTH, max(layout.totalHeightForWidth(WIDTH), layout.totalMinimumSize().height(), layout.totalSizeHint().height()))
        process_events()
    parent.grab().save(str(path))
    print(path.name, parent.width, parent.height)


def _wait(what: Callable[[], Any], seconds: float = 300.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            raise TimeoutError("the panel did not get there")
        process_events()
        time.sleep(0.005)


if __name__ == "__main__":
    sys.exit(main())
