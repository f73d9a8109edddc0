"""The panel as Slicer opens it, with the tiny model; imported late, because without slicer-core and PySide6 the tests skip.

Qt is PySide6 with the manners of PythonQt, and the ctk and qMRML widgets are look-alikes (Testing/support/slicer_host): what PythonQt
does not offer of the originals is refused (test_pythonqt.py).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from Testing.support.slicer_host import Host
    from Testing.support.tiny_model import World


@pytest.fixture(scope="module")
def models(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder that holds the tiny model."""
    folder = tmp_path_factory.mktemp("models")
    shutil.copy(world.model, folder / "tiny.invdetect")
    return folder


@pytest.fixture(scope="module")
def module_widget() -> Iterator[Any]:
    """The module as Slicer opens it; one worker for all tests of a file."""
    from Testing.support.slicer_host.qt_host import load_module

    widget = load_module("InvDetect")
    widget.parent.resize(400, 1200)
    widget.parent.show()
    yield widget
    widget.cleanup()


@pytest.fixture
def panel(host: Host, module_widget: Any, models: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The panel in an empty scene, with the tiny model chosen."""
    from Testing.support.panels import wait_for
    from Testing.support.slicer_host.qt_host import process_events

    monkeypatch.setenv("INVDETECT_MODELS", str(models))
    panel = module_widget.panel
    process_events()
    panel.enter()
    panel.models.choose("tiny")
    yield panel
    if panel.run.running:
        panel.run.cancel()
        wait_for(lambda: not panel.run.running)
    panel.ui.mapOutput.setCurrentNode(None)
    panel.options.reset()
    panel.exit()


@pytest.fixture
def scan(panel: Any, world: World) -> Any:
    """A head with a lesion, chosen in the panel."""
    from Testing.support.panels import add_scan

    volume = add_scan(world.scans / "head-1000.nii.gz")
    panel.ui.scanSelector.setCurrentNode(volume)
    return volume


@pytest.fixture
def result(panel: Any, scan: Any) -> Any:
    """The nodes of a finished run with several findings."""
    from InvDetectSlicerLib.scene.findings_table import findings_of

    from Testing.support.panels import wait_for

    panel.ui.startRate.value = 10.0
    panel.ui.startContiguity.value = 0.0
    panel.ui.applyButton.click()
    wait_for(lambda: not panel.run.running)
    nodes = panel.result
    assert nodes is not None and len(findings_of(nodes.table)) > 2, panel.ui.statusLabel.text
    return nodes
