"""The module files that Slicer loads, with stand-ins of the classes that they take from it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from Testing.support.described import metadata, run
from Testing.support.needs import need

REPOSITORY = Path(__file__).resolve().parents[1]
MODULES = REPOSITORY / "InvDetect"


class Base:
    """What a module, widget, logic and test class get from Slicer, as far as the module files use it."""

    def __init__(self, parent: Any = None) -> None:
        self.parent = parent
        self.layout = SimpleNamespace(addWidget=lambda widget: self.__dict__.setdefault("added", []).append(widget))

    def setup(self) -> None:
        pass

    def onReload(self) -> None:
        self.reloaded = True


class Panel:
    """Stands for the panel and the wizard, and remembers what it was told."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments, self.told, self.widget = arguments, list[str](), object()

    def __getattr__(self, name: str) -> Any:
        return lambda: self.told.append(name)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Slicer with nothing in it; `connected` are the signals that were connected."""
    host = SimpleNamespace(connected=[])
    for name in ("InvDetect", "InvDetectTraining"):  # other tests may have loaded them into their own host
        monkeypatch.delitem(sys.modules, name, raising=False)
    before = set(sys.modules)
    app = SimpleNamespace(connect=lambda signal, slot: host.connected.append((signal, slot)))

    def module(name: str, **members: Any) -> ModuleType:
        made = ModuleType(name)
        made.__dict__.update(members)
        monkeypatch.setitem(sys.modules, name, made)
        return made

    module("slicer", app=app, __path__=[])
    module("slicer.i18n", tr=lambda text: text, translate=lambda context, text: text)
    names = ("ScriptedLoadableModule", "ScriptedLoadableModuleWidget", "ScriptedLoadableModuleLogic", "ScriptedLoadableModuleTest")
    module("slicer.ScriptedLoadableModule", **{name: type(name, (Base,), {}) for name in names})
    module("InvDetectSlicerLib.logic", InvDetectLogic=type("InvDetectLogic", (), {"detect": lambda self: "detected"}))
    module("InvDetectSlicerLib.panel", DetectionWidget=Panel)
    module("InvDetectSlicerLib.wizard", TrainingWidget=Panel)
    host.module = module
    yield host
    for name in set(sys.modules) - before:
        if name.startswith("InvDetect") and name.partition(".")[0] in ("InvDetect", "InvDetectTraining"):
            del sys.modules[name]


@pytest.mark.parametrize("name", ["InvDetect", "InvDetectTraining"])
def test_a_module_has_the_classes_and_the_facts_that_slicer_looks_for(host: SimpleNamespace, name: str) -> None:
    module = __import__(name)
    for ending in ("", "Widget", "Logic", "Test"):
        assert isinstance(getattr(module, name + ending), type)
    parent = SimpleNamespace()
    getattr(module, name)(parent)
    assert parent.title in ("InvDetect", "InvDetect Training") and parent.categories == [metadata()["category"]]
    assert "not a medical device" in parent.helpText and parent.contributors == [metadata()["contributors"]]
    assert [signal for signal, _ in host.connected] == (["startupCompleted()"] if name == "InvDetect" else [])


@pytest.mark.parametrize("name", ["InvDetect", "InvDetectTraining"])
def test_a_module_s_widget_holds_one_panel_and_passes_on_what_happens(host: SimpleNamespace, name: str) -> None:
    widget = getattr(__import__(name), name + "Widget")()
    for early in (widget.enter, widget.exit, widget.cleanup):  # Slicer may call these before setup
        early()
    widget.setup()
    panel = widget.panel
    assert widget.added == [panel.widget] and isinstance(panel, Panel)
    for step in (widget.enter, widget.exit, widget.cleanup, widget.cleanup):
        step()
    assert panel.told == ["enter", "exit", "cleanup"]


def test_the_logic_is_the_library_s_with_slicer_s_parameter_node(host: SimpleNamespace) -> None:
    import InvDetect

    assert InvDetect.InvDetectLogic().detect() == "detected" and isinstance(InvDetect.InvDetectLogic(), Base)
    example = "\n".join(line.strip() for line in InvDetect.InvDetectLogic.__doc__.splitlines() if line.startswith(" " * 8))
    compile(example, "example", "exec")
    assert "logic.detect(" in example and "interactive=False" in example


@pytest.mark.parametrize("name", ["InvDetect", "InvDetectTraining"])
def test_reloading_ends_the_panel_and_really_reads_the_files_again(
    host: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(sys, "modules", dict(sys.modules))  # what is dropped here stays for the other tests
    widget = getattr(__import__(name), name + "Widget")()
    widget.setup()
    panel = widget.panel
    import InvDetectLib.models.cards  # noqa: F401

    widget.onReload()
    assert widget.reloaded and panel.told == ["cleanup"] and widget.panel is None
    assert not [module for module in sys.modules if module.partition(".")[0] in ("InvDetectLib", "InvDetectSlicerLib")]


def test_at_startup_sample_and_terms_are_registered_and_no_failure_stops_slicer(
    host: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    from InvDetectSlicerLib.install import startup

    registered: list[dict[str, Any]] = []
    host.module("SampleData", SampleDataLogic=SimpleNamespace(registerCustomSampleDataSource=lambda **facts: registered.append(facts)))

    def load_terminology() -> None:
        raise RuntimeError("no terms today")

    left: list[str] = []
    side_by_side = SimpleNamespace(leave=lambda: left.append("side by side"))
    host.module("InvDetectSlicerLib.scene", load_terminology=load_terminology, side_by_side=side_by_side)
    startup.at_startup()
    assert left == ["side by side"]
    (sample,) = registered
    assert {type(sample[name]) for name in ("uris", "fileNames", "nodeNames", "sampleName")} == {str}  # Slicer zips them
    assert sample["uris"].startswith("file:") and Path(sample["thumbnailFileName"]).is_file()
    assert "load_terminology failed" in caplog.text and "no terms today" in caplog.text


def test_modules_load_from_the_source_tree_without_the_library_on_the_path(tmp_path: Path) -> None:
    """As for a developer who adds InvDetect/ to Slicer's module paths; and nothing heavy is loaded."""
    code = """
        import sys, types
        def module(name, **members):
            sys.modules[name] = types.ModuleType(name); sys.modules[name].__dict__.update(members)
        module("slicer", __path__=[])
        module("slicer.i18n", tr=str, translate=max)
        classes = ("", "Widget", "Logic", "Test")
        module("slicer.ScriptedLoadableModule", **{"ScriptedLoadableModule" + end: type("Base", (), {}) for end in classes})
        import InvDetectTraining
        import InvDetectLib
        print(*sys.modules)
    """
    text = "\n".join(line[8:] for line in code.splitlines())
    environment = {"PYTHONPATH": str(MODULES), "PATH": os.environ["PATH"]}
    loaded = run(sys.executable, "-P" if sys.version_info >= (3, 11) else "-B", "-c", text, cwd=tmp_path, env=environment).split()
    assert not {"torch", "sklearn", "safetensors", "matplotlib"} & set(loaded)


# The sample, on Slicer's real scene


ON_A_REAL_SCENE = """
import tempfile
from pathlib import Path
import numpy as np
import slicer, slicer.util, vtk
from InvDetectLib.scans.phantoms import make_head, write_phantoms
from InvDetectLib.scans.reading import read_scan
from InvDetectSlicerLib import models
from InvDetectSlicerLib.models import sample_data

slicer.mrmlScene = slicer.vtkMRMLScene()
shown = []
slicer.util.setSliceViewerLayers = lambda background, fit: shown.append(background)
node = sample_data.add_made_head()
assert shown == [node] and node.GetName() == "Made head"
scan, _ = make_head(sample_data.SEED, lesions=sample_data.LESIONS)
assert np.array_equal(slicer.util.arrayFromVolume(node), np.rint(scan).astype(np.int16))
matrix = vtk.vtkMatrix4x4()
node.GetIJKToRASMatrix(matrix)
with tempfile.TemporaryDirectory() as folder:
    geometry = read_scan(write_phantoms(Path(folder), 1, sample_data.SEED)[0]).geometry
for i, j, k in ((0, 0, 0), (5, 9, 3), (127, 100, 11)):
    ras = slicer.util.arrayFromVTKMatrix(matrix) @ (i, j, k, 1)
    assert np.allclose(ras[:3], geometry.ras_from_index((k, j, i)), atol=1e-3)
model = {one.name: one for one in models.installed_models()}[sample_data.MODEL]
assert not model.problem and model.settings.preparation.modality == "made heads"
"""


def test_the_sample_is_drawn_where_its_file_says_and_fits_its_model() -> None:
    need("slicer")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(REPOSITORY), str(MODULES)))}
    run(sys.executable, "-c", ON_A_REAL_SCENE, env=environment)
