"""What the panel takes from outside: a model's file, a folder of scans, another Python, and lines in the Python console."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from Testing.support.needs import QT, need

slicer = need(*QT)

from Testing.support.panels import wait_for  # noqa: E402
from Testing.support.slicer_host.qt_host import FileDialog, true_properties  # noqa: E402
from Testing.support.tiny_model import World  # noqa: E402

true_properties(__name__)

from InvDetectSlicerLib.install import pythons  # noqa: E402
from InvDetectSlicerLib.scene.nodes import results_in_scene  # noqa: E402


def test_a_model_file_is_imported_and_chosen(panel: Any, world: World, models: Path, tmp_path: Path) -> None:
    other = tmp_path / "Kopf grö\u00dfer.invdetect"
    shutil.copy(world.model, other)
    FileDialog.answer = str(other)
    try:
        panel.ui.importButton.click()
        assert panel.models.current().name == "Kopf grö\u00dfer" and (models / other.name).is_file()
        FileDialog.answer = str(tmp_path / "absent.invdetect")
        panel.ui.importButton.click()
        assert "absent.invdetect" in panel.ui.statusLabel.text
    finally:
        FileDialog.answer = ""
        (models / other.name).unlink(missing_ok=True)
        panel.models.refresh()


def test_a_folder_of_scans_is_examined_into_files(panel: Any, world: World, tmp_path: Path) -> None:
    ui = panel.ui
    ui.scansFolder.currentPath, ui.resultsFolder.currentPath = str(world.scans), str(tmp_path / "out")
    ui.batchButton.click()
    assert ui.batchButton.text == "Cancel"
    wait_for(lambda: not panel.run.running)
    assert "2 scans examined" in ui.statusLabel.text and (tmp_path / "out" / "findings.csv").is_file()


def test_another_python_is_checked_before_it_computes(panel: Any, tmp_path: Path) -> None:
    program = tmp_path / "no python"
    program.write_text("#!/bin/sh\necho not a python\n")
    program.chmod(0o755)
    panel.ui.pythonPath.currentPath = str(program)
    panel.ui.checkPythonButton.click()
    wait_for(lambda: "not a Python" in panel.ui.statusLabel.text)
    assert pythons.chosen_python() == ""
    panel.ui.pythonPath.currentPath = sys.executable
    panel.ui.checkPythonButton.click()
    wait_for(lambda: pythons.chosen_python() == sys.executable)
    assert sys.executable in panel.ui.stateLabel.text
    panel.ui.ownPythonButton.click()
    assert pythons.chosen_python() == ""


def test_the_examples_for_the_python_console_do_what_they_say(
    module_widget: Any, panel: Any, models: Path, world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As they stand, but with the tiny model under the name of the shipped one, and with folders of this test."""
    shutil.copy(world.model, models / "made-heads.invdetect")
    try:
        for logic in (type(module_widget.logic), type(module_widget.logic).__mro__[1]):
            assert logic.__doc__ is not None
            example = "\n".join(line[8:] for line in logic.__doc__.splitlines() if line.startswith(" " * 8) or not line)
            code = example.replace("C:/scans", str(world.scans)).replace("C:/results", str(tmp_path / "results"))
            exec(compile(code, logic.__name__, "exec"), {"slicer": slicer})
    finally:
        (models / "made-heads.invdetect").unlink()
    said = capsys.readouterr().out
    assert said.count(" findings") == 3 and len(list(results_in_scene())) == 3
    assert (tmp_path / "results" / "findings.csv").is_file()
