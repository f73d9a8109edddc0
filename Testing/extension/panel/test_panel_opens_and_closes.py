"""The panel as it opens: what it loads, what it asks for and what it says before a run; and what a reload of the module ends."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from Testing.support.needs import QT, need

slicer = need(*QT)

from Testing.support import REPOSITORY  # noqa: E402
from Testing.support.panels import add_scan, wait_for  # noqa: E402
from Testing.support.slicer_host import Host  # noqa: E402
from Testing.support.slicer_host.qt_host import load_module, true_properties  # noqa: E402
from Testing.support.tiny_model import World  # noqa: E402

true_properties(__name__)

from InvDetectSlicerLib.scene.volumes import array_of  # noqa: E402

# Opening


def test_import_and_setup_load_neither_torch_nor_sklearn_and_are_quick() -> None:
    program = """
import sys, time
sys.path[:0] = ["Testing", "."]
from Testing.support.slicer_host.qt_host import start_qt, load_module
start_qt()
widget = load_module("InvDetect")
widget.cleanup()
best = 9.0
for _ in range(3):
    start = time.process_time()
    widget.setup()
    best = min(best, time.process_time() - start)
    widget.cleanup()
loaded = [name for name in ("torch", "sklearn", "matplotlib") if name in sys.modules]
print("LOADED", loaded, "SETUP", best)
assert not loaded and best < 0.3
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_first_view_asks_for_scan_and_model_and_nothing_else(panel: Any) -> None:
    ui = panel.ui
    sections = (ui.aboutButton, ui.optionsButton, ui.displayButton, ui.exportButton, ui.batchSection, ui.installSection)
    assert all(section.collapsed for section in sections)
    assert not ui.applyButton.enabled and "first" in ui.applyButton.toolTip
    assert not ui.neededWidget.visible and not ui.progressBar.visible and not ui.reportButton.visible
    assert "not a medical device" in ui.modelSummary.text


def test_choosing_scan_and_model_says_what_it_will_cost(panel: Any, scan: Any) -> None:
    assert panel.ui.applyButton.enabled
    wait_for(lambda: "about" in panel.ui.costLabel.text)
    assert panel.ui.costLabel.text.startswith("3 slices: about")
    assert panel.ui.deviceSelector.count > 2


def test_a_scan_unlike_the_model_s_is_said_once(panel: Any, world: World) -> None:
    volume = add_scan(world.scans / "head-1000.nii.gz")
    noise = np.random.default_rng(0).normal(500, 300, array_of(volume).shape).astype(np.float32)
    slicer.util.updateVolumeFromArray(volume, noise)
    panel.ui.scanSelector.setCurrentNode(volume)
    wait_for(lambda: "about" in panel.ui.costLabel.text)
    said = panel.ui.warningLabel.text
    assert said
    panel.ui.applyButton.click()
    wait_for(lambda: not panel.run.running)
    lines = panel.ui.warningLabel.text.splitlines()
    assert len(lines) == len(set(lines)) and said.splitlines()[0] in lines


def test_a_scan_of_another_modality_is_told_before_the_run(panel: Any, scan: Any) -> None:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    item = hierarchy.GetItemByDataNode(scan) or hierarchy.CreateItem(hierarchy.GetSceneItemID(), scan)
    hierarchy.SetItemAttribute(item, "DICOM.Modality", "CT")
    panel.models.choose("brain-t1")
    wait_for(lambda: "about" in panel.ui.costLabel.text)
    assert "said to be CT" in panel.ui.warningLabel.text
    panel.models.choose("tiny")


# The end


def test_reload_ends_the_worker_and_drops_the_packages(host: Host, models: Path, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INVDETECT_MODELS", str(models))
    before = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in ("InvDetectSlicerLib", "InvDetectLib")}
    widget = load_module("InvDetect")
    widget.enter()
    widget.panel.models.choose("tiny")
    scan = add_scan(world.scans / "head-1000.nii.gz", repeat=40)
    widget.panel.ui.scanSelector.setCurrentNode(scan)
    widget.panel.ui.applyButton.click()
    bar = widget.panel.ui.progressBar
    wait_for(lambda: bar.value > 0)
    pid = widget.panel._logic.client._worker["pid"]
    try:
        widget.onReload()
        remembered = slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode")
        assert any(node.GetNodeReference("scan") is scan and node.GetParameter("model") == "tiny" for node in remembered)
        assert widget.reloaded == 1 and widget.panel is None
        assert not any(name.partition(".")[0] == "InvDetectSlicerLib" for name in sys.modules)
        assert not slicer.util.getNodesByClass("vtkMRMLTableNode")
        with pytest.raises(ProcessLookupError):
            for _ in range(200):
                os.kill(pid, 0)
                time.sleep(0.05)
    finally:
        sys.modules.update(before)
