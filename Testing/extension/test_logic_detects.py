"""Detection as scripts and the panel drive it: real MRML, the real worker process, a tiny model, the very results of the library."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from Testing.support.needs import need

slicer = need("slicer")

from InvDetectSlicerLib.logic import InvDetectLogic, ResultNodes, RunFailed  # noqa: E402
from InvDetectSlicerLib.scene.nodes import results_in_scene  # noqa: E402
from InvDetectSlicerLib.scene.volumes import array_of  # noqa: E402

from InvDetectLib.detection import Detector  # noqa: E402
from InvDetectLib.results.result import Result  # noqa: E402
from Testing.support import REPOSITORY  # noqa: E402
from Testing.support.logic_examples import add_head, assert_shows, library_s  # noqa: E402
from Testing.support.scene_examples import everything, fingerprint  # noqa: E402
from Testing.support.slicer_host import Host  # noqa: E402
from Testing.support.tiny_model import World  # noqa: E402
from Testing.support.worker_clients import until  # noqa: E402

pytestmark = pytest.mark.usefixtures("host")


# A whole run


def test_a_result_is_the_library_s_voxel_by_voxel(logic: InvDetectLogic, world: World, detector: Detector, head: np.ndarray) -> None:
    volume = add_head(head)
    before = fingerprint(volume)
    nodes = logic.detect(volume, world.model)
    expected = library_s(detector, volume)
    assert expected.findings and nodes.input is volume
    assert_shows(nodes, expected)
    assert fingerprint(volume) == before


def test_the_operating_point_a_range_and_a_region_reach_the_library(
    logic: InvDetectLogic, world: World, detector: Detector, head: np.ndarray
) -> None:
    volume = add_head(head)
    region = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "region")
    region.CreateDefaultDisplayNodes()
    region.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    region.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    inside = np.zeros(head.shape, np.uint8)
    inside[:, 10:50, 20:60] = 1
    region.GetSegmentation().AddEmptySegment("look here")
    slicer.util.updateSegmentBinaryLabelmapFromArray(inside, region, "look here", volume)
    nodes = logic.detect(volume, world.model, slices=(1, 3), foregroundNode=region, rate=0.02, contiguity=2.0, scr=False)
    expected = library_s(detector, volume, slices=(1, 3), foreground=inside > 0, rate=0.02, contiguity=2.0, scr=False)
    assert expected.mask.any() and not expected.mask[~(inside > 0)].any()
    assert_shows(nodes, expected)


def test_with_callbacks_slices_appear_before_the_end(logic: InvDetectLogic, world: World, detector: Detector, head: np.ndarray) -> None:
    volume = add_head(head)
    expected = library_s(detector, volume)
    slices: list[tuple[int, int]] = []
    ended: list[ResultNodes] = []
    stages: set[str] = set()

    def look(number: int, of: int, axis: int, index: int) -> None:
        assert not ended
        shown = slicer.mrmlScene.GetFirstNodeByName("Jane Doe anomaly map")
        np.testing.assert_allclose(np.take(array_of(shown), index, axis), np.take(expected.anomaly_map, index, axis), atol=1e-6)
        slices.append((number, of))

    run = logic.detect(
        volume, world.model, onSlice=look, onProgress=lambda event: stages.add(event.stage), onFinished=ended.append, interactive=True
    )
    assert run.running and not ended
    until(lambda: not run.running, logic)
    assert slices == [(1, 3), (2, 3), (3, 3)] and stages
    assert_shows(ended[0], expected)
    assert run.facts["findings"] == len(expected.findings) and run.facts["device"]


def test_chosen_outputs_are_overwritten_and_others_made_anew(logic: InvDetectLogic, world: World, head: np.ndarray) -> None:
    volume = add_head(head)
    first = logic.detect(volume, world.model)
    second = logic.detect(volume, world.model, contiguity=0.0)
    assert second.map is not first.map and second.table is not first.table
    count = len(everything())
    third = logic.detect(volume, world.model, nodes=second)
    assert (third.map, third.segmentation, third.table) == (second.map, second.segmentation, second.table)
    assert len(everything()) == count and len(list(results_in_scene())) == 2


def test_an_output_that_is_deleted_meanwhile_is_made_anew(logic: InvDetectLogic, world: World, head: np.ndarray) -> None:
    volume = add_head(head)
    first = logic.detect(volume, world.model)
    run = logic.detect(volume, world.model, nodes=ResultNodes(table=first.table), onFinished=lambda nodes: None)
    slicer.mrmlScene.RemoveNode(first.table)
    until(lambda: not run.running, logic)
    assert run.error is None and run.outcome.table.GetScene() is slicer.mrmlScene


def test_slice_views_are_left_alone_unless_it_is_interactive(logic: InvDetectLogic, world: World, host: Host, head: np.ndarray) -> None:
    volume = add_head(head)
    view = host.slice_logics["Red"].GetSliceCompositeNode()
    logic.detect(volume, world.model)
    assert view.GetForegroundVolumeID() is None
    nodes = logic.detect(volume, world.model, interactive=True)
    assert (view.GetBackgroundVolumeID(), view.GetForegroundVolumeID()) == (volume.GetID(), nodes.map.GetID())


# Questions before a run


def test_check_estimate_and_devices_answer_in_both_forms(logic: InvDetectLogic, world: World, head: np.ndarray) -> None:
    volume = add_head(head)
    answers: list[Any] = []
    run = logic.check(volume, world.model, modality="CT", onFinished=answers.append)
    until(lambda: not run.running, logic)
    assert answers == [logic.check(volume, world.model, modality="CT")] and "said to be CT" in answers[0]
    cost = logic.estimate(volume, world.model, "cpu", (0, 2))
    assert cost["slices"] == 2 and cost["seconds"] > 0 and cost["memory_bytes"] > 0
    assert "cpu" in logic.devices()


def test_a_scan_is_written_once_for_check_estimate_and_run(logic: InvDetectLogic, world: World, head: np.ndarray) -> None:
    volume = add_head(head)
    logic.check(volume, world.model)
    files = {path.name: path.stat().st_mtime_ns for path in logic.client.folder.glob("scan-*")}
    logic.estimate(volume, world.model)
    assert {path.name: path.stat().st_mtime_ns for path in logic.client.folder.glob("scan-*")} == files and len(files) == 1
    array_of(volume)[:] = 0
    volume.GetImageData().Modified()
    with pytest.raises(RunFailed):
        logic.detect(volume, world.model)
    assert not files.keys() & {path.name for path in logic.client.folder.glob("scan-*")}


def test_the_grid_tells_which_slice_of_the_model_a_view_shows(logic: InvDetectLogic, world: World, host: Host, head: np.ndarray) -> None:
    volume = add_head(head)
    grid = logic.grid(volume, world.model)
    assert (grid.slice_axis, grid.shape[0]) == (0, 3)
    place = np.array(volume.GetImageData().GetCenter())
    node = host.slice_logics["Red"].GetSliceNode()
    for index in range(3):
        to_ras = slicer.util.vtkMatrixFromArray(np.eye(4))
        volume.GetIJKToRASMatrix(to_ras)
        local = to_ras.MultiplyPoint((place[0], place[1], index, 1.0))[:3]
        centre = [0.0, 0.0, 0.0]
        volume.TransformPointToWorld(local, centre)
        node.JumpSliceByCentering(*centre)
        assert logic.shownIndex(volume, 0, node) == index
    node.JumpSliceByCentering(5000, 5000, 5000)
    assert logic.shownIndex(volume, 0, node) is None


# A folder


def test_a_folder_is_scored_as_the_library_does_and_done_ones_are_skipped(
    logic: InvDetectLogic, world: World, detector: Detector, tmp_path: Path, no_pictures: None
) -> None:
    out, counted = tmp_path / "out", []
    (tmp_path / "scans").mkdir()
    for path in world.scans.rglob("*.nii.gz"):
        (tmp_path / "scans" / path.name).symlink_to(path)
    (tmp_path / "scans" / "broken.nii.gz").write_text("nonsense")
    told: list[str] = []

    def note(event: Any) -> None:
        if event.stage == "scans":
            counted.append((event.done, event.total))

    facts = logic.detectFolder(tmp_path / "scans", world.model, out, onProgress=note, onWarning=told.append, rate=0.02)
    states = {row["scan"]: row["status"] for row in facts["scans"]}
    assert states == {"broken.nii.gz": "failed", "head-1000.nii.gz": "done", "head-1001.nii.gz": "done"}
    assert counted[0] == (0, 3) and counted[-1] == (3, 3) and Path(facts["table"]) == out / "findings.csv"
    assert (out / "findings.csv").exists()
    assert any("broken" in text for text in told)
    expected = detector.detect(world.scans / "head-1000.nii.gz", rate=0.02, stability=False)
    assert Result.load(out / "head-1000.result.json").findings == expected.findings
    again: list[Any] = []
    run = logic.detectFolder(tmp_path / "scans", world.model, out, onFinished=again.append, rate=0.02)
    until(lambda: not run.running, logic)
    assert [row["status"] for row in again[0]["scans"]].count("skipped") == 2
    log = "".join(path.read_text(errors="replace") for path in logic.client.folder.glob("*.log"))
    assert "broken" not in log and "head-1000" not in log


# What it costs the application


def test_importing_the_logic_loads_neither_torch_nor_sklearn_nor_qt() -> None:
    code = (
        f"import sys; sys.path[:0] = [{str(REPOSITORY)!r}, {str(REPOSITORY / 'InvDetect')!r}]; import InvDetectSlicerLib.logic;"
        "bad = [n for n in ('torch', 'sklearn', 'safetensors', 'qt', 'PySide6', 'matplotlib') if n in sys.modules]; assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_main_thread_is_never_held_up_for_long(world: World, head: np.ndarray) -> None:
    """Between the scan handed over and the last slice; and a slice of 256 x 256 follows a slider within a tenth of a second."""
    big = np.repeat(np.kron(head, np.ones((1, 4, 4), head.dtype)), 4, axis=0)
    logic = InvDetectLogic()
    try:
        volume = add_head(big)
        logic.load(world.model)
        run = logic.detect(volume, world.model, onFinished=lambda nodes: None)
        worst = 0.0
        while not run.facts:
            started = time.perf_counter()
            logic.poll()
            worst = max(worst, time.perf_counter() - started)
            time.sleep(0.005)
        until(lambda: not run.running, logic)
        assert worst < 0.15, f"{worst:.3f} s"  # 0.05 where nothing else runs
        logic.refineSlice(run.outcome, 0, 5, rate=0.05)
        started = time.perf_counter()
        assert logic.refineSlice(run.outcome, 0, 5, rate=0.1, contiguity=2.0)
        assert time.perf_counter() - started < 0.3  # 0.1 where nothing else runs
    finally:
        logic.close()
