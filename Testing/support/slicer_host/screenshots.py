"""Pictures for the README: the panel in several states, slice and 3-D view, and the wizard, with made heads that are nobody's data.

    .venv/bin/python Testing/support/slicer_host/screenshots.py            # those that the README shows, into Resources/Screenshots
    .venv/bin/python Testing/support/slicer_host/screenshots.py FOLDER     # all of them, light and dark, to be looked at

Panel and wizard are drawn by Qt with look-alikes of Slicer's widgets, at the width of Slicer's module panel; the views by slicer-core,
off-screen. What the pictures say is what the worker said: the wizard trains a model with the preset "quick", which takes minutes.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "InvDetect")]
os.environ["INVDETECT_MODELS"] = "/home/you/models"  # shown in a picture; nothing is written there

from Testing.support.slicer_host.pictures import slice_picture, view_picture  # noqa: E402  (run as a program, this file must find the host first)
from Testing.support.slicer_host.qt_host import dark, load_module, process_events, start_qt, true_properties  # noqa: E402

true_properties(__name__)
HOST = start_qt()

from InvDetectSlicerLib.models import sample_data  # noqa: E402
from InvDetectSlicerLib.scene.scene import finding_place  # noqa: E402

from InvDetectLib.scans.phantoms import write_phantoms  # noqa: E402

WIDTH = 400
SHOWN = (
    "panel-findings-light",
    "slice",
    "training-1-scans-light",
    "training-2-preparation-light",
    "training-4-training-light",
    "training-5-result-light",
)
NORMALS = 12


def main() -> int:
    """Write the pictures that the README shows into Resources/Screenshots, or all of them into the folder that is named; the status."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else made).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        detection(folder)
        with tempfile.TemporaryDirectory() as scans:
            training(folder, Path(scans))
        if len(sys.argv) == 1:
            for name in SHOWN:
                picture = Image.open(folder / f"{name}.png").convert("RGB").quantize(256, dither=Image.Dither.NONE)
                picture.save(REPOSITORY / "Resources" / "Screenshots" / f"{name}.png", optimize=True)
    return 0


def detection(folder: Path) -> None:
    """The panel from the empty one to its findings, and the views."""
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
    _both(widget, folder / "panel-options", lambda: _with_chart(panel.ui, panel.models.refresh))
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
    panel.ui.commentEdit.text = "bright, left posterior"
    panel.ui.commentEdit.editingFinished.emit()
    _both(widget, folder / "panel-findings")
    panel.ui.findingsButton.collapsed = panel.ui.displayButton.collapsed = panel.ui.exportButton.collapsed = True
    panel.ui.queueSection.collapsed = panel.ui.batchSection.collapsed = panel.ui.installSection.collapsed = False
    panel.queue.tick(volume)
    _both(widget, folder / "panel-more")
    slice_picture(HOST, folder / "slice.png", size=(560, 480), ras=finding_place(panel.result.table, 0))
    panel.ui.show3DCheck.checked = True
    view_picture(HOST, folder / "surface.png")
    widget.cleanup()


def training(folder: Path, home: Path) -> None:
    """The wizard, from a folder of made heads to a model. `home` becomes the current folder, so that no picture shows a long path."""
    write_phantoms(home / "normal heads", NORMALS)
    cut = home / "normal heads" / f"head-{NORMALS:04d}.nii.gz"
    cut.write_bytes((home / "normal heads" / "head-0000.nii.gz").read_bytes()[:9000])
    (home / "normal heads" / "notes.txt").write_text("who was scanned when")
    os.chdir(home)
    os.environ["INVDETECT_MODELS"] = str(home / "models")
    widget = load_module("InvDetectTraining")
    widget.parent.show()
    wizard, ui = widget.panel, widget.panel.ui
    ui.folderPath.currentPath = "normal heads"
    _wait(lambda: ui.nextButton.enabled)
    ui.scansTable.minimumHeight = 330
    ui.scansTable.scrollToBottom()  # to what is left out
    _both(widget, folder / "training-1-scans")
    ui.scansTable.minimumHeight = 0
    ui.nextButton.click()
    ui.modalityEdit.text = "made heads"
    _wait(lambda: ui.previewText.text.startswith("Slice"))
    _both(widget, folder / "training-2-preparation")
    ui.nextButton.click()
    ui.presetSelector.currentIndex = [ui.presetSelector.itemText(i) for i in range(ui.presetSelector.count)].index("Quick")
    ui.nameEdit.text = "my-heads"
    ui.estimateText.text = ""  # another preset was asked about before
    _wait(lambda: ui.estimateText.text.startswith("About"))
    _both(widget, folder / "training-3-settings")
    ui.nextButton.click()
    run = wizard.training._run
    _wait(lambda: run.losses and run.event.stage == "training" and run.event.done > 0.4 * run.event.total, 1800)
    _both(widget, folder / "training-4-training", wizard.training._paint)
    _wait(lambda: wizard.page == 4 or not wizard.training.running, 3600)
    trained = str(home / "models" / "my-heads.invdetect")
    _both(widget, folder / "training-5-result", lambda: _with_chart(ui, lambda: wizard.result.show(trained)))
    write_phantoms(home / "heads of the new scanner", 4, first_seed=300)
    ui.anotherButton.click()
    ui.adaptPageButton.click()
    ui.adaptFolderPath.currentPath = "heads of the new scanner"
    ui.adaptNameEdit.text = "my-heads-new-scanner"
    _wait(lambda: ui.nextButton.enabled)
    _both(widget, folder / "training-6-adapt")
    ui.nextButton.click()
    _wait(lambda: ui.adaptStageText.text.startswith("Scoring"))
    _both(widget, folder / "training-7-adapting")
    _wait(lambda: wizard.page == 4 or not wizard.adapting.running, 1800)
    adapted = str(home / "models" / "my-heads-new-scanner.invdetect")
    _both(widget, folder / "training-8-adapted", lambda: _with_chart(ui, lambda: wizard.result.show(adapted)))
    widget.cleanup()
    detection_by(folder, "my-heads-new-scanner")
    os.chdir(REPOSITORY)


def detection_by(folder: Path, model: str) -> None:
    """The panel with a model that tells bright from dark, and left from right."""
    HOST.clear()  # of what the first panel watched
    widget = load_module("InvDetect")
    widget.parent.show()
    panel, ui = widget.panel, widget.panel.ui
    panel.enter()
    panel.models.choose(model)
    ui.scanSelector.setCurrentNode(sample_data.add_made_head())
    ui.directionSelector.currentIndex = ui.directionSelector.findData("bright")
    ui.optionsButton.collapsed = ui.advancedButton.collapsed = ui.aboutButton.collapsed = False
    _wait(lambda: "about" in ui.costLabel.text)
    _both(widget, folder / "panel-direction", lambda: _with_chart(ui, panel.models.refresh))
    ui.optionsButton.collapsed = ui.aboutButton.collapsed = True
    ui.applyButton.click()
    _wait(lambda: not panel.run.running)
    ui.displayButton.collapsed = False
    ui.midlineCheck.checked = True
    _both(widget, folder / "panel-midline")
    slice_picture(HOST, folder / "midline.png", size=(560, 480), ras=finding_place(panel.result.table, 0))
    widget.cleanup()


def _both(widget: Any, path: Path, paint: Callable[[], None] = lambda: None) -> None:
    """The panel as it is, in light and in dark colours, as high as its content. `paint` draws what does not follow the colours itself."""
    for name, colours in (("light", None), ("dark", dark)):
        if colours is None:
            process_events()
            paint()
            _shot(widget, path.with_name(f"{path.name}-{name}.png"))
        else:
            with colours():
                process_events()  # the widgets hear of their colours
                paint()
                _shot(widget, path.with_name(f"{path.name}-{name}.png"))


def _with_chart(ui: Any, paint: Callable[[], None]) -> None:
    """What the worker draws comes a moment later."""
    paint()
    _wait(lambda: not ui.chartImage.text.startswith("Drawing"))


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
