"""What counts as abnormal, chosen in the panel: offered where a model knows it, remembered, and what every kind of run asks for."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from Testing.support.needs import QT, need

slicer = need(*QT)

from Testing.support.panels import add_scan, wait_for  # noqa: E402
from Testing.support.slicer_host.qt_host import process_events, start_qt, true_properties  # noqa: E402
from Testing.support.tiny_model import World  # noqa: E402

start_qt()
true_properties(__name__)

from InvDetectSlicerLib.panel.parameters import DetectionParameters  # noqa: E402
from InvDetectSlicerLib.scene.nodes import read_facts, results_in_scene  # noqa: E402

from InvDetectLib.common.errors import WrongUse  # noqa: E402
from InvDetectLib.results.result import Result  # noqa: E402


@pytest.fixture(scope="module")
def models(world: World, directed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with a model that tells directions apart, and one that does not."""
    folder = tmp_path_factory.mktemp("models")
    for path in (world.model, directed):
        shutil.copy(path, folder / path.name)
    return folder


def choose(panel: Any, direction: str) -> None:
    """As by hand."""
    selector = panel.ui.directionSelector
    selector.currentIndex = selector.findData(direction)


def provenance(nodes: Any) -> Any:
    return read_facts(nodes.table, "Provenance")


def run(panel: Any, button: Any) -> None:
    button.click()
    wait_for(lambda: not panel.run.running)


def test_a_choice_is_offered_only_where_the_model_has_one_and_begins_with_its_own(panel: Any) -> None:
    ui = panel.ui
    assert not ui.directionSelector.visible and not ui.directionLabel.visible and panel.direction.chosen() is None
    panel.models.choose("directed")
    offered = [ui.directionSelector.itemText(i) for i in range(ui.directionSelector.count)]
    assert ui.directionSelector.visible and ui.directionLabel.text == "Findings are:"
    assert offered == ["brighter or darker than normal (the model's own)", "brighter than normal", "darker than normal"]
    assert panel.direction.chosen() == "both" and "Findings are brighter or darker than normal." in ui.methodLabel.text
    before = ui.alarmsImage.toolTip
    choose(panel, "dark")
    assert "Findings are darker than normal." in ui.methodLabel.text and ui.alarmsImage.toolTip not in ("", before)
    assert "calibrated for bright and dark, too" in " ".join(ui.cardText.plainText.split())
    panel.models.choose("tiny")
    assert not ui.directionSelector.visible and "Findings are" not in ui.methodLabel.text
    panel.models.choose("directed")
    assert panel.direction.chosen() == "both", "another model begins with its own again"


def test_every_way_to_examine_asks_for_what_is_chosen(panel: Any, scan: Any, world: World, tmp_path: Path) -> None:
    panel.models.choose("directed")
    choose(panel, "bright")
    run(panel, panel.ui.applyButton)
    assert provenance(panel.result)["direction"] == "bright" and provenance(panel.result)["adapted"] == "none"
    assert panel.ui.madeLabel.text == "what is brighter than normal"
    choose(panel, "dark")
    panel.ui.adaptCheck.checked = True
    run(panel, panel.ui.applyButton)
    found = provenance(panel.result)
    assert found["direction"] == "dark" and found["adapted"] == "scan"
    assert panel.ui.madeLabel.text == "what is darker than normal; scores adapted to this scan"
    panel.ui.queueSection.collapsed = False
    panel.queue.tick(scan)
    run(panel, panel.ui.queueButton)
    found = provenance(list(results_in_scene())[-1])
    assert len(list(results_in_scene())) == 3 and found["direction"] == "dark" and found["adapted"] == "scan"
    panel.ui.scansFolder.currentPath, panel.ui.resultsFolder.currentPath = str(world.scans), str(tmp_path)
    run(panel, panel.ui.batchButton)
    saved = [Result.load(path).provenance for path in tmp_path.rglob("*.result.json")]
    assert len(saved) == 2 and {(one["direction"], one["adapted"]) for one in saved} == {("dark", "scan")}


def test_the_map_has_the_colours_of_its_direction(panel: Any, scan: Any) -> None:
    panel.models.choose("directed")
    model = panel.models.usable()
    tops = {}
    for direction in ("bright", "dark"):
        nodes = panel._logic.detect(scan, model.path, device="cpu", direction=direction)
        tops[direction] = nodes.map.GetDisplayNode().GetWindowLevelMax()
        assert provenance(nodes)["direction"] == direction
    assert tops["bright"] == pytest.approx(tops["dark"])  # in units of normal tissue, both
    with pytest.raises(WrongUse, match="was not calibrated for the direction 'sideways'"):
        panel._logic.detect(scan, model.path, direction="sideways")
    with pytest.raises(WrongUse, match="it does not tell bright from dark"):
        panel.models.choose("tiny")
        panel._logic.detect(scan, panel.models.usable().path, direction="dark")


def test_the_choice_is_kept_in_the_scene(host: Any, panel: Any, scan: Any, tmp_path: Path) -> None:
    panel.models.choose("directed")
    choose(panel, "dark")
    panel.ui.adaptCheck.checked = True
    kept = DetectionParameters(panel._logic.getParameterNode())
    assert kept.direction == "dark" and kept.adapt
    file = host.save(tmp_path / "scene.mrb")
    choose(panel, "bright")
    panel.ui.adaptCheck.checked = False
    host.load(file)
    wait_for(lambda: panel.direction.chosen() == "dark")
    process_events()
    assert panel.ui.adaptCheck.checked and panel.models.current().name == "directed"


def test_scores_that_lie_elsewhere_are_said_as_warnings_are(panel: Any, scan: Any, world: World) -> None:
    """A head that is bright where normal heads are not, as of another scanner."""
    panel.models.choose("directed")
    array = slicer.util.arrayFromVolume(scan)
    array[:] = array.max() * (array / array.max()) ** 3
    slicer.util.arrayFromVolumeModified(scan)
    run(panel, panel.ui.applyButton)
    shift = provenance(panel.result)["score_shift"]
    assert "lie elsewhere" in panel.ui.warningLabel.text or "unlike those" in panel.ui.warningLabel.text, shift
    choose(panel, "dark")
    assert not panel.ui.warningLabel.visible, "it was said of another direction"


def test_the_midline_is_drawn_on_request_and_goes_with_its_result(host: Any, panel: Any, scan: Any, world: World, tmp_path: Path) -> None:
    def lines() -> list[Any]:
        return [node for node in slicer.util.getNodesByClass("vtkMRMLModelNode") if node.GetAttribute("InvDetect.Role")]

    ui = panel.ui
    run(panel, ui.applyButton)
    ui.displayButton.collapsed = False
    assert not ui.midlineCheck.visible, "tiny compares no sides"
    assert not ui.madeLabel.visible, "nor does it tell directions apart"
    panel.models.choose("directed")
    run(panel, ui.applyButton)
    assert ui.midlineCheck.visible and not lines()
    ui.midlineCheck.checked = True
    assert len(lines()) == 1
    ui.resultSelector.currentIndex = 0
    assert not ui.midlineCheck.visible and not lines()
    ui.resultSelector.currentIndex = 1
    assert ui.midlineCheck.visible and len(lines()) == 1
    host.load(host.save(tmp_path / "scene.mrb"))
    wait_for(lambda: panel.result is not None)
    wait_for(lambda: len(lines()) == 1)
    ui.midlineCheck.checked = False
    assert not lines()
    ui.midlineCheck.checked = True
    host.clear()
    process_events()
    assert not lines()
    ui.midlineCheck.checked = False
    add_scan(world.scans / "head-1000.nii.gz")
